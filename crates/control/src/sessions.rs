//! Agents' control sessions: who is connected, and what each must still be told.

use crate::authorize::{Caller, owns_instance};
use crate::desk::Desk;
use crate::{Output, SessionId};
use link::session::{Moment, Session};
use model::change::Change;
use model::{InstanceId, Millis};
use std::collections::{BTreeMap, VecDeque};

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

/// All sessions. A newer session of an instance replaces the older.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    of_instance: BTreeMap<InstanceId, SessionId>,
    outputs: VecDeque<Output>,
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
            self.open.remove(&old);
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
        Ok(())
    }

    pub fn frame(&mut self, desk: &Desk, session: SessionId, frame: &str) {
        if let Some(session) = self.open.get_mut(&session) {
            session.handle_frame(moment(desk), frame);
        }
    }

    pub fn disconnected(&mut self, desk: &mut Desk, session: SessionId) {
        let Some(instance) = self.open.remove(&session).map(|session| session.instance()) else { return };
        self.of_instance.remove(&instance);
        if desk.state.instances.get(&instance).is_some_and(|instance| instance.connected) {
            let at = desk.now;
            desk.commit(Change::InstanceConnection { id: instance, connected: false, at, versions: None });
        }
    }

    pub fn time(&mut self, desk: &mut Desk) {
        let now = moment(desk);
        let silent: Vec<_> =
            self.open.iter_mut().filter_map(|(id, session)| (!session.handle_time(now)).then_some(*id)).collect();
        for id in silent {
            self.disconnected(desk, id);
            self.close(id, CLOSE_NORMAL, "the agent was silent for too long");
        }
    }

    /// Tells the agents of instances for which something changed, and lets those of deregistered ones go.
    pub fn sync(&mut self, desk: &mut Desk) {
        for instance in desk.take_dirty() {
            let session = self.of_instance.get(&instance).and_then(|id| self.open.get_mut(id));
            if let Some(session) = session {
                session.sync(moment(desk));
            }
        }
        let gone = |id: &InstanceId| !desk.state.instances.get(id).is_some_and(|instance| instance.is_registered());
        let inactive: Vec<_> = self.of_instance.iter().filter(|(id, _)| gone(id)).map(|(_, s)| *s).collect();
        for session in inactive {
            self.disconnected(desk, session);
            self.close(session, CLOSE_INACTIVE, "InactiveInstanceException: the container instance was deregistered");
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        for (id, session) in &mut self.open {
            while let Some(frame) = session.poll_frame() {
                self.outputs.push_back(Output::Frame { session: *id, frame });
            }
        }
        self.outputs.pop_front()
    }

    pub fn next_wake(&self) -> Option<Millis> {
        self.open.values().map(Session::next_wake).min()
    }

    fn close(&mut self, session: SessionId, code: u16, reason: &str) {
        self.outputs.push_back(Output::Close { session, code, reason: reason.to_owned() });
    }
}

fn moment(desk: &Desk) -> Moment<'_> {
    Moment { state: &desk.state, index: desk.seen_index(), now: desk.now }
}
