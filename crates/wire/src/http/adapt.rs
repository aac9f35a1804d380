//! One fault in the words of each protocol. Handlers and signatures speak the JSON services' codes; the query services have
//! other names, and sometimes another status, for the same thing.

use std::borrow::Cow;

use super::Protocol;
use crate::fault::Fault;

/// A code of the JSON services, then code and status in query and in EC2's dialect.
type Row = (&'static str, (&'static str, u16), (&'static str, u16));

const ROWS: [Row; 11] = [
    ("AccessDeniedException", ("AccessDenied", 403), ("UnauthorizedOperation", 403)),
    ("IncompleteSignatureException", ("IncompleteSignature", 400), ("IncompleteSignature", 400)),
    ("InvalidParameterException", ("ValidationError", 400), ("InvalidParameterValue", 400)),
    ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)),
    ("MissingAuthenticationTokenException", ("MissingAuthenticationToken", 403), ("MissingAuthenticationToken", 403)),
    ("RequestEntityTooLargeException", ("RequestEntityTooLarge", 413), ("RequestEntityTooLarge", 413)),
    ("SerializationException", ("MalformedQueryString", 400), ("InvalidParameterValue", 400)),
    ("ServerException", ("InternalFailure", 500), ("InternalError", 500)),
    ("ThrottlingException", ("Throttling", 400), ("RequestLimitExceeded", 503)),
    ("UnknownOperationException", ("InvalidAction", 400), ("InvalidAction", 400)),
    ("UnrecognizedClientException", ("InvalidClientTokenId", 403), ("AuthFailure", 401)),
];

/// The fault as the protocol words it; a code that has no other wording stays.
#[must_use]
pub fn adapt(protocol: Protocol, mut fault: Fault) -> Fault {
    let row = ROWS.iter().find(|(code, ..)| *code == fault.code);
    let adapted = match (protocol, row) {
        (Protocol::Json11 | Protocol::Cbor, _) => None,
        (Protocol::Query, Some((_, query, _))) => Some(*query),
        (Protocol::Ec2Query, Some((_, _, ec2))) => Some(*ec2),
        (Protocol::Query, None) => match fault.code.as_ref() {
            "InvalidParameterValue" | "MissingParameter" => Some(("ValidationError", 400)),
            _ => None,
        },
        (Protocol::Ec2Query, None) => None,
    };
    if let Some((code, status)) = adapted {
        if code == "AuthFailure" {
            "AWS was not able to validate the provided access credentials".clone_into(&mut fault.message);
        }
        fault.code = Cow::Borrowed(code);
        fault.status = status;
    }
    fault
}
