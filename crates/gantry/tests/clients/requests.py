"""Pages, client tokens, and refusals as the exceptions that boto3 makes of them."""

import boto3
from botocore.exceptions import ClientError

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")


def register(family):
    return ecs.register_task_definition(
        family=family,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[
            {"name": "main", "image": "busybox", "command": ["sleep", "1000"], "stopTimeout": 0}
        ],
    )["taskDefinition"]["taskDefinitionArn"]


# Pages.
arns = [register("pages") for _ in range(5)] + [register("other")]
paginator = ecs.get_paginator("list_task_definitions")
pages = list(paginator.paginate(familyPrefix="pages", PaginationConfig={"PageSize": 2}))
assert [len(page["taskDefinitionArns"]) for page in pages] == [2, 2, 1], pages
assert [arn for page in pages for arn in page["taskDefinitionArns"]] == arns[:5]
first = ecs.list_task_definitions(maxResults=2)
try:
    ecs.list_task_definitions(maxResults=2, sort="DESC", nextToken=first["nextToken"])
    raise AssertionError("a token is good for its own list only")
except ecs.exceptions.InvalidParameterException as error:
    assert error.response["Error"]["Message"] == "Invalid token", error

# Client tokens.
subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]


def run(token, **others):
    network = {"awsvpcConfiguration": {"subnets": subnets}}
    return ecs.run_task(
        taskDefinition="other", launchType="FARGATE", networkConfiguration=network, clientToken=token, **others
    )["tasks"]


(one,), (again,), (other,) = run("a"), run("a"), run("b")
assert one["taskArn"] == again["taskArn"] != other["taskArn"]
assert len(ecs.list_tasks()["taskArns"]) == 2
try:
    run("a", startedBy="another")
    raise AssertionError("a token is good for one request only")
except ecs.exceptions.ConflictException as error:
    assert error.response["resourceIds"] == [one["taskArn"]], error.response
pages = list(ecs.get_paginator("list_tasks").paginate(PaginationConfig={"PageSize": 1}))
assert sorted(arn for page in pages for arn in page["taskArns"]) == sorted([one["taskArn"], other["taskArn"]])

# Refusals.
for call, code in [
    (lambda: ecs.describe_tasks(cluster="nowhere", tasks=["a"]), "ClusterNotFoundException"),
    (lambda: ecs.describe_task_definition(taskDefinition="nothing"), "ClientException"),
    (lambda: ecs.run_task(taskDefinition="other"), "InvalidParameterException"),
    (lambda: ecs.list_gateways(), "UnsupportedFeatureException"),
    (lambda: boto3.client("ecs", region_name="eu-central-1").list_clusters(), "InvalidSignatureException"),
]:
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(code)
for task in (one, other):
    ecs.stop_task(task=task["taskArn"])
