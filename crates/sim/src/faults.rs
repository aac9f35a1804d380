//! What goes wrong, when: each kind of fault comes again and again at intervals drawn around its mean. Planned faults
//! that the weather does not know any more do nothing.

use crate::agenda::Event;
use crate::wires::Asker;
use crate::world::World;
use control::{Caller, Principal};
use model::Millis;
use wire::ecs;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The control plane's process dies.
    PlaneCrash,
    /// A node's process dies.
    NodeCrash,
    /// A node's host is switched off and on.
    Reboot,
    /// A node cannot be reached.
    Partition,
    /// A session breaks.
    Break,
    /// A supervisor dies.
    SupervisorDeath,
    /// A record becomes unreadable, while the node is away or lives on.
    Corruption,
    /// The operator gives a host up.
    Deregistration,
    /// A wall clock is set.
    ClockSet,
}

const ALL: [Fault; 9] = [
    Fault::PlaneCrash,
    Fault::NodeCrash,
    Fault::Reboot,
    Fault::Partition,
    Fault::Break,
    Fault::SupervisorDeath,
    Fault::Corruption,
    Fault::Deregistration,
    Fault::ClockSet,
];

impl World {
    /// Begins with every kind that this weather has.
    pub fn faults_begin(&mut self) {
        ALL.into_iter().for_each(|fault| self.fault_plan(fault));
    }

    fn fault_gap(&self, fault: Fault) -> Millis {
        match fault {
            Fault::PlaneCrash => self.weather.plane_crash_gap_ms,
            Fault::NodeCrash => self.weather.node_crash_gap_ms,
            Fault::Reboot => self.weather.reboot_gap_ms,
            Fault::Partition => self.weather.partition_gap_ms,
            Fault::Break => self.weather.break_gap_ms,
            Fault::SupervisorDeath => self.weather.supervisor_gap_ms,
            Fault::Corruption => self.weather.corruption_gap_ms,
            Fault::Deregistration => self.weather.deregister_gap_ms,
            Fault::ClockSet => self.weather.clock_gap_ms,
        }
    }

    fn fault_plan(&mut self, fault: Fault) {
        let gap = self.fault_gap(fault);
        if gap != 0 {
            let at = self.now + 1 + self.chance.faults.below(2 * gap);
            self.agenda.plan(at, Event::Fault(fault));
        }
    }

    /// It happens, and will again.
    pub fn fault(&mut self, fault: Fault) {
        if self.fault_gap(fault) == 0 {
            return;
        }
        self.fault_plan(fault);
        let agent = self.chance.faults.below(self.agents.len() as u64) as usize;
        match fault {
            Fault::PlaneCrash => {
                self.plane_crash(None);
                let away = self.chance.faults.between((10, 8_000));
                self.agenda.plan(self.now + away, Event::PlaneStart);
            }
            Fault::NodeCrash | Fault::Reboot => self.node_dies(agent, fault == Fault::Reboot),
            Fault::Partition => {
                let lasts = self.chance.faults.between((500, 100_000));
                self.partition(agent, lasts);
            }
            Fault::Break => {
                if let Some(session) = self.any_session() {
                    self.note("a session breaks".to_owned());
                    self.session_break(session);
                }
            }
            Fault::SupervisorDeath => self.supervisor_dies(agent),
            Fault::Corruption => self.record_rots(agent),
            Fault::Deregistration => self.give_up(agent),
            Fault::ClockSet => self.wall_is_set(),
        }
        self.check_hosts();
    }

    /// Cuts a node off until something ends it.
    pub fn cut_off_now(&mut self, agent: usize) -> u64 {
        self.note(format!("node-{agent} is cut off"));
        let partition = self.next_serial();
        self.wires.partitioned.insert(agent, partition);
        partition
    }

    fn node_dies(&mut self, agent: usize, reboot: bool) {
        self.agent_crash(agent);
        if reboot {
            self.note(format!("host-{agent} reboots"));
            self.agents[agent].host.reboot();
        }
        let long = self.chance.faults.per_mille(150);
        let away = self.chance.faults.between(if long { (60_000, 150_000) } else { (50, 15_000) });
        self.agenda.plan(self.now + away, Event::NodeStart { agent });
    }

    fn partition(&mut self, agent: usize, lasts: Millis) {
        if self.wires.partitioned.contains_key(&agent) {
            return;
        }
        let partition = self.cut_off_now(agent);
        self.agenda.plan(self.now + lasts, Event::Reunite { agent, partition });
    }

    /// A partition ends.
    pub fn reunite(&mut self, agent: usize, partition: u64) {
        if self.wires.partitioned.get(&agent) == Some(&partition) {
            self.wires.partitioned.remove(&agent);
            self.note(format!("node-{agent} can be reached again"));
            self.sessions_reunited(agent);
        }
    }

    fn supervisor_dies(&mut self, agent: usize) {
        let alive = self.agents[agent].host.directories.iter().filter(|(_, directory)| directory.supervised);
        let Some(task) = self.chance.faults.pick_from(alive.map(|(task, _)| task.clone())) else { return };
        self.note(format!("host-{agent} loses the supervisor of {}", self.trace.name(task.as_str())));
        if let Some(directory) = self.agents[agent].host.directories.get_mut(&task) {
            directory.lose_supervisor();
        }
        self.tell(agent, node::hands::Event::SupervisorLost { task, message: "killed".to_owned() });
    }

    fn record_rots(&mut self, agent: usize) {
        let directories = self.agents[agent].host.directories.iter();
        let recorded = directories.filter(|(_, directory)| directory.record.is_some());
        let Some(task) = self.chance.faults.pick_from(recorded.map(|(task, _)| task.clone())) else { return };
        self.note(format!("host-{agent} cannot read the record of {} any more", self.trace.name(task.as_str())));
        if let Some(directory) = self.agents[agent].host.directories.get_mut(&task) {
            directory.corrupt = true;
        }
    }

    /// The operator deregisters an instance by force, whatever runs there.
    fn give_up(&mut self, agent: usize) {
        let Some(container_instance) = self.agents[agent].host.arn.clone() else { return };
        self.note(format!("operator gives {} up", self.trace.name(&container_instance)));
        let request = ecs::DeregisterContainerInstanceRequest {
            cluster: Some(self.agents[agent].cluster.clone()),
            container_instance,
            force: Some(true),
        };
        self.call(Asker::Operator, operator(), &ecs::Request::from(request));
    }
}

/// Who has the operator's key.
pub(crate) fn operator() -> Caller {
    Caller { principal: Principal::Operator, access_key: "OPERATOR".to_owned() }
}
