//! A change as people read it in the history: what kind, of what, and the words that matter.

use crate::change::Change;
use crate::iam::IamChange;
use crate::parameter::ParameterChange;
use crate::secret::SecretChange;

/// One change, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The kind of change, `TaskReported`.
    pub kind: &'static str,
    /// What it happened to: an id or a name.
    pub subject: String,
    /// What is worth saying beside; may be empty.
    pub detail: String,
}

/// Tells a change.
pub fn told(change: &Change) -> Told {
    let (kind, subject, detail) = match change {
        Change::Opened(meta) => ("Opened", meta.account.to_string(), format!("{} {}", meta.region, meta.vpc.cidr())),
        Change::ClusterCreated(cluster) => ("ClusterCreated", cluster.name.to_string(), String::new()),
        Change::ClusterUpdated(cluster) => ("ClusterUpdated", cluster.name.to_string(), String::new()),
        Change::CapacityProviderPut(provider) => {
            let shown = if provider.active { "ACTIVE" } else { "INACTIVE" };
            ("CapacityProviderPut", provider.name.to_string(), shown.to_owned())
        }
        Change::ClusterDeleted(id) => ("ClusterDeleted", id.0.to_string(), String::new()),
        Change::TaskDefinitionRegistered { family, definition } => {
            ("TaskDefinitionRegistered", format!("{family}:{}", definition.id.revision), String::new())
        }
        Change::TaskDefinitionDeregistered { id, .. } => {
            ("TaskDefinitionDeregistered", format!("{}:{}", id.family.0, id.revision), String::new())
        }
        Change::TaskDefinitionDeleteRequested { id, .. } => {
            ("TaskDefinitionDeleteRequested", format!("{}:{}", id.family.0, id.revision), String::new())
        }
        Change::TaskDefinitionForgotten(id) => {
            ("TaskDefinitionForgotten", format!("{}:{}", id.family.0, id.revision), String::new())
        }
        Change::DaemonDefinitionPut(definition) => {
            let subject = format!("{}:{}", definition.family, definition.revision);
            ("DaemonDefinitionPut", subject, definition.status().as_str().to_owned())
        }
        Change::AccountSettingPut(setting) => {
            ("AccountSettingPut", setting.name.to_string(), format!("{} for {}", setting.value, setting.principal))
        }
        Change::AccountSettingDeleted { principal, name } => {
            ("AccountSettingDeleted", name.to_string(), principal.to_string())
        }
        Change::InstanceRegistered(instance) => ("InstanceRegistered", instance.id.to_string(), String::new()),
        Change::InstanceConnection { id, connected, .. } => {
            ("InstanceConnection", id.to_string(), if *connected { "connected" } else { "disconnected" }.to_owned())
        }
        Change::InstanceAttributes { id, attributes } => {
            let custom = attributes.iter().filter(|attribute| attribute.is_custom());
            let shown =
                custom.map(|a| a.value.as_deref().map_or(a.name.to_string(), |value| format!("{}={value}", a.name)));
            ("InstanceAttributes", id.to_string(), shown.collect::<Vec<_>>().join(" "))
        }
        Change::InstanceStatus { id, status } => ("InstanceStatus", id.to_string(), status.as_str().to_owned()),
        Change::InstanceDeregistered(id) => ("InstanceDeregistered", id.to_string(), String::new()),
        Change::ServiceCreated(service) => ("ServiceCreated", service.name.to_string(), service_detail(service)),
        Change::ServiceUpdated(service) => ("ServiceUpdated", service.name.to_string(), service_detail(service)),
        Change::ServiceSaid(event) => ("ServiceSaid", event.service.0.to_string(), event.message.to_string()),
        Change::ServiceRevisionCreated(revision) => {
            ("ServiceRevisionCreated", revision.service.0.to_string(), revision.number.to_string())
        }
        Change::ServiceRevisionResolved { service, images, .. } => {
            let words = images.iter().map(|image| format!("{} {}", image.container, image.digest));
            ("ServiceRevisionResolved", service.0.to_string(), words.collect::<Vec<_>>().join(", "))
        }
        Change::ServiceDeploymentCreated(deployment) => {
            ("ServiceDeploymentCreated", deployment.id.to_string(), deployment_detail(deployment))
        }
        Change::ServiceDeploymentUpdated(deployment) => {
            ("ServiceDeploymentUpdated", deployment.id.to_string(), deployment_detail(deployment))
        }
        Change::ServiceForgotten(id) => ("ServiceForgotten", id.0.to_string(), String::new()),
        Change::TaskAccepted(task) => {
            let place = task.instance.map_or_else(|| "no instance".to_owned(), |instance| instance.to_string());
            ("TaskAccepted", task.id.to_string(), format!("on {place}"))
        }
        Change::TaskPlaced { id, instance, .. } => ("TaskPlaced", id.to_string(), format!("on {instance}")),
        Change::TaskWaits { id, code, detail, .. } => ("TaskWaits", id.to_string(), format!("{code}: {detail}")),
        Change::TaskProtected { id, until } => ("TaskProtected", id.to_string(), format!("until {until}")),
        Change::TagsPut { on, tags } => ("TagsPut", format!("{on:?}"), format!("{} tags", tags.len())),
        Change::TaskStopWanted { id, stop, .. } => {
            ("TaskStopWanted", id.to_string(), format!("{}: {}", stop.code.as_str(), stop.reason))
        }
        Change::TaskReported { id, report, .. } => {
            let status = report.status.map(|status| status.as_str().to_owned());
            let words = [status, report.reason.as_deref().map(str::to_owned)];
            let ends = report.containers.iter().filter_map(|container| {
                let code = container.exit_code.map(|code| format!("exit {code}"));
                let reason = container.reason.as_deref().map(str::to_owned);
                code.or(reason).map(|end| format!("{} {end}", container.name))
            });
            ("TaskReported", id.to_string(), words.into_iter().flatten().chain(ends).collect::<Vec<_>>().join(", "))
        }
        Change::TaskHealthReported { id, health } => {
            let words = health.iter().map(|(container, health)| format!("{container} {}", health.as_str()));
            ("TaskHealthReported", id.to_string(), words.collect::<Vec<_>>().join(", "))
        }
        Change::TaskHostLost { id, reason, .. } => ("TaskHostLost", id.to_string(), reason.to_string()),
        Change::TaskForgotten(id) => ("TaskForgotten", id.to_string(), String::new()),
        Change::LogGroupCreated(group) => ("LogGroupCreated", group.name.to_string(), group.id.to_string()),
        Change::LogGroupRetention { id, days } => {
            let kept = days.map_or_else(|| "kept for ever".to_owned(), |days| format!("kept {days} days"));
            ("LogGroupRetention", id.to_string(), kept)
        }
        Change::LogGroupDeleted(id) => ("LogGroupDeleted", id.to_string(), String::new()),
        Change::Iam(change) => {
            let (kind, name) = told_of_iam(change);
            (kind, name.to_owned(), String::new())
        }
        Change::Parameter(change) => match change {
            ParameterChange::Put(version) => ("ParameterPut", version.name.to_string(), version.number.to_string()),
            ParameterChange::Deleted(name) => ("ParameterDeleted", name.to_string(), String::new()),
            ParameterChange::Tagged(name, tags) => {
                ("ParameterTagged", name.to_string(), format!("{} tags", tags.len()))
            }
        },
        Change::Secret(change) => match change {
            SecretChange::Put(secret) => {
                let shown = if secret.deleted.is_some() { "to be deleted" } else { "" };
                ("SecretPut", secret.name.to_string(), shown.to_owned())
            }
            SecretChange::VersionPut(version) => ("SecretVersionPut", version.name.to_string(), version.id.to_string()),
            SecretChange::Deleted(name) => ("SecretDeleted", name.to_string(), String::new()),
        },
        Change::ClientTokenUsed(token) => ("ClientTokenUsed", token.token.to_string(), String::new()),
        Change::ClientTokenLapsed { token, .. } => ("ClientTokenLapsed", token.to_string(), String::new()),
    };
    Told { kind, subject, detail }
}

fn told_of_iam(change: &IamChange) -> (&'static str, &str) {
    match change {
        IamChange::RolePut(role) => ("RolePut", &role.name),
        IamChange::RoleDeleted(name) => ("RoleDeleted", name),
        IamChange::PolicyPut(policy) => ("PolicyPut", &policy.name),
        IamChange::PolicyDeleted(name) => ("PolicyDeleted", name),
        IamChange::InstanceProfilePut(profile) => ("InstanceProfilePut", &profile.name),
        IamChange::InstanceProfileDeleted(name) => ("InstanceProfileDeleted", name),
    }
}

/// How many tasks it wants, and where it stands.
fn service_detail(service: &crate::Service) -> String {
    format!("{} wanted {}", service.status.as_str(), service.desired)
}

fn deployment_detail(deployment: &crate::ServiceDeployment) -> String {
    let reason = deployment.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}{reason}", deployment.status.as_str())
}
