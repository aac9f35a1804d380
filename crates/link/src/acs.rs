//! The messages of the agent's control channel, as the public ECS agent reads and writes them: text frames
//! `{"type": …, "message": …}` with lowerCamel members. What stock messages cannot say travels in a member `gantry`,
//! which the stock agent ignores.

pub use crate::volume::{HostVolume, MountPoint, Volume, VolumeFrom};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Control plane to agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum ToAgent {
    /// Tasks to run or stop.
    PayloadMessage(Payload),
    /// A sign of life.
    HeartbeatMessage(Heartbeat),
    /// Every task that should be there.
    TaskManifestMessage(Manifest),
    /// Which of the candidates may be stopped.
    TaskStopVerificationAck(StopVerificationAck),
}

/// Agent to control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "message")]
pub enum ToControl {
    /// A payload or manifest was taken.
    AckRequest(Ack),
    /// A heartbeat was heard.
    HeartbeatAckRequest(HeartbeatAck),
    /// Tasks that run here and are not in the manifest.
    TaskStopVerificationMessage(StopVerification),
}

/// See `ToAgent::PayloadMessage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payload {
    /// The cluster of the instance.
    pub cluster_arn: String,
    /// The instance.
    pub container_instance_arn: String,
    /// Repeated when the payload is sent again.
    pub message_id: String,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// Only grows.
    pub seq_num: i64,
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// See `ToAgent::HeartbeatMessage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// True.
    pub healthy: bool,
    /// To be said back.
    pub message_id: String,
}

/// See `ToAgent::TaskManifestMessage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    /// The cluster of the instance.
    pub cluster_arn: String,
    /// The instance.
    pub container_instance_arn: String,
    /// To be said back.
    pub message_id: String,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// Greater than any sequence number before.
    pub timeline: i64,
    /// The tasks.
    pub tasks: Vec<TaskIdentifier>,
}

/// A task by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskIdentifier {
    /// The task.
    pub task_arn: String,
    /// Its cluster.
    pub task_cluster_arn: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
}

/// See `ToAgent::TaskStopVerificationAck`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopVerificationAck {
    /// The manifest's.
    pub message_id: String,
    /// Milliseconds since the epoch.
    pub generated_at: i64,
    /// The tasks to stop.
    pub stop_tasks: Vec<TaskIdentifier>,
}

/// See `ToControl::AckRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ack {
    /// As the agent was configured.
    pub cluster: String,
    /// The instance.
    pub container_instance: String,
    /// Of what is acknowledged.
    pub message_id: String,
}

/// See `ToControl::HeartbeatAckRequest`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatAck {
    /// The heartbeat's.
    pub message_id: String,
}

/// See `ToControl::TaskStopVerificationMessage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StopVerification {
    /// The manifest's.
    pub message_id: String,
    /// The candidates.
    pub stop_candidates: Vec<TaskIdentifier>,
}

/// A task as an agent runs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// Its cluster's.
    pub task_cluster_arn: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// The family of its definition.
    pub family: String,
    /// The revision, as text.
    pub version: String,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Always "{}": overrides are merged before.
    pub overrides: String,
    /// `awsvpc`, `bridge` …
    pub network_mode: String,
    /// Hard limit in vCPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Hard limit in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// `EC2`, `FARGATE`, `EXTERNAL`.
    pub launch_type: String,
    /// Its group.
    pub group: String,
    /// Its interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    /// What is there for one of its containers only: its GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<crate::association::Association>,
    /// What its containers may mount.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// What only Gantry's node reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gantry: Option<GantryTask>,
}

/// What of a task stock messages cannot say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GantryTask {
    /// It cannot be started, for this reason: nothing is done for it but to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElasticNetworkInterface {
    /// The attachment that carries it.
    pub attachment_arn: String,
    /// `eni-…`.
    pub ec2_id: String,
    /// `02:…`.
    pub mac_address: String,
    /// Its addresses.
    pub ipv4_addresses: Vec<Ipv4Address>,
    /// The gateway with the subnet's prefix: `172.31.0.1/20`.
    pub subnet_gateway_ipv4_address: String,
    /// Resolvers.
    pub domain_name_servers: Vec<String>,
    /// Search domains.
    pub domain_name: Vec<String>,
    /// Its name.
    pub private_dns_name: String,
    /// What only Gantry's node reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gantry: Option<GantryInterface>,
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv4Address {
    /// The address.
    pub private_address: String,
    /// The main one.
    pub primary: bool,
}

/// The VPC of an interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GantryInterface {
    /// `vpc-…`.
    pub vpc_id: String,
    /// `172.31.0.0/16`.
    pub vpc_cidr: String,
}

/// A container as an agent runs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image, as the definition says it.
    pub image: String,
    /// The task stops when it does.
    pub essential: bool,
    /// CPU shares.
    pub cpu: i64,
    /// Hard limit in MiB; 0: none.
    pub memory: i64,
    /// Replaces the image's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Replaces the image's entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Merged with the overrides.
    pub environment: BTreeMap<String, String>,
    /// Always "{}": overrides are merged before.
    pub overrides: String,
    /// Its ports, and those of the host that lead to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    /// Seconds between the stop signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Seconds that others wait for what they await of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<i64>,
    /// What must be true of others before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// `docker`: its `Config` has a health check that is to be run and reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_type: Option<String>,
    /// Whether it is started again when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Volumes it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// Containers whose volumes it sees too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<VolumeFrom>,
    /// What goes to Docker as it is.
    pub docker_config: DockerConfig,
    /// Its ARN.
    pub container_arn: String,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    /// Inside.
    pub container_port: u16,
    /// On the host; 0: any that is free.
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// See `Container::depends_on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependency {
    /// The other container.
    pub container_name: String,
    /// `START`, `COMPLETE`, `SUCCESS`, `HEALTHY`.
    pub condition: String,
}

/// See `Container::restart_policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartPolicy {
    /// It acts.
    pub enabled: bool,
    /// Exit codes after which it stays as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds that it must have run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_attempt_period: Option<i64>,
}

/// JSON text in the shapes of the Docker Engine API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    /// The API version to create with.
    pub version: String,
    /// A `Config`.
    pub config: String,
    /// A `HostConfig`.
    pub host_config: String,
}

/// The members of Docker's `Config` that we write and read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the process starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The signal that asks it to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How it is told whether it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
}

/// Docker's `Healthcheck`; times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `CMD` and a program with its arguments, or `CMD-SHELL` and a line for the shell.
    pub test: Vec<String>,
    /// Between two runs.
    pub interval: i64,
    /// How long a run may take.
    pub timeout: i64,
    /// How long failures count for nothing.
    pub start_period: i64,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
}

/// The members of Docker's `HostConfig` that we write and read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `bridge`, `host`, `none`; overridden by the agent for awsvpc.
    pub network_mode: String,
    /// Capabilities added.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Everything allowed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Read-only root file system.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub readonly_rootfs: bool,
    /// Soft limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i64>,
    /// Resource limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Addresses of resolvers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// `name:address`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// Size of /dev/shm in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<i64>,
    /// Mount options by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Where its output goes; `None`: as the agent does it for containers that say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
}

/// A log driver and its options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `awslogs`.
    #[serde(rename = "Type")]
    pub driver: String,
    /// As the driver names them.
    pub config: BTreeMap<String, String>,
}

/// A resource limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile` …
    pub name: String,
    /// Soft.
    pub soft: i64,
    /// Hard.
    pub hard: i64,
}

impl ToAgent {
    /// The frame's text.
    pub fn encode(&self) -> String {
        // Our own types always serialise: every map key is text.
        serde_json::to_string(self).expect("a message serialises")
    }

    /// Reads a frame; `None`: a type we do not know, or a body that does not fit it.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl ToControl {
    /// The frame's text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a message serialises")
    }

    /// Reads a frame; `None`: a type we do not know, or a body that does not fit it.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The last part of an ARN: a task's or instance's id.
pub fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The body of a refused handshake, in the form that the public agent reads.
pub fn refusal(kind: &str, message: &str) -> String {
    let mut inner = serde_json::Map::new();
    inner.insert("message".to_owned(), Value::from(message));
    let mut outer = serde_json::Map::new();
    outer.insert("type".to_owned(), Value::from(kind));
    outer.insert("message".to_owned(), Value::Object(inner));
    Value::Object(outer).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_agents_shape() {
        let frame = ToAgent::HeartbeatMessage(Heartbeat { healthy: true, message_id: "m1".into() }).encode();
        assert_eq!(frame, r#"{"type":"HeartbeatMessage","message":{"healthy":true,"messageId":"m1"}}"#);
        let ack = r#"{"message":{"cluster":"c","containerInstance":"i","messageId":"m","new":1},"type":"AckRequest"}"#;
        let ToControl::AckRequest(ack) = ToControl::decode(ack).unwrap() else { panic!("not an ack") };
        assert_eq!(ack.message_id, "m");
        assert_eq!(ToControl::decode(r#"{"type":"NackRequest","message":{}}"#), None);
        assert_eq!(ToControl::decode("{"), None);
    }
}
