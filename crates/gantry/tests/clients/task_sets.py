"""A service of the EXTERNAL controller: two task sets share it, one takes over, and all goes again."""

import time

import boto3
from refusal import refused

ecs = boto3.client("ecs")


# A first process that does not ask for it hears no SIGTERM.
LOOP = "trap 'exit 0' TERM; sleep 600 & wait"


def register(tag):
    ecs.register_task_definition(
        family="app",
        containerDefinitions=[
            {"name": "main", "image": "busybox", "memory": 32, "command": ["sh", "-c", LOOP, tag]}
        ],
    )


def until(what, true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}; {sets()}"
        time.sleep(0.05)


def sets(**more):
    return ecs.describe_task_sets(cluster="default", service="web", **more)["taskSets"]


def steady():
    return all(known["stabilityStatus"] == "STEADY_STATE" for known in sets())


def tasks(task_set):
    arns = ecs.list_tasks(startedBy=task_set, desiredStatus="RUNNING")["taskArns"]
    return ecs.describe_tasks(tasks=arns)["tasks"] if arns else []


register("blue")
register("green")
web = {"cluster": "default", "service": "web"}
made = ecs.create_service(serviceName="web", desiredCount=4, deploymentController={"type": "EXTERNAL"})["service"]
assert made["deploymentController"]["type"] == "EXTERNAL" and made["taskSets"] == [] and made["deployments"] == []
refused("InvalidParameterException", ecs.update_service, service="web", taskDefinition="app:2")

half = {"value": 50.0, "unit": "PERCENT"}
blue = ecs.create_task_set(**web, taskDefinition="app:1", scale=half, externalId="blue", clientToken="one")["taskSet"]
again = ecs.create_task_set(**web, taskDefinition="app:1", scale=half, externalId="blue", clientToken="one")["taskSet"]
assert again["id"] == blue["id"] and blue["computedDesiredCount"] == 2 and blue["launchType"] == "EC2", (blue, again)
green = ecs.create_task_set(**web, taskDefinition="app:2", scale=half, tags=[{"key": "k", "value": "v"}])["taskSet"]
until("two and two", steady)
for task_set, definition in [(blue, ":1"), (green, ":2")]:
    running = tasks(task_set["id"])
    assert len(running) == 2 and all(task["lastStatus"] == "RUNNING" for task in running), running
    assert all(task["taskDefinitionArn"].endswith(definition) for task in running), running
    assert all(task["startedBy"] == task_set["id"] and task["group"] == "service:web" for task in running), running
shown = sets(taskSets=[green["taskSetArn"]], include=["TAGS"])[0]
assert (shown["runningCount"], shown["pendingCount"], shown["tags"]) == (2, 0, [{"key": "k", "value": "v"}]), shown

# A task that ends is replaced in its set.
ecs.stop_task(task=tasks(green["id"])[0]["taskArn"])
until("a replacement", lambda: steady() and len(tasks(green["id"])) == 2)

primary = ecs.update_service_primary_task_set(**web, primaryTaskSet=green["taskSetArn"])["taskSet"]
assert primary["status"] == "PRIMARY", primary
service = ecs.describe_services(services=["web"])["services"][0]
assert service["taskDefinition"].endswith("app:2") and service["runningCount"] == 4, service
ecs.update_task_set(**web, taskSet=green["id"], scale={"value": 100.0, "unit": "PERCENT"})
ecs.update_task_set(**web, taskSet=blue["id"], scale={"value": 0.0, "unit": "PERCENT"})
until("all of it is green", lambda: steady() and len(tasks(green["id"])) == 4 and not tasks(blue["id"]))

refused("InvalidParameterException", ecs.delete_task_set, **web, taskSet=green["id"])
assert ecs.delete_task_set(**web, taskSet=blue["taskSetArn"])["taskSet"]["status"] == "DRAINING"
until("blue is gone", lambda: [known["id"] for known in sets()] == [green["id"]])
refused("TaskSetNotFoundException", ecs.update_task_set, **web, taskSet=blue["id"], scale=half)

ecs.update_service(service="web", desiredCount=0)
until("none is wanted", lambda: steady() and not tasks(green["id"]))
message = refused("InvalidParameterException", ecs.delete_service, service="web")
assert message == "The service cannot be stopped while deployments are active.", message
ecs.delete_task_set(**web, taskSet=green["id"], force=True)
until("green is gone", lambda: not sets())
ecs.delete_service(service="web")
ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 20})
