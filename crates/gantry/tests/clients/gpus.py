"""GPUs through boto3: what the host registers, which of them containers get and see, and what becomes of those for whom
there are none. The test's directory of specifications is the argument."""

import pathlib
import sys
import time

import boto3

ecs = boto3.client("ecs")
directory = pathlib.Path(sys.argv[1])
out = directory / "out"
out.mkdir()
out.chmod(0o777)
WAIT = {"Delay": 1, "MaxAttempts": 30}
FIRST, SECOND = "GPU-00000000-1111-2222-3333-444444444444", "GPU-55555555-6666-7777-8888-999999999999"
# A container without a GPU makes the node of one, and cannot open it.
STRANGER = "mknod /tmp/gpu c 10 200 && ! (exec 3<>/tmp/gpu) 2>/out/$NAME.err && ! ls /dev/gpus 2>/dev/null"
SEEN = """
echo "$NVIDIA_VISIBLE_DEVICES $GPU_DRIVER $(cat /opt/driver/version) $(cat /hooked)" > /out/$NAME
id -G >> /out/$NAME
ls -ln /dev/gpus >> /out/$NAME
touch /opt/driver/x 2>/dev/null && exit 9
"""
FIRST_WORKS = "exec 3<>/dev/gpus/control0 && head -c 3 /dev/gpus/gpu0 | od -An -tx1 >> /out/$NAME && ! echo x > /dev/gpus/gpu0"
SECOND_WORKS = "head -c 1 /dev/gpus/gpu1 | wc -c >> /out/$NAME && ! (mknod /tmp/x c 10 200; exec 3<>/tmp/x) 2>/dev/null"


def container(name, script, gpus=0, **more):
    wanted = [{"type": "GPU", "value": str(gpus)}] if gpus else []
    return {
        "name": name,
        "image": "busybox",
        "memory": 64,
        "command": ["sh", "-c", script],
        "stopTimeout": 2,
        "environment": [{"name": "NAME", "value": name}, {"name": "NVIDIA_VISIBLE_DEVICES", "value": "mine"}],
        "mountPoints": [{"sourceVolume": "out", "containerPath": "/out"}],
        "resourceRequirements": wanted,
        **more,
    }


def register(family, *containers):
    volumes = [{"name": "out", "host": {"sourcePath": str(out)}}]
    ecs.register_task_definition(family=family, networkMode="none", containerDefinitions=containers, volumes=volumes)


def run(family, **more):
    answer = ecs.run_task(taskDefinition=family, launchType="EC2", **more)
    return answer["tasks"][0]["taskArn"] if answer["tasks"] else answer["failures"][0]


def stopped(task):
    ecs.get_waiter("tasks_stopped").wait(tasks=[task], WaiterConfig=WAIT)
    (shown,) = ecs.describe_tasks(tasks=[task])["tasks"]
    return shown


def codes(task):
    shown = stopped(task)
    return {c["name"]: c.get("exitCode", c.get("reason")) for c in shown["containers"]}


def resource(which):
    (arn,) = ecs.list_container_instances()["containerInstanceArns"]
    (shown,) = ecs.describe_container_instances(containerInstances=[arn])["containerInstances"]
    (gpu,) = [resource for resource in shown[which] if resource["name"] == "GPU"]
    assert gpu["type"] == "STRINGSET", gpu
    return gpu["stringSetValue"]


# Each GPU is counted once, by the name that lasts.
assert resource("registeredResources") == [FIRST, SECOND], resource("registeredResources")

register("two", container("gpu", SEEN + FIRST_WORKS, 1), container("without", STRANGER, essential=False))
task = run("two")
(shown,) = ecs.describe_tasks(tasks=[task])["tasks"]
given = {c["name"]: c.get("gpuIds") for c in shown["containers"]}
assert given == {"gpu": [FIRST], "without": None}, given
assert codes(task) == {"gpu": 0, "without": 0}, (codes(task), stopped(task))
seen = (out / "gpu").read_text().splitlines()
assert seen[0] == f"{FIRST} 1.2.3 1.2.3 made here", seen
assert "4242" in seen[1].split(), seen
assert any("10, 200" in line and line.endswith("control0") for line in seen), seen
assert seen[-1].split() == ["00", "00", "00"], seen
refused = (out / "without.err").read_text()
assert "Operation not permitted" in refused or "Permission denied" in refused, refused

# The second is another one, and who has it cannot open the first. It stays until it is stopped.
register("one", container("held", SEEN + SECOND_WORKS + " && sleep 600", 1, user="1000:1000"))
register("sleeper", container("main", "sleep 600", 1))
register("plain", container("plain", "true"))
sleeper = run("sleeper")
held = run("sleeper")
ecs.get_waiter("tasks_running").wait(tasks=[sleeper, held], WaiterConfig=WAIT)
assert resource("remainingResources") == [], resource("remainingResources")
refusal = run("sleeper")
assert refusal["reason"] == "RESOURCE:GPU" and "needs 1 GPU; " in refusal["detail"], refusal
assert codes(run("plain")) == {"plain": 0}
ecs.stop_task(task=held)
stopped(held)
assert resource("remainingResources") == [SECOND], resource("remainingResources")
other = run("one")
for _ in range(500):
    if (out / "held").exists() and len((out / "held").read_text().splitlines()) >= 5:
        break
    time.sleep(0.02)
seen = (out / "held").read_text().splitlines()
assert seen[0].split()[0] == SECOND, seen
assert seen[-1].strip() == "1", seen
for task in (other, sleeper):
    ecs.stop_task(task=task)
    stopped(task)
assert resource("remainingResources") == [FIRST, SECOND]

# Files are read when a container starts: what is wrong by then is said of the container.
file = directory / "nvidia.yaml"
good = file.read_text()
register("plain-gpu", container("main", "true", 1))
for bad, words in [
    (good.replace("exit 7", "x").replace(f"{directory}/hook.sh", f"{directory}/no-hook.sh"), "hook"),
    (good.replace("            - made\n", "            - made\n          timeout: 1\n").replace("hook.sh", "slow.sh"), "Timeout"),
    (good.replace("/dev/full", "/dev/no-such-device"), "device /dev/no-such-device: No such file"),
    (good.replace(f"{directory}/driver", f"{directory}/gone"), f"{directory}/gone of the host, which a GPU needs, is not there"),
    (good.replace("createContainer", "poststop"), f"describes the GPU {FIRST}"),
    ("", f"describes the GPU {FIRST}"),
]:
    (directory / "slow.sh").write_text("exec sleep 600\n")
    file.write_text(bad)
    (why,) = codes(run("plain-gpu")).values()
    assert isinstance(why, str) and words in why and why.startswith("CannotCreateContainerError: "), (words, why)
file.write_text(good)
assert codes(run("plain-gpu")) == {"main": 0}
