//! A writer that is killed at any moment: what it was told to be durable is there, and everything is in order.

use crate::world::{Directory, Random, batch, load, rows_after};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use store::{Batch, Store};

const ROUNDS: u64 = 25;

/// The child: commits for ever, says what is durable, and now and then checkpoints or trims.
pub fn write(path: &Path) -> ! {
    let mut store = Store::open(path).unwrap();
    let mut random = Random(u64::from(std::process::id()) | 1);
    let mut out = std::io::stdout();
    loop {
        let from = store.last() + 1;
        let batches: Vec<Batch> = (from..=from + random.below(5)).map(batch).collect();
        store.commit(&batches).unwrap();
        writeln!(out, "{}", store.last()).unwrap();
        match random.below(12) {
            0 => store.checkpoint().unwrap(),
            1 => drop(store.trim_history(0, 400_000).unwrap()),
            _ => {}
        }
    }
}

pub fn nothing_acknowledged_is_lost() {
    let directory = Directory::new();
    let mut random = Random(0x5eed);
    let mut reached = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("write")
            .arg(directory.store())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader =
            std::thread::spawn(move || lines.map_while(Result::ok).filter_map(|l| l.parse::<u64>().ok()).last());
        std::thread::sleep(Duration::from_micros(15_000 + random.below(40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = reader.join().unwrap().unwrap_or(reached);
        let mut store = Store::open(&directory.store()).unwrap();
        let (last, rows) = load(&mut store).unwrap();
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is there");
        assert!(rows == rows_after(last), "round {round}: rows are those of batch {last}");
        let history = store.history(1, usize::MAX).unwrap();
        assert_eq!(history.last().map_or(0, |e| e.index), last);
        for entry in history {
            assert!(entry.changes == batch(entry.index).changes, "round {round}: batch {}", entry.index);
        }
        reached = last;
    }
    assert!(reached > ROUNDS, "the writer wrote");
    println!("{reached} batches through {ROUNDS} kills");
}
