"""What `iam.py` left is as it was after a new start, and can go."""

import json

import boto3
from refusal import refused

iam = boto3.client("iam")
role = iam.get_role(RoleName="Task")["Role"]
assert (role["Path"], role["Description"], role["MaxSessionDuration"]) == ("/app/", "runs tasks", 7200), role
assert role["Tags"] == [{"Key": "colour", "Value": "green"}], role
assert iam.list_role_policies(RoleName="Task")["PolicyNames"] == ["read"]
attached = iam.list_attached_role_policies(RoleName="Task")["AttachedPolicies"]
assert len(attached) == 2, attached
(own,) = iam.list_policies(Scope="Local")["Policies"]
assert (own["DefaultVersionId"], own["AttachmentCount"]) == ("v1", 1), own
made = iam.create_role(RoleName="later", AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]))
assert made["Role"]["RoleId"] != role["RoleId"]

iam.delete_instance_profile(InstanceProfileName="hosts")
iam.delete_role_policy(RoleName="Task", PolicyName="read")
for item in attached:
    iam.detach_role_policy(RoleName="Task", PolicyArn=item["PolicyArn"])
iam.delete_role(RoleName="Task")
refused("NoSuchEntity", iam.delete_role, RoleName="Task")
for version in ("v4", "v5"):
    iam.delete_policy_version(PolicyArn=own["Arn"], VersionId=version)
iam.delete_policy(PolicyArn=own["Arn"])
refused("NoSuchEntity", iam.get_policy, PolicyArn=own["Arn"])
assert iam.list_policies(Scope="Local")["Policies"] == []
