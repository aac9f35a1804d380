"""A service through boto3: stable, replaced when its process is killed, rolled within its bounds, scaled, deleted."""

import os
import signal
import threading
import time
import urllib.request

import boto3

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
WAIT = {"Delay": 1, "MaxAttempts": 30}
SCRIPT = "mkdir -p /svc; echo {0} > /svc/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /svc & wait"
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]


def register(version):
    main = {"name": "main", "image": "busybox", "command": ["sh", "-c", SCRIPT.format(version)], "stopTimeout": 2}
    return ecs.register_task_definition(
        family="service",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[main],
    )["taskDefinition"]["taskDefinitionArn"]


def service():
    (found,) = ecs.describe_services(services=["web"])["services"]
    return found


def tasks():
    arns = ecs.list_tasks(serviceName="web")["taskArns"]
    return ecs.describe_tasks(tasks=arns)["tasks"] if arns else []


def first_process(task):
    """The init process of the task's container, as the kernel sees it."""
    key = task["taskArn"].rsplit("/", 1)[1]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            groups = open(f"/proc/{pid}/cgroup").read()
            line = open(f"/proc/{pid}/cmdline", "rb").read()
        except OSError:
            continue
        if key in groups and line.startswith(b"sh\0-c"):
            return int(pid)
    raise AssertionError(f"no process of {key}")


def address(task):
    return {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}["privateIPv4Address"]


def is_healthy(task, now):
    """RUNNING for half a second, and wanted so: what counts as healthy without a health check."""
    wanted = task["lastStatus"] == task["desiredStatus"] == "RUNNING"
    return wanted and now - task["startedAt"].timestamp() > 0.5


def answers(place):
    try:
        urllib.request.urlopen(f"http://{place}/", timeout=5).read()
        return True
    except OSError:
        return False


class Load(threading.Thread):
    """Asks the healthy tasks for their page, one after the other, and keeps who failed when."""

    def __init__(self):
        super().__init__()
        self.healthy, self.answered, self.failed, self.over = {}, 0, [], False

    def run(self):
        while not self.over:
            for place, task in list(self.healthy.items()):
                if place not in self.healthy:
                    continue
                try:
                    urllib.request.urlopen(f"http://{place}/", timeout=5).read()
                    self.answered += 1
                except OSError as error:
                    self.failed.append((time.time(), task, error))
            time.sleep(0.001)


first = register("one")
network = {"awsvpcConfiguration": {"subnets": subnets}}
wish = dict(serviceName="web", taskDefinition=first, desiredCount=2, launchType="FARGATE", networkConfiguration=network)
created = ecs.create_service(**wish)["service"]
assert created["status"] == "ACTIVE" and created["deployments"][0]["rolloutState"] == "IN_PROGRESS", created
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=WAIT)
stable = service()
assert (stable["runningCount"], stable["pendingCount"]) == (2, 0), stable
assert stable["deployments"][0]["rolloutState"] == "COMPLETED", stable
assert "has reached a steady state" in stable["events"][0]["message"], stable["events"]
assert ecs.create_service(**wish)["service"]["serviceArn"] == stable["serviceArn"]
assert ecs.list_services()["serviceArns"] == [stable["serviceArn"]]

# Killed from outside: replaced, and RUNNING again.
before = {task["taskArn"] for task in tasks()}
victim = tasks()[0]
os.kill(first_process(victim), signal.SIGKILL)
began = time.monotonic()
while True:
    now = {task["taskArn"] for task in tasks() if task["lastStatus"] == "RUNNING"}
    if len(now) == 2 and victim["taskArn"] not in now:
        break
    assert time.monotonic() - began < 30, tasks()
    time.sleep(0.005)
print(f"killed to RUNNING again, as a client sees it: {(time.monotonic() - began) * 1000:.0f} ms")
ended = ecs.describe_tasks(tasks=[victim["taskArn"]])["tasks"][0]
assert ended["stopCode"] == "EssentialContainerExited" and ended["containers"][0]["exitCode"] == 137, ended
assert len(before & now) == 1

# Scaled and rolled; a step never leaves fewer than four healthy, nor more than eight wanted.
ecs.update_service(service="web", desiredCount=4)
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=WAIT)
second = register("two")
load, ready = Load(), set()
load.healthy = {address(task): task["taskArn"] for task in tasks()}
load.start()
ecs.update_service(service="web", taskDefinition=second)
began = time.monotonic()
while True:
    seen = service()
    assert seen["runningCount"] >= 4, seen
    assert seen["runningCount"] + seen["pendingCount"] <= 8, seen
    # As a load balancer would: a task is asked by others once it has answered. On a machine that is busy with other tests
    # a server may need longer than half a second for that.
    healthy = {address(task): task["taskArn"] for task in tasks() if is_healthy(task, time.time())}
    ready |= {task for place, task in healthy.items() if task not in ready and answers(place)}
    load.healthy = {place: task for place, task in healthy.items() if task in ready}
    assert load.healthy, seen
    if len(seen["deployments"]) == 1:
        break
    assert time.monotonic() - began < 60, seen
    time.sleep(0.05)
load.over = True
load.join()
print(f"four tasks rolled in {time.monotonic() - began:.1f} s, {load.answered} pages meanwhile")
assert load.answered > 50, load.answered
# A request that was on its way when its task was told to stop is no request to a healthy task.
for at, task, error in load.failed:
    (seen_task,) = ecs.describe_tasks(tasks=[task])["tasks"]
    stopping = seen_task.get("stoppingAt")
    assert stopping and stopping.timestamp() <= at, (task, error, at, seen_task)
assert seen["deployments"][0]["rolloutState"] == "COMPLETED", seen
assert {task["taskDefinitionArn"] for task in tasks()} == {second}
assert {task["group"] for task in tasks()} == {"service:web"}
assert {task["startedBy"] for task in tasks()} == {seen["deployments"][0]["id"]}

ecs.update_service(service="web", desiredCount=1)
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=WAIT)
assert len(tasks()) == 1
try:
    ecs.delete_service(service="web")
    raise AssertionError("a service with tasks was deleted without force")
except ecs.exceptions.InvalidParameterException:
    pass
assert ecs.delete_service(service="web", force=True)["service"]["status"] == "DRAINING"
ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig=WAIT)
assert tasks() == []
