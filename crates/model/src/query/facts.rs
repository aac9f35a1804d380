//! What expressions ask of a container instance, read from the state.

use super::Facts;
use crate::Millis;
use crate::instance::Instance;
use crate::state::State;
use crate::task::Desired;

/// An instance as it is now, and what a plan has already put there.
#[derive(Clone, Copy, Debug)]
pub struct InstanceFacts<'a> {
    state: &'a State,
    instance: &'a Instance,
    /// Tasks that were planned for it, all of this group.
    planned: (u32, &'a str),
}

impl<'a> InstanceFacts<'a> {
    /// As it is.
    pub fn new(state: &'a State, instance: &'a Instance) -> Self {
        Self { state, instance, planned: (0, "") }
    }

    /// With that many tasks of a group more than there are.
    pub fn with(self, count: u32, group: &'a str) -> Self {
        Self { planned: (count, group), ..self }
    }
}

impl Facts for InstanceFacts<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.instance.attribute(name)
    }

    fn agent_connected(&self) -> bool {
        self.instance.connected
    }

    fn agent_version(&self) -> &str {
        &self.instance.agent_version
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        self.instance.ec2_id.as_deref()
    }

    fn is_named(&self, name: &str) -> bool {
        let id = name.rsplit('/').next().unwrap_or_default();
        let is_it = crate::InstanceId::parse(id) == Some(self.instance.id);
        is_it && (id.len() == name.len() || self.arn_fits(&|arn| arn == name))
    }

    fn arn_fits(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        let cluster = self.state.cluster_name(self.instance.cluster);
        fits(&self.state.scope().instance(cluster, self.instance.id))
    }

    fn registered_at(&self) -> Millis {
        self.instance.registered_at
    }

    fn running_tasks(&self) -> u32 {
        self.state.instance_counts(self.instance.id).running
    }

    fn pending_tasks(&self) -> u32 {
        self.state.instance_counts(self.instance.id).pending + self.planned.0
    }

    fn has_group(&self, group: &str) -> bool {
        let (count, planned) = self.planned;
        (count > 0 && planned == group) || self.state.has_group(self.instance.cluster, self.instance.id, group)
    }

    fn any_group(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        let (count, planned) = self.planned;
        let mut tasks =
            self.state.live_instance_tasks(self.instance.id).filter(|task| task.desired == Desired::Running);
        (count > 0 && fits(planned)) || tasks.any(|task| fits(&self.state.task_group(task)))
    }
}
