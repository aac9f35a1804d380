"""Every waiter and every paginator that botocore's model of ECS has is driven by a client: by the one that is named here, or by
this one, which is for what no other has a use for."""

import os

import boto3
import botocore.session
from botocore.exceptions import WaiterError
from refusal import refused

ecs = boto3.client("ecs")
HERE = "arn:aws:ecs:us-east-1:000000000000"
QUICK = {"Delay": 1, "MaxAttempts": 2}
WAITERS = {
    "daemon_active": "driven.py",
    "daemon_deployment_stopped": "driven.py",
    "daemon_deployment_successful": "driven.py",
    "daemon_task_definition_active": "nouns.py",
    "daemon_task_definition_deleted": "nouns.py",
    "services_inactive": "services.py",
    "services_stable": "services.py",
    "tasks_running": "nouns.py",
    "tasks_stopped": "nouns.py",
}
PAGINATORS = {
    "list_account_settings": "nouns.py",
    "list_attributes": "nouns.py",
    "list_clusters": "nouns.py",
    "list_container_instances": "nouns.py",
    "list_gateway_cluster_associations": "driven.py",
    "list_gateway_routes": "driven.py",
    "list_gateways": "driven.py",
    "list_services": "nouns.py",
    "list_services_by_namespace": "driven.py",
    "list_task_definition_families": "nouns.py",
    "list_task_definitions": "nouns.py",
    "list_tasks": "nouns.py",
}


def snake(name):
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def failed(name, why, **arguments):
    """A waiter that must end at once, and not by its time."""
    try:
        ecs.get_waiter(name).wait(**arguments, WaiterConfig=QUICK)
        raise AssertionError(f"{name} came true")
    except WaiterError as error:
        assert why in str(error), error


# Without daemons: there is none to wait for.
failed("daemon_active", "DaemonNotFoundException", daemonArn=f"{HERE}:daemon/default/d")
deployments = [f"{HERE}:daemon-deployment/default/d/x"]
failed("daemon_deployment_stopped", "terminal failure", daemonDeploymentArns=deployments)
failed("daemon_deployment_successful", "terminal failure", daemonDeploymentArns=deployments)
# And the ways in which the others end without what they wait for.
nobody = "0" * 32
failed("tasks_running", "terminal failure", tasks=[nobody])
failed("tasks_stopped", "Max attempts exceeded", tasks=[nobody])
failed("services_stable", "terminal failure", services=["nobody"])
failed("services_inactive", "terminal failure", services=["nobody"])
failed("daemon_task_definition_active", "ClientException", daemonTaskDefinition="nobody:1")
failed("daemon_task_definition_deleted", "ClientException", daemonTaskDefinition="nobody:1")
# What is not there is not listed, and what has no engine says so.
for name, arguments, code in [
    ("list_gateway_cluster_associations", {}, "UnsupportedFeatureException"),
    ("list_gateway_routes", {}, "UnsupportedFeatureException"),
    ("list_gateways", {}, "UnsupportedFeatureException"),
    ("list_services_by_namespace", {"namespace": "local"}, "NamespaceNotFoundException"),
]:
    refused(code, lambda **given: list(ecs.get_paginator(name).paginate(**given)), **arguments)

# The tables are whole, and true of the other clients.
assert sorted(WAITERS) == sorted(ecs.waiter_names), ecs.waiter_names
model = botocore.session.get_session().get_component("data_loader").load_service_model("ecs", "paginators-1")
assert sorted(PAGINATORS) == sorted(map(snake, model["pagination"])), model["pagination"].keys()
for table, calls in [(WAITERS, ['get_waiter("{}")', 'failed("{}"']), (PAGINATORS, ['paged("{}"', '("{}", {{'])]:
    for name, client in table.items():
        script = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), client)).read()
        assert any(call.format(name) in script for call in calls), f"{client} does not drive {name}"
