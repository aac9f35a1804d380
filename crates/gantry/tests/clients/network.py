"""What clients read of the default VPC before they run anything, and who they are."""

import ipaddress

import boto3
from botocore.exceptions import ClientError

ec2, sts = boto3.client("ec2"), boto3.client("sts")

identity = sts.get_caller_identity()
assert identity["Account"] == "000000000000" and identity["Arn"].endswith(":root"), identity

(vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
assert vpc["IsDefault"] and vpc["State"] == "available", vpc
network = ipaddress.ip_network(vpc["CidrBlock"])

subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
assert subnets
for subnet in subnets:
    assert ipaddress.ip_network(subnet["CidrBlock"]).subnet_of(network), subnet
    assert subnet["DefaultForAz"] and subnet["AvailableIpAddressCount"] > 0, subnet
zones = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
assert {subnet["AvailabilityZone"] for subnet in subnets} <= zones, zones

(group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
assert group["VpcId"] == vpc["VpcId"] and group["GroupName"] == "default", group
assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []

listed = [page["Subnets"] for page in ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5})]
assert sorted(s["SubnetId"] for page in listed for s in page) == sorted(s["SubnetId"] for s in subnets)

for call, code in [
    (lambda: ec2.describe_subnets(SubnetIds=["subnet-00000000000000000"]), "InvalidSubnetID.NotFound"),
    (lambda: ec2.describe_vpcs(VpcIds=["vpc-00000000000000000"]), "InvalidVpcID.NotFound"),
    (lambda: ec2.describe_vpcs(Filters=[{"Name": "colour", "Values": ["red"]}]), "InvalidParameterValue"),
    (lambda: ec2.describe_instances(), "InvalidAction"),
]:
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(code)
