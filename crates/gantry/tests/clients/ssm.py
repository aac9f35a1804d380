"""Parameters of Systems Manager through boto3. Values have the word that the test looks for on disk; what is left at the end
is looked for by `ssm_kept.py` after the server has been started again."""

import sys

import boto3
from refusal import refused

ssm = boto3.client("ssm")
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
WORD = sys.argv[1]


def value(name, **arguments):
    return ssm.get_parameter(Name=name, **arguments)["Parameter"]["Value"]


# Values, types and versions.
tags = [{"Key": "team", "Value": "a"}]
put = ssm.put_parameter(Name="/app/url", Type="String", Value=f"http://{WORD}/é", Description="where", Tags=tags)
assert (put["Version"], put["Tier"]) == (1, "Standard"), put
ssm.put_parameter(Name="/app/hosts", Type="StringList", Value=f"{WORD},b")
ssm.put_parameter(Name="/app/db/password", Type="SecureString", Value=f"{WORD}-1")
refused("ParameterAlreadyExists", ssm.put_parameter, Name="/app/url", Type="String", Value="x")
assert ssm.put_parameter(Name="/app/db/password", Value=f"{WORD}-2", Overwrite=True)["Version"] == 2
url = ssm.get_parameter(Name="/app/url")["Parameter"]
assert url["Value"] == f"http://{WORD}/é" and url["DataType"] == "text" and url["Type"] == "String", url
assert url["ARN"].endswith(f":{ACCOUNT}:parameter/app/url"), url
assert value("/app/hosts") == f"{WORD},b"
sealed = value("/app/db/password")
assert WORD not in sealed and sealed != value("/app/db/password:1"), sealed
assert value("/app/db/password", WithDecryption=True) == f"{WORD}-2"
assert value("/app/db/password:1", WithDecryption=True) == f"{WORD}-1"
assert value(url["ARN"]) == value("/app/url") == value(url["ARN"] + ":1")
assert ssm.get_parameter(Name="/app/url:1")["Parameter"]["Selector"] == ":1"
refused("ParameterVersionNotFound", ssm.get_parameter, Name="/app/url:7")
refused("ParameterVersionNotFound", ssm.get_parameter, Name="/app/url:label")
refused("ParameterNotFound", ssm.get_parameter, Name="/app/nothing")
past = ssm.get_parameter_history(Name="/app/db/password", WithDecryption=True)["Parameters"]
assert [(item["Version"], item["Value"]) for item in past] == [(1, f"{WORD}-1"), (2, f"{WORD}-2")], past
assert all(WORD not in item["Value"] for item in ssm.get_parameter_history(Name="/app/db/password")["Parameters"])

# What is refused.
refused("ValidationException", ssm.put_parameter, Name="/app/new", Value="x")
refused("HierarchyTypeMismatchException", ssm.put_parameter, Name="/app/url", Type="SecureString", Value="x", Overwrite=True)
for name in ("app/url", "/aws/x", "ssm", "/a//b", "/a b", "/a/"):
    refused("ValidationException", ssm.put_parameter, Name=name, Type="String", Value="x")
refused("HierarchyLevelLimitExceededException", ssm.put_parameter, Name="/a" * 16, Type="String", Value="x")
refused("ValidationException", ssm.put_parameter, Name="/long", Type="String", Value="x" * 4097)
refused("ValidationException", ssm.put_parameter, Name="/long", Type="String", Value="x" * 8193, Tier="Advanced")
refused("ValidationException", ssm.put_parameter, Name="/nested", Type="String", Value="{{ssm:x}}")
for member, given in [("AllowedPattern", "x.*"), ("Policies", "[{}]"), ("DataType", "aws:ec2:image"), ("KeyId", "alias/own")]:
    arguments = {"Name": "/x", "Type": "SecureString", "Value": "x", member: given}
    assert member in refused("ValidationException", ssm.put_parameter, **arguments)
assert "not supported yet" in refused("ClientException", ssm.label_parameter_version, Name="/app/url", Labels=["x"])
assert ssm.put_parameter(Name="/long", Type="String", Value="x" * 8192, Tier="Intelligent-Tiering")["Tier"] == "Advanced"
refused("ValidationException", ssm.put_parameter, Name="/long", Value="x", Tier="Standard", Overwrite=True)

# Many at once.
found = ssm.get_parameters(Names=["/app/url", "/nothing", "/app/hosts:1"])
assert [item["Name"] for item in found["Parameters"]] == ["/app/url", "/app/hosts"], found
assert found["InvalidParameters"] == ["/nothing"], found
pages = ssm.get_paginator("get_parameters_by_path").paginate(
    Path="/app", Recursive=True, WithDecryption=True, PaginationConfig={"PageSize": 2}
)
found = {item["Name"]: item["Value"] for page in pages for item in page["Parameters"]}
assert len(found) == 3 and found["/app/db/password"] == f"{WORD}-2", found
assert len(ssm.get_parameters_by_path(Path="/app")["Parameters"]) == 2
secure = [{"Key": "Type", "Values": ["SecureString"]}]
assert len(ssm.get_parameters_by_path(Path="/app", Recursive=True, ParameterFilters=secure)["Parameters"]) == 1
refused("InvalidNextToken", ssm.get_parameters_by_path, Path="/app", NextToken="x")
refused("InvalidFilterKey", ssm.get_parameters_by_path, Path="/app", ParameterFilters=[{"Key": "Label", "Values": ["x"]}])


def described(*filters):
    pages = ssm.get_paginator("describe_parameters").paginate(
        ParameterFilters=[dict(zip(("Key", "Option", "Values"), one)) for one in filters], PaginationConfig={"PageSize": 2}
    )
    return [item["Name"] for page in pages for item in page["Parameters"]]


assert described() == ["/app/db/password", "/app/hosts", "/app/url", "/long"]
assert described(("Name", "Equals", ["/app/url"])) == ["/app/url"]
assert described(("Name", "BeginsWith", ["/app"]), ("Type", "Equals", ["StringList"])) == ["/app/hosts"]
assert described(("Path", "Recursive", ["/app/db"])) == ["/app/db/password"]
assert described(("tag:team", "Equals", ["a"])) == ["/app/url"]
assert described(("Tier", "Equals", ["Advanced"])) == ["/long"]
refused("InvalidFilterKey", ssm.describe_parameters, ParameterFilters=[{"Key": "KeyId", "Values": ["x"]}])
refused("InvalidFilterOption", ssm.describe_parameters, ParameterFilters=[{"Key": "Name", "Option": "Like", "Values": ["x"]}])
(known,) = ssm.describe_parameters(Filters=[{"Key": "Name", "Values": ["/app/u"]}])["Parameters"]
assert known["Description"] == "where" and known["Version"] == 1 and "Value" not in known, known

# Tags.
place = {"ResourceType": "Parameter", "ResourceId": "/app/url"}
ssm.add_tags_to_resource(Tags=[{"Key": "colour", "Value": "blue"}, {"Key": "team", "Value": "b"}], **place)
ssm.remove_tags_from_resource(TagKeys=["team"], **place)
assert ssm.list_tags_for_resource(**place)["TagList"] == [{"Key": "colour", "Value": "blue"}]
refused("InvalidResourceId", ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/nothing")
refused("InvalidResourceType", ssm.list_tags_for_resource, ResourceType="Document", ResourceId="/app/url")

# Deletion.
ssm.delete_parameter(Name="/long")
refused("ParameterNotFound", ssm.delete_parameter, Name="/long")
gone = ssm.delete_parameters(Names=["/app/hosts", "/nothing"])
assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/app/hosts"], ["/nothing"]), gone
