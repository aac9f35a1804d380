"""What `secrets_manager.py` left is as it was after a new start."""

import sys

import boto3

secrets = boto3.client("secretsmanager")
WORD = sys.argv[1]
assert secrets.get_secret_value(SecretId="app/db")["SecretString"] == f"{WORD}-2"
assert secrets.get_secret_value(SecretId="app/db", VersionStage="AWSPREVIOUS")["SecretString"] == f"{WORD}-3"
assert secrets.get_secret_value(SecretId="bytes")["SecretBinary"] == bytes(range(256))
assert secrets.get_secret_value(SecretId="empty")["SecretString"] == f"{WORD}-4"
assert secrets.describe_secret(SecretId="app/db")["Tags"] == [{"Key": "colour", "Value": "blue"}]
