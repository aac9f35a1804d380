//! Which operation a request asks for. JSON services say it in a header, the query services in the form. Nothing of the
//! request's content is read here, and whatever came in, the caller can answer it: a refusal names the protocol to answer in.

use super::decode::form;
use super::{HttpRequest, Operation, Protocol, Service, Target, body_bytes_max};
use crate::fault::Fault;
use crate::{ec2, ecs, gantry, iam, logs, secretsmanager, ssm, sts, tagging};

/// What the header `smithy-protocol` says in both directions.
pub(super) const RPC_V2_CBOR: &str = "rpc-v2-cbor";

/// Finds the operation; a refusal comes with the protocol to answer in.
pub fn route(request: &HttpRequest<'_>) -> Result<Target, (Protocol, Fault)> {
    if request.header("smithy-protocol") == Some(RPC_V2_CBOR) {
        let operation = check_size(request).and_then(|()| rpc_operation(request));
        let target = |operation: Operation| Target { protocol: Protocol::Cbor, ..operation.into() };
        return operation.map(target).map_err(|fault| (Protocol::Cbor, fault));
    }
    let target = request.header("x-amz-target");
    let protocol = match target {
        Some(_) => Protocol::Json11,
        None => likely_protocol(request),
    };
    let found = check_frame(request).and_then(|()| match target {
        Some(target) => json_operation(target),
        None if protocol == Protocol::Json11 => Err(no_such_page()),
        None => query_operation(request, protocol),
    });
    found.map(Target::from).map_err(|fault| (protocol, fault))
}

fn check_size(request: &HttpRequest<'_>) -> Result<(), Fault> {
    let longest = body_bytes_max(request.header("x-amz-target"));
    if request.body.len() > longest {
        let message = format!("Request must be smaller than {longest} bytes");
        return Err(Fault::new("RequestEntityTooLargeException", 413, message));
    }
    Ok(())
}

/// The operation in the address `/service/<service>/operation/<operation>`.
fn rpc_operation(request: &HttpRequest<'_>) -> Result<Operation, Fault> {
    let named = request.path.strip_prefix("/service/").and_then(|rest| rest.split_once("/operation/"));
    let (service, name) = named.filter(|_| request.method == "POST").ok_or_else(no_such_page)?;
    let operation = match service {
        tagging::TARGET_PREFIX => tagging::Operation::from_name(name).map(Operation::Tagging),
        _ => None,
    };
    operation.ok_or_else(|| Fault::unknown_operation(&format!("{service}.{name}")))
}

/// What every other protocol demands before its operation is looked at.
fn check_frame(request: &HttpRequest<'_>) -> Result<(), Fault> {
    check_size(request)?;
    let json = request.header("x-amz-target").is_some();
    let method_known = request.method == "POST" || (request.method == "GET" && !json);
    if !method_known || !matches!(request.path, "/" | "") {
        return Err(no_such_page());
    }
    Ok(())
}

fn no_such_page() -> Fault {
    let message = "Requests to this service are POST / with the header X-Amz-Target.";
    Fault::new("UnknownOperationException", 404, message)
}

fn json_operation(target: &str) -> Result<Operation, Fault> {
    let unknown = || Fault::unknown_operation(target);
    let (prefix, name) = target.rsplit_once('.').ok_or_else(unknown)?;
    let operation = match prefix {
        ecs::TARGET_PREFIX => ecs::Operation::from_name(name).map(Operation::Ecs),
        logs::TARGET_PREFIX => logs::Operation::from_name(name).map(Operation::Logs),
        ssm::TARGET_PREFIX => ssm::Operation::from_name(name).map(Operation::Ssm),
        secretsmanager::TARGET_PREFIX => secretsmanager::Operation::from_name(name).map(Operation::SecretsManager),
        tagging::TARGET_PREFIX => tagging::Operation::from_name(name).map(Operation::Tagging),
        gantry::TARGET_PREFIX => gantry::Operation::from_name(name).map(Operation::Gantry),
        _ => None,
    };
    operation.ok_or_else(unknown)
}

/// The protocol of a request without a target: that of the service it is signed for, else of the version it names.
fn likely_protocol(request: &HttpRequest<'_>) -> Protocol {
    match signed_service(request) {
        Some("ec2") => return Protocol::Ec2Query,
        Some("sts" | "iam") => return Protocol::Query,
        _ => {}
    }
    let is_form =
        request.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form && !request.query.contains("Action=") {
        return Protocol::Json11;
    }
    let params = form(request);
    let of_ec2 = params.get("Version") == Some(ec2::VERSION)
        || params.get("Action").is_some_and(|name| ec2::Operation::from_name(name).is_some());
    if of_ec2 { Protocol::Ec2Query } else { Protocol::Query }
}

/// The service in the scope of the request's signature, which is not verified here.
fn signed_service<'a>(request: &HttpRequest<'a>) -> Option<&'a str> {
    let authorization = request.header("authorization")?;
    let (_, rest) = authorization.split_once("Credential=")?;
    rest.split([',', ' ']).next()?.split('/').nth(3)
}

fn query_operation(request: &HttpRequest<'_>, protocol: Protocol) -> Result<Operation, Fault> {
    let params = form(request);
    let Some(name) = params.get("Action") else {
        let message = "The request must contain the parameter Action";
        return Err(Fault::new("MissingAction", 400, message));
    };
    let of_iam = match signed_service(request) {
        Some(service) => service == "iam",
        None => params.get("Version") == Some(iam::VERSION),
    };
    let service = match protocol {
        Protocol::Ec2Query => Service::Ec2,
        _ if of_iam => Service::Iam,
        _ => Service::Sts,
    };
    let operation = match service {
        Service::Ec2 => ec2::Operation::from_name(name).map(Operation::Ec2),
        Service::Iam => iam::Operation::from_name(name).map(Operation::Iam),
        _ => sts::Operation::from_name(name).map(Operation::Sts),
    };
    operation.ok_or_else(|| Fault::invalid_action(name))
}
