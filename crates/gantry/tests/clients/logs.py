"""CloudWatch Logs through boto3: groups, streams and events by hand, then the lines of containers."""

import time

import boto3
from refusal import refused

logs, ecs, ec2 = boto3.client("logs"), boto3.client("ecs"), boto3.client("ec2")


def eventually(what, look):
    """What `look` sees once it sees something."""
    until = time.time() + 60
    while time.time() < until:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise AssertionError(f"no {what}")


# Groups.
logs.create_log_group(logGroupName="/hand/made")
refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName="/hand/made")
refused("InvalidParameterException", logs.create_log_group, logGroupName="a b")
assert "kmsKeyId" in refused("InvalidParameterException", logs.create_log_group, logGroupName="k", kmsKeyId="x")
for number in range(3):
    logs.create_log_group(logGroupName=f"/many/{number}")
pages = logs.get_paginator("describe_log_groups").paginate(
    logGroupNamePrefix="/many/", PaginationConfig={"PageSize": 2}
)
names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
assert names == ["/many/0", "/many/1", "/many/2"], names
(group,) = logs.describe_log_groups(logGroupNamePattern="HAND")["logGroups"]
assert group["arn"].endswith(":log-group:/hand/made:*") and group["creationTime"] > 1.6e12, group
assert "retentionInDays" not in group
refused("InvalidParameterException", logs.put_retention_policy, logGroupName="/hand/made", retentionInDays=2)
logs.put_retention_policy(logGroupName="/hand/made", retentionInDays=7)
(group,) = logs.describe_log_groups(logGroupNamePrefix="/hand")["logGroups"]
assert group["retentionInDays"] == 7, group

# Streams and events.
place = {"logGroupName": "/hand/made", "logStreamName": "one"}
refused("ResourceNotFoundException", logs.put_log_events, logEvents=[{"timestamp": 1, "message": "x"}], **place)
logs.create_log_stream(**place)
refused("ResourceAlreadyExistsException", logs.create_log_stream, **place)
refused("InvalidParameterException", logs.create_log_stream, logGroupName="/hand/made", logStreamName="a:b")
refused("ResourceNotFoundException", logs.create_log_stream, logGroupName="none", logStreamName="x")
now = int(time.time() * 1000)
events = [{"timestamp": now + n, "message": f"line {n} é"} for n in range(100)]
answer = logs.put_log_events(logEvents=events, **place)
assert "rejectedLogEventsInfo" not in answer, answer
day = 86_400_000
answer = logs.put_log_events(logEvents=[{"timestamp": now - 15 * day, "message": "old"}], **place)
assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 1}, answer
answer = logs.put_log_events(logEvents=[{"timestamp": now + day, "message": "new"}], **place)
assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}, answer
refused("InvalidParameterException", logs.put_log_events, logEvents=list(reversed(events)), **place)
large = [{"timestamp": now, "message": "x" * 262_118}] * 4
logs.create_log_stream(logGroupName="/many/0", logStreamName="large")
logs.put_log_events(logGroupName="/many/0", logStreamName="large", logEvents=large)
refused("InvalidParameterException", logs.put_log_events, logEvents=large + large[:1], **place)
escaped = [{"timestamp": now, "message": "\x01é" * 100_000}]
logs.put_log_events(logGroupName="/many/0", logStreamName="large", logEvents=escaped)
(read,) = logs.get_log_events(logGroupName="/many/0", logStreamName="large", limit=1)["events"]
assert read["message"] == escaped[0]["message"]

# Tokens both ways.
tail = logs.get_log_events(limit=10, **place)
assert [event["message"] for event in tail["events"]] == [event["message"] for event in events[90:]]
assert all(event["ingestionTime"] >= now for event in tail["events"])
older = logs.get_log_events(limit=10, nextToken=tail["nextBackwardToken"], **place)
assert [event["timestamp"] for event in older["events"]] == [event["timestamp"] for event in events[80:90]]
end = logs.get_log_events(nextToken=tail["nextForwardToken"], **place)
assert end["events"] == [] and end["nextForwardToken"] == tail["nextForwardToken"]
logs.put_log_events(logEvents=[{"timestamp": now + 1000, "message": "later"}], **place)
more = logs.get_log_events(nextToken=end["nextForwardToken"], **place)
assert [event["message"] for event in more["events"]] == ["later"]
head = logs.get_log_events(startFromHead=True, startTime=now + 5, endTime=now + 7, **place)
assert [event["timestamp"] for event in head["events"]] == [now + 5, now + 6]
for bad in ["x", "f/1", "b/" + "z" * 32]:
    refused("InvalidParameterException", logs.get_log_events, nextToken=bad, **place)

# Filters.
logs.create_log_stream(logGroupName="/hand/made", logStreamName="two")
logs.put_log_events(
    logGroupName="/hand/made", logStreamName="two", logEvents=[{"timestamp": now + 50, "message": "an ERROR 50"}]
)


def found(pattern, **arguments):
    """The messages of all pages."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/hand/made", filterPattern=pattern, PaginationConfig={"PageSize": 7}, **arguments
    )
    return [event["message"] for page in pages for event in page["events"]]


assert len(found("")) == 102
assert found('"line 50"') == ["line 50 é"] and found("50") == ["line 50 é", "an ERROR 50"]
assert found("?ERROR ?later") == ["an ERROR 50", "later"] and found("50 -ERROR") == ["line 50 é"]
assert found("", logStreamNames=["two"]) == found("", logStreamNamePrefix="tw") == ["an ERROR 50"]
assert found("", startTime=now + 99, endTime=now + 99) == ["line 99 é"], "both ends are part of the range"
assert "JSON" in refused(
    "InvalidParameterException", logs.filter_log_events, logGroupName="/hand/made", filterPattern="{ $.a = 1 }"
)
refused("ResourceNotFoundException", logs.filter_log_events, logGroupName="/hand/made", logStreamNames=["none"])
streams = logs.describe_log_streams(logGroupName="/hand/made", orderBy="LastEventTime", descending=True)["logStreams"]
assert [stream["logStreamName"] for stream in streams] == ["one", "two"]
assert streams[0]["firstEventTimestamp"] == now and streams[0]["lastEventTimestamp"] == now + 1000

# What is deleted is gone, also under the same name.
logs.delete_log_stream(logGroupName="/hand/made", logStreamName="two")
refused("ResourceNotFoundException", logs.get_log_events, logGroupName="/hand/made", logStreamName="two")
logs.delete_retention_policy(logGroupName="/hand/made")
logs.delete_log_group(logGroupName="/hand/made")
refused("ResourceNotFoundException", logs.delete_log_group, logGroupName="/hand/made")
refused("ResourceNotFoundException", logs.get_log_events, **place)
logs.create_log_group(logGroupName="/hand/made")
assert logs.describe_log_streams(logGroupName="/hand/made")["logStreams"] == []
logs.create_log_stream(**place)
assert logs.get_log_events(startFromHead=True, **place)["events"] == []
assert "not supported yet" in refused("ClientException", logs.start_query, startTime=1, endTime=2, queryString="x")

# Containers.
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]


def run(family, options, script):
    """Runs a task of one container; the task's id."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], "stopTimeout": 2}
    if options is not None:
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
    ecs.register_task_definition(
        family=family,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    ran = ecs.run_task(
        taskDefinition=family,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
    )
    assert ran["failures"] == [], ran
    return ran["tasks"][0]["taskArn"]


def lines(group, stream, count):
    """The first lines of a stream, once it has so many."""

    def look():
        try:
            events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return [event["message"] for event in events] if len(events) >= count else None

    return eventually(f"{count} lines in {group} {stream}", look)


arn = run("plain", None, "echo out; echo err >&2; printf 'no end'; echo; head -c 40000 /dev/zero | tr '\\0' x; echo")
task = arn.rsplit("/", 1)[1]
seen = lines("/gantry/plain", f"main/{task}", 4)
assert sorted(seen) == sorted(["out", "err", "no end", "x" * 40000]), seen
region = logs.meta.region_name
options = {"awslogs-group": "made/for it", "awslogs-region": region, "awslogs-stream-prefix": "app"}
register = {"family": "bad", "networkMode": "awsvpc", "memory": "512"}


def bad(**change):
    """Why a definition with such options cannot be registered or run."""
    log = {"logDriver": "awslogs", "options": {**options, "awslogs-group": "made", **change}}
    container = {"name": "main", "image": "busybox", "logConfiguration": log}
    try:
        ecs.register_task_definition(containerDefinitions=[container], **register)
        network = {"awsvpcConfiguration": {"subnets": subnets}}
        ecs.run_task(taskDefinition="bad", networkConfiguration=network)
    except ecs.exceptions.ClientError as error:
        return error.response["Error"]["Message"]
    raise AssertionError(f"{change} was taken")


assert "awslogs-group" in bad(**{"awslogs-group": "made/for it"})
assert "options.awslogs-multiline-pattern" in bad(**{"awslogs-multiline-pattern": "x"})
assert "awslogs-region" in bad(**{"awslogs-region": "mars-1"})
assert "mode" in bad(mode="sometimes")
options["awslogs-group"] = "made/for-it"
arn = run("missing", options, "echo never")
ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
(stopped,) = ecs.describe_tasks(tasks=[arn])["tasks"]
assert stopped["stopCode"] == "TaskFailedToStart", stopped
assert stopped["stoppedReason"].startswith("ResourceInitializationError: ") and "made/for-it" in stopped["stoppedReason"]
assert "The specified log group does not exist" in stopped["stoppedReason"]
arn = run("made", {**options, "awslogs-create-group": "true", "mode": "blocking"}, "for n in 1 2 3; do echo $n; done")
assert lines("made/for-it", f"app/main/{arn.rsplit('/', 1)[1]}", 3) == ["1", "2", "3"]
eventually("task that ends", lambda: ecs.describe_tasks(tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED")

# A container whose group is deleted goes on, and ends.
arn = run("orphan", None, "while :; do echo tick; sleep 0.1; done")
lines("/gantry/orphan", f"main/{arn.rsplit('/', 1)[1]}", 2)
logs.delete_log_group(logGroupName="/gantry/orphan")
time.sleep(0.5)
assert ecs.describe_tasks(tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING"
ecs.stop_task(task=arn)
ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
