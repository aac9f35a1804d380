//! Names that are made of addresses: `ip-172-31-0-5.ec2.internal` and back. Pure: bytes in, bytes out.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::name::PTR;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use node::hands::Cidr;
use std::net::Ipv4Addr;

/// The domain of names that we make.
const DOMAIN: &str = "ec2.internal";
/// Names of other regions end so: `ip-….eu-west-1.compute.internal`.
const REGIONAL: &str = ".compute.internal";
const REVERSE: &str = ".in-addr.arpa";
const TTL_S: u32 = 60;
/// `id`, flags and four counts.
const HEADER: usize = 12;

/// What is to be done with a query.
pub(super) enum Decision {
    /// Send this answer.
    Answer(Vec<u8>),
    /// Ask a name server.
    Forward,
    /// Not a query at all: say nothing.
    Ignore,
}

/// Decides about the bytes of a query.
pub(super) fn decide(query: &[u8], vpc: Cidr) -> Decision {
    let is_query = query.len() >= HEADER && query[2] & 0x80 == 0;
    if !is_query {
        return Decision::Ignore;
    }
    let Ok(request) = Message::from_vec(query) else {
        return Decision::Answer(failure(query, ResponseCode::FormErr));
    };
    if request.metadata.op_code != OpCode::Query {
        return Decision::Answer(failure(query, ResponseCode::NotImp));
    }
    let [question] = request.queries.as_slice() else {
        return Decision::Answer(failure(query, ResponseCode::FormErr));
    };
    if question.query_class() != DNSClass::IN {
        return Decision::Forward;
    }
    match own_answer(question.name(), question.query_type(), vpc) {
        None => Decision::Forward,
        Some(Own { exists, record }) => {
            let mut response = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
            response.metadata.authoritative = true;
            response.metadata.recursion_desired = request.metadata.recursion_desired;
            response.metadata.recursion_available = true;
            response.metadata.response_code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
            response.add_query(question.clone());
            if let Some(data) = record {
                response.add_answer(Record::from_rdata(question.name().clone(), TTL_S, data));
            }
            Decision::Answer(response.to_vec().unwrap_or_else(|_| failure(query, ResponseCode::ServFail)))
        }
    }
}

/// An answer without records for a query of which at least the header is there.
pub(super) fn failure(query: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut answer = question_of(query).to_vec();
    let recursion_desired = answer[2] & 0x01;
    let op_code = answer[2] & 0x78;
    answer[2] = 0x80 | op_code | recursion_desired;
    answer[3] = 0x80 | (code.low() & 0x0f);
    let questions = u8::from(answer.len() > HEADER);
    answer[4..HEADER].copy_from_slice(&[0, questions, 0, 0, 0, 0, 0, 0]);
    answer
}

/// The header and the first question; the header alone when the question is not whole.
fn question_of(query: &[u8]) -> &[u8] {
    let mut at = HEADER;
    loop {
        match query.get(at) {
            Some(0) => return query.get(..at + 5).unwrap_or(&query[..HEADER]),
            Some(length) if *length < 64 => at += 1 + usize::from(*length),
            _ => return &query[..HEADER],
        }
    }
}

/// A name that is ours to answer for.
struct Own {
    exists: bool,
    record: Option<RData>,
}

fn own_answer(name: &Name, kind: RecordType, vpc: Cidr) -> Option<Own> {
    let text = name.to_lowercase().to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    if let Some(reversed) = text.strip_suffix(REVERSE) {
        let address = reversed_address(reversed).filter(|a| vpc.contains(*a))?;
        let record = (kind == RecordType::PTR).then(|| pointer(address)).flatten();
        return Some(Own { exists: true, record });
    }
    let (label, domain) = text.split_once('.')?;
    let address = named_address(label).filter(|a| vpc.contains(*a));
    if domain.ends_with(REGIONAL) || domain == DOMAIN {
        // What is no address of ours may yet be known to the host's name servers: a host within a real VPC.
        let address = address?;
        let record = (kind == RecordType::A).then(|| RData::A(address.into()));
        return Some(Own { exists: true, record });
    }
    None
}

fn pointer(address: Ipv4Addr) -> Option<RData> {
    let [a, b, c, d] = address.octets();
    Name::from_ascii(format!("ip-{a}-{b}-{c}-{d}.{DOMAIN}.")).ok().map(|name| RData::PTR(PTR(name)))
}

/// `ip-172-31-0-5`.
fn named_address(label: &str) -> Option<Ipv4Addr> {
    numbers(label.strip_prefix("ip-")?, '-').map(Ipv4Addr::from)
}

/// `5.0.31.172`.
fn reversed_address(text: &str) -> Option<Ipv4Addr> {
    let [d, c, b, a] = numbers(text, '.')?;
    Some(Ipv4Addr::new(a, b, c, d))
}

fn numbers(text: &str, separator: char) -> Option<[u8; 4]> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next()?;
        let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        plain.then(|| part.parse().ok()).flatten()
    };
    let numbers = [next()?, next()?, next()?, next()?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;

    const VPC: &str = "172.31.0.0/16";

    fn ask(name: &str, kind: RecordType) -> Decision {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        decide(&message.to_vec().unwrap(), Cidr::parse(VPC).unwrap())
    }

    fn answer(decision: Decision) -> Message {
        let Decision::Answer(bytes) = decision else { panic!("not answered") };
        Message::from_vec(&bytes).unwrap()
    }

    #[test]
    fn a_name_of_an_address_and_back() {
        let found = answer(ask("IP-172-31-0-5.ec2.internal.", RecordType::A));
        assert_eq!(found.answers[0].data, RData::A(Ipv4Addr::new(172, 31, 0, 5).into()));
        let found = answer(ask("ip-172-31-0-5.eu-west-1.compute.internal.", RecordType::A));
        assert_eq!(found.answers.len(), 1);
        let found = answer(ask("5.0.31.172.in-addr.arpa.", RecordType::PTR));
        assert_eq!(found.answers[0].data.to_string(), "ip-172-31-0-5.ec2.internal.");
    }

    #[test]
    fn another_kind_of_record_is_absent_and_the_name_exists() {
        let found = answer(ask("ip-172-31-0-5.ec2.internal.", RecordType::AAAA));
        assert_eq!((found.metadata.response_code, found.answers.len()), (ResponseCode::NoError, 0));
    }

    #[test]
    fn everything_else_is_forwarded() {
        for name in [
            "example.com.",
            "ip-10-0-0-1.ec2.internal.",
            "ip-172-31-0-05.ec2.internal.",
            "ip-172-31-0-5.example.com.",
            "1.0.0.10.in-addr.arpa.",
            "0.31.172.in-addr.arpa.",
            "internal.",
        ] {
            assert!(matches!(ask(name, RecordType::A), Decision::Forward), "{name}");
        }
    }

    #[test]
    fn rubbish_is_refused_or_ignored_and_never_panics() {
        let vpc = Cidr::parse(VPC).unwrap();
        assert!(matches!(decide(b"", vpc), Decision::Ignore));
        assert!(matches!(decide(&[0; 11], vpc), Decision::Ignore));
        let response = [0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(decide(&response, vpc), Decision::Ignore), "an answer is not a query");
        let cut = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, b'x'];
        let refused = answer(decide(&cut, vpc));
        assert_eq!((refused.metadata.id, refused.metadata.response_code), (1, ResponseCode::FormErr));
        let update = [0, 2, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(answer(decide(&update, vpc)).metadata.response_code, ResponseCode::NotImp);
    }

    #[test]
    fn a_failure_repeats_the_question() {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::A));
        let failed = Message::from_vec(&failure(&message.to_vec().unwrap(), ResponseCode::ServFail)).unwrap();
        assert_eq!(failed.metadata.id, message.metadata.id);
        assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(failed.queries, message.queries);
    }
}
