//! Tasks that wait for room are tried again when there may be more of it: an instance came, went, or has changed, or a
//! task of one is STOPPED. The oldest first; one that fits goes although an older one does not. What a try lacked is noted at
//! the oldest that needs the same.

use crate::desk::Desk;
use crate::handlers::run::{eni, give};
use model::change::Change;
use model::reason::Unplaceable;
use model::{ClusterId, Millis, Task, TaskId};
use planner::{Ask, Place};
use std::collections::BTreeSet;

/// Tries every waiting task of clusters that may have more room than before.
pub(crate) fn retry(desk: &mut Desk) {
    for cluster in desk.take_freed() {
        retry_cluster(desk, cluster);
    }
}

/// The oldest of each need is asked for, in the order of their age; when it has found a place, the next of the same need.
/// Where it has failed the others would fail too, and are not asked for.
fn retry_cluster(desk: &mut Desk, cluster: ClusterId) {
    let heads = desk.state.waiting_heads(cluster);
    let mut queue: BTreeSet<(Millis, TaskId)> = heads.map(|task| (task.times.created, task.id)).collect();
    while let Some((_, id)) = queue.pop_first() {
        let Some(task) = desk.state.tasks.get(&id) else { continue };
        match place(desk, task) {
            Ok(place) => {
                let (need, gpus) = (task.need(), task.gpus.clone());
                let eni = place.interface.map(|(subnet, address)| Box::new(eni(desk, subnet, address)));
                let gpus = gpus.map(|gpus| give(desk, gpus, place.instance));
                desk.commit(Change::TaskPlaced { id, at: desk.now, instance: place.instance, eni, gpus });
                queue.extend(desk.state.waiting_like(cluster, &need).map(|next| (next.times.created, next.id)));
            }
            Err(why) => note(desk, id, &why),
        }
    }
}

fn place(desk: &Desk, task: &Task) -> Result<Place, Unplaceable> {
    let needs = desk.state.definitions[&task.definition].needs.clone();
    let (subnets, placement) =
        task.waiting.as_ref().map(|waiting| (waiting.subnets.clone(), waiting.placement.clone())).unwrap_or_default();
    let ask = Ask { seed: desk.now, ..Ask::again(task, &subnets, &needs, &placement) };
    planner::place(&desk.state, desk.now, &ask)
}

fn note(desk: &mut Desk, id: TaskId, why: &Unplaceable) {
    let (code, detail) = (why.code(), why.detail());
    let waiting = desk.state.tasks.get(&id).and_then(|task| task.waiting.as_ref());
    if waiting.is_some_and(|waiting| waiting.is_news(desk.now, code, &detail)) {
        desk.commit(Change::TaskWaits { id, at: desk.now, code: code.into(), detail: detail.into() });
    }
}
