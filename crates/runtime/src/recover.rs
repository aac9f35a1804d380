//! What a starting node finds: tells of every task directory, and sweeps what belongs to none.

use crate::actor::Order;
use crate::cgroup::Cgroups;
use crate::directory::TaskDirectory;
use crate::hands::{Actors, Shared};
use crate::place::{Place, is_waiting};
use crate::release;
use node::hands::{Event, FoundContainer, TaskKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Sends `Found` for every task directory, then `FoundAll`.
pub(crate) async fn tell_all(shared: Arc<Shared>, actors: Arc<Actors>) {
    let mut asked = Vec::new();
    for task in tasks(&shared.tasks) {
        let directory = shared.directory(&task);
        let answer = release::living(&shared.place, &task, &directory).map(|(socket, pidfd)| {
            let (answer, answered) = oneshot::channel();
            actors.order(&shared, &task, Order::Adopt(socket, pidfd, answer));
            answered
        });
        asked.push((task, directory, answer));
    }
    for (task, directory, answer) in asked {
        let said: Option<Vec<FoundContainer>> = match answer {
            Some(answer) => answer.await.ok().flatten(),
            None => None,
        };
        shared.tell(Event::Found {
            task,
            record: directory.record(),
            supervised: said.is_some(),
            containers: said.unwrap_or_else(|| directory.exits()),
            reported: directory.reported(),
        });
    }
    shared.tell(Event::FoundAll);
}

fn tasks(directory: &Path) -> Vec<TaskKey> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut tasks: Vec<TaskKey> =
        entries.flatten().filter_map(|entry| TaskKey::new(entry.file_name().to_str()?)).collect();
    tasks.sort();
    tasks
}

/// Removes half-deleted directories, and cgroups and sockets of tasks that have no directory. Blocks.
pub(crate) fn sweep(tasks_directory: &Path, place: &Place, cgroups: &Cgroups) {
    if let Ok(entries) = fs::read_dir(tasks_directory) {
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".gone-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
    let has_directory = |task: &TaskKey| TaskDirectory::of(tasks_directory, task).path().is_dir();
    for name in cgroups.children(&place.cgroup()) {
        if is_waiting(&name) {
            // Of a spare that was killed. A supervisor that has not moved out yet keeps it.
            let _ = cgroups.remove_now(&format!("{}/{name}", place.cgroup()));
        }
        let stray = TaskKey::new(&name).is_some_and(|task| !has_directory(&task));
        if stray {
            let group = format!("{}/{name}", place.cgroup());
            let cleared = cgroups.kill(&group).and_then(|()| cgroups.remove(&group));
            if let Err(error) = cleared {
                tracing::error!(group, %error, "cannot clear a stray cgroup");
            }
        }
    }
    let Ok(sockets) = fs::read_dir(place.sockets()) else { return };
    for socket in sockets.flatten() {
        let name = socket.file_name();
        let task = name.to_str().and_then(|name| TaskKey::new(name.strip_suffix(".sock")?));
        if !task.is_some_and(|task| has_directory(&task)) {
            let _ = fs::remove_file(socket.path());
        }
    }
}
