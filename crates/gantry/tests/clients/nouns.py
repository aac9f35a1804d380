"""The operations that no other client calls, noun by noun through boto3, with the errors that they declare; and the
paginators of the model whose operations act."""

import boto3
from botocore.exceptions import ClientError
from refusal import refused

ecs = boto3.client("ecs")
WAIT = {"Delay": 1, "MaxAttempts": 30}


def paged(operation, key, **arguments):
    """The same whether asked for one at a time or all at once; a token of nobody's is refused."""
    pages = list(ecs.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 1}))
    items = [item for page in pages for item in page[key]]
    assert all(len(page[key]) <= 1 for page in pages), pages
    assert items == getattr(ecs, operation)(**arguments, maxResults=100)[key], operation
    refused("InvalidParameterException", getattr(ecs, operation), **arguments, nextToken="nobody's")
    return items


# Clusters.
for name in ("blue", "green"):
    ecs.create_cluster(clusterName=name, tags=[{"key": "colour", "value": name}])
assert len(paged("list_clusters", "clusterArns")) == 3
none = {"executeCommandConfiguration": {"logging": "NONE"}}
assert ecs.update_cluster(cluster="blue", configuration=none)["cluster"]["configuration"] == none
off = [{"name": "containerInsights", "value": "disabled"}]
assert ecs.update_cluster_settings(cluster="blue", settings=off)["cluster"]["settings"] == off
on = [{"name": "containerInsights", "value": "enabled"}]
assert "not supported yet" in refused("ClientException", ecs.update_cluster_settings, cluster="blue", settings=on)
refused("ClusterNotFoundException", ecs.update_cluster, cluster="red")
assert ecs.delete_cluster(cluster="green")["cluster"]["status"] == "INACTIVE"
(inactive,) = ecs.describe_clusters(clusters=["green"])["clusters"]
assert inactive["status"] == "INACTIVE", inactive

# Account settings.
assert ecs.list_account_settings()["settings"] == []
put = ecs.put_account_setting(name="awsvpcTrunking", value="enabled")["setting"]
assert put["principalArn"].endswith(":root") and put["type"] == "user", put
ecs.put_account_setting_default(name="defaultLogDriverMode", value="blocking")
assert len(paged("list_account_settings", "settings")) == 2
effective = {item["name"]: item["value"] for item in paged("list_account_settings", "settings", effectiveSettings=True)}
assert len(effective) == 11 and effective["awsvpcTrunking"] == "enabled", effective
assert ecs.delete_account_setting(name="awsvpcTrunking")["setting"]["value"] == "disabled"
ecs.delete_account_setting(name="defaultLogDriverMode")
message = refused("InvalidParameterException", ecs.put_account_setting, name="taskLongArnFormat", value="disabled")
assert message == "You can no longer disable Long Arn settings.", message

# Task definitions, from the first to the last of their states.
command = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
main = {"name": "main", "image": "busybox", "command": command, "memory": 32, "stopTimeout": 2}
for _ in range(2):
    ecs.register_task_definition(family="first", containerDefinitions=[main])
ecs.register_task_definition(family="second", containerDefinitions=[main])
assert len(paged("list_task_definitions", "taskDefinitionArns")) == 3
assert paged("list_task_definition_families", "families") == ["first", "second"]
(failure,) = ecs.delete_task_definitions(taskDefinitions=["first:1"])["failures"]
assert "still in ACTIVE status" in failure["reason"], failure
assert ecs.deregister_task_definition(taskDefinition="first:1")["taskDefinition"]["status"] == "INACTIVE"
(deleted,) = ecs.delete_task_definitions(taskDefinitions=["first:1"])["taskDefinitions"]
assert deleted["status"] == "DELETE_IN_PROGRESS" and deleted["deleteRequestedAt"], deleted
assert len(paged("list_task_definitions", "taskDefinitionArns", status="DELETE_IN_PROGRESS")) == 1
refused("ClientException", ecs.run_task, taskDefinition="first:1")
refused("ClientException", ecs.describe_task_definition, taskDefinition="third")
refused("InvalidParameterException", ecs.deregister_task_definition, taskDefinition="first")

# Container instances and their attributes.
(host,) = paged("list_container_instances", "containerInstanceArns")
ecs.put_attributes(attributes=[{"name": f"a{n}", "value": "v", "targetId": host} for n in range(3)])
custom = [item["name"] for item in paged("list_attributes", "attributes", targetType="container-instance")]
assert {"a0", "a1", "a2"} <= set(custom), custom
ecs.delete_attributes(attributes=[{"name": "a0", "targetId": host}])
missing = {"name": "a", "targetId": host[:-4] + "0000"}
refused("TargetNotFoundException", ecs.put_attributes, attributes=[missing])
(updated,) = ecs.update_container_instances_state(containerInstances=[host], status="DRAINING")["containerInstances"]
assert updated["status"] == "DRAINING", updated
started = ecs.start_task(taskDefinition="first", containerInstances=[host])
assert started["tasks"] == [] and len(started["failures"]) == 1, started
ecs.update_container_instances_state(containerInstances=[host], status="ACTIVE")
refused("NoUpdateAvailableException", ecs.update_container_agent, containerInstance=host)

# Tasks on an instance that is named.
(task,) = ecs.start_task(taskDefinition="first", containerInstances=[host], enableExecuteCommand=True)["tasks"]
ecs.get_waiter("tasks_running").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)
assert paged("list_tasks", "taskArns") == [task["taskArn"]]
shell = {"task": task["taskArn"], "command": "sh", "interactive": True}
refused("TargetNotConnectedException", ecs.execute_command, **shell)
refused("InvalidParameterException", ecs.execute_command, **{**shell, "task": "0" * 32})
(failure,) = ecs.get_task_protection(cluster="default", tasks=[task["taskArn"]])["failures"]
assert failure["reason"], failure
(error,) = {refused("InvalidParameterException", ecs.deregister_container_instance, containerInstance=host)}
assert "running tasks" in error, error
ecs.stop_task(task=task["taskArn"])
ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)

# An agent of one's own.
resources = [{"name": name, "type": "INTEGER", "integerValue": 512} for name in ("CPU", "MEMORY")]
other = ecs.register_container_instance(cluster="blue", totalResources=resources)["containerInstance"]
assert other["containerInstanceArn"] and other["agentConnected"] is False, other
assert ecs.discover_poll_endpoint(containerInstance=other["containerInstanceArn"])["endpoint"].startswith("http")
refused("MissingVersionException", ecs.update_container_agent, cluster="blue", containerInstance=other["containerInstanceArn"])
refused("ClusterContainsContainerInstancesException", ecs.delete_cluster, cluster="blue")
gone = ecs.deregister_container_instance(cluster="blue", containerInstance=other["containerInstanceArn"])
assert gone["containerInstance"]["status"] == "INACTIVE", gone
assert ecs.submit_task_state_change(task=task["taskArn"], status="STOPPED")["acknowledgment"]
assert ecs.submit_container_state_change(task=task["taskArn"], containerName="main", status="STOPPED")["acknowledgment"]
assert ecs.submit_attachment_state_changes(attachments=[])["acknowledgment"]

# Services, and what they are not in.
for n in range(3):
    ecs.create_service(serviceName=f"s{n}", taskDefinition="second", desiredCount=0)
assert len(paged("list_services", "serviceArns")) == 3
refused("NamespaceNotFoundException", ecs.list_services_by_namespace, namespace="local")

# Capacity providers.
group = {"autoScalingGroupArn": "hosts", "managedScaling": {"status": "DISABLED"}}
ecs.create_capacity_provider(name="hosts", autoScalingGroupProvider=group)
ecs.update_capacity_provider(name="hosts", autoScalingGroupProvider={"managedDraining": "DISABLED"})
scaled = {"managedScaling": {"status": "ENABLED"}}
assert "not supported yet" in refused(
    "UnsupportedFeatureException", ecs.update_capacity_provider, name="hosts", autoScalingGroupProvider=scaled
)

# Managed daemons: their definitions, and that there is none.
agent = {"name": "agent", "image": "busybox", "memory": 32}
arn = ecs.register_daemon_task_definition(family="agent", containerDefinitions=[agent])["daemonTaskDefinitionArn"]
ecs.get_waiter("daemon_task_definition_active").wait(daemonTaskDefinition=arn, WaiterConfig=WAIT)
assert [item["arn"] for item in ecs.list_daemon_task_definitions()["daemonTaskDefinitions"]] == [arn]
assert ecs.delete_daemon_task_definition(daemonTaskDefinition=arn)["daemonTaskDefinitionArn"] == arn
ecs.get_waiter("daemon_task_definition_deleted").wait(daemonTaskDefinition=arn, WaiterConfig=WAIT)
refused("ClientException", ecs.describe_daemon_task_definition, daemonTaskDefinition="agent")
assert ecs.list_daemons()["daemonSummariesList"] == []
here = arn.split(":daemon-task-definition/")[0]
daemon, deployment, revision = (f"{here}:{kind}/default/d" for kind in ("daemon", "daemon-deployment", "daemon-revision"))
for call in (ecs.describe_daemon, ecs.delete_daemon):
    refused("DaemonNotFoundException", call, daemonArn=daemon)
    refused("InvalidParameterException", call, daemonArn=arn)
refused("InvalidParameterException", ecs.list_daemon_deployments, daemonArn=daemon)
assert ecs.describe_daemon_deployments(daemonDeploymentArns=[deployment])["failures"][0]["reason"] == "MISSING"
assert ecs.describe_daemon_revisions(daemonRevisionArns=[revision])["failures"][0]["reason"] == "MISSING"

# What has no engine says so.
for call, arguments in [
    (ecs.list_gateways, {}),
    (ecs.create_daemon, {"daemonName": "d", "daemonTaskDefinitionArn": arn, "capacityProviderArns": [arn]}),
    (ecs.describe_express_gateway_service, {"serviceArn": "arn:aws:ecs:us-east-1:000000000000:service/default/x"}),
]:
    try:
        call(**arguments)
        raise AssertionError(f"{call.__name__} was answered")
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("ClientException", "UnsupportedFeatureException"), error
        assert "is not supported yet" in error.response["Error"]["Message"], error
