"""Capacity providers, tags and protection through boto3, on a host of the provider blue: a task without room waits and
gets the room of another the moment that is gone; a default strategy; a protected task outlives scaling in."""

import time

import boto3
from botocore.exceptions import ClientError

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
WAIT = {"Delay": 1, "MaxAttempts": 30}
BLUE = [{"capacityProvider": "blue", "weight": 1}]
group = {"autoScalingGroupArn": "hosts-of-mine", "managedScaling": {"status": "DISABLED"}}


def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]
    raise AssertionError(f"{call} {arguments} was not refused")


def shown(arn):
    (task,) = ecs.describe_tasks(tasks=[arn], include=["TAGS"])["tasks"]
    return task


provider = ecs.create_capacity_provider(name="blue", autoScalingGroupProvider=group, tags=[{"key": "a", "value": "1"}])
arn = provider["capacityProvider"]["capacityProviderArn"]
ecs.put_cluster_capacity_providers(
    cluster="default", capacityProviders=["blue", "FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=BLUE
)
(cluster,) = ecs.describe_clusters()["clusters"]
assert cluster["capacityProviders"] == ["blue", "FARGATE", "FARGATE_SPOT"], cluster
(instance,) = ecs.describe_container_instances(
    containerInstances=ecs.list_container_instances()["containerInstanceArns"]
)["containerInstances"]
assert instance["capacityProviderName"] == "blue", instance

# More than half of the host: two of them do not fit.
memory = {resource["name"]: resource["integerValue"] for resource in instance["remainingResources"]}["MEMORY"]
command = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
main = {"name": "main", "image": "busybox", "command": command, "memoryReservation": memory // 2 + 64, "stopTimeout": 2}
ecs.register_task_definition(family="half", containerDefinitions=[main])
first, second = ecs.run_task(taskDefinition="half", count=2)["tasks"]
assert first["capacityProviderName"] == second["capacityProviderName"] == "blue"
ecs.get_waiter("tasks_running").wait(tasks=[first["taskArn"]], WaiterConfig=WAIT)
waits = shown(second["taskArn"])
assert (waits["lastStatus"], waits.get("containerInstanceArn")) == ("PROVISIONING", None), waits
# By launch type nothing waits: a failure, as on AWS.
failed = ecs.run_task(taskDefinition="half", launchType="EC2")
assert failed["tasks"] == [] and failed["failures"][0]["reason"] == "RESOURCE:MEMORY", failed
third = ecs.run_task(taskDefinition="half", capacityProviderStrategy=BLUE)["tasks"][0]["taskArn"]
assert ecs.stop_task(task=third)["task"]["lastStatus"] == "STOPPED"
ecs.stop_task(task=first["taskArn"])
ecs.get_waiter("tasks_running").wait(tasks=[second["taskArn"]], WaiterConfig=WAIT)
took = shown(second["taskArn"])["startedAt"] - shown(first["taskArn"])["stoppedAt"]
assert took.total_seconds() < 10, took
assert shown(second["taskArn"])["containerInstanceArn"] == instance["containerInstanceArn"]

# Tags.
for resource in [arn, second["taskArn"], instance["containerInstanceArn"], cluster["clusterArn"]]:
    ecs.tag_resource(resourceArn=resource, tags=[{"key": "team", "value": "x"}])
    assert {"key": "team", "value": "x"} in ecs.list_tags_for_resource(resourceArn=resource)["tags"]
ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
(provider,) = ecs.describe_capacity_providers(capacityProviders=["blue"], include=["TAGS"])["capacityProviders"]
assert provider["tags"] == [{"key": "team", "value": "x"}], provider
assert shown(second["taskArn"])["tags"] == [{"key": "team", "value": "x"}]
error = refused(ecs.tag_resource, resourceArn=arn.replace("us-east-1", "eu-west-1"), tags=[{"key": "b", "value": ""}])
assert error["Code"] == "InvalidParameterException", error

# A service of Fargate's providers; a protected task outlives scaling in, and goes when its protection ends.
main = {"name": "main", "image": "busybox", "command": command, "stopTimeout": 2}
ecs.register_task_definition(
    family="job", networkMode="awsvpc", cpu="256", memory="512", requiresCompatibilities=["FARGATE"], containerDefinitions=[main]
)
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
ecs.create_service(
    serviceName="jobs",
    taskDefinition="job",
    desiredCount=3,
    capacityProviderStrategy=[
        {"capacityProvider": "FARGATE", "base": 1, "weight": 0},
        {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ],
    networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
)
ecs.get_waiter("services_stable").wait(services=["jobs"], WaiterConfig=WAIT)
tasks = ecs.describe_tasks(tasks=ecs.list_tasks(serviceName="jobs")["taskArns"])["tasks"]
assert sorted(task["capacityProviderName"] for task in tasks) == ["FARGATE", "FARGATE_SPOT", "FARGATE_SPOT"], tasks
newest = max(tasks, key=lambda task: (task["createdAt"], task["taskArn"]))["taskArn"]
(protected,) = ecs.update_task_protection(cluster="default", tasks=[newest], protectionEnabled=True)["protectedTasks"]
assert 7000 < (protected["expirationDate"].timestamp() - time.time()) <= 7200, protected
ecs.update_service(service="jobs", desiredCount=0)
for _ in range(100):
    left = ecs.list_tasks(serviceName="jobs")["taskArns"]
    if len(left) == 1:
        break
    time.sleep(0.05)
assert left == [newest], left
ecs.update_task_protection(cluster="default", tasks=[newest], protectionEnabled=False)
ecs.get_waiter("tasks_stopped").wait(tasks=[newest], WaiterConfig=WAIT)
error = refused(ecs.delete_capacity_provider, capacityProvider="blue")
assert "associated with cluster: default" in error["Message"], error

# What waits at the end is what `gantry ps` is asked about.
(last,) = ecs.run_task(taskDefinition="half")["tasks"]
assert last["lastStatus"] == "PROVISIONING", last
