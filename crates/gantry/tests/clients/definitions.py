"""Forty task definitions that together use every member of the model: each is registered and described as it was given,
member by member, and botocore's own model names the members that must have been used."""

import boto3
from compare import members, same, used

ecs = boto3.client("ecs")
FARGATE = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
ARN = "arn:aws:{}:us-east-1:000000000000:{}".format
SECRET, ROLE = ARN("secretsmanager", "secret:s-AbCdEf"), "arn:aws:iam::000000000000:role/r"


def main(**members):
    return {"name": "main", "image": "busybox", "memory": 64, **members}


def one(**members):
    return {"containerDefinitions": [main(**members)]}


def volume(**members):
    return {"containerDefinitions": [main()], "volumes": [{"name": "v", **members}]}


LINUX = {
    "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]},
    "devices": [{"hostPath": "/dev/null", "containerPath": "/dev/zero2", "permissions": ["read", "write"]}],
    "initProcessEnabled": True,
    "sharedMemorySize": 64,
    "tmpfs": [{"containerPath": "/t", "size": 16, "mountOptions": ["noexec", "mode=700"]}],
    "maxSwap": 128,
    "swappiness": 10,
}
GPU = {"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1024, "maxComputePercent": 50}}}
DEFINITIONS = [
    one(),
    one(cpu=128, memoryReservation=32, essential=True),
    one(command=["sleep", "1"], entryPoint=["/bin/sh", "-c"], workingDirectory="/srv", user="1000:1000"),
    one(environment=[{"name": "A", "value": "b"}, {"name": "EMPTY", "value": ""}]),
    one(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::bucket/file.env"}]),
    one(portMappings=[{"containerPort": 80, "hostPort": 8080, "protocol": "tcp"}]),
    one(portMappings=[{"containerPort": 53, "hostPort": 0, "protocol": "udp"}]),
    one(portMappings=[{"containerPortRange": "8000-8010", "protocol": "tcp"}]),
    {**FARGATE, **one(portMappings=[{"containerPort": 80, "name": "web", "appProtocol": "http2"}])},
    {**FARGATE, "taskRoleArn": ROLE, "executionRoleArn": ROLE, **one(essential=True)},
    {**FARGATE, "ephemeralStorage": {"sizeInGiB": 40}, **one()},
    {**FARGATE, "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}, **one()},
    {**FARGATE, "pidMode": "task", "enableFaultInjection": True, **one()},
    {"pidMode": "host", "ipcMode": "task", **one()},
    {"networkMode": "host", "requiresCompatibilities": ["EC2", "EXTERNAL"], **one()},
    {"networkMode": "none", **one(disableNetworking=True)},
    {"cpu": "1024", "memory": "2048", **one()},
    one(linuxParameters=LINUX),
    one(privileged=True, readonlyRootFilesystem=True, interactive=True, pseudoTerminal=True),
    one(hostname="h", dnsServers=["1.1.1.1"], dnsSearchDomains=["example.org"]),
    one(extraHosts=[{"hostname": "db", "ipAddress": "10.0.0.9"}], dockerSecurityOptions=["no-new-privileges"]),
    one(ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}]),
    one(systemControls=[{"namespace": "net.core.somaxconn", "value": "1024"}]),
    one(dockerLabels={"a": "b"}, startTimeout=30, stopTimeout=30, versionConsistency="disabled"),
    one(healthCheck={"command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 3, "startPeriod": 1}),
    one(restartPolicy={"enabled": True, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60}),
    one(secrets=[{"name": "PASSWORD", "valueFrom": SECRET}], repositoryCredentials={"credentialsParameter": SECRET}),
    one(
        logConfiguration={
            "logDriver": "awslogs",
            "options": {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"},
        }
    ),
    one(
        logConfiguration={
            "logDriver": "splunk",
            "options": {"splunk-url": "https://example.org"},
            "secretOptions": [{"name": "splunk-token", "valueFrom": SECRET}],
        }
    ),
    one(resourceRequirements=[GPU]),
    one(credentialSpecs=["credentialspec:arn:aws:s3:::bucket/spec.json"]),
    {
        "containerDefinitions": [
            main(dependsOn=[{"containerName": "log", "condition": "START"}], links=["log:l"]),
            {
                "name": "log",
                "image": "fluent",
                "memory": 64,
                "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}},
            },
        ]
    },
    {
        "volumes": [{"name": "host", "host": {"sourcePath": "/srv"}}, {"name": "own", "host": {}}],
        "containerDefinitions": [
            main(mountPoints=[{"sourceVolume": "host", "containerPath": "/data", "readOnly": True}]),
            {**main(volumesFrom=[{"sourceContainer": "main", "readOnly": True}]), "name": "two", "essential": False},
        ],
    },
    volume(
        dockerVolumeConfiguration={
            "scope": "shared",
            "autoprovision": True,
            "driver": "local",
            "driverOpts": {"type": "nfs"},
            "labels": {"a": "b"},
        }
    ),
    volume(
        efsVolumeConfiguration={
            "fileSystemId": "fs-12345678",
            "rootDirectory": "/",
            "transitEncryption": "ENABLED",
            "transitEncryptionPort": 2999,
            "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
        }
    ),
    volume(
        fsxWindowsFileServerVolumeConfiguration={
            "fileSystemId": "fs-1",
            "rootDirectory": "share",
            "authorizationConfig": {"credentialsParameter": SECRET, "domain": "example.org"},
        }
    ),
    volume(
        s3filesVolumeConfiguration={
            "fileSystemArn": ARN("s3files", "file-system/fs-1"),
            "rootDirectory": "/",
            "transitEncryptionPort": 2049,
            "accessPointArn": ARN("s3files", "access-point/ap-1"),
        }
    ),
    {**FARGATE, **volume(configuredAtLaunch=True)},
    {
        **one(),
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:ecs.instance-type =~ t3.*"}],
        "tags": [{"key": "team", "value": "blue"}],
        "inferenceAccelerators": [{"deviceName": "d", "deviceType": "eia1.medium"}],
    },
    {
        "networkMode": "awsvpc",
        "proxyConfiguration": {
            "type": "APPMESH",
            "containerName": "main",
            "properties": [{"name": "ProxyIngressPort", "value": "15000"}],
        },
        "trustedExecutionConfiguration": {"isolationMode": "ISOLATED_SANDBOX", "attestationPolicy": "policy"},
        **one(),
    },
]


assert len(DEFINITIONS) >= 40, len(DEFINITIONS)
shape = ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape
missing = set(members(shape)) - {"family"} - {path for given in DEFINITIONS for path in used(given)}
assert not missing, f"no definition uses {sorted(missing)}"
for n, given in enumerate(DEFINITIONS):
    tags = given.get("tags", [])
    given = {name: value for name, value in given.items() if name != "tags"}
    registered = ecs.register_task_definition(family=f"d{n}", **given, **({"tags": tags} if tags else {}))
    described = ecs.describe_task_definition(taskDefinition=f"d{n}:1", include=["TAGS"])
    assert registered["taskDefinition"] == described["taskDefinition"], n
    assert described["tags"] == tags, described["tags"]
    answered = described["taskDefinition"]
    same(given, answered, f"d{n}")
    assert (answered["revision"], answered["status"]) == (1, "ACTIVE"), answered
    # AWS's own: defaults, lists that are there though empty, and what the definition can run on.
    assert answered["taskDefinitionArn"].endswith(f":task-definition/d{n}:1"), answered
    assert isinstance(answered["volumes"], list) and isinstance(answered["placementConstraints"], list), answered
    assert answered["compatibilities"] and answered["registeredBy"].startswith("arn:aws:"), answered
    for container in answered["containerDefinitions"]:
        assert container["essential"] in (True, False), container
        for name in ("portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"):
            assert isinstance(container[name], list), (n, name, container)
    # The same again is another revision, equal but for what differs.
    again = ecs.register_task_definition(family=f"d{n}", **given)["taskDefinition"]
    own = ("taskDefinitionArn", "revision", "registeredAt")
    assert {k: v for k, v in again.items() if k not in own} == {k: v for k, v in answered.items() if k not in own}, n
    assert again["revision"] == 2, again
listed = ecs.get_paginator("list_task_definitions").paginate(PaginationConfig={"PageSize": 7})
assert sum(len(page["taskDefinitionArns"]) for page in listed) == 2 * len(DEFINITIONS)
