//! ARNs: made when something is shown, parsed when something is named; never stored.
//!
//! Forms are those of the public service authorization reference for Amazon ECS. Inputs accept a bare name or id, the
//! short ARN of old accounts and the long ARN.

use crate::ids::{InstanceId, TaskId};
use std::fmt::Write;

/// What every ARN of a deployment begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `us-east-1`.
    pub region: &'a str,
    /// Twelve digits.
    pub account: &'a str,
}

/// A parsed ARN, still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `ecs`.
    pub service: &'a str,
    /// `us-east-1`.
    pub region: &'a str,
    /// Twelve digits.
    pub account: &'a str,
    /// What follows the fifth colon: `cluster/default`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits `arn:aws:service:region:account:resource`; any partition is taken.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, _partition) = (parts.next()?, parts.next()?);
        let (service, region, account) = (parts.next()?, parts.next()?, parts.next()?);
        let resource = parts.next()?;
        (arn == "arn").then_some(Self { service, region, account, resource })
    }
}

impl Scope<'_> {
    fn ecs(&self, resource: std::fmt::Arguments<'_>) -> String {
        // Long enough for most, so that it is not moved as it grows: a hundred tasks have a thousand ARNs.
        let mut arn = String::with_capacity(160);
        for part in ["arn:aws:ecs:", self.region, ":", self.account, ":"] {
            arn.push_str(part);
        }
        // Writing to a String cannot fail.
        let _ = arn.write_fmt(resource);
        arn
    }

    /// `cluster/<name>`.
    pub fn cluster(&self, name: &str) -> String {
        self.ecs(format_args!("cluster/{name}"))
    }

    /// `task/<cluster>/<id>`.
    pub fn task(&self, cluster: &str, id: TaskId) -> String {
        self.ecs(format_args!("task/{cluster}/{id}"))
    }

    /// `service/<cluster>/<name>`.
    pub fn service(&self, cluster: &str, name: &str) -> String {
        self.ecs(format_args!("service/{cluster}/{name}"))
    }

    /// `service-deployment/<cluster>/<service>/<id>`.
    pub fn service_deployment(&self, cluster: &str, service: &str, id: &str) -> String {
        self.ecs(format_args!("service-deployment/{cluster}/{service}/{id}"))
    }

    /// `service-revision/<cluster>/<service>/<19 digits>`.
    pub fn service_revision(&self, cluster: &str, service: &str, number: u64) -> String {
        self.ecs(format_args!("service-revision/{cluster}/{service}/{number:019}"))
    }

    /// `task-set/<cluster>/<service>/ecs-svc/<19 digits>`.
    pub fn task_set(&self, cluster: &str, service: &str, number: u64) -> String {
        self.ecs(format_args!("task-set/{cluster}/{service}/{}", crate::service::deployment_id(number)))
    }

    /// `container/<cluster>/<task>/<uuid>`.
    pub fn container(&self, cluster: &str, task: TaskId, uuid: &str) -> String {
        self.ecs(format_args!("container/{cluster}/{task}/{uuid}"))
    }

    /// `container-instance/<cluster>/<id>`.
    pub fn instance(&self, cluster: &str, id: InstanceId) -> String {
        self.ecs(format_args!("container-instance/{cluster}/{id}"))
    }

    /// `task-definition/<family>:<revision>`.
    pub fn task_definition(&self, family: &str, revision: u32) -> String {
        self.ecs(format_args!("task-definition/{family}:{revision}"))
    }

    /// `daemon-task-definition/<family>:<revision>`.
    pub fn daemon_definition(&self, family: &str, revision: u32) -> String {
        self.ecs(format_args!("daemon-task-definition/{family}:{revision}"))
    }

    /// `capacity-provider/<name>`.
    pub fn capacity_provider(&self, name: &str) -> String {
        self.ecs(format_args!("capacity-provider/{name}"))
    }

    /// `attachment/<uuid>`.
    pub fn attachment(&self, uuid: &str) -> String {
        self.ecs(format_args!("attachment/{uuid}"))
    }

    /// `arn:aws:logs:…:log-group:<name>`, to which AWS adds `:*` where it means the streams too.
    pub fn log_group(&self, name: &str) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{name}", self.region, self.account)
    }

    /// `arn:aws:iam::<account>:<kind><path><name>`: a role, a policy or an instance profile.
    pub fn iam(&self, kind: &str, path: &str, name: &str) -> String {
        format!("arn:aws:iam::{}:{kind}{path}{name}", self.account)
    }

    /// `arn:aws:ssm:…:parameter/<name>`; a name that begins with `/` stands there as it is.
    pub fn parameter(&self, name: &str) -> String {
        let name = name.strip_prefix('/').unwrap_or(name);
        format!("arn:aws:ssm:{}:{}:parameter/{name}", self.region, self.account)
    }

    /// `arn:aws:secretsmanager:…:secret:<name>-<six characters>`.
    pub fn secret(&self, name: &str, suffix: &str) -> String {
        format!("arn:aws:secretsmanager:{}:{}:secret:{name}-{suffix}", self.region, self.account)
    }

    /// `arn:aws:iam::<account>:root`, the operator.
    pub fn root(&self) -> String {
        format!("arn:aws:iam::{}:root", self.account)
    }

    /// The resource path of `text` when it is an ECS ARN of this deployment; the text itself when it is no ARN.
    /// `Err` tells what does not match.
    pub fn resource<'t>(&self, text: &'t str) -> Result<Named<'t>, ForeignArn> {
        if !text.starts_with("arn:") {
            return Ok(Named::Bare(text));
        }
        let arn = Arn::parse(text).ok_or(ForeignArn::Malformed)?;
        match () {
            () if arn.service != "ecs" => Err(ForeignArn::Service),
            () if arn.region != self.region => Err(ForeignArn::Region),
            () if arn.account != self.account => Err(ForeignArn::Account),
            () => Ok(Named::Resource(arn.resource)),
        }
    }
}

/// How a caller named a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A name or an id.
    Bare(&'a str),
    /// The resource part of an ARN: `task/default/…`.
    Resource(&'a str),
}

impl<'a> Named<'a> {
    /// The path below `kind/` (`task`, `cluster` …), or the bare text. `None`: an ARN of another kind.
    pub fn of_kind(self, kind: &str) -> Option<&'a str> {
        match self {
            Self::Bare(text) => Some(text),
            Self::Resource(path) => path.strip_prefix(kind)?.strip_prefix('/'),
        }
    }
}

/// Why an ARN does not name anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignArn {
    /// Not six parts.
    Malformed,
    /// Not `ecs`.
    Service,
    /// Another region.
    Region,
    /// Another account.
    Account,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Scope<'static> = Scope { region: "us-east-1", account: "000000000000" };

    #[test]
    fn names_and_arns_meet() {
        let arn = HERE.cluster("blue");
        assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:cluster/blue");
        assert_eq!(HERE.resource(&arn).unwrap().of_kind("cluster"), Some("blue"));
        assert_eq!(HERE.resource("blue").unwrap().of_kind("cluster"), Some("blue"));
        assert_eq!(HERE.resource(&arn).unwrap().of_kind("task"), None);
    }

    #[test]
    fn foreign_arns_say_what_is_foreign() {
        let refused = |arn| HERE.resource(arn).unwrap_err();
        assert_eq!(refused("arn:aws:ecs:eu-west-1:000000000000:cluster/x"), ForeignArn::Region);
        assert_eq!(refused("arn:aws:ecs:us-east-1:111111111111:cluster/x"), ForeignArn::Account);
        assert_eq!(refused("arn:aws:ec2:us-east-1:000000000000:cluster/x"), ForeignArn::Service);
        assert_eq!(refused("arn:aws"), ForeignArn::Malformed);
    }
}
