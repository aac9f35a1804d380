"""Why something is not placed, through boto3: in the failures of a call, in a service's events, and from the operation
that `gantry explain` asks, signed by botocore. The nearest fix, once applied, is enough."""

import json
import time
import urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

ecs, session = boto3.client("ecs"), boto3.session.Session()
WAIT = {"Delay": 1, "MaxAttempts": 30}


def explain(subject):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Gantry_20261101.Explain"}
    body = json.dumps({"subject": subject})
    request = AWSRequest("POST", ecs.meta.endpoint_url, data=body, headers=headers)
    SigV4Auth(session.get_credentials(), "gantry", session.region_name).add_auth(request)
    with urllib.request.urlopen(
        urllib.request.Request(request.url, body.encode(), dict(request.headers.items()))
    ) as answer:
        return json.load(answer)


(instance,) = ecs.list_container_instances()["containerInstanceArns"]
main = {"name": "main", "image": "busybox", "command": ["sleep", "600"], "memory": 64, "stopTimeout": 0}
ecs.register_task_definition(family="small", containerDefinitions=[main])
ecs.register_task_definition(family="huge", containerDefinitions=[main | {"memory": 64 << 20}])

# A call that fails says what every host lacks.
(failure,) = ecs.run_task(taskDefinition="huge", launchType="EC2")["failures"]
assert failure["reason"] == "RESOURCE:MEMORY", failure
assert "67108864" in failure["detail"] and "free" in failure["detail"], failure
(failure,) = ecs.run_task(
    taskDefinition="small", placementConstraints=[{"type": "memberOf", "expression": "attribute:disk == ssd"}]
)["failures"]
assert "attribute:disk == ssd" in failure["detail"], failure

# A service waits, and says for what: in an event, and when it is asked.
ecs.create_service(
    serviceName="picky",
    taskDefinition="small",
    desiredCount=1,
    placementConstraints=[{"type": "memberOf", "expression": "attribute:disk == ssd"}],
)
for _ in range(100):
    (service,) = ecs.describe_services(services=["picky"])["services"]
    if service["events"]:
        break
    time.sleep(0.05)
message = service["events"][0]["message"]
assert "was unable to place a task" in message and "attribute:disk == ssd" in message, message
said = explain("picky")
assert said["status"] == "ACTIVE" and said["summary"].startswith("waits for room for 1 of 1 tasks"), said
(verdict,) = said["verdicts"]
assert verdict["containerInstanceArn"] == instance and not verdict["takes"], verdict
(reason,) = verdict["reasons"]
assert "attribute:disk == ssd" in reason["message"], reason
deployment = explain(service["deployments"][0]["id"])
assert "1 wanted" in json.dumps(deployment["facts"]), deployment

# What the reason asks for is enough.
ecs.put_attributes(attributes=[{"name": "disk", "value": "ssd", "targetId": instance}])
ecs.get_waiter("services_stable").wait(services=["picky"], WaiterConfig=WAIT)
assert explain("picky")["summary"] == "is steady: 1 of 1 tasks are healthy", explain("picky")
(task,) = ecs.list_tasks(serviceName="picky")["taskArns"]
said = explain(task)
assert said["status"] == "RUNNING" and "is on instance" in said["summary"], said
assert said["verdicts"][0]["here"] and {"name": "constraint", "value": "memberOf(attribute:disk == ssd)"} in said["facts"]
ecs.delete_service(service="picky", force=True)
