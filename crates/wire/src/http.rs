//! The AWS protocols as plain values: which operation a request asks for, what it says, and how an answer looks. No sockets, no
//! HTTP library, and no check of signatures (see [`crate::sigv4`]).

mod adapt;
mod decode;
mod encode;
mod route;

use std::borrow::Cow;

use crate::{ec2, ecs, gantry, iam, logs, secretsmanager, ssm, sts, tagging};

pub use adapt::adapt;
pub use decode::decode;
pub use encode::encode;
pub use route::route;

/// The longest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest body of PutLogEvents: a mebibyte of events, every character of it escaped, and what stands around them.
pub const LOG_BODY_BYTES_MAX: usize = 7 * 1024 * 1024;

/// The longest body for the operation that `X-Amz-Target` names.
pub fn body_bytes_max(target: Option<&str>) -> usize {
    let events = logs::Operation::PutLogEvents.target();
    if target == Some(events) { LOG_BODY_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// A header: its name in lower case, and its value.
pub type Header<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path, still encoded as it was sent.
    pub path: &'a str,
    /// What follows `?`, still encoded as it was sent.
    pub query: &'a str,
    /// The headers in the order sent; their names in lower case.
    pub headers: &'a [Header<'a>],
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> HttpRequest<'a> {
    /// The first header of that name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }
}

/// An answer as it goes out. The names of headers are in lower case.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, without those of the connection.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A service that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Elastic Container Service.
    Ecs,
    /// Security Token Service.
    Sts,
    /// The few words of EC2 that clients of ECS need.
    Ec2,
    /// CloudWatch Logs.
    Logs,
    /// Identity and Access Management.
    Iam,
    /// The parameters of Systems Manager.
    Ssm,
    /// Secrets Manager.
    SecretsManager,
    /// The Resource Groups Tagging API.
    Tagging,
    /// What Gantry itself adds.
    Gantry,
}

impl Service {
    /// Whether requests are signed for us-east-1, wherever a deployment is.
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Iam)
    }

    /// The name in a signature's scope.
    pub const fn signing_name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Sts => "sts",
            Self::Ec2 => "ec2",
            Self::Logs => "logs",
            Self::Iam => "iam",
            Self::Ssm => "ssm",
            Self::SecretsManager => "secretsmanager",
            Self::Tagging => "tagging",
            Self::Gantry => "gantry",
        }
    }
}

/// How a request is written, and so how its answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1.
    Json11,
    /// CBOR of Smithy's RPC v2, which the address names the operation in.
    Cbor,
    /// AWS query, as STS and IAM speak it.
    Query,
    /// EC2's dialect of query.
    Ec2Query,
}

/// An operation of one of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Of ECS.
    Ecs(ecs::Operation),
    /// Of STS.
    Sts(sts::Operation),
    /// Of EC2.
    Ec2(ec2::Operation),
    /// Of CloudWatch Logs.
    Logs(logs::Operation),
    /// Of Identity and Access Management.
    Iam(iam::Operation),
    /// Of the parameters of Systems Manager.
    Ssm(ssm::Operation),
    /// Of Secrets Manager.
    SecretsManager(secretsmanager::Operation),
    /// Of the Resource Groups Tagging API.
    Tagging(tagging::Operation),
    /// Of Gantry.
    Gantry(gantry::Operation),
}

impl Operation {
    /// The service it belongs to.
    pub const fn service(self) -> Service {
        match self {
            Self::Ecs(_) => Service::Ecs,
            Self::Sts(_) => Service::Sts,
            Self::Ec2(_) => Service::Ec2,
            Self::Logs(_) => Service::Logs,
            Self::Iam(_) => Service::Iam,
            Self::Ssm(_) => Service::Ssm,
            Self::SecretsManager(_) => Service::SecretsManager,
            Self::Tagging(_) => Service::Tagging,
            Self::Gantry(_) => Service::Gantry,
        }
    }

    /// The protocol of its service; what is asked in another one is answered in that.
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Ecs(_) | Self::Logs(_) | Self::Gantry(_) => Protocol::Json11,
            Self::Ssm(_) | Self::SecretsManager(_) | Self::Tagging(_) => Protocol::Json11,
            Self::Sts(_) | Self::Iam(_) => Protocol::Query,
            Self::Ec2(_) => Protocol::Ec2Query,
        }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs(operation) => operation.name(),
            Self::Sts(operation) => operation.name(),
            Self::Ec2(operation) => operation.name(),
            Self::Logs(operation) => operation.name(),
            Self::Iam(operation) => operation.name(),
            Self::Ssm(operation) => operation.name(),
            Self::SecretsManager(operation) => operation.name(),
            Self::Tagging(operation) => operation.name(),
            Self::Gantry(operation) => operation.name(),
        }
    }

    /// The name with its service, such as `ecs:RunTask`.
    pub const fn full_name(self) -> &'static str {
        match self {
            Self::Ecs(operation) => operation.full_name(),
            Self::Sts(operation) => operation.full_name(),
            Self::Ec2(operation) => operation.full_name(),
            Self::Logs(operation) => operation.full_name(),
            Self::Iam(operation) => operation.full_name(),
            Self::Ssm(operation) => operation.full_name(),
            Self::SecretsManager(operation) => operation.full_name(),
            Self::Tagging(operation) => operation.full_name(),
            Self::Gantry(operation) => operation.full_name(),
        }
    }

    /// Whether it changes nothing.
    pub const fn is_read_only(self) -> bool {
        match self {
            Self::Ecs(operation) => operation.is_read_only(),
            Self::Sts(operation) => operation.is_read_only(),
            Self::Ec2(operation) => operation.is_read_only(),
            Self::Logs(operation) => operation.is_read_only(),
            Self::Iam(operation) => operation.is_read_only(),
            Self::Ssm(operation) => operation.is_read_only(),
            Self::SecretsManager(operation) => operation.is_read_only(),
            Self::Tagging(operation) => operation.is_read_only(),
            Self::Gantry(operation) => operation.is_read_only(),
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service that answers.
    pub service: Service,
    /// The operation of that service.
    pub operation: Operation,
    /// The protocol of request and answer.
    pub protocol: Protocol,
}

impl From<Operation> for Target {
    fn from(operation: Operation) -> Self {
        Self { service: operation.service(), operation, protocol: operation.protocol() }
    }
}

/// A request that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// To ECS.
    Ecs(ecs::Request),
    /// To STS.
    Sts(sts::Request),
    /// To EC2.
    Ec2(ec2::Request),
    /// To CloudWatch Logs.
    Logs(logs::Request),
    /// To Identity and Access Management.
    Iam(iam::Request),
    /// To the parameters of Systems Manager.
    Ssm(ssm::Request),
    /// To Secrets Manager.
    SecretsManager(secretsmanager::Request),
    /// To the Resource Groups Tagging API.
    Tagging(tagging::Request),
    /// To Gantry.
    Gantry(gantry::Request),
}

impl Call {
    /// The operation asked for.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Ecs(request) => Operation::Ecs(request.operation()),
            Self::Sts(request) => Operation::Sts(request.operation()),
            Self::Ec2(request) => Operation::Ec2(request.operation()),
            Self::Logs(request) => Operation::Logs(request.operation()),
            Self::Iam(request) => Operation::Iam(request.operation()),
            Self::Ssm(request) => Operation::Ssm(request.operation()),
            Self::SecretsManager(request) => Operation::SecretsManager(request.operation()),
            Self::Tagging(request) => Operation::Tagging(request.operation()),
            Self::Gantry(request) => Operation::Gantry(request.operation()),
        }
    }

    /// The operation's name with its service, such as `ecs:RunTask`.
    pub const fn name(&self) -> &'static str {
        self.operation().full_name()
    }
}

/// An answer to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// From ECS.
    Ecs(ecs::Response),
    /// From STS.
    Sts(sts::Response),
    /// From EC2.
    Ec2(ec2::Response),
    /// From CloudWatch Logs.
    Logs(logs::Response),
    /// From Identity and Access Management.
    Iam(iam::Response),
    /// From the parameters of Systems Manager.
    Ssm(ssm::Response),
    /// From Secrets Manager.
    SecretsManager(secretsmanager::Response),
    /// From the Resource Groups Tagging API.
    Tagging(tagging::Response),
    /// From Gantry.
    Gantry(gantry::Response),
}
