"""Three tasks through boto3: register, run, wait, fetch a page from each, stop, and how they ended."""

import time
import urllib.request

import boto3

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
SCRIPT = "mkdir -p /www; echo hello from $(hostname -i) > /www/index.html; exec httpd -f -p 80 -h /www"

registered = ecs.register_task_definition(
    family="life",
    requiresCompatibilities=["FARGATE"],
    networkMode="awsvpc",
    cpu="256",
    memory="512",
    containerDefinitions=[
        {"name": "main", "image": "busybox", "command": ["sh", "-c", SCRIPT], "stopTimeout": 2}
    ],
    tags=[{"key": "team", "value": "blue"}],
)
assert registered["taskDefinition"]["status"] == "ACTIVE", registered
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
ran = ecs.run_task(
    taskDefinition="life",
    count=3,
    launchType="FARGATE",
    networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
    startedBy="boto",
    propagateTags="TASK_DEFINITION",
)
assert ran["failures"] == [], ran
tasks = [task["taskArn"] for task in ran["tasks"]]
assert len(tasks) == 3

ecs.get_waiter("tasks_running").wait(tasks=tasks, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
described = ecs.describe_tasks(tasks=tasks, include=["TAGS"])
assert described["failures"] == []
for task in described["tasks"]:
    assert task["lastStatus"] == task["desiredStatus"] == "RUNNING", task
    assert task["launchType"] == "FARGATE" and task["startedBy"] == "boto"
    assert task["tags"] == [{"key": "team", "value": "blue"}]
    assert task["createdAt"] <= task["startedAt"], task
    details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
    address = details["privateIPv4Address"]
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
    (interface,) = interface["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] == address and interface["SubnetId"] == details["subnetId"]
    assert interface["MacAddress"] == details["macAddress"]
    for attempt in range(100):
        try:
            page = urllib.request.urlopen(f"http://{address}/", timeout=5).read().decode()
            break
        except OSError:
            time.sleep(0.05)
    assert page.strip() == f"hello from {address}", page

for task in tasks:
    ecs.stop_task(task=task, reason="enough")
ecs.get_waiter("tasks_stopped").wait(tasks=tasks, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
for task in ecs.describe_tasks(tasks=tasks)["tasks"]:
    assert task["stopCode"] == "UserInitiated" and task["stoppedReason"] == "enough", task
    (container,) = task["containers"]
    # httpd has no handler for SIGTERM, and as the first process of its namespace it does not die of it: it is killed.
    assert container["exitCode"] in (137, 143), container
    assert task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"], task
assert ecs.list_tasks()["taskArns"] == []
assert sorted(ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]) == sorted(tasks)
