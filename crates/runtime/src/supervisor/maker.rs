//! The process that makes a task's first container, forked and put into that container's cgroups before there is a task:
//! moving a process between version 1 groups may wait 15 ms for the kernel, giving a group another name does not.

use super::create::{self, Job, Pipes, Tools};
use super::process::fork;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::process::{Pid, Signal, WaitOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A job is a node's line and little more.
const JOB_BYTES_MAX: usize = super::protocol::LINE_BYTES_MAX * 2;
/// Output, error, tell.
const DESCRIPTORS: usize = 3;

/// The waiting process, seen from the supervisor.
pub(super) struct Maker {
    socket: UnixStream,
    pid: Pid,
}

impl Maker {
    /// Forks it; it enters `group`, which exists, and waits. Returns when it is in there.
    pub(super) fn start(tools: &Tools<'_>, group: &str) -> io::Result<Self> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let pid = fork(|| live(tools, group, theirs))?;
        let mut ready = [0u8; 1];
        ours.read_exact(&mut ready)?;
        Ok(Self { socket: ours, pid })
    }

    /// Gives it its job; it makes the container and ends.
    pub(super) fn give(mut self, job: &Job, pipes: &Pipes) -> io::Result<()> {
        let job = serde_json::to_vec(job)?;
        let length = (job.len() as u64).to_le_bytes();
        let descriptors = [pipes.output.as_fd(), pipes.error.as_fd(), pipes.tell.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(&self.socket, &[IoSlice::new(&length)], &mut ancillary, SendFlags::empty())?;
        self.socket.write_all(&job)
    }

    /// Ends it without a job, and collects it.
    pub(super) fn end(self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// The waiting process's life.
fn live(tools: &Tools<'_>, group: &str, mut socket: UnixStream) -> i32 {
    // A supervisor that dies takes an idle maker with it.
    let tied = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if tied.is_err() || tools.cgroups.enter(group, std::process::id()).is_err() {
        return 1;
    }
    if socket.write_all(b"r").is_err() {
        return 1;
    }
    match receive(&mut socket) {
        Ok((job, pipes)) => create::run(tools, &job, pipes),
        Err(_) => 1,
    }
}

fn receive(socket: &mut UnixStream) -> io::Result<(Job, Pipes)> {
    let mut length = [0u8; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    rustix::net::recvmsg(&*socket, &mut [IoSliceMut::new(&mut length)], &mut ancillary, flags)?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    let (Ok([output, error, tell]), true) = (<[OwnedFd; DESCRIPTORS]>::try_from(descriptors), length <= JOB_BYTES_MAX)
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut job = vec![0u8; length];
    socket.read_exact(&mut job)?;
    Ok((serde_json::from_slice(&job)?, Pipes { output, error, tell }))
}
