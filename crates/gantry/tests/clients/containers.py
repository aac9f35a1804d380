"""What a container definition says of its life, through boto3: health checks and what services make of them, the order
of containers, volumes, restarts, and what is refused."""

import os
import pathlib
import tempfile
import time

import boto3
from botocore.exceptions import ClientError

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
WAIT = {"Delay": 1, "MaxAttempts": 30}
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
network = {"awsvpcConfiguration": {"subnets": subnets}}


def register(family, containers, **more):
    return ecs.register_task_definition(
        family=family, networkMode="awsvpc", cpu="256", memory="512", containerDefinitions=containers, **more
    )["taskDefinition"]["taskDefinitionArn"]


def shell(name, script, **more):
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], "stopTimeout": 2, **more}


def run(definition):
    answer = ecs.run_task(taskDefinition=definition, launchType="EC2", networkConfiguration=network)
    assert not answer["failures"], answer
    return answer["tasks"][0]["taskArn"]


def describe(task):
    (found,) = ecs.describe_tasks(tasks=[task])["tasks"]
    return found


def until(what, look, patience=60):
    began = time.monotonic()
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() - began < patience, what
        time.sleep(0.02)


def stopped(task):
    return until("STOPPED", lambda: (lambda t: t if t["lastStatus"] == "STOPPED" else None)(describe(task)))


def root_of(task):
    """The root directory of the task's container, through its first process."""
    key = task.rsplit("/", 1)[1]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if key in open(f"/proc/{pid}/cgroup").read() and open(f"/proc/{pid}/cmdline").read().startswith("sh\0-c"):
                return pathlib.Path(f"/proc/{pid}/root")
        except OSError:
            continue
    raise AssertionError(f"no process of {key}")


def refused(code, words, call):
    try:
        call()
    except ClientError as error:
        said = error.response["Error"]
        assert said["Code"] == code and words in said["Message"], said
        return
    raise AssertionError(f"not refused: {words}")


# A service whose tasks have a health check: stable as soon as they pass it.
WAITS = "trap 'exit 0' TERM; touch /ok; sleep 600 & wait"
check = {"command": ["CMD-SHELL", "test -f /ok"], "interval": 5, "timeout": 2, "retries": 1}
seldom = register("seldom", [shell("web", WAITS, healthCheck={**check, "interval": 120})])
began = time.monotonic()
ecs.get_waiter("tasks_running").wait(tasks=[eager := run(seldom)], WaiterConfig=WAIT)
until("the first check", lambda: describe(eager)["healthStatus"] == "HEALTHY")
assert time.monotonic() - began < 60, "the first check is made at once"
ecs.stop_task(task=eager)
web = register("web", [shell("web", WAITS, healthCheck=check)], requiresCompatibilities=["FARGATE"])
ecs.create_service(
    serviceName="web",
    taskDefinition=web,
    desiredCount=1,
    launchType="FARGATE",
    networkConfiguration=network,
    healthCheckGracePeriodSeconds=3600,
)
began = time.monotonic()
ecs.get_waiter("services_stable").wait(services=["web"], WaiterConfig=WAIT)
assert time.monotonic() - began < 20, "stable as soon as its task has passed its check"
(first,) = ecs.list_tasks(serviceName="web")["taskArns"]
healthy = describe(first)
assert (healthy["healthStatus"], healthy["containers"][0]["healthStatus"]) == ("HEALTHY", "HEALTHY"), healthy

# It fails: within the grace it is only shown, after it the task is replaced, and only then stopped.
(root_of(first) / "ok").unlink()
until("UNHEALTHY", lambda: describe(first)["healthStatus"] == "UNHEALTHY")
assert ecs.list_tasks(serviceName="web")["taskArns"] == [first]
assert ecs.describe_services(services=["web"])["services"][0]["runningCount"] == 0
ecs.update_service(service="web", healthCheckGracePeriodSeconds=0)
ended = stopped(first)
assert ended["stopCode"] == "ServiceSchedulerInitiated", ended
assert ended["stoppedReason"] == "Task failed container health checks", ended
(second,) = ecs.list_tasks(serviceName="web")["taskArns"]
replaced = describe(second)
assert (replaced["healthStatus"], replaced["startedAt"] < ended["stoppingAt"]) == ("HEALTHY", True), replaced
(service,) = ecs.describe_services(services=["web"])["services"]
words = f"(service web) (task {first.rsplit('/', 1)[1]}) failed container health checks."
assert words in [event["message"] for event in service["events"]], service["events"]
ecs.delete_service(service="web", force=True)

# One after the other, through a directory of the host and one of the task's own; stopped in reverse.
host = pathlib.Path(tempfile.mkdtemp()) / "made" / "by-the-node"
given = {"sourceVolume": "given", "containerPath": "/given"}
own = {"sourceVolume": "own", "containerPath": "/own"}
note = "echo {0} >> /given/order; "
stay = "trap 'echo -{0} >> /given/order; exit 0' TERM; sleep 600 & wait"
chain = [
    shell(
        "web",
        note.format("web") + "cat /own/word > /given/word; touch /own/x 2> /dev/null || echo sealed >> /given/word; "
        + stay.format("web"),
        dependsOn=[
            {"containerName": "db", "condition": "HEALTHY"},
            {"containerName": "init", "condition": "SUCCESS"},
        ],
        mountPoints=[given, {**own, "readOnly": True}],
    ),
    shell(
        "db",
        note.format("db") + "sleep 0.3; echo healthy >> /given/order; touch /ok; " + stay.format("db"),
        dependsOn=[{"containerName": "init", "condition": "COMPLETE"}],
        healthCheck=check,
        volumesFrom=[{"sourceContainer": "init"}],
    ),
    shell("init", note.format("init") + "sleep 0.2; echo shared > /own/word", essential=False, mountPoints=[given, own]),
]
volumes = [{"name": "given", "host": {"sourcePath": str(host)}}, {"name": "own"}]
task = run(register("chain", chain, volumes=volumes))
until("RUNNING", lambda: describe(task)["lastStatus"] == "RUNNING")
until("three containers", lambda: (host / "word").exists() and "sealed" in (host / "word").read_text())
assert (host / "word").read_text() == "shared\nsealed\n", (host / "word").read_text()
ecs.stop_task(task=task)
stopped(task)
order = (host / "order").read_text().split()
assert order == ["init", "db", "healthy", "web", "-web", "-db"], order

# What can never come true ends the task.
never = [
    shell("init", "exit 2", essential=False),
    shell("web", WAITS, dependsOn=[{"containerName": "init", "condition": "SUCCESS"}]),
]
failed = stopped(run(register("never", never)))
assert failed["stopCode"] == "TaskFailedToStart", failed
assert "container ordering dependency [init] for target [web]" in failed["stoppedReason"], failed

# Names and memory, where the network is not Fargate's.
look = "grep -E 'nameserver|search' /etc/resolv.conf; grep -oE '(/dev/shm|/scratch) .*size=[0-9]+k' /proc/mounts"
said = shell(
    "main",
    f"({look}) > /given/said",
    dnsServers=["10.9.8.7"],
    dnsSearchDomains=["one.test"],
    linuxParameters={
        "sharedMemorySize": 7,
        "tmpfs": [{"containerPath": "/scratch", "size": 3, "mountOptions": ["noexec", "mode=1777"]}],
    },
    mountPoints=[given],
)
stopped(run(register("said", [said], volumes=volumes)))
text = (host / "said").read_text()
assert text.splitlines()[:2] == ["search one.test", "nameserver 10.9.8.7"], text
assert "/dev/shm tmpfs" in text and "size=7168k" in text and "/scratch tmpfs" in text and "size=3072k" in text, text

# A container that has not run for the period of its policy is not started again.
policy = {"enabled": True, "restartAttemptPeriod": 60}
brief = stopped(run(register("brief", [shell("main", "exit 3", restartPolicy=policy)])))
assert brief["containers"][0]["exitCode"] == 3, brief

# Refusals.
loop = [
    shell("a", "true", dependsOn=[{"containerName": "b", "condition": "START"}]),
    shell("b", "true", dependsOn=[{"containerName": "a", "condition": "START"}]),
]
refused("ClientException", "cycle", lambda: register("loop", loop))
fargate = dict(requiresCompatibilities=["FARGATE"])
refused("ClientException", "host.sourcePath", lambda: register("f", [shell("a", "true")], volumes=volumes, **fargate))
extra = {"hostname": "peer", "ipAddress": "10.0.0.9"}
refused("ClientException", "extraHosts is not supported", lambda: register("x", [shell("a", "true", extraHosts=[extra])]))
init = register("init", [shell("a", "true", linuxParameters={"initProcessEnabled": True})])
refused("UnsupportedFeatureException", "linuxParameters.initProcessEnabled", lambda: run(init))
efs = [{"name": "far", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]
far = register("far", [shell("a", "true")], volumes=efs)
refused("UnsupportedFeatureException", "volumes[far].efsVolumeConfiguration", lambda: run(far))
ecs.get_waiter("services_inactive").wait(services=["web"], WaiterConfig=WAIT)
