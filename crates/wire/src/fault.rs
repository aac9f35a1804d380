//! Faults: what a caller is told when a request is refused. A fault is the answer itself, never a wrapper of an internal
//! error: whoever makes one has decided that the caller may read it.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// A refused request: code, text and HTTP status as they go out.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The code, for example `ClusterNotFoundException`.
    pub code: Cow<'static, str>,
    /// What a person reads.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// Members beyond the message that the exception's shape has.
    pub members: Vec<(&'static str, Value)>,
}

/// Codes that any operation may answer: of the protocols, of authentication, and of the front of a service.
const COMMON_CODES: [&str; 31] = [
    "AccessDeniedException",
    "AuthFailure",
    "ClientException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InternalError",
    "InternalFailure",
    "InvalidAction",
    "InvalidClientTokenId",
    "InvalidParameterException",
    "InvalidParameterValue",
    "InvalidSignatureException",
    "MalformedQueryString",
    "MissingAction",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "MissingParameter",
    "RequestEntityTooLargeException",
    "RequestExpired",
    "RequestLimitExceeded",
    "SerializationException",
    "ServerException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SignatureDoesNotMatch",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "UnsupportedOperation",
    "ValidationError",
    "ValidationException",
];

impl Fault {
    /// A fault without extra members.
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status, members: Vec::new() }
    }

    /// The same fault with one more member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }

    /// Whether any operation may answer this code, declared or not.
    pub fn is_common(&self) -> bool {
        COMMON_CODES.contains(&self.code.as_ref())
    }

    /// Whether the server, not the caller, is to blame.
    pub fn is_server_side(&self) -> bool {
        self.status >= 500
    }

    /// A request that could not be read: malformed JSON, or a value of the wrong type.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }

    /// A value that was read and is not allowed. The query protocols name it otherwise: see [`Fault::in_query`].
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", 400, message)
    }

    /// A JSON protocol's operation that the service does not have.
    pub fn unknown_operation(name: &str) -> Self {
        let message = format!("The operation {name:?} is not one of this service.");
        Self::new("UnknownOperationException", 400, message)
    }

    /// A query protocol's operation that the service does not have.
    pub fn invalid_action(name: &str) -> Self {
        let message = format!("The action {name} is not valid for this web service or is not supported.");
        Self::new("InvalidAction", 400, message)
    }

    /// The fault with the code that EC2 uses for what went wrong while reading a request.
    #[must_use]
    pub fn in_query(mut self) -> Self {
        let code = match self.code.as_ref() {
            "InvalidParameterException" | "SerializationException" => "InvalidParameterValue",
            _ => return self,
        };
        self.code = Cow::Borrowed(code);
        self
    }

    /// The fault with the code that Systems Manager uses for a value that is not allowed.
    #[must_use]
    pub fn in_ssm(mut self) -> Self {
        if self.code == "InvalidParameterException" {
            self.code = Cow::Borrowed("ValidationException");
        }
        self
    }

    /// Reads the answer of a JSON service as a client: `__type` may carry a namespace before `#`.
    pub fn from_json_answer(status: u16, body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let code = text("__type").or_else(|| text("code")).unwrap_or("");
        let code = code.rsplit('#').next().unwrap_or("");
        let message = text("message").or_else(|| text("Message")).unwrap_or("");
        if code.is_empty() {
            let message = format!("the server answered HTTP {status} without a fault");
            return Self::new("InternalFailure", status, message);
        }
        let mut fault = Self::new(code.to_owned(), status, message);
        if let Some(resources) = value.get("resourceIds") {
            fault.members.push(("resourceIds", resources.clone()));
        }
        fault
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_codes_are_sorted_and_known() {
        assert!(COMMON_CODES.is_sorted());
        assert!(Fault::serialization("x").is_common());
        assert!(!Fault::new("ClusterNotFoundException", 400, "x").is_common());
    }

    #[test]
    fn a_client_reads_a_fault() {
        let body = br#"{"__type":"com.amazonaws.ecs#ConflictException","message":"m","resourceIds":["a"]}"#;
        let fault = Fault::from_json_answer(400, body);
        assert_eq!((fault.code.as_ref(), fault.message.as_str()), ("ConflictException", "m"));
        assert_eq!(fault.members, [("resourceIds", serde_json::json!(["a"]))]);
        let fault = Fault::from_json_answer(502, b"<html>");
        assert_eq!((fault.code.as_ref(), fault.status), ("InternalFailure", 502));
    }
}
