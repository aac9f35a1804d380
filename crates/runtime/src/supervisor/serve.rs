//! The supervisor's loop: one epoll over the node's socket, the listening socket, dead children and the containers'
//! pipes. Moves bytes and calls; what they mean is the task's.

use super::connection::Connection;
use super::prepare::{prepare, take_standard_input};
use super::protocol::{Assignment, Order, Report, line};
use super::task::{TOKEN_FIRST, Task, remove_socket};
use super::{SupervisorError, system};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// Between looks whether a full spool has room.
const HELD_BACK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const TOKEN_SIGNALS: u64 = 0;
const TOKEN_NODE: u64 = 1;
const TOKEN_LISTENER: u64 = 2;
const EVENTS_MAX: usize = 64;
/// A task without containers for this long is not about to get one this instant.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The whole life of the process: prepares, waits for a task, serves it until `End`. A node is told of what goes wrong
/// before there is a task.
pub(super) fn supervise(node_id: &str) -> Result<(), SupervisorError> {
    let socket = take_standard_input()?;
    let mut node = Connection::new(socket).map_err(system("use the node's socket"))?;
    if node.is_gone() {
        // Started by a node that was just ending: no trace is made.
        return Ok(());
    }
    let prepared = told(prepare(node_id), &mut node)?;
    let Some(assignment) = wait_for_task(&mut node)? else {
        prepared.give_up();
        return Ok(());
    };
    if node.is_gone() {
        // It died with the order on its way. Its successor has looked at the task already, and orders anew.
        prepared.give_up();
        return Ok(());
    }
    let poll = told(epoll::create(CreateFlags::CLOEXEC).map_err(system("make an epoll")), &mut node)?;
    watch(&poll, &prepared.signals, TOKEN_SIGNALS)?;
    let task = told(Task::take_over(prepared, &assignment), &mut node)?;
    let listener = told(listen(&assignment.socket), &mut node)?;
    watch(&poll, &listener, TOKEN_LISTENER)?;
    watch(&poll, node.fd(), TOKEN_NODE)?;
    let mut serving = Serving { poll, task, node: None, listener, socket: assignment.socket, more: false };
    serving.greet(node);
    let result = serving.run();
    remove_socket(&serving.socket);
    result
}

fn told<T>(result: Result<T, SupervisorError>, node: &mut Connection) -> Result<T, SupervisorError> {
    result.inspect_err(|error| {
        let message = super::failure::chain(error);
        // A node that has gone needs no answer.
        let _ = node.send(&line(&Report::Refused { message }));
    })
}

/// Blocks on the node's socket alone: a spare has nothing else to do. `None` when the node has gone.
fn wait_for_task(node: &mut Connection) -> Result<Option<Assignment>, SupervisorError> {
    loop {
        let mut poll = [rustix::event::PollFd::from_borrowed_fd(node.fd(), rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut poll, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(system("wait for the node")(error)),
        }
        let Ok(lines) = node.read_lines() else { return Ok(None) };
        for text in lines {
            match serde_json::from_slice(&text) {
                Ok(Order::Assign(assignment)) => return Ok(Some(assignment)),
                Ok(Order::End) => return Ok(None),
                // Nothing else makes sense before there is a task.
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn watch(poll: &OwnedFd, fd: impl AsFd, token: u64) -> Result<(), SupervisorError> {
    epoll::add(poll, fd, EventData::new_u64(token), EventFlags::IN).map_err(system("watch"))
}

fn listen(path: &PathBuf) -> Result<OwnedFd, SupervisorError> {
    // Whoever left it there cannot be alive: the task's lock is ours.
    remove_socket(path);
    let listener = UnixListener::bind(path).map_err(system("listen for the node"))?;
    listener.set_nonblocking(true).map_err(system("listen for the node"))?;
    Ok(listener.into())
}

struct Serving {
    poll: OwnedFd,
    task: Task,
    node: Option<Connection>,
    listener: OwnedFd,
    socket: PathBuf,
    /// Whether epoll also asks for room to write.
    more: bool,
}

impl Serving {
    fn run(&mut self) -> Result<(), SupervisorError> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !self.task.is_over() {
            events.clear();
            let quiet = (!self.task.is_settled()).then_some(QUIET);
            let quiet = if self.task.holds_back() { Some(HELD_BACK) } else { quiet };
            match epoll::wait(&self.poll, spare_capacity(&mut events), quiet.as_ref()) {
                Ok(0) => self.task.settle(),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(system("wait for events")(error)),
            }
            for event in &events {
                let token = event.data.u64();
                match token {
                    TOKEN_SIGNALS => self.children()?,
                    TOKEN_NODE => self.orders(),
                    TOKEN_LISTENER => self.accept()?,
                    token if token >= TOKEN_FIRST => self.task.readable(token, &self.poll),
                    _ => {}
                }
            }
            self.task.let_go(&self.poll);
            self.report();
            self.task.tidy();
        }
        Ok(())
    }

    fn children(&mut self) -> Result<(), SupervisorError> {
        // The descriptor is emptied first: a child that dies after that is seen by the next round.
        let mut buffer = [0u8; 1024];
        let signals = self.task.signals();
        while matches!(rustix::io::read(signals, &mut buffer), Ok(length) if length > 0) {}
        self.task.reap();
        Ok(())
    }

    /// A node has come (back): it gets the state, an older connection is dropped.
    fn greet(&mut self, node: Connection) {
        self.node = Some(node);
        self.more = false;
        let state = self.task.state();
        self.send(&state);
    }

    fn accept(&mut self) -> Result<(), SupervisorError> {
        let socket = match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            // It went away again.
            Err(_) => return Ok(()),
        };
        let Ok(node) = Connection::new(socket) else { return Ok(()) };
        // What was not told yet is in the state that the new connection begins with.
        self.task.take_reports();
        self.node = None;
        watch(&self.poll, node.fd(), TOKEN_NODE)?;
        self.greet(node);
        Ok(())
    }

    fn orders(&mut self) {
        let Some(node) = &mut self.node else { return };
        let lines = match (node.flush(), node.read_lines()) {
            (Ok(()), Ok(lines)) => lines,
            _ => {
                // The node is gone; the task goes on.
                self.node = None;
                return;
            }
        };
        for text in lines {
            match serde_json::from_slice(&text) {
                Ok(Order::Start(start)) => self.task.start(*start, &self.poll),
                Ok(Order::Stop { container, force }) => self.task.stop(&container, force),
                Ok(Order::Check { container, command, timeout_ms }) => {
                    self.task.check(&container, &command, timeout_ms);
                }
                Ok(Order::End) => self.task.end(),
                Ok(Order::Assign(_)) => {}
                Err(error) => super::note(format_args!("an order that cannot be read: {error}")),
            }
        }
        self.poll_for_room();
    }

    fn report(&mut self) {
        for report in self.task.take_reports() {
            self.send(&report);
        }
    }

    fn send(&mut self, report: &Report) {
        if let Some(node) = &mut self.node
            && node.send(&line(report)).is_err()
        {
            self.node = None;
        }
        self.poll_for_room();
    }

    fn poll_for_room(&mut self) {
        let Some(node) = &self.node else { return };
        if node.has_unsent() != self.more {
            self.more = node.has_unsent();
            let flags = if self.more { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(TOKEN_NODE);
            // The descriptor is watched already; failing would only delay what is unsent.
            let _ = epoll::modify(&self.poll, node.fd(), data, flags);
        }
    }
}
