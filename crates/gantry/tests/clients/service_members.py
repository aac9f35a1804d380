"""Forty-eight services that together use every member that acts: each is created, described as it was given with AWS's own
defaults for the rest, updated, and deleted. Members without an engine are refused by name. Botocore's own model says which
members there are, and its parser reads the answers."""

import boto3
from compare import members, same, used
from refusal import refused

ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
SUBNETS = sorted(subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"])
(GROUP,) = [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]]


def awsvpc(**members):
    return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": SUBNETS[:1], **members}}}


def deployed(**members):
    return {"deploymentConfiguration": members}


def hook(*stages, **members):
    return {"targetType": "PAUSE", "lifecycleStages": list(stages), **members}


def breaker(**members):
    return deployed(deploymentCircuitBreaker={"enable": True, "rollback": True, **members})


def providers(*items):
    return {"capacityProviderStrategy": [dict(zip(("capacityProvider", "weight", "base"), item)) for item in items]}


def placed(*strategy, constraints=()):
    lists = {"placementStrategy": list(strategy), "placementConstraints": list(constraints)}
    return {name: value for name, value in lists.items() if value}


FARGATE = {"taskDefinition": "own", "launchType": "FARGATE", **awsvpc()}
SPOT = {"taskDefinition": "own", **awsvpc()}
EC2 = {"taskDefinition": "plain", "launchType": "EC2"}
HOSTS = {"taskDefinition": "plain"}
DAEMON = {**EC2, "schedulingStrategy": "DAEMON"}
OUTSIDE = {"deploymentController": {"type": "EXTERNAL"}}
ZONES = {"type": "spread", "field": "attribute:ecs.availability-zone"}
LINUX = {"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}
BLUE = {"key": "colour", "value": "blue"}
NO_BREAKER = {"deploymentCircuitBreaker": {"enable": False, "rollback": False}}
# What is created, and how it is updated.
SERVICES = [
    (FARGATE, {"desiredCount": 2}),
    (FARGATE | {"platformVersion": "LATEST"}, {"platformVersion": "1.4.0"}),
    (FARGATE | {"platformVersion": "1.4.0"}, {"platformVersion": "LATEST"}),
    (FARGATE | {"desiredCount": 3}, {"forceNewDeployment": True}),
    (FARGATE | {"tags": [BLUE]}, {"propagateTags": "SERVICE"}),
    (FARGATE | {"tags": [BLUE], "propagateTags": "SERVICE"}, {"propagateTags": "TASK_DEFINITION"}),
    (FARGATE | {"propagateTags": "TASK_DEFINITION"}, {"propagateTags": "NONE"}),
    (FARGATE | {"propagateTags": "NONE", "enableECSManagedTags": True}, {"enableECSManagedTags": False}),
    (FARGATE | {"enableExecuteCommand": True}, {"enableExecuteCommand": False}),
    (FARGATE | {"enableExecuteCommand": False}, {"enableExecuteCommand": True}),
    (FARGATE | {"healthCheckGracePeriodSeconds": 30}, {"healthCheckGracePeriodSeconds": 0}),
    (FARGATE | {"healthCheckGracePeriodSeconds": 0}, {"healthCheckGracePeriodSeconds": 2147483647}),
    (FARGATE | {"clientToken": "token"}, {"taskDefinition": "own:2"}),
    (FARGATE | {"schedulingStrategy": "REPLICA", "deploymentController": {"type": "ECS"}}, {"taskDefinition": "own:1"}),
    (FARGATE | awsvpc(subnets=SUBNETS), awsvpc(subnets=SUBNETS[1:])),
    (FARGATE | awsvpc(securityGroups=[GROUP], assignPublicIp="ENABLED"), awsvpc(assignPublicIp="DISABLED")),
    (FARGATE | awsvpc(assignPublicIp="DISABLED"), awsvpc(securityGroups=[GROUP])),
    (FARGATE | {"availabilityZoneRebalancing": "ENABLED"}, {"availabilityZoneRebalancing": "DISABLED"}),
    (FARGATE | {"availabilityZoneRebalancing": "DISABLED"}, {"availabilityZoneRebalancing": "ENABLED"}),
    (FARGATE | deployed(maximumPercent=150), deployed(minimumHealthyPercent=50)),
    (FARGATE | deployed(minimumHealthyPercent=0, maximumPercent=100), deployed(maximumPercent=200)),
    (FARGATE | deployed(strategy="ROLLING", bakeTimeInMinutes=0), deployed(strategy="ROLLING", bakeTimeInMinutes=0)),
    (FARGATE | breaker(), deployed(**NO_BREAKER)),
    (FARGATE | breaker(resetOnHealthyTask=False), breaker(rollback=False)),
    (FARGATE | breaker(thresholdConfiguration={"type": "COUNT", "value": 7}), breaker(resetOnHealthyTask=True)),
    (
        FARGATE | breaker(thresholdConfiguration={"type": "BOUNDED_PERCENT", "value": 20}),
        breaker(thresholdConfiguration={"type": "UNBOUNDED_PERCENT", "value": 90}),
    ),
    (
        FARGATE | deployed(lifecycleHooks=[hook("PRE_SCALE_UP")]),
        deployed(lifecycleHooks=[hook("POST_SCALE_UP", timeoutConfiguration={"timeoutInMinutes": 5, "action": "ROLLBACK"})]),
    ),
    (
        FARGATE
        | deployed(
            lifecycleHooks=[
                hook(
                    "RECONCILE_SERVICE",
                    "PRE_SCALE_UP",
                    timeoutConfiguration={"timeoutInMinutes": 60, "action": "CONTINUE"},
                )
            ]
        ),
        deployed(lifecycleHooks=[]),
    ),
    (
        FARGATE | deployed(earlySuccessCriteria={"enable": True, "healthyPercent": 50, "sourceServiceRevisionCleanup": "BLOCKING"}),
        deployed(
            earlySuccessCriteria={"enable": True, "healthyPercent": 80, "sourceServiceRevisionCleanup": "DEFERRED"}
        ),
    ),
    (SPOT | providers(("FARGATE_SPOT", 1)), providers(("FARGATE", 2, 1), ("FARGATE_SPOT", 1, 0))),
    (SPOT | providers(("FARGATE", 1, 2), ("FARGATE_SPOT", 3)), {"desiredCount": 5}),
    (HOSTS | providers(("hosts", 1)), providers(("hosts", 100, 5))),
    (HOSTS | providers(("hosts", 1)) | placed(ZONES), placed({"type": "binpack", "field": "cpu"})),
    (EC2, {"desiredCount": 0}),
    (HOSTS, {"taskDefinition": "plain:2"}),
    (EC2 | placed({"type": "random"}), {"placementStrategy": []}),
    (EC2 | placed(ZONES, {"type": "spread", "field": "instanceId"}), placed({"type": "binpack", "field": "memory"})),
    (EC2 | placed(constraints=[{"type": "distinctInstance"}]), {"placementConstraints": []}),
    (EC2 | placed(constraints=[LINUX]), placed(constraints=[{"type": "distinctInstance"}, LINUX])),
    (EC2 | {"taskDefinition": "vpc"} | awsvpc(securityGroups=[GROUP]), awsvpc(subnets=SUBNETS)),
    ({"taskDefinition": "plain", "launchType": "EXTERNAL"}, {"desiredCount": 1}),
    (DAEMON, {"taskDefinition": "plain:2"}),
    (DAEMON | placed(constraints=[LINUX]), {"placementConstraints": []}),
    (DAEMON | deployed(minimumHealthyPercent=50, maximumPercent=100), deployed(minimumHealthyPercent=10)),
    (DAEMON | {"enableECSManagedTags": True, "tags": [BLUE], "propagateTags": "SERVICE"}, {"forceNewDeployment": True}),
    (OUTSIDE, {"desiredCount": 4}),
    (OUTSIDE | {"schedulingStrategy": "REPLICA"} | placed(ZONES), {"healthCheckGracePeriodSeconds": 60}),
    (OUTSIDE | {"tags": [BLUE], "enableExecuteCommand": True}, {"deploymentController": {"type": "EXTERNAL"}}),
]
# What nobody has to say.
DEFAULTS = {
    "status": "ACTIVE",
    "schedulingStrategy": "REPLICA",
    "deploymentController": {"type": "ECS"},
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
    "propagateTags": "NONE",
    "loadBalancers": [],
    "serviceRegistries": [],
    "placementConstraints": [],
    "placementStrategy": [],
    "runningCount": 0,
    "tags": [],
}
ARN = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/x/0123456789abcdef"
LAMBDA = {"hookTargetArn": ARN, "roleArn": ARN, "lifecycleStages": ["PRE_SCALE_UP"]}
# Members without an engine, each with a value that would have to act.
REFUSED = {
    "loadBalancers": [{"targetGroupArn": ARN, "containerName": "main", "containerPort": 80}],
    "serviceRegistries": [{"registryArn": ARN}],
    "serviceConnectConfiguration": {"enabled": True, "namespace": "local"},
    "volumeConfigurations": [{"name": "v", "managedEBSVolume": {"roleArn": ARN, "sizeInGiB": 1}}],
    "vpcLatticeConfigurations": [{"roleArn": ARN, "targetGroupArn": ARN, "portName": "web"}],
    "gatewayConnectors": None,
    "monitoring": None,
    "role": "ecsServiceRole",
    "deploymentConfiguration.alarms": {"alarmNames": ["a"], "enable": True, "rollback": True},
    "deploymentConfiguration.strategy": "BLUE_GREEN",
    "deploymentConfiguration.bakeTimeInMinutes": 5,
    "deploymentConfiguration.linearConfiguration": {"stepPercent": 10.0, "stepBakeTimeInMinutes": 1},
    "deploymentConfiguration.canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 1},
    "deploymentConfiguration.lifecycleHooks": [LAMBDA],
}
ACTING = ("deploymentConfiguration.strategy", "deploymentConfiguration.bakeTimeInMinutes")


def least(shape):
    """The least value of a shape of botocore's."""
    if shape.type_name == "structure":
        return {name: least(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [least(shape.member)]
    return {"string": (getattr(shape, "enum", None) or ["x"])[0], "integer": 1, "boolean": True}[shape.type_name]


def shape_of(operation):
    return ecs.meta.service_model.operation_model(operation).input_shape


def as_shown(given):
    """The members of a request as a service shows them."""
    asked = ("cluster", "serviceName", "service", "clientToken", "forceNewDeployment", "role")
    shown = {name: value for name, value in given.items() if name not in asked}
    if "taskDefinition" in shown:
        shown["taskDefinition"] = DEFINITIONS[shown["taskDefinition"]]
    # Hooks that were taken away are not shown.
    if shown.get("deploymentConfiguration", {}).get("lifecycleHooks") == []:
        shown["deploymentConfiguration"] = {n: v for n, v in shown["deploymentConfiguration"].items() if v != []}
    network = shown.get("networkConfiguration")
    if network:
        shown["networkConfiguration"] = {"awsvpcConfiguration": {"assignPublicIp": "DISABLED", **network["awsvpcConfiguration"]}}
    return shown


def merged(given, update):
    """What a service is to be after an update: what is not said stays."""
    made = {**given, **update}
    if "deploymentConfiguration" in given and "deploymentConfiguration" in update:
        made["deploymentConfiguration"] = {**given["deploymentConfiguration"], **update["deploymentConfiguration"]}
    if "capacityProviderStrategy" in update:
        made.pop("launchType", None)
    return made


def described(name):
    answer = ecs.describe_services(services=[name], include=["TAGS"])
    assert answer["failures"] == [], answer
    return answer["services"][0]


def check(given, answered, where):
    wanted = as_shown(given)
    same(wanted, answered, where)
    daemon, outside = given.get("schedulingStrategy") == "DAEMON", given.get("deploymentController") == {"type": "EXTERNAL"}
    defaults = {name: value for name, value in DEFAULTS.items() if name not in wanted}
    same(defaults, answered, where)
    bounds = {"minimumHealthyPercent": 0, "maximumPercent": 100} if daemon else {"minimumHealthyPercent": 100, "maximumPercent": 200}
    said = given.get("deploymentConfiguration", {})
    own = {**bounds, "strategy": "ROLLING", "bakeTimeInMinutes": 0, **NO_BREAKER}
    same({name: value for name, value in own.items() if name not in said}, answered["deploymentConfiguration"], where)
    fargate = given.get("launchType") == "FARGATE" or given.get("taskDefinition", "").startswith("own")
    assert answered.get("platformVersion") == (given.get("platformVersion", "LATEST") if fargate else None), (where, answered)
    assert answered.get("platformFamily") == ("Linux" if fargate else None), (where, answered)
    if "capacityProviderStrategy" in given:
        assert "launchType" not in answered, (where, answered)
        for item in answered["capacityProviderStrategy"]:
            assert isinstance(item["base"], int) and isinstance(item["weight"], int), (where, item)
    elif not outside:
        assert answered["launchType"] == given.get("launchType", "EC2"), (where, answered)
    if "healthCheckGracePeriodSeconds" not in given:
        assert "healthCheckGracePeriodSeconds" not in answered, (where, answered)
    assert answered["desiredCount"] == (0 if daemon else given["desiredCount"]), (where, answered)
    assert answered["serviceArn"].endswith(f":service/default/{answered['serviceName']}"), answered
    assert answered["clusterArn"].endswith(":cluster/default") and answered["createdAt"] and answered["createdBy"], answered
    assert isinstance(answered["events"], list), (where, answered)
    if outside:
        assert answered["taskSets"] == answered["deployments"] == [] and "taskDefinition" not in answered, (where, answered)
        return
    primary = answered["deployments"][0]
    assert primary["status"] == "PRIMARY" and primary["id"].startswith("ecs-svc/"), (where, primary)
    assert primary["rolloutState"] in ("IN_PROGRESS", "COMPLETED") and primary["rolloutStateReason"], (where, primary)
    same({n: v for n, v in wanted.items() if n in ("taskDefinition", "launchType", "networkConfiguration")}, primary, where)
    assert primary.get("platformVersion") == ("1.4.0" if fargate else None), (where, primary)


DEFINITIONS = {}
main = {"name": "main", "image": "busybox", "memory": 32}
for family, extra in [
    ("own", {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}),
    ("vpc", {"networkMode": "awsvpc"}),
    ("plain", {}),
]:
    for revision in (1, 2):
        made = ecs.register_task_definition(family=family, containerDefinitions=[main], **extra)["taskDefinition"]
        DEFINITIONS[f"{family}:{revision}"] = DEFINITIONS[family] = made["taskDefinitionArn"]
group = {"autoScalingGroupArn": "hosts", "managedScaling": {"status": "DISABLED"}}
ecs.create_capacity_provider(name="hosts", autoScalingGroupProvider=group)
every = ["FARGATE", "FARGATE_SPOT", "hosts"]
ecs.put_cluster_capacity_providers(cluster="default", capacityProviders=every, defaultCapacityProviderStrategy=[])

# Every member is used or refused.
assert len(SERVICES) >= 40, len(SERVICES)
for operation, position, own in [("CreateService", 0, {"cluster", "serviceName", "desiredCount"}), ("UpdateService", 1, {"cluster", "service"})]:
    without = [path for path in REFUSED if path not in ACTING and path != "deploymentConfiguration.lifecycleHooks"]
    lambdas = [f"deploymentConfiguration.lifecycleHooks.{name}" for name in ("hookTargetArn", "roleArn", "hookDetails")]
    used_here = {path for service in SERVICES for path in used(service[position])}
    missing = set(members(shape_of(operation))) - used_here - own - set(lambdas)
    missing = {path for path in missing if not any(path == one or path.startswith(f"{one}.") for one in without)}
    assert not missing, f"no {operation} uses {sorted(missing)}"

for n, (given, update) in enumerate(SERVICES):
    name = f"s{n}"
    given = given if given.get("schedulingStrategy") == "DAEMON" else {"desiredCount": 1, **given}
    created = ecs.create_service(serviceName=name, **given)["service"]
    check(given, created, f"{name} created")
    check(given, described(name), f"{name} described")
    assert ecs.create_service(serviceName=name, **given)["service"]["serviceArn"] == created["serviceArn"]
    refused("InvalidParameterException", ecs.create_service, serviceName=name, **{**given, "tags": [{"key": "other"}]})
    after = merged(given, update)
    check(after, ecs.update_service(service=name, **update)["service"], f"{name} updated")
    check(after, described(name), f"{name} described after its update")
    # The same again changes nothing that is shown of it but when it was.
    again = ecs.update_service(service=created["serviceArn"], **update)["service"]
    check(after, again, f"{name} updated again")
    deleted = ecs.delete_service(service=name, force=True)["service"]
    assert deleted["status"] in ("DRAINING", "INACTIVE") and deleted["desiredCount"] == 0, deleted
    ecs.get_waiter("services_inactive").wait(services=[name], WaiterConfig={"Delay": 1, "MaxAttempts": 5})
    refused("ServiceNotFoundException", ecs.delete_service, service=name)
    refused("ServiceNotActiveException", ecs.update_service, service=name)
assert ecs.list_services()["serviceArns"] == []

# What has no engine says so, and nothing comes of it.
ecs.create_service(serviceName="kept", desiredCount=0, **FARGATE)
for path, value in REFUSED.items():
    outer, _, inner = path.partition(".")
    for operation, call, own in [
        ("CreateService", ecs.create_service, {"serviceName": "no", "desiredCount": 0, **FARGATE}),
        ("UpdateService", ecs.update_service, {"service": "kept"}),
    ]:
        if outer not in shape_of(operation).members:
            assert (operation, path) == ("UpdateService", "role")
            continue
        wanted = least(shape_of(operation).members[outer]) if value is None else value
        asked = {outer: {inner: wanted} if inner else wanted}
        words = refused("UnsupportedFeatureException", call, **own, **asked)
        assert words.startswith(f"not supported yet: {path}"), (path, words)
code_deploy = {"deploymentController": {"type": "CODE_DEPLOY"}}
refused("UnsupportedFeatureException", ecs.create_service, serviceName="no", desiredCount=0, **FARGATE, **code_deploy)
assert len(ecs.list_services()["serviceArns"]) == 1
message = refused("InvalidParameterException", ecs.create_service, serviceName="no", desiredCount=0, **EC2, platformVersion="1.4.0")
assert message == "The platform version must be null when specifying an EC2 launch type.", message
