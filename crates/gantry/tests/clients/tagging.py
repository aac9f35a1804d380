"""The Resource Groups Tagging API through boto3, over ECS and what is around it; and what Terraform asks of a VPC."""

import json

import boto3
import botocore.model
from refusal import refused

tagging, ecs, iam, ec2 = (boto3.client(name) for name in ("resourcegroupstaggingapi", "ecs", "iam", "ec2"))
ssm, secrets = boto3.client("ssm"), boto3.client("secretsmanager")


def small(**tags):
    return [{"key": key, "value": value} for key, value in tags.items()]


def tall(**tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


# One of each, and some without tags.
ecs.create_cluster(clusterName="blue", tags=small(team="a", tier="1"))
ecs.create_cluster(clusterName="gone", tags=small(team="a"))
ecs.delete_cluster(cluster="gone")
ecs.register_task_definition(family="web", tags=small(team="a"), containerDefinitions=[{"name": "m", "image": "busybox", "memory": 16}])
ecs.create_service(cluster="blue", serviceName="web", taskDefinition="web", desiredCount=0, tags=small(team="b"))
trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
iam.create_role(
    RoleName="task", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}), Tags=tall(team="b")
)
ssm.put_parameter(Name="/a", Type="String", Value="x", Tags=tall(team="a"))
ssm.put_parameter(Name="/b", Type="String", Value="x")
secrets.create_secret(Name="s", SecretString="x", Tags=tall(team="c", tier="1"))


def found(**arguments):
    pages = tagging.get_paginator("get_resources").paginate(**arguments)
    return [item["ResourceARN"] for page in pages for item in page["ResourceTagMappingList"]]


def kinds(**arguments):
    return [arn.split(":")[2] + ":" + arn.split(":")[5].split("/")[0] for arn in found(**arguments)]


everything = ["ecs:cluster", "ecs:service", "ecs:task-definition", "iam:role", "secretsmanager:secret", "ssm:parameter"]
assert sorted(kinds()) == everything, kinds()
assert sorted(kinds(PaginationConfig={"PageSize": 1})) == everything
assert sorted(kinds(TagFilters=[{"Key": "team", "Values": ["a"]}])) == ["ecs:cluster", "ecs:task-definition", "ssm:parameter"]
assert sorted(kinds(TagFilters=[{"Key": "team", "Values": ["a", "c"]}, {"Key": "tier"}])) == ["ecs:cluster", "secretsmanager:secret"]
assert kinds(ResourceTypeFilters=["ecs:service", "ssm"]) == ["ecs:service", "ssm:parameter"]
arns = found()
(one,) = tagging.get_resources(ResourceARNList=[arns[0]])["ResourceTagMappingList"]
assert one["ResourceARN"] == arns[0] and one["Tags"], one
answer = tagging.get_resources(ResourcesPerPage=2)
assert len(answer["ResourceTagMappingList"]) == 2 and answer["PaginationToken"], answer
refused("InvalidParameterException", tagging.get_resources, ResourceARNList=[arns[0]], ResourceTypeFilters=["ecs"])
refused("InvalidParameterException", tagging.get_resources, PaginationToken="nobodys")
refused("InvalidParameterException", tagging.get_resources, ResourcesPerPage=101)
refused("InvalidParameterException", tagging.get_resources, IncludeComplianceDetails=True)
assert tagging.get_tag_keys()["TagKeys"] == ["team", "tier"]
assert tagging.get_tag_values(Key="team")["TagValues"] == ["a", "b", "c"]
assert tagging.get_tag_values(Key="none")["TagValues"] == []
refused("ClientException", tagging.tag_resources, ResourceARNList=[arns[0]], Tags={"a": "b"})

# A VPC's attributes.
(vpc,) = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
for attribute, wanted in [("enableDnsSupport", True), ("enableDnsHostnames", False), ("enableNetworkAddressUsageMetrics", False)]:
    told = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
    assert told[attribute[0].upper() + attribute[1:]] == {"Value": wanted} and told["VpcId"] == vpc["VpcId"], told
refused("InvalidVpcID.NotFound", ec2.describe_vpc_attribute, VpcId="vpc-0", Attribute="enableDnsSupport")
refused("InvalidParameterValue", ec2.describe_vpc_attribute, VpcId=vpc["VpcId"], Attribute="colour")

# The same client in CBOR, as those speak it that know no JSON of this service.
botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = ["smithy-rpc-v2-cbor"]
answers = []
cbor = boto3.Session().client("resourcegroupstaggingapi")
cbor.meta.events.register("after-call.*", lambda parsed, **_: answers.append(parsed["ResponseMetadata"]["HTTPHeaders"]))
pages = cbor.get_paginator("get_resources").paginate(TagFilters=[{"Key": "team", "Values": ["a", "c"]}], PaginationConfig={"PageSize": 1})
told = [item for page in pages for item in page["ResourceTagMappingList"]]
pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": "team", "Values": ["a", "c"]}])
assert told == [item for page in pages for item in page["ResourceTagMappingList"]] and len(told) == 4, told
assert cbor.get_tag_values(Key="team")["TagValues"] == ["a", "b", "c"]
refused("InvalidParameterException", cbor.get_resources, PaginationToken="nobodys")
refused("ClientException", cbor.tag_resources, ResourceARNList=[arns[0]], Tags={"a": "b"})
assert len(answers) > 6 and all(answer["smithy-protocol"] == "rpc-v2-cbor" for answer in answers), answers
