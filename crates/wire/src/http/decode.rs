//! Reads the content of a request whose operation is known.

use std::borrow::Cow;

use super::{Call, HttpRequest, Operation, Protocol, Target};
use crate::cbor;
use crate::fault::Fault;
use crate::query::Params;
use crate::{ec2, ecs, gantry, iam, logs, secretsmanager, ssm, sts, tagging};

/// Reads and checks the request.
pub fn decode(request: &HttpRequest<'_>, target: Target) -> Result<Call, Fault> {
    match target.operation {
        Operation::Ecs(operation) => ecs::Request::decode(operation, request.body).map(Call::Ecs),
        Operation::Logs(operation) => logs::Request::decode(operation, request.body).map(Call::Logs),
        Operation::Gantry(operation) => gantry::Request::decode(operation, request.body).map(Call::Gantry),
        Operation::Ssm(operation) => {
            ssm::Request::decode(operation, request.body).map(Call::Ssm).map_err(Fault::in_ssm)
        }
        Operation::SecretsManager(operation) => {
            secretsmanager::Request::decode(operation, request.body).map(Call::SecretsManager)
        }
        Operation::Tagging(operation) => {
            let body = match target.protocol {
                Protocol::Cbor => cbor::read(request.body)?.to_string().into_bytes().into(),
                _ => Cow::Borrowed(request.body),
            };
            tagging::Request::decode(operation, &body).map(Call::Tagging)
        }
        Operation::Iam(operation) => iam::Request::decode(operation, &form(request)).map(Call::Iam),
        Operation::Sts(operation) => sts::Request::decode(operation, &form(request)).map(Call::Sts),
        Operation::Ec2(operation) => ec2::Request::decode(operation, &form(request)).map(Call::Ec2),
    }
}

/// The parameters of a query request: of the body, and of the address where the body has none.
pub(super) fn form(request: &HttpRequest<'_>) -> Params {
    let mut params = Params::parse(&String::from_utf8_lossy(request.body));
    params.add(request.query);
    params
}
