//! Whether an expression holds. Nothing is allocated.

use super::parse::version;
use super::{Order, Predicate, Subject, Test, Tree};
use crate::Millis;
use std::cmp::Ordering;

/// What is known of a container instance.
pub trait Facts {
    /// The value of an attribute, "" for one without.
    fn attribute(&self, name: &str) -> Option<&str>;
    /// Its agent has a session.
    fn agent_connected(&self) -> bool;
    /// The version of its agent.
    fn agent_version(&self) -> &str;
    /// Its EC2 instance id, if it has one.
    fn ec2_instance_id(&self) -> Option<&str>;
    /// Whether that is its ARN or id.
    fn is_named(&self, name: &str) -> bool;
    /// Whether a pattern fits its ARN.
    fn arn_fits(&self, fits: &dyn Fn(&str) -> bool) -> bool;
    /// When it registered.
    fn registered_at(&self) -> Millis;
    /// Its running tasks.
    fn running_tasks(&self) -> u32;
    /// Its pending tasks.
    fn pending_tasks(&self) -> u32;
    /// Whether a task of that group is on it.
    fn has_group(&self, group: &str) -> bool;
    /// Whether a task of a group that fits is on it.
    fn any_group(&self, fits: &dyn Fn(&str) -> bool) -> bool;
}

pub(super) fn holds(tree: &Tree, facts: &impl Facts) -> bool {
    match tree {
        Tree::All(parts) => parts.iter().all(|part| holds(part, facts)),
        Tree::Any(parts) => parts.iter().any(|part| holds(part, facts)),
        Tree::Not(part) => !holds(part, facts),
        Tree::Test(test) => is_true(test, facts) != test.negated,
    }
}

fn is_true(Test { subject, predicate, .. }: &Test, facts: &impl Facts) -> bool {
    match subject {
        Subject::Attribute(name) => facts.attribute(name).is_some_and(|value| fits(predicate, value)),
        Subject::AgentConnected => fits(predicate, if facts.agent_connected() { "true" } else { "false" }),
        Subject::AgentVersion => is_version(predicate, facts.agent_version()),
        Subject::Ec2InstanceId => facts.ec2_instance_id().is_some_and(|value| fits(predicate, value)),
        Subject::ContainerInstanceArn => match predicate {
            Predicate::Equal(name) => facts.is_named(name),
            Predicate::In(names) => names.iter().any(|name| facts.is_named(name)),
            other => facts.arn_fits(&|arn| fits(other, arn)),
        },
        Subject::RegisteredAt => is_number(predicate, facts.registered_at() / 1000),
        Subject::RunningTasksCount => is_number(predicate, u64::from(facts.running_tasks())),
        Subject::PendingTasksCount => is_number(predicate, u64::from(facts.pending_tasks())),
        Subject::TaskGroup => match predicate {
            Predicate::Equal(group) => facts.has_group(group),
            Predicate::In(groups) => groups.iter().any(|group| facts.has_group(group)),
            other => facts.any_group(&|group| fits(other, group)),
        },
    }
}

fn fits(predicate: &Predicate, value: &str) -> bool {
    match predicate {
        Predicate::Exists => true,
        Predicate::Equal(wanted) => **wanted == *value,
        Predicate::In(wanted) => wanted.iter().any(|wanted| **wanted == *value),
        Predicate::Matches(regex) => regex.is_match(value),
        Predicate::Order(order, wanted) => order.holds(compare(value, wanted)),
        Predicate::Number(..) | Predicate::Version(..) => false,
    }
}

/// Numbers by size, anything else by its letters.
fn compare(value: &str, wanted: &str) -> Ordering {
    match (value.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(value), Ok(wanted)) => value.total_cmp(&wanted),
        _ => value.cmp(wanted),
    }
}

fn is_number(predicate: &Predicate, value: u64) -> bool {
    matches!(predicate, Predicate::Number(order, wanted) if order.holds(value.cmp(wanted)))
}

/// Missing parts are zero: 1.20 is 1.20.0.
fn is_version(predicate: &Predicate, value: &str) -> bool {
    let Predicate::Version(order, wanted) = predicate else { return false };
    let mut wanted = wanted.iter().copied();
    let mut ordering = Ordering::Equal;
    for part in version(value) {
        let Some(part) = part else { return false };
        ordering = ordering.then(part.cmp(&wanted.next().unwrap_or(0)));
    }
    let rest = if wanted.any(|part| part > 0) { Ordering::Less } else { Ordering::Equal };
    order.holds(ordering.then(rest))
}

impl Order {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}
