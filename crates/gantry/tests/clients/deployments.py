"""Deployments through boto3: a bad image, a missing command and a crash loop go back; stops; hooks that wait; history."""

import http.server
import threading
import time

import boto3
from botocore.exceptions import ClientError

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
BREAKER = {"enable": True, "rollback": True}


class Nothing(http.server.BaseHTTPRequestHandler):
    """A registry that has no image."""

    def do_GET(self):
        found = self.path == "/v2/"
        body = b"{}" if found else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


registry = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
threading.Thread(target=registry.serve_forever, daemon=True).start()


def register(command, image="busybox"):
    main = {"name": "main", "image": image, "command": command, "stopTimeout": 2}
    return ecs.register_task_definition(
        family="deployed",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[main],
    )["taskDefinition"]["taskDefinitionArn"]


def service():
    (found,) = ecs.describe_services(services=["web"])["services"]
    return found


def newest():
    listed = ecs.list_service_deployments(service="web")["serviceDeployments"]
    arns = [listed[0]["serviceDeploymentArn"]]
    (found,) = ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
    return found


def until(status, seconds=60):
    """Waits until the newest deployment stands there; how long it took."""
    began = time.monotonic()
    while (seen := newest())["status"] != status:
        assert time.monotonic() - began < seconds, (status, seen, service()["events"][:6])
        time.sleep(0.02)
    return time.monotonic() - began, seen


def update(definition, **configuration):
    ecs.update_service(service="web", taskDefinition=definition, deploymentConfiguration=configuration)


SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
first = register(SLEEP)
network = {"awsvpcConfiguration": {"subnets": subnets}}
ecs.create_service(
    serviceName="web",
    taskDefinition=first,
    desiredCount=2,
    launchType="FARGATE",
    networkConfiguration=network,
    deploymentConfiguration={"deploymentCircuitBreaker": BREAKER},
)
_, created = until("SUCCESSFUL")
assert created["sourceServiceRevisions"] == [], created
good = created["targetServiceRevision"]["arn"]
(revision,) = ecs.describe_service_revisions(serviceRevisionArns=[good])["serviceRevisions"]
assert revision["taskDefinition"] == first and revision["launchType"] == "FARGATE", revision
kept = set(ecs.list_tasks(serviceName="web")["taskArns"])

# The first proof is enough: an image that is not there, a program that is not in its image.
for bad, words in (
    (register(SLEEP, f"127.0.0.1:{registry.server_port}/team/nothing:1"), "CannotPullContainerError"),
    (register(["/no/such/program"]), "no such file or directory"),
):
    began = time.monotonic()
    update(bad, deploymentCircuitBreaker=BREAKER)
    until("ROLLBACK_SUCCESSFUL", 10)
    print(f"rolled back in {time.monotonic() - began:.2f} s")
    seen = newest()
    assert words in seen["statusReason"], seen
    assert seen["deploymentCircuitBreaker"]["status"] == "TRIGGERED", seen
    assert seen["rollback"]["serviceRevisionArn"] == good, seen
    messages = [event["message"] for event in service()["events"]]
    assert any("deployment failed" in message and words in message for message in messages), messages
    assert any("rolling back to deployment ecs-svc/" in message for message in messages), messages
    assert service()["taskDefinition"] == first
    assert set(ecs.list_tasks(serviceName="web")["taskArns"]) == kept, "tasks that work are left alone"

# A crash loop that starts well trips the breaker too.
crash = register(["sh", "-c", "sleep 0.1; exit 3"])
update(crash, deploymentCircuitBreaker={**BREAKER, "thresholdConfiguration": {"type": "COUNT", "value": 3}})
_, seen = until("ROLLBACK_SUCCESSFUL")
assert "tasks failed to start" in seen["statusReason"], seen
assert seen["deploymentCircuitBreaker"]["failureCount"] >= 3, seen
assert service()["taskDefinition"] == first

# A deployment that hangs is stopped, and goes back.
hang = register(SLEEP, "127.0.0.1:1/never:1")
update(hang, deploymentCircuitBreaker={"enable": False, "rollback": False})
_, seen = until("IN_PROGRESS")
arn = seen["serviceDeploymentArn"]
ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
until("ROLLBACK_SUCCESSFUL", 10)
try:
    ecs.stop_service_deployment(serviceDeploymentArn=arn)
    raise AssertionError("it is over")
except ClientError as error:
    assert error.response["Error"]["Code"] == "ConflictException", error

# A hook of type PAUSE waits until it is told.
second = register(SLEEP)
pause = {"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}
update(second, lifecycleHooks=[pause])
_, seen = until("IN_PROGRESS")
(hook,) = seen["lifecycleHookDetails"]
assert (hook["status"], hook["timeoutAction"]) == ("AWAITING_ACTION", "ROLLBACK"), hook
assert (hook["expiresAt"] - seen["startedAt"]).total_seconds() == 24 * 3600, hook
time.sleep(0.3)
assert set(ecs.list_tasks(serviceName="web")["taskArns"]) == kept, "nothing starts while it waits"
ecs.continue_service_deployment(
    serviceDeploymentArn=seen["serviceDeploymentArn"], hookId=hook["hookId"], action="CONTINUE"
)
_, seen = until("SUCCESSFUL")
assert seen["lifecycleHookDetails"][0]["status"] == "SUCCEEDED", seen
assert service()["taskDefinition"] == second
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 10})

update(register(SLEEP), lifecycleHooks=[pause])
_, seen = until("IN_PROGRESS")
hook = seen["lifecycleHookDetails"][0]["hookId"]
ecs.continue_service_deployment(serviceDeploymentArn=seen["serviceDeploymentArn"], hookId=hook, action="ROLLBACK")
until("ROLLBACK_SUCCESSFUL")
assert service()["taskDefinition"] == second

# All of it is history.
listed = ecs.list_service_deployments(service="web")["serviceDeployments"]
assert [one["status"] for one in listed] == [
    "ROLLBACK_SUCCESSFUL",
    "SUCCESSFUL",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_SUCCESSFUL",
    "SUCCESSFUL",
], listed
done = ecs.list_service_deployments(service="web", status=["SUCCESSFUL"], maxResults=1)
assert len(done["serviceDeployments"]) == 1 and done["nextToken"], done
try:
    update(second, lifecycleHooks=[{"targetType": "AWS_LAMBDA", "lifecycleStages": ["PRE_SCALE_UP"]}])
    raise AssertionError("there is no engine for it")
except ClientError as error:
    assert "AWS_LAMBDA" in error.response["Error"]["Message"], error
ecs.delete_service(service="web", force=True)
ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 15})
