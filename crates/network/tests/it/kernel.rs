//! nf_tables seen and changed from outside, without our encoder and without any program: only as much as the cases ask.

use netlink_sys::{Socket, SocketAddr};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const INET: u8 = 1;
pub const IP: u8 = 2;

/// A nested or plain attribute.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, format!("{value}\0").as_bytes())
}

pub fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(20 + attributes.len()).unwrap().to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, family, 0]);
    bytes.extend_from_slice(&resource.to_be_bytes());
    bytes.extend_from_slice(attributes);
    bytes
}

fn socket() -> Socket {
    let mut socket = Socket::new(12).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket
}

/// One transaction of one message; panics when the kernel refuses it.
pub fn change(kind: u16, flags: u16, family: u8, attributes: &[Vec<u8>]) {
    let parts = [
        message(0x10, 1, 0, 10, &[]),
        message(10 << 8 | kind, flags | 5, family, 0, &attributes.concat()),
        message(0x11, 1, 0, 10, &[]),
    ];
    let socket = socket();
    socket.send(&parts.concat(), 0).unwrap();
    let mut answer = [0; 4096];
    socket.recv(&mut &mut answer[..], 0).unwrap();
    let code = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(code, 0, "nf_tables message {kind}");
}

/// The attributes of each object of a listing.
fn list(kind: u16, family: u8, attributes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let socket = socket();
    socket.send(&message(10 << 8 | kind, 0x301, family, 0, &attributes.concat()), 0).unwrap();
    let mut found = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = socket.recv(&mut &mut buffer[..], 0).unwrap();
        let mut bytes = &buffer[..received];
        while bytes.len() >= 16 {
            let length = u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
            if kind == 3 || kind == 2 {
                return found;
            }
            found.push(bytes[20..length].to_vec());
            bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        }
    }
}

pub fn cut(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        found.push((u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    cut(bytes).into_iter().find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The addresses in a set of a table of family `inet`.
pub fn elements(table: &str, set: &str) -> BTreeSet<Ipv4Addr> {
    let messages = list(13, INET, &[text(1, table), text(2, set)]);
    let mut found = BTreeSet::new();
    for message in &messages {
        for (_, element) in find(message, 3).map(cut).unwrap_or_default() {
            let key = find(element, 1).and_then(|key| find(key, 1)).unwrap();
            found.insert(Ipv4Addr::from(<[u8; 4]>::try_from(key).unwrap()));
        }
    }
    found
}

/// The names of all tables.
pub fn tables() -> Vec<String> {
    let names = list(1, 0, &[]);
    names.iter().map(|t| String::from_utf8_lossy(find(t, 1).unwrap()).into_owned()).collect()
}

/// The comments of the rules of a chain in `ip filter`, in their order; empty for rules without.
pub fn comments(chain: &str) -> Vec<String> {
    let rules = list(7, IP, &[text(1, "filter"), text(2, chain)]);
    let comment = |rule: &Vec<u8>| {
        let data = find(rule, 7).unwrap_or_default();
        data.get(2..).map(|c| String::from_utf8_lossy(c).trim_end_matches('\0').to_owned()).unwrap_or_default()
    };
    rules.iter().map(comment).collect()
}

/// The first IPv4 address of a link here.
pub fn address_of_link(name: &str) -> Ipv4Addr {
    let line = crate::world::output("ip", &["-o", "-4", "addr", "show", "dev", name]);
    let words: Vec<&str> = line.split_whitespace().collect();
    words[3].split('/').next().unwrap().parse().unwrap()
}
