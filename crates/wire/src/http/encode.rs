//! Writes answers and faults. Every answer carries the request's id, in the header and, where the protocol wants it, in the body.

use super::route::RPC_V2_CBOR;
use super::{Answer, HttpResponse, Protocol, adapt};
use crate::fault::Fault;
use crate::json::{JsonWriter, ToJson};
use crate::xml::XmlWriter;
use crate::{ec2, iam, sts};

/// Writes an answer, or a fault in the protocol's words.
pub fn encode(protocol: Protocol, answer: Result<Answer, Fault>, request_id: &str) -> HttpResponse {
    match answer {
        Ok(Answer::Ecs(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::Logs(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::Gantry(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::Ssm(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::SecretsManager(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::Tagging(response)) if protocol == Protocol::Cbor => cbor(200, &response.to_json(), request_id),
        Ok(Answer::Tagging(response)) => json(200, response.to_json(), request_id),
        Ok(Answer::Iam(response)) => {
            let name = response.operation().name();
            xml(200, query_answer(name, iam::NAMESPACE, request_id, |out| response.write_xml(out)), request_id)
        }
        Ok(Answer::Sts(response)) => {
            let name = response.operation().name();
            xml(200, query_answer(name, sts::NAMESPACE, request_id, |out| response.write_xml(out)), request_id)
        }
        Ok(Answer::Ec2(response)) => xml(200, ec2_answer(&response, request_id), request_id),
        Err(fault) => {
            let fault = adapt(protocol, fault);
            match protocol {
                Protocol::Json11 => json(fault.status, json_fault(&fault), request_id),
                Protocol::Cbor => cbor(fault.status, &json_fault(&fault), request_id),
                Protocol::Query => xml(fault.status, query_fault(&fault, request_id), request_id),
                Protocol::Ec2Query => xml(fault.status, ec2_fault(&fault, request_id), request_id),
            }
        }
    }
}

fn json(status: u16, body: String, request_id: &str) -> HttpResponse {
    response(status, "application/x-amz-json-1.1", body.into_bytes(), request_id)
}

/// What is written as JSON, in CBOR.
fn cbor(status: u16, json: &str, request_id: &str) -> HttpResponse {
    // Our own writer's text is JSON.
    let value = serde_json::from_str(json).unwrap_or_default();
    let mut answer = response(status, "application/cbor", crate::cbor::written(&value), request_id);
    answer.headers.push(("smithy-protocol", RPC_V2_CBOR.to_owned()));
    answer
}

fn xml(status: u16, body: XmlWriter, request_id: &str) -> HttpResponse {
    response(status, "text/xml;charset=UTF-8", body.finish(), request_id)
}

fn response(status: u16, kind: &str, body: Vec<u8>, request_id: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("content-type", kind.to_owned()), ("x-amzn-requestid", request_id.to_owned())],
        body,
    }
}

fn json_fault(fault: &Fault) -> String {
    let mut out = JsonWriter::new();
    out.open_object();
    out.key("__type");
    out.string(&fault.code);
    out.key("message");
    out.string(&fault.message);
    for (name, value) in &fault.members {
        out.key(name);
        value.write_json(&mut out);
    }
    out.close_object();
    out.finish()
}

fn query_answer(name: &str, namespace: &str, request_id: &str, content: impl FnOnce(&mut XmlWriter)) -> XmlWriter {
    let mut out = XmlWriter::with_items("member");
    out.root(&format!("{name}Response"), namespace, |out| {
        out.element(&format!("{name}Result"), content);
        out.element("ResponseMetadata", |out| out.text_element("RequestId", request_id));
    });
    out
}

/// Clients read a fault by its elements; which of the query services' namespaces it stands in says nothing.
fn query_fault(fault: &Fault, request_id: &str) -> XmlWriter {
    let to_blame = if fault.is_server_side() { "Receiver" } else { "Sender" };
    let mut out = XmlWriter::new();
    out.root("ErrorResponse", sts::NAMESPACE, |out| {
        out.element("Error", |out| {
            out.text_element("Type", to_blame);
            out.text_element("Code", &fault.code);
            out.text_element("Message", &fault.message);
        });
        out.text_element("RequestId", request_id);
    });
    out
}

fn ec2_answer(response: &ec2::Response, request_id: &str) -> XmlWriter {
    let name = response.operation().name();
    let mut out = XmlWriter::new();
    out.root(&format!("{name}Response"), ec2::NAMESPACE, |out| {
        out.text_element("requestId", request_id);
        response.write_xml(out);
    });
    out
}

fn ec2_fault(fault: &Fault, request_id: &str) -> XmlWriter {
    let mut out = XmlWriter::new();
    out.element("Response", |out| {
        out.element("Errors", |out| {
            out.element("Error", |out| {
                out.text_element("Code", &fault.code);
                out.text_element("Message", &fault.message);
            });
        });
        out.text_element("RequestID", request_id);
    });
    out
}
