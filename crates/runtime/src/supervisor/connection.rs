//! One node's end of the conversation: lines in, lines out, never blocking. Knows nothing of what they mean.

use super::protocol::LINE_BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A node that reads this little is hung up on; it may come back and gets the whole state.
const UNSENT_BYTES_MAX: usize = 4 << 20;
const READ_BYTES: usize = 64 << 10;

/// A connected node.
pub(super) struct Connection {
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

/// The other side is gone, or must be treated so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket, received: Vec::new(), unsent: Vec::new() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the other side has hung up, as far as is known without reading.
    pub(super) fn is_gone(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut polled, Some(&now)), Ok(1..))
    }

    /// Whether a write is waiting for room.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Reads what is there and gives the full lines.
    pub(super) fn read_lines(&mut self) -> Result<Vec<Vec<u8>>, Gone> {
        let mut buffer = [0u8; READ_BYTES];
        let mut ended = false;
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    ended = true;
                    break;
                }
            }
            if self.received.len() > LINE_BYTES_MAX + READ_BYTES {
                return Err(Gone);
            }
        }
        let whole = self.received.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<Vec<u8>> = self.received[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        self.received.drain(..whole);
        // The last orders of a node that hung up are obeyed before it counts as gone.
        if ended && lines.is_empty() { Err(Gone) } else { Ok(lines) }
    }

    /// Sends a line, or keeps it until there is room.
    pub(super) fn send(&mut self, line: &[u8]) -> Result<(), Gone> {
        self.unsent.extend_from_slice(line);
        self.flush()
    }

    /// Sends what is waiting, as far as there is room.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        while !self.unsent.is_empty() {
            match rustix::io::write(&self.socket, &self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Gone),
            }
        }
        if self.unsent.len() > UNSENT_BYTES_MAX { Err(Gone) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_come_whole_and_the_end_is_seen_last() {
        let (mut ours, theirs) = UnixStream::pair().expect("pair");
        let mut connection = Connection::new(theirs.into()).expect("connection");
        assert_eq!(connection.read_lines(), Ok(vec![]));
        ours.write_all(b"one\ntw").expect("write");
        assert_eq!(connection.read_lines(), Ok(vec![b"one".to_vec()]));
        ours.write_all(b"o\n\nthree\n").expect("write");
        drop(ours);
        assert_eq!(connection.read_lines(), Ok(vec![b"two".to_vec(), b"three".to_vec()]));
        assert_eq!(connection.read_lines(), Err(Gone));
    }
}
