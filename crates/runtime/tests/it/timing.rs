//! How long the steps take, printed; and twenty tasks at once.

use crate::world::World;
use node::hands::{Command, Event, TaskKey, TaskLimits};
use std::time::{Duration, Instant};

fn median(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let ms = |at: usize| times[at.min(times.len() - 1)].as_secs_f64() * 1000.0;
    (ms(times.len() / 2), ms(times.len() * 9 / 10))
}

/// One after the other, with a pause as on an idle node; the network is there already.
#[test]
fn steps_are_timed() {
    let pause: u64 = std::env::var("PAUSE").ok().and_then(|p| p.parse().ok()).unwrap_or(60);
    let mut world = World::new();
    let (mut supervise, mut create, mut start, mut release) = (vec![], vec![], vec![], vec![]);
    let limits = TaskLimits { cpu_units: Some(256), memory_bytes: Some(256 << 20) };
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(pause));
        let task = world.key();
        world.network(&task);
        world.perform(Command::Record { task: task.clone(), record: "x".into() });
        world.wait("Recorded", |event| matches!(event, Event::Recorded { .. }).then_some(()));
        // What a pull's look at its index and the network's attach take meanwhile.
        std::thread::sleep(Duration::from_millis(3));
        let begin = Instant::now();
        world.supervise(&task, limits);
        supervise.push(begin.elapsed());
        let begin = Instant::now();
        world.start(&task, world.spec(&["true"]));
        world.wait("ContainerCreated", |event| matches!(event, Event::ContainerCreated { .. }).then_some(()));
        create.push(begin.elapsed());
        let begin = Instant::now();
        world.started(&task, "main");
        start.push(begin.elapsed());
        world.exited(&task, "main");
        let begin = Instant::now();
        world.release(&task);
        release.push(begin.elapsed());
        world.assert_nothing_left(&task);
    }
    for (name, mut times) in [("supervise", supervise), ("create", create), ("start", start), ("release", release)] {
        let (median, p90) = median(&mut times);
        println!("{name:10} median {median:6.2} ms, p90 {p90:6.2} ms");
    }
}

#[test]
fn twenty_tasks_at_once() {
    let mut world = World::new();
    let tasks: Vec<TaskKey> = (0..20).map(|_| world.key()).collect();
    for task in &tasks {
        world.network(task);
    }
    let begin = Instant::now();
    for task in &tasks {
        let limits = TaskLimits { cpu_units: Some(256), memory_bytes: Some(128 << 20) };
        world.perform(Command::Supervise { task: task.clone(), limits });
    }
    for _ in &tasks {
        let task = world.wait("Supervised", |event| match event {
            Event::Supervised { task } => Some(task.clone()),
            Event::SupervisorLost { message, .. } => panic!("lost: {message}"),
            _ => None,
        });
        let script = format!("echo {task}; exit 5");
        world.start(&task, world.spec(&["sh", "-c", &script]));
    }
    for task in &tasks {
        assert_eq!(world.exited(task, "main").code, Some(5));
        assert_eq!(world.printed(task, "main"), format!("{task}\n"));
        world.perform(Command::Release { task: task.clone() });
    }
    for task in &tasks {
        world.wait("Released", |event| matches!(event, Event::Released { task: of } if of == task).then_some(()));
    }
    println!("twenty tasks, whole life: {:.1} ms", begin.elapsed().as_secs_f64() * 1000.0);
    for task in &tasks {
        world.assert_nothing_left(task);
    }
}
