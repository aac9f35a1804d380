//! Flows without a connection that go to where nobody is any more. The kernel remembers where it sent the first packet of
//! a UDP flow and sends all others there, for as long as some come: to a container that has gone, or to the host, where
//! nobody listened before the port was published. What is remembered of these is removed.

use crate::error::NetworkError;
use crate::netlink::{FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, HEADER, Netlink, attributes};
use crate::nft::Published;
use node::hands::Protocol;
use std::net::Ipv4Addr;

const PROTOCOL: isize = 12;
/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const INET: u8 = 2;
const UDP: u8 = 17;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const NESTED: u16 = 0x8000;
/// `IPS_SEEN_REPLY`.
const ANSWERED: u32 = 2;

/// A flow as the kernel remembers it.
struct Flow<'a> {
    /// The tuple of its first packet, to name it by.
    name: &'a [u8],
    protocol: u8,
    /// The port that was asked for.
    port: u16,
    /// Who answers.
    answerer: Ipv4Addr,
    answered: bool,
}

/// After ports were published: flows to them that nobody answered.
pub(crate) fn forget_unanswered(published: &[Published]) {
    forget(published, |flow, udp| !flow.answered && udp.iter().any(|p| p.port.port == flow.port));
}

/// After ports were taken back: flows to those who had them.
pub(crate) fn forget_redirected(published: &[Published]) {
    forget(published, |flow, udp| udp.iter().any(|p| p.port.port == flow.port && p.address == flow.answerer));
}

/// Nothing depends on it but flows that go nowhere, so that a failure is only told.
fn forget(published: &[Published], chosen: impl Fn(&Flow<'_>, &[&Published]) -> bool) {
    let udp: Vec<&Published> = published.iter().filter(|p| p.port.protocol == Protocol::Udp).collect();
    if udp.is_empty() {
        return;
    }
    if let Err(error) = forget_all(|flow| chosen(flow, &udp)) {
        tracing::warn!(error = %error.in_full(), "UDP flows of earlier containers may go nowhere for a while");
    }
}

fn forget_all(chosen: impl Fn(&Flow<'_>) -> bool) -> Result<(), NetworkError> {
    let failed = || NetworkError::netlink("cannot look at the flows of this host");
    let socket = Netlink::open(PROTOCOL).map_err(failed())?;
    let mut doomed = Vec::new();
    let look = |_, body: &[u8]| {
        if let Some(flow) = flow_of(body.get(4..).unwrap_or_default())
            && flow.protocol == UDP
            && chosen(&flow)
        {
            doomed.push(flow.name.to_vec());
        }
    };
    socket.dump(&message(GET, FLAG_DUMP, &[]), look).map_err(failed())?;
    for name in doomed {
        // One that has ended by itself is as good.
        socket.transact(&message(DELETE, FLAG_ACK, &name), 1).map_err(failed())?;
    }
    Ok(())
}

fn message(kind: u16, flags: u16, original: &[u8]) -> Vec<u8> {
    let tuple = if original.is_empty() { 0 } else { 4 + original.len() };
    let mut bytes = Vec::with_capacity(HEADER + 4 + tuple);
    bytes.extend_from_slice(&u32::try_from(HEADER + 4 + tuple).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend_from_slice(&(SUBSYSTEM << 8 | kind).to_ne_bytes());
    bytes.extend_from_slice(&(FLAG_REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&1u32.to_ne_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, INET, 0, 0, 0]);
    if tuple > 0 {
        bytes.extend_from_slice(&u16::try_from(tuple).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend_from_slice(&(ORIGINAL | NESTED).to_ne_bytes());
        bytes.extend_from_slice(original);
    }
    bytes
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn flow_of(body: &[u8]) -> Option<Flow<'_>> {
    let (name, reply) = (find(body, ORIGINAL)?, find(body, REPLY)?);
    // A tuple is addresses (1) and protocol (2); of the first 1 is the source, of the second 1 the number, 3 the
    // destination's port.
    let protocol = find(name, 2)?;
    let status = find(body, STATUS).and_then(|status| status.try_into().ok()).map_or(0, u32::from_be_bytes);
    let answerer: [u8; 4] = find(find(reply, 1)?, 1)?.try_into().ok()?;
    Some(Flow {
        name,
        protocol: *find(protocol, 1)?.first()?,
        port: u16::from_be_bytes(find(protocol, 3)?.try_into().ok()?),
        answerer: answerer.into(),
        answered: status & ANSWERED != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_read_and_named() {
        #[rustfmt::skip]
        let tuple = |last: u8| vec![
            20, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, last, 8, 0, 2, 0, 10, 0, 0, 9, // addresses
            28, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 2, 0, 0x12, 0x34, 0, 0, 6, 0, 3, 0, 0, 53, 0, 0,
        ];
        let nested = |kind: u8, inner: Vec<u8>| [&[inner.len() as u8 + 4, 0, kind, 0x80], inner.as_slice()].concat();
        let body = [nested(1, tuple(1)), nested(2, tuple(2)), vec![8, 0, 3, 0, 0, 0, 0, 10]].concat();
        let flow = flow_of(&body).unwrap();
        assert_eq!((flow.protocol, flow.port, flow.answered), (UDP, 53, true));
        assert_eq!(flow.answerer, Ipv4Addr::new(10, 0, 0, 2));
        let delete = message(DELETE, FLAG_ACK, flow.name);
        assert_eq!(delete[..20], [72, 0, 0, 0, 2, 1, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(delete[20..], nested(1, tuple(1)));
        assert!(flow_of(&body[..60]).is_none());
    }
}
