//! What must hold of services and placement whatever happens: thousands of random histories of a control plane with a
//! few small hosts, checked after every round, each ended by a time in which everything helps and everything must come
//! to rest or say why not. The agents are played here: they say what the control plane wants to hear, late, or not.

mod checks;
mod draws;
mod history;
mod sets;
mod zones;

use history::History;

/// Histories, and the steps of each before its rest.
const HISTORIES: u64 = 10_000;
const STEPS: u64 = 20;

/// Plays one history to its end; `Err`: what was broken, after which steps.
fn play(seed: u64) -> Result<u64, String> {
    let mut history = History::begin(seed);
    (0..STEPS).for_each(|_| history.step());
    history.come_to_rest();
    match history.broken {
        Some(broken) => Err(format!("history {seed}: {}\nbroken: {broken}", history.log.join("\n"))),
        None => Ok(history.checks.decisions),
    }
}

#[test]
fn ten_thousand_histories_keep_the_bounds_and_come_to_rest() {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let decisions: u64 = std::thread::scope(|scope| {
        let share = |worker: u64| move || (worker..HISTORIES).step_by(workers as usize).map(play).collect();
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(share(worker))).collect();
        let ended = running.into_iter().map(|worker| -> Result<Vec<u64>, String> { worker.join().unwrap() });
        ended.map(|outcome| outcome.unwrap_or_else(|broken| panic!("{broken}")).into_iter().sum::<u64>()).sum()
    });
    assert!(decisions > 5 * HISTORIES, "the histories must make services act: {decisions}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    let told = |seed| {
        let mut history = History::begin(seed);
        (0..STEPS).for_each(|_| history.step());
        history.log
    };
    assert_eq!(told(5), told(5));
    assert_ne!(told(5), told(6));
}
