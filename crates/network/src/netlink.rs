//! A netlink socket that answers at once: the kernel has queued every reply before `send` returns, so nothing here ever
//! waits. It moves bytes and finds errors; what the messages mean is the business of `route` and `nft`.

use netlink_sys::{Socket, SocketAddr};
use std::io;

/// `nlmsghdr`.
pub(crate) const HEADER: usize = 16;
pub(crate) const FLAG_REQUEST: u16 = 0x1;
pub(crate) const FLAG_ACK: u16 = 0x4;
pub(crate) const FLAG_DUMP: u16 = 0x300;
pub(crate) const FLAG_REPLACE: u16 = 0x100;
pub(crate) const FLAG_EXCL: u16 = 0x200;
pub(crate) const FLAG_CREATE: u16 = 0x400;
pub(crate) const FLAG_APPEND: u16 = 0x800;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Larger than any datagram that the kernel makes for a dump.
const RECEIVE: usize = 64 * 1024;

/// A request that failed: which one, counted by its sequence number, and why.
pub(crate) struct Refusal {
    pub sequence: u32,
    pub error: io::Error,
}

/// One socket in the network namespace in which it was opened, whichever thread uses it later.
pub(crate) struct Netlink(Socket);

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // So that a large batch fits. Refused without CAP_NET_ADMIN: then only dumps are possible, which are small.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, 4 << 20);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20);
        Ok(Self(socket))
    }

    /// Sends `batch` and collects every refusal until the answer to `last` has come.
    pub fn transact(&self, batch: &[u8], last: u32) -> io::Result<Vec<Refusal>> {
        self.discard_leftovers();
        self.send(batch)?;
        let mut refusals = Vec::new();
        let mut buffer = vec![0; RECEIVE];
        loop {
            let received = match self.0.recv(&mut &mut buffer[..], dont_wait()) {
                Ok(received) => received,
                // nf_tables does not acknowledge the last message of a batch that an earlier one spoiled.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !refusals.is_empty() => return Ok(refusals),
                Err(error) => return Err(error),
            };
            for message in messages(&buffer[..received]) {
                if message.kind != ERROR {
                    continue;
                }
                let code = i32_at(message.body, 0);
                if code != 0 {
                    let error = io::Error::from_raw_os_error(-code);
                    refusals.push(Refusal { sequence: message.sequence, error });
                }
                if message.sequence == last {
                    return Ok(refusals);
                }
            }
        }
    }

    /// Sends one dump request and hands every message of the answer to `each` (type, body).
    pub fn dump(&self, request: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.discard_leftovers();
        self.send(request)?;
        let mut buffer = vec![0; RECEIVE];
        loop {
            let received = self.0.recv(&mut &mut buffer[..], dont_wait())?;
            for message in messages(&buffer[..received]) {
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => match i32_at(message.body, 0) {
                        0 => return Ok(()),
                        code => return Err(io::Error::from_raw_os_error(-code)),
                    },
                    kind => each(kind, message.body),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes, 0).map(drop)
    }

    /// An answer that an earlier caller did not stay for must not be taken for ours.
    fn discard_leftovers(&self) {
        let mut buffer = [0; 512];
        while self.0.recv(&mut &mut buffer[..], dont_wait()).is_ok() {}
    }
}

fn dont_wait() -> i32 {
    rustix::net::RecvFlags::DONTWAIT.bits() as i32
}

/// One message of a datagram.
pub(crate) struct Message<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// Cuts a datagram into messages; stops at the first that does not fit.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0) as usize;
        let (kind, sequence) = (u16_at(bytes, 4), u32_at(bytes, 8));
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, sequence, body })
    })
}

/// Cuts a buffer into attributes (kind without its flag bits, value).
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0));
        let kind = u16_at(bytes, 2) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    u32_at(bytes, at).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_stops_at_what_does_not_fit() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&20u32.to_ne_bytes());
        bytes.extend_from_slice(&[7, 0, 0, 0]);
        bytes.extend_from_slice(&9u32.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(b"body");
        bytes.extend_from_slice(&400u32.to_ne_bytes());
        let cut: Vec<_> = messages(&bytes).map(|m| (m.kind, m.sequence, m.body.to_vec())).collect();
        assert_eq!(cut, [(7, 9, b"body".to_vec())]);
        assert_eq!(messages(&[]).count(), 0);
        assert_eq!(messages(&[0; 40]).count(), 0, "a length of zero must not loop");
    }

    #[test]
    fn attributes_are_padded_to_four() {
        let bytes = [5, 0, 1, 0x80, b'x', 0, 0, 0, 6, 0, 2, 0, b'a', b'b', 0, 0];
        let cut: Vec<_> = attributes(&bytes).collect();
        assert_eq!(cut, [(1, &b"x"[..]), (2, &b"ab"[..])]);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0, "shorter than its own header");
    }
}
