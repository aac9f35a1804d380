//! Agents' control sessions: who is connected, and what each must still be told.

use crate::authorize::{Caller, owns_instance};
use crate::desk::Desk;
use crate::{Output, SessionId};
use link::session::{Moment, Session};
use model::change::Change;
use model::instance::Instance;
use model::{InstanceId, Millis};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What an agent says of itself in the query of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// `containerInstanceArn`.
    pub container_instance_arn: String,
    /// `agentVersion`.
    pub agent_version: String,
    /// `agentHash`.
    pub agent_hash: String,
    /// `dockerVersion`.
    pub docker_version: String,
}

/// Why a connection is refused, in the agent's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `InactiveInstanceException` tells an agent that it must register anew.
    pub kind: &'static str,
    /// Words for people.
    pub message: String,
}

/// All sessions. A newer session of an instance replaces the older. A round costs what it touches, however many there
/// are: what a session has to say is taken when it was touched, and when it is due is kept in order.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    of_instance: BTreeMap<InstanceId, SessionId>,
    outputs: VecDeque<Output>,
    wakes: BTreeSet<(Millis, SessionId)>,
    wake_of: BTreeMap<SessionId, Millis>,
}

/// Close code of a session that the other side should open again.
const CLOSE_NORMAL: u16 = 1000;
/// Close code of an instance that is gone; the agent reads the reason.
const CLOSE_INACTIVE: u16 = 4000;

impl Sessions {
    pub fn connect(
        &mut self,
        desk: &mut Desk,
        session: SessionId,
        caller: &Caller,
        connect: &Connect,
    ) -> Result<(), Refusal> {
        let id = InstanceId::parse(link::acs::id_of(&connect.container_instance_arn));
        let instance = id.and_then(|id| desk.state.instances.get(&id)).filter(|instance| instance.is_registered());
        let Some(instance) = instance.map(|instance| instance.id) else {
            let message = format!("Container instance {} is not registered.", connect.container_instance_arn);
            return Err(Refusal { kind: "InactiveInstanceException", message });
        };
        if !owns_instance(&desk.state, caller, &connect.container_instance_arn) {
            let message = format!("This key did not register {}.", connect.container_instance_arn);
            return Err(Refusal { kind: "AccessDeniedException", message });
        }
        if let Some(old) = self.of_instance.insert(instance, session) {
            self.remove(old);
            self.close(old, CLOSE_NORMAL, "a newer session of this instance");
        }
        let versions = [&connect.agent_version, &connect.agent_hash, &connect.docker_version];
        desk.commit(Change::InstanceConnection {
            id: instance,
            connected: true,
            at: desk.now,
            versions: Some(Box::new(versions.map(|text| text.as_str().into()))),
        });
        self.open.insert(session, Session::open(moment(desk), instance));
        self.touched(session);
        Ok(())
    }

    pub fn frame(&mut self, desk: &Desk, session: SessionId, frame: &str) {
        if let Some(known) = self.open.get_mut(&session) {
            known.handle_frame(moment(desk), frame);
            self.touched(session);
        }
    }

    pub fn disconnected(&mut self, desk: &mut Desk, session: SessionId) {
        let Some(instance) = self.remove(session).map(|session| session.instance()) else { return };
        self.of_instance.remove(&instance);
        if desk.state.instances.get(&instance).is_some_and(|instance| instance.connected) {
            let at = desk.now;
            desk.commit(Change::InstanceConnection { id: instance, connected: false, at, versions: None });
        }
    }

    pub fn time(&mut self, desk: &mut Desk) {
        let due: Vec<_> = self.wakes.iter().take_while(|(at, _)| *at <= desk.now).map(|(_, id)| *id).collect();
        for id in due {
            let silent = self.open.get_mut(&id).is_some_and(|session| !session.handle_time(moment(desk)));
            self.touched(id);
            if silent {
                self.disconnected(desk, id);
                self.close(id, CLOSE_NORMAL, "the agent was silent for too long");
            }
        }
    }

    /// Tells the agents of instances for which something changed, and lets those of deregistered ones go.
    pub fn sync(&mut self, desk: &mut Desk) {
        for (instance, tasks) in desk.take_dirty() {
            let Some(id) = self.of_instance.get(&instance).copied() else { continue };
            if let Some(session) = self.open.get_mut(&id) {
                session.sync(moment(desk), &tasks);
                self.touched(id);
            }
            if !desk.state.instances.get(&instance).is_some_and(Instance::is_registered) {
                self.disconnected(desk, id);
                self.close(id, CLOSE_INACTIVE, "InactiveInstanceException: the container instance was deregistered");
            }
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn next_wake(&self) -> Option<Millis> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Takes what a session has to say, and when it is due.
    fn touched(&mut self, id: SessionId) {
        let Some(session) = self.open.get_mut(&id) else { return };
        while let Some(frame) = session.poll_frame() {
            self.outputs.push_back(Output::Frame { session: id, frame });
        }
        let at = session.next_wake();
        if let Some(before) = self.wake_of.insert(id, at) {
            self.wakes.remove(&(before, id));
        }
        self.wakes.insert((at, id));
    }

    fn remove(&mut self, id: SessionId) -> Option<Session> {
        if let Some(at) = self.wake_of.remove(&id) {
            self.wakes.remove(&(at, id));
        }
        self.open.remove(&id)
    }

    fn close(&mut self, session: SessionId, code: u16, reason: &str) {
        self.outputs.push_back(Output::Close { session, code, reason: reason.to_owned() });
    }
}

fn moment(desk: &Desk) -> Moment<'_> {
    Moment { state: &desk.state, index: desk.seen_index(), now: desk.now }
}
