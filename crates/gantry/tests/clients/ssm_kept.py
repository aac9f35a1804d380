"""What `ssm.py` left is as it was after a new start."""

import sys

import boto3

ssm = boto3.client("ssm")
WORD = sys.argv[1]
known = ssm.get_parameters(Names=["/app/url", "/app/db/password", "/app/hosts"], WithDecryption=True)
values = {item["Name"]: (item["Version"], item["Value"]) for item in known["Parameters"]}
assert values == {"/app/url": (1, f"http://{WORD}/é"), "/app/db/password": (2, f"{WORD}-2")}, values
first = ssm.get_parameter(Name="/app/db/password:1", WithDecryption=True)["Parameter"]
assert first["Value"] == f"{WORD}-1", first
assert ssm.put_parameter(Name="/app/db/password", Value=f"{WORD}-3", Overwrite=True)["Version"] == 3
tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/app/url")["TagList"]
assert tags == [{"Key": "colour", "Value": "blue"}], tags
