"""Network modes bridge, host and none through boto3: who reaches which port, and who is refused one. A namespace that is
pinned at ~/lan plays the neighbours of the host. What runs at the end is left running."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
from botocore.exceptions import ClientError

ecs = boto3.client("ecs")
WAIT = {"Delay": 1, "MaxAttempts": 30}
LAN = os.path.join(os.environ["HOME"], "lan")
PAGE = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode(), end='')"
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.sendto(b"who", (sys.argv[1], int(sys.argv[2])))
print(s.recv(99).decode(), end="")
"""
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    text, client = s.recvfrom(99)
    s.sendto(client[0].encode(), client)
"""


def inside(namespace, code, *arguments):
    return ["nsenter", f"--net={namespace}", sys.executable, "-B", "-c", code, *map(str, arguments)]


def from_lan(code, *arguments):
    done = subprocess.run(inside(LAN, code, *arguments), capture_output=True, text=True, timeout=20)
    return done.stdout if done.returncode == 0 else None


def eventually(look):
    """Programs in containers need a moment before they listen."""
    for attempt in range(100):
        try:
            if (seen := look()) is not None:
                return seen
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("nobody answers")


def page(port, path, address="127.0.0.1"):
    url = f"http://{address}:{port}{path}"
    return eventually(lambda: urllib.request.urlopen(url, timeout=3).read().decode())


def free_port(first):
    """Free for TCP and UDP, and outside the range in which ports are chosen."""
    for port in range(first + os.getpid() % 5000, 32768):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind(("0.0.0.0", port))
            return port
        except OSError:
            pass


def container(name, script, *mappings):
    command = ["sh", "-c", script]
    return dict(name=name, image="busybox", command=command, memory=64, stopTimeout=1, portMappings=list(mappings))


def register(family, *containers, **more):
    return ecs.register_task_definition(family=family, containerDefinitions=list(containers), **more)["taskDefinition"]


def run(family, count=1):
    ran = ecs.run_task(taskDefinition=family, count=count)
    assert ran["failures"] == [], ran
    tasks = [task["taskArn"] for task in ran["tasks"]]
    ecs.get_waiter("tasks_running").wait(tasks=tasks, WaiterConfig=WAIT)
    return ecs.describe_tasks(tasks=tasks)["tasks"]


def bindings(task):
    return [binding for container in task["containers"] for binding in container["networkBindings"]]


def bound(host, inside, protocol="tcp"):
    return {"bindIP": "0.0.0.0", "containerPort": inside, "hostPort": host, "protocol": protocol}


def refused(call, code, words):
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code and words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


def first_process(task):
    key = task["taskArn"].rsplit("/", 1)[1]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if key in open(f"/proc/{pid}/cgroup").read() and open(f"/proc/{pid}/comm").read() == "httpd\n":
                return int(pid)
        except OSError:
            continue
    raise AssertionError(f"no process of {key}")


route = subprocess.run(["nsenter", f"--net={LAN}", "ip", "-4", "route", "show", "default"], capture_output=True, text=True)
HOST = route.stdout.split()[2]
SERVE = "exec httpd -f -p 80 -h /"

# A port by number: from the LAN, from the host, by TCP and UDP; with the client's address.
port = free_port(15000)
web = container("web", SERVE, {"containerPort": 80, "hostPort": port}, {"containerPort": 53, "hostPort": port, "protocol": "udp"})
definition = register("static", web)
assert "networkMode" not in definition or definition["networkMode"] == "bridge", definition
(static,) = run("static")
assert static["launchType"] == "EC2" and static["attachments"] == [], static
assert bindings(static) == [bound(port, 80), bound(port, 53, "udp")], bindings(static)
name = page(port, "/etc/hostname").strip()
assert len(name) == 12 and name != socket.gethostname(), name
assert from_lan(PAGE, f"http://{HOST}:{port}/etc/hostname").strip() == name
assert page(port, "/etc/hostname", HOST).strip() == name
echo = subprocess.Popen(inside(f"/proc/{first_process(static)}/ns/net", ECHO, 53), stdout=subprocess.PIPE, text=True)
assert echo.stdout.readline() == "ready\n"
client = from_lan(ASK, HOST, port)
assert client and client != HOST and client.rsplit(".", 1)[0] == HOST.rsplit(".", 1)[0], client
echo.kill()
echo.wait()

# Nobody else gets it while the task has it; the instance says so.
again = ecs.run_task(taskDefinition="static")
assert again["tasks"] == [] and again["failures"][0]["reason"] == "RESOURCE:PORTS", again
assert f"{port}/tcp" in again["failures"][0]["detail"], again
(instance,) = ecs.describe_container_instances(containerInstances=[static["containerInstanceArn"]])["containerInstances"]
remaining = {resource["name"]: resource for resource in instance["remainingResources"]}
registered = {resource["name"]: resource for resource in instance["registeredResources"]}
assert str(port) in remaining["PORTS"]["stringSetValue"] and str(port) in remaining["PORTS_UDP"]["stringSetValue"]
assert {"22", "2375", "2376", "51678", "51679", "51680"} == set(registered["PORTS"]["stringSetValue"]), registered
register("ssh", container("main", SERVE, {"containerPort": 22, "hostPort": 22}))
assert ecs.run_task(taskDefinition="ssh")["failures"][0]["reason"] == "RESOURCE:PORTS"
ecs.stop_task(task=static["taskArn"])
ecs.get_waiter("tasks_stopped").wait(tasks=[static["taskArn"]], WaiterConfig=WAIT)
assert from_lan(PAGE, f"http://{HOST}:{port}/etc/hostname") is None
(static,) = run("static")
assert from_lan(PAGE, f"http://{HOST}:{port}/etc/hostname") or page(port, "/etc/hostname")

# A port that a program of the host has is not taken from it.
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    busy = listener.getsockname()[1]
    register("busy", container("main", SERVE, {"containerPort": 80, "hostPort": busy}))
    (task,) = ecs.run_task(taskDefinition="busy")["tasks"]
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)
    (task,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert f"the host port {busy}/tcp is in use by another program" in task["stoppedReason"], task

# Two containers on port 80 in one task, two copies of it on one host.
twice = [container(name, SERVE, {"containerPort": 80}) for name in ("left", "right")]
definition = register("dynamic", *twice, networkMode="bridge")
assert definition["containerDefinitions"][0]["portMappings"] == [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]
copies = run("dynamic", 2)
ports = [binding["hostPort"] for task in copies for binding in bindings(task)]
assert len(set(ports)) == 4 and all(32768 <= port <= 60999 for port in ports), ports
names = {page(port, "/etc/hostname").strip() for port in ports}
assert len(names) == 4, names
assert {from_lan(PAGE, f"http://{HOST}:{port}/etc/hostname").strip() for port in ports} == names

# The host's own network: its ports, its name, its resolvers.
port = free_port(22000)
register("host", container("main", f"exec httpd -f -p {port} -h /", {"containerPort": port}), networkMode="host")
(task,) = run("host")
assert bindings(task) == [bound(port, port)], task
assert page(port, "/etc/hostname").strip() == socket.gethostname()
assert page(port, "/etc/resolv.conf") == open("/etc/resolv.conf").read()
assert from_lan(PAGE, f"http://{HOST}:{port}/etc/hostname").strip() == socket.gethostname()
assert ecs.run_task(taskDefinition="host")["failures"][0]["reason"] == "RESOURCE:PORTS"

# None: a loopback and nothing else.
register("none", container("main", '[ "$(ls /sys/class/net)" = lo ] && exit 7'), networkMode="none")
(task,) = ecs.run_task(taskDefinition="none")["tasks"]
ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)
(task,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
assert task["containers"][0]["exitCode"] == 7 and bindings(task) == [], task

# A service of bridged tasks.
ecs.create_service(serviceName="bridged", taskDefinition="dynamic", desiredCount=2)
ecs.get_waiter("services_stable").wait(services=["bridged"], WaiterConfig=WAIT)
(service,) = ecs.describe_services(services=["bridged"])["services"]
assert service["runningCount"] == 2 and "networkConfiguration" not in service, service
ecs.delete_service(service="bridged", force=True)
ecs.get_waiter("services_inactive").wait(services=["bridged"], WaiterConfig=WAIT)

# What is refused, in AWS's words.
network = {"awsvpcConfiguration": {"subnets": ["subnet-00000000000000000"]}}
register("own", container("main", SERVE), networkMode="awsvpc")
register("range", container("main", SERVE, {"containerPortRange": "80-82"}))
PARAMETER, CLIENT, FEATURE = "InvalidParameterException", "ClientException", "UnsupportedFeatureException"
not_valid = "Network Configuration is not valid for the given networkMode of this task definition."
for call, code, words in [
    (lambda: ecs.run_task(taskDefinition="static", networkConfiguration=network), PARAMETER, not_valid),
    (
        lambda: ecs.create_service(
            serviceName="x", taskDefinition="static", desiredCount=1, networkConfiguration=network
        ),
        PARAMETER,
        not_valid,
    ),
    (lambda: ecs.run_task(taskDefinition="own"), PARAMETER, "Network Configuration must be provided"),
    (lambda: ecs.run_task(taskDefinition="static", launchType="FARGATE"), PARAMETER, "FARGATE"),
    (lambda: ecs.run_task(taskDefinition="range"), FEATURE, "portMappings.containerPortRange"),
    (
        lambda: register("x", container("a", SERVE, {"containerPort": 80, "hostPort": 81}), networkMode="host"),
        CLIENT,
        "When networkMode=host, the host ports and container ports in port mappings must match.",
    ),
    (lambda: register("x", container("a", SERVE, {"containerPort": 80}), networkMode="none"), CLIENT, "networkMode=none"),
    (
        lambda: register("x", *[container(n, SERVE, {"containerPort": 80, "hostPort": 80}) for n in "ab"]),
        CLIENT,
        "80/tcp is mapped more than once",
    ),
]:
    refused(call, code, words)
