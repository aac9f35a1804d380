//! The node's end of the conversation with one supervisor: sends orders, hands on reports, notices its death.

use crate::actor::Order;
use crate::pidfd;
use crate::supervisor::protocol::{self, LINE_BYTES_MAX, Report, line};
use rustix::process::Signal;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::task::AbortHandle;

/// A supervisor that takes no order for this long is stuck.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected supervisor.
pub(crate) struct Link {
    /// Tells reports of this link from those of an earlier one.
    pub(crate) number: u64,
    write: OwnedWriteHalf,
    pidfd: OwnedFd,
    reader: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// Takes over a connected socket and hands what it says to the actor's inbox.
    pub(crate) fn new(
        number: u64,
        socket: StdStream,
        pidfd: OwnedFd,
        inbox: WeakUnboundedSender<Order>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(socket)?.into_split();
        let watched = pidfd::watch(pidfd.try_clone()?)?;
        let reader = tokio::spawn(read_reports(number, read, watched, inbox)).abort_handle();
        Ok(Self { number, write, pidfd, reader })
    }

    pub(crate) async fn send(&mut self, order: &protocol::Order) -> io::Result<()> {
        let line = line(order);
        match tokio::time::timeout(SEND_TIMEOUT, self.write.write_all(&line)).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// SIGKILL; its end is told by the reader.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
    }
}

async fn read_reports(
    number: u64,
    mut read: OwnedReadHalf,
    process: AsyncFd<OwnedFd>,
    inbox: WeakUnboundedSender<Order>,
) {
    let mut bytes = Vec::new();
    let tell = |order| match inbox.upgrade() {
        Some(inbox) => inbox.send(order).is_ok(),
        None => false,
    };
    loop {
        let ended = tokio::select! {
            biased;
            result = read.read_buf(&mut bytes) => !matches!(result, Ok(length) if length > 0),
            _ = process.readable() => {
                // What it said before it died is still in the socket.
                while matches!(read.try_read_buf(&mut bytes), Ok(length) if length > 0) {}
                true
            }
        };
        for report in reports(&mut bytes) {
            if !tell(Order::Report(number, report)) {
                return;
            }
        }
        if ended || bytes.len() > LINE_BYTES_MAX {
            tell(Order::Gone(number));
            return;
        }
    }
}

/// Takes the full lines out of what has arrived. Words of a newer supervisor that we do not know are passed over.
fn reports(bytes: &mut Vec<u8>) -> Vec<Report> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines: Vec<u8> = bytes.drain(..whole).collect();
    lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}
