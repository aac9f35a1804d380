"""Plans through boto3: a header on any call of ECS that changes something asks what it would bring about."""

import json

import boto3
import botocore.exceptions

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
network = {"awsvpcConfiguration": {"subnets": subnets}}
main = {"name": "main", "image": "busybox", "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]}
ecs.register_task_definition(
    family="planned",
    requiresCompatibilities=["FARGATE"],
    networkMode="awsvpc",
    cpu="256",
    memory="512",
    containerDefinitions=[main],
)
bodies = []


def planned(operation, **arguments):
    """The plan of a call: the header goes out with it, and the body that comes back is read as it is."""
    planner = boto3.client("ecs")
    planner.meta.events.register("before-sign.ecs", lambda request, **_: request.headers.add_header("x-gantry-plan", "1"))
    planner.meta.events.register("after-call.ecs", lambda http_response, **_: bodies.append(http_response.content))
    getattr(planner, operation)(**arguments)
    return json.loads(bodies.pop())


new = dict(serviceName="web", taskDefinition="planned", desiredCount=2, launchType="FARGATE", networkConfiguration=network)
plan = planned("create_service", **new)
assert plan["outcome"] == "COMPLETED", plan
assert [step["action"] for step in plan["steps"]].count("START") == 2, plan
assert "was never measured" in " ".join(plan["basis"]), plan["basis"]
assert ecs.list_services()["serviceArns"] == [], "a plan makes nothing"

ecs.create_service(**new)
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
tasks = ecs.list_tasks(serviceName="web")["taskArns"]

plan = planned("update_service", service="web", forceNewDeployment=True)
actions = [step["action"] for step in plan["steps"]]
assert actions.count("START") == actions.count("STOP") == actions.count("STOPPED") == 2, plan
assert actions.index("RUNNING") < actions.index("STOP") and actions[-1] in ("COMPLETED", "STOPPED"), plan
assert [step["atMs"] for step in plan["steps"]] == sorted(step["atMs"] for step in plan["steps"])
(peak,) = plan["peaks"]
assert peak["tasks"] == 4 and peak["memory"] == 2048, plan["peaks"]
assert "the median of 2 of that family" in " ".join(plan["basis"]), plan["basis"]

plan = planned("update_service", service="web", desiredCount=4000)
assert plan["outcome"] == "BLOCKED" and "of 4000 tasks" in plan["blocked"][0], plan["blocked"]

plan = planned("stop_task", task=tasks[0])
actions = [step["action"] for step in plan["steps"]]
assert actions[0] == "STOP" and "START" in actions, plan

plan = planned("delete_service", service="web", force=True)
assert [step["action"] for step in plan["steps"]].count("STOPPED") == 2, plan

for wrong, code in [
    (lambda: planned("update_service", service="other"), "ServiceNotFoundException"),
    (lambda: planned("describe_services", services=["web"]), "InvalidParameterException"),
]:
    try:
        wrong()
        raise AssertionError("a refusal was expected")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    bodies.clear()

assert ecs.list_tasks(serviceName="web")["taskArns"] == tasks, "plans alter nothing"
