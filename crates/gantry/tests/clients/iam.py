"""Roles, policies and instance profiles through boto3, as it signs for IAM: for us-east-1, whatever the region is. What is
left at the end is looked for by `kept.py` after the server has been started again."""

import json

import boto3
from refusal import refused

iam, ecs = boto3.client("iam"), boto3.client("ecs")
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]


def allowed(**members):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **members}]})


TRUST = allowed(Principal={"Service": "ecs-tasks.amazonaws.com"}, Action="sts:AssumeRole")
READ = allowed(Action=["s3:GetObject"], Resource="*")
EXECUTION = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


def paged(operation, key, **arguments):
    """The same whether asked for one at a time or all at once; a marker of nobody's is refused."""
    pages = list(iam.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 1}))
    items = [item for page in pages for item in page[key]]
    assert all(len(page[key]) <= 1 for page in pages), pages
    assert items == getattr(iam, operation)(**arguments)[key], operation
    refused("ValidationError", getattr(iam, operation), **arguments, Marker="nobodys")
    return items


# Roles.
colour = [{"Key": "colour", "Value": "blue"}]
role = iam.create_role(
    RoleName="Task", Path="/app/", AssumeRolePolicyDocument=TRUST, Description="runs é tasks", Tags=colour
)["Role"]
assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/app/Task" and role["RoleId"].startswith("AROA"), role
assert role["AssumeRolePolicyDocument"] == json.loads(TRUST) and role["MaxSessionDuration"] == 3600, role
refused("EntityAlreadyExists", iam.create_role, RoleName="task", AssumeRolePolicyDocument=TRUST)
refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument="{}")
refused("MalformedPolicyDocument", iam.create_role, RoleName="x", AssumeRolePolicyDocument=READ)
refused("ValidationError", iam.create_role, RoleName="a b", AssumeRolePolicyDocument=TRUST)
refused("ValidationError", iam.create_role, RoleName="x", Path="app", AssumeRolePolicyDocument=TRUST)
refused("ValidationError", iam.create_role, RoleName="x", AssumeRolePolicyDocument=TRUST, MaxSessionDuration=99_999)
refused("InvalidInput", iam.create_role, RoleName="x", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "aws:x", "Value": ""}])
long = allowed(Principal={"Service": "x" * 2100}, Action="sts:AssumeRole")
refused("LimitExceeded", iam.create_role, RoleName="x", AssumeRolePolicyDocument=long)
assert "PermissionsBoundary" in refused(
    "ValidationError", iam.create_role, RoleName="x", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=EXECUTION
)
iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST)
assert [item["RoleName"] for item in paged("list_roles", "Roles")] == ["other", "Task"]
assert [item["RoleName"] for item in paged("list_roles", "Roles", PathPrefix="/app/")] == ["Task"]
iam.update_role(RoleName="Task", Description="runs tasks", MaxSessionDuration=7200)
iam.update_assume_role_policy(RoleName="Task", PolicyDocument=TRUST.replace("ecs-tasks", "ec2"))
iam.tag_role(RoleName="Task", Tags=[{"Key": "team", "Value": "a"}, {"Key": "colour", "Value": "green"}])
iam.untag_role(RoleName="Task", TagKeys=["team"])
assert paged("list_role_tags", "Tags", RoleName="Task") == [{"Key": "colour", "Value": "green"}]
role = iam.get_role(RoleName="Task")["Role"]
assert (role["Description"], role["MaxSessionDuration"]) == ("runs tasks", 7200), role
assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}, role
assert role["Tags"] == [{"Key": "colour", "Value": "green"}], role
message = refused("NoSuchEntity", iam.get_role, RoleName="nobody")
assert message == "The role with name nobody cannot be found.", message
iam.get_waiter("role_exists").wait(RoleName="Task")

# Policies of a role's own.
iam.put_role_policy(RoleName="Task", PolicyName="read", PolicyDocument=READ)
iam.put_role_policy(RoleName="Task", PolicyName="read", PolicyDocument=READ.replace("Get", "Put"))
assert iam.get_role_policy(RoleName="Task", PolicyName="read")["PolicyDocument"]["Statement"][0]["Action"] == ["s3:PutObject"]
assert paged("list_role_policies", "PolicyNames", RoleName="Task") == ["read"]
refused("MalformedPolicyDocument", iam.put_role_policy, RoleName="Task", PolicyName="x", PolicyDocument=TRUST)
refused("NoSuchEntity", iam.get_role_policy, RoleName="Task", PolicyName="write")

# Policies and their versions.
policy = iam.create_policy(PolicyName="Read", Path="/app/", PolicyDocument=READ, Description="reads", Tags=colour)["Policy"]
arn = policy["Arn"]
assert arn == f"arn:aws:iam::{ACCOUNT}:policy/app/Read" and policy["PolicyId"].startswith("ANPA"), policy
refused("EntityAlreadyExists", iam.create_policy, PolicyName="read", PolicyDocument=READ)
refused("MalformedPolicyDocument", iam.create_policy, PolicyName="x", PolicyDocument="[]")
refused("LimitExceeded", iam.create_policy, PolicyName="x", PolicyDocument=allowed(Action="a:" + "b" * 6200, Resource="*"))
for number in range(2, 6):
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ, SetAsDefault=number == 3)["PolicyVersion"]
    assert made["VersionId"] == f"v{number}" and made["IsDefaultVersion"] == (number == 3), made
refused("LimitExceeded", iam.create_policy_version, PolicyArn=arn, PolicyDocument=READ)
refused("DeleteConflict", iam.delete_policy_version, PolicyArn=arn, VersionId="v3")
iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
for number in (2, 3):
    iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
versions = paged("list_policy_versions", "Versions", PolicyArn=arn)
assert [item["VersionId"] for item in versions] == ["v5", "v4", "v1"], versions
assert iam.get_policy_version(PolicyArn=arn, VersionId="v4")["PolicyVersion"]["Document"] == json.loads(READ)
refused("NoSuchEntity", iam.get_policy_version, PolicyArn=arn, VersionId="v2")
iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "team", "Value": "a"}])
iam.untag_policy(PolicyArn=arn, TagKeys=["colour"])
assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]

# Attachments, of these and of AWS's.
iam.attach_role_policy(RoleName="Task", PolicyArn=arn)
iam.attach_role_policy(RoleName="Task", PolicyArn=EXECUTION)
iam.attach_role_policy(RoleName="Task", PolicyArn=EXECUTION)
attached = {item["PolicyName"] for item in paged("list_attached_role_policies", "AttachedPolicies", RoleName="Task")}
assert attached == {"Read", "AmazonECSTaskExecutionRolePolicy"}, attached
known = iam.get_policy(PolicyArn=EXECUTION)["Policy"]
assert known["AttachmentCount"] == 1 and known["DefaultVersionId"] == "v1", known
document = iam.get_policy_version(PolicyArn=EXECUTION, VersionId="v1")["PolicyVersion"]["Document"]
assert "ecr:GetAuthorizationToken" in document["Statement"][0]["Action"], document
for absent in ("arn:aws:iam::aws:policy/NoSuchThing", arn.replace("app", "other")):
    refused("NoSuchEntity", iam.attach_role_policy, RoleName="Task", PolicyArn=absent)
refused("ValidationError", iam.attach_role_policy, RoleName="Task", PolicyArn="arn:aws:s3:::a-bucket/x")
linked = "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy"
refused("PolicyNotAttachable", iam.attach_role_policy, RoleName="Task", PolicyArn=linked)
(entity,) = paged("list_entities_for_policy", "PolicyRoles", PolicyArn=arn)
assert entity["RoleName"] == "Task", entity
local = [item["Arn"] for item in paged("list_policies", "Policies", Scope="Local")]
assert local == [arn], local
assert EXECUTION in [item["Arn"] for item in paged("list_policies", "Policies", Scope="AWS", PathPrefix="/service-role/")]
assert len(paged("list_policies", "Policies", OnlyAttached=True)) == 2
refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
refused("NoSuchEntity", iam.detach_role_policy, RoleName="other", PolicyArn=arn)

# Instance profiles.
profile = iam.create_instance_profile(InstanceProfileName="hosts", Tags=colour)["InstanceProfile"]
assert profile["InstanceProfileId"].startswith("AIPA") and profile["Roles"] == [], profile
iam.add_role_to_instance_profile(InstanceProfileName="hosts", RoleName="Task")
refused("LimitExceeded", iam.add_role_to_instance_profile, InstanceProfileName="hosts", RoleName="other")
(held,) = iam.get_instance_profile(InstanceProfileName="hosts")["InstanceProfile"]["Roles"]
assert held["RoleName"] == "Task", held
assert [item["Arn"] for item in paged("list_instance_profiles_for_role", "InstanceProfiles", RoleName="Task")] == [profile["Arn"]]
assert len(paged("list_instance_profiles", "InstanceProfiles")) == 1
iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="hosts")
refused("DeleteConflict", iam.delete_instance_profile, InstanceProfileName="hosts")
assert "instance profile" in refused("DeleteConflict", iam.delete_role, RoleName="Task")
iam.remove_role_from_instance_profile(InstanceProfileName="hosts", RoleName="Task")
refused("NoSuchEntity", iam.remove_role_from_instance_profile, InstanceProfileName="hosts", RoleName="Task")

# Roles linked to services.
made = iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")["Role"]
assert made["Path"] == "/aws-service-role/ecs.amazonaws.com/" and made["RoleName"] == "AWSServiceRoleForECS", made
assert "has been taken" in refused("InvalidInput", iam.create_service_linked_role, AWSServiceName="ecs.amazonaws.com")
refused("InvalidInput", iam.create_service_linked_role, AWSServiceName="tea.amazonaws.com")
refused("UnmodifiableEntity", iam.delete_role, RoleName="AWSServiceRoleForECS")
task = iam.delete_service_linked_role(RoleName="AWSServiceRoleForECS")["DeletionTaskId"]
assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
refused("NoSuchEntity", iam.get_service_linked_role_deletion_status, DeletionTaskId=task[:-1] + "x")
refused("NoSuchEntity", iam.get_role, RoleName="AWSServiceRoleForECS")

# A task definition refers to a role.
definition = ecs.register_task_definition(
    family="with-roles",
    taskRoleArn=role["Arn"],
    executionRoleArn=role["Arn"],
    containerDefinitions=[{"name": "main", "image": "busybox", "memory": 16}],
)["taskDefinition"]
assert definition["taskRoleArn"] == definition["executionRoleArn"] == role["Arn"], definition

# What there is no engine for says so.
assert "is not supported yet" in refused("InvalidAction", iam.create_user, UserName="someone")
refused("ValidationError", iam.create_role, RoleName="x" * 65, AssumeRolePolicyDocument=TRUST)

# All of it can go, but what is looked for later.
iam.delete_role(RoleName="other")
refused("DeleteConflict", iam.delete_role, RoleName="Task")
