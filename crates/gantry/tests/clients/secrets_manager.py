"""Secrets Manager through boto3. Values have the word that the test looks for on disk; what is left at the end is looked for
by `secrets_kept.py` after the server has been started again."""

import re
import sys
import uuid

import boto3
from refusal import refused

secrets = boto3.client("secretsmanager")
WORD = sys.argv[1]


def token():
    return str(uuid.uuid4())


# A secret and its versions.
first = token()
tags = [{"Key": "team", "Value": "a"}]
made = secrets.create_secret(Name="app/db", SecretString=f"{WORD}-1", ClientRequestToken=first, Description="d", Tags=tags)
arn = made["ARN"]
assert re.fullmatch(r"arn:aws:secretsmanager:[^:]+:\d{12}:secret:app/db-[A-Za-z0-9]{6}", arn), arn
assert made["VersionId"] == first, made
again = secrets.create_secret(Name="app/db", SecretString=f"{WORD}-1", ClientRequestToken=first)
assert again["ARN"] == arn, again
refused("ResourceExistsException", secrets.create_secret, Name="app/db", SecretString="other")
refused("ResourceExistsException", secrets.create_secret, Name="app/db", SecretString="x", ClientRequestToken=first)
for name in ("app/db", arn, arn[:-7]):
    got = secrets.get_secret_value(SecretId=name)
    assert got["SecretString"] == f"{WORD}-1" and got["VersionStages"] == ["AWSCURRENT"], got
second = token()
put = secrets.put_secret_value(SecretId="app/db", SecretString=f"{WORD}-2", ClientRequestToken=second)
assert put["VersionId"] == second and put["VersionStages"] == ["AWSCURRENT"], put
again = secrets.put_secret_value(SecretId="app/db", SecretString=f"{WORD}-2", ClientRequestToken=second)
assert again["VersionId"] == second, again
refused("ResourceExistsException", secrets.put_secret_value, SecretId=arn, SecretString="x", ClientRequestToken=second)
refused("InvalidParameterException", secrets.put_secret_value, SecretId=arn)
assert secrets.get_secret_value(SecretId=arn)["SecretString"] == f"{WORD}-2"
assert secrets.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"] == f"{WORD}-1"
assert secrets.get_secret_value(SecretId=arn, VersionId=first)["VersionStages"] == ["AWSPREVIOUS"]
refused("InvalidRequestException", secrets.get_secret_value, SecretId=arn, VersionId=first, VersionStage="AWSCURRENT")
refused("ResourceNotFoundException", secrets.get_secret_value, SecretId=arn, VersionStage="BLUE")
refused("ResourceNotFoundException", secrets.get_secret_value, SecretId="nothing")
third = secrets.update_secret(SecretId=arn, SecretString=f"{WORD}-3", Description="later")["VersionId"]
stages = secrets.describe_secret(SecretId=arn)
assert stages["VersionIdsToStages"] == {third: ["AWSCURRENT"], second: ["AWSPREVIOUS"]}, stages
assert stages["Description"] == "later" and stages["Tags"] == tags and "KmsKeyId" not in stages, stages
all_of_it = {"SecretId": arn, "IncludeDeprecated": True, "MaxResults": 1}
pages = [secrets.list_secret_version_ids(**all_of_it)]
while "NextToken" in pages[-1]:
    pages.append(secrets.list_secret_version_ids(NextToken=pages[-1]["NextToken"], **all_of_it))
versions = {item["VersionId"]: item.get("VersionStages") for page in pages for item in page["Versions"]}
assert len(pages) == 3, pages
assert versions == {first: None, second: ["AWSPREVIOUS"], third: ["AWSCURRENT"]}, versions
assert len(secrets.list_secret_version_ids(SecretId=arn)["Versions"]) == 2
secrets.update_secret_version_stage(
    SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=third
)
assert secrets.get_secret_value(SecretId=arn)["SecretString"] == f"{WORD}-2"
refused("InvalidParameterException", secrets.update_secret_version_stage, SecretId=arn, VersionStage="AWSCURRENT", RemoveFromVersionId=second)

# Bytes, secrets without a value, and what is refused.
plain = bytes(range(256))
secrets.create_secret(Name="bytes", SecretBinary=plain)
got = secrets.get_secret_value(SecretId="bytes")
assert got["SecretBinary"] == plain and "SecretString" not in got, got
secrets.create_secret(Name="empty")
refused("ResourceNotFoundException", secrets.get_secret_value, SecretId="empty")
refused("InvalidParameterException", secrets.create_secret, Name="a b", SecretString="x")
refused("InvalidParameterException", secrets.create_secret, Name="two", SecretString="x", SecretBinary=b"x")
refused("InvalidParameterException", secrets.create_secret, Name="long", SecretString="é" * 40_000)
for member, given in [("KmsKeyId", "alias/own"), ("AddReplicaRegions", [{"Region": "eu-west-1"}])]:
    assert member in refused("InvalidRequestException", secrets.create_secret, Name="x", **{member: given})
assert "not supported yet" in refused("ClientException", secrets.rotate_secret, SecretId=arn)
assert secrets.get_resource_policy(SecretId=arn)["Name"] == "app/db"

# Tags and lists.
secrets.tag_resource(SecretId=arn, Tags=[{"Key": "colour", "Value": "blue"}])
secrets.untag_resource(SecretId=arn, TagKeys=["team"])


def listed(**arguments):
    pages = secrets.get_paginator("list_secrets").paginate(**arguments, PaginationConfig={"PageSize": 1})
    return [item["Name"] for page in pages for item in page["SecretList"]]


assert listed() == ["app/db", "bytes", "empty"]
assert listed(Filters=[{"Key": "name", "Values": ["app"]}]) == ["app/db"]
assert listed(Filters=[{"Key": "name", "Values": ["!app"]}]) == ["bytes", "empty"]
assert listed(Filters=[{"Key": "tag-key", "Values": ["colour"]}, {"Key": "tag-value", "Values": ["blue"]}]) == ["app/db"]
assert listed(Filters=[{"Key": "description", "Values": ["LATER"]}]) == ["app/db"]
refused("InvalidNextTokenException", secrets.list_secrets, NextToken="x")
refused("InvalidRequestException", secrets.list_secrets, Filters=[{"Key": "all", "Values": ["x"]}])

# Deletion and what takes it back.
gone = secrets.delete_secret(SecretId="empty", RecoveryWindowInDays=7)
assert gone["Name"] == "empty" and gone["DeletionDate"].timestamp() > 0, gone
refused("InvalidRequestException", secrets.get_secret_value, SecretId="empty")
refused("InvalidRequestException", secrets.create_secret, Name="empty")
assert "empty" not in listed() and "empty" in listed(IncludePlannedDeletion=True)
assert secrets.describe_secret(SecretId="empty")["DeletedDate"]
secrets.restore_secret(SecretId="empty")
assert "empty" in listed()
refused("InvalidParameterException", secrets.delete_secret, SecretId="empty", RecoveryWindowInDays=3)
secrets.delete_secret(SecretId="empty", ForceDeleteWithoutRecovery=True)
refused("ResourceNotFoundException", secrets.describe_secret, SecretId="empty")
secrets.delete_secret(SecretId="empty", ForceDeleteWithoutRecovery=True)
secrets.create_secret(Name="empty", SecretString=f"{WORD}-4")

# Passwords.
made = {secrets.get_random_password(PasswordLength=20, ExcludePunctuation=True)["RandomPassword"] for _ in range(5)}
assert len(made) == 5 and all(len(one) == 20 and one.isalnum() for one in made), made
refused("InvalidParameterException", secrets.get_random_password, PasswordLength=2)
