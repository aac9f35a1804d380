//! Tasks that wait for room are tried again when there may be more of it: an instance came, went, or has changed, or a
//! task of one is STOPPED. The oldest first; one that fits goes although an older one does not.

use crate::desk::Desk;
use crate::handlers::run::eni;
use model::change::Change;
use model::group::Group;
use model::placement::Placement;
use model::reason::Unplaceable;
use model::task::LaunchType;
use model::{ClusterId, RevisionId, Task, TaskId};
use planner::{Ask, Place};

/// Tries every waiting task of clusters that may have more room than before.
pub(crate) fn retry(desk: &mut Desk) {
    for cluster in desk.take_freed() {
        retry_cluster(desk, cluster);
    }
}

/// Tasks that want the same of a place: where one of them has failed, the others fail too.
#[derive(PartialEq)]
struct Shape {
    definition: RevisionId,
    launch_type: LaunchType,
    provider: Option<Box<str>>,
    sizes: (u32, u32),
    subnets: Box<[u8]>,
    placement: Placement,
    group: Group,
}

impl Shape {
    fn of(task: &Task) -> Self {
        Self {
            definition: task.definition,
            launch_type: task.launch_type,
            provider: task.provider.clone(),
            sizes: (task.cpu, task.memory),
            subnets: task.waiting.as_ref().map(|waiting| waiting.subnets.clone()).unwrap_or_default(),
            placement: task.waiting.as_ref().map(|waiting| waiting.placement.clone()).unwrap_or_default(),
            group: Group::of(task),
        }
    }
}

fn retry_cluster(desk: &mut Desk, cluster: ClusterId) {
    let waiting: Vec<TaskId> = desk.state.waiting_tasks(cluster).map(|task| task.id).collect();
    let mut refused: Vec<(Shape, Unplaceable)> = Vec::new();
    for id in waiting {
        let Some(task) = desk.state.tasks.get(&id) else { continue };
        let shape = Shape::of(task);
        if let Some((_, why)) = refused.iter().find(|(known, _)| *known == shape) {
            note(desk, id, &why.clone());
            continue;
        }
        match place(desk, task, &shape) {
            Ok(place) => {
                let eni = place.interface.map(|(subnet, address)| Box::new(eni(desk, subnet, address)));
                desk.commit(Change::TaskPlaced { id, at: desk.now, instance: place.instance, eni });
            }
            Err(why) => {
                note(desk, id, &why);
                refused.push((shape, why));
            }
        }
    }
}

fn place(desk: &Desk, task: &Task, shape: &Shape) -> Result<Place, Unplaceable> {
    let needs = desk.state.definitions[&task.definition].needs.clone();
    let ask = Ask {
        cluster: task.cluster,
        launch_type: task.launch_type,
        cpu: task.cpu,
        memory: task.memory,
        instance: None,
        provider: task.provider.as_deref(),
        subnets: &shape.subnets,
        needs: &needs,
        placement: &shape.placement,
        group: shape.group.clone(),
        seed: desk.now,
    };
    planner::place(&desk.state, desk.now, &ask)
}

fn note(desk: &mut Desk, id: TaskId, why: &Unplaceable) {
    let (code, detail) = (why.code(), why.detail());
    let waiting = desk.state.tasks.get(&id).and_then(|task| task.waiting.as_ref());
    if waiting.is_some_and(|waiting| waiting.is_news(desk.now, code, &detail)) {
        desk.commit(Change::TaskWaits { id, at: desk.now, code: code.into(), detail: detail.into() });
    }
}
