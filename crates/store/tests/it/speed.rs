//! How long a durable commit takes here, and how fast rows are loaded.

use crate::world::Directory;
use std::time::{Duration, Instant};
use store::{Batch, Row, Store};

fn rows(from: u64, count: u64) -> Vec<Row> {
    let row = |n: u64| Row {
        kind: "task".into(),
        key: (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes().repeat(2),
        value: Some(vec![b'x'; 500]),
    };
    (from..from + count).map(row).collect()
}

fn commits(store: &mut Store, commits: u64, each: u64) {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..commits {
        let index = store.last() + 1;
        let batch = Batch { index, at: index, changes: vec![vec![b'c'; 300]], rows: rows(index % 5000 * 10, each) };
        let began = Instant::now();
        store.commit(&[batch]).unwrap();
        times.push(began.elapsed());
        if index.is_multiple_of(500) {
            store.checkpoint().unwrap();
        }
    }
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("commit of {each} rows: p50 {:.2?}, p90 {:.2?}, p99 {:.2?}", at(50), at(90), at(99));
    // Far above what a disk needs: this catches a wrong order of magnitude.
    assert!(at(50) < Duration::from_millis(200));
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

pub fn how_long_it_takes() {
    let directory = Directory::new();
    let mut store = Store::open(&directory.store()).unwrap();
    commits(&mut store, 2000, 1);
    commits(&mut store, 500, 10);
    commits(&mut store, 200, 100);
    for from in 0..100 {
        let index = store.last() + 1;
        let batch = Batch { index, at: index, changes: Vec::new(), rows: rows(1_000_000 + from * 1000, 1000) };
        store.commit(&[batch]).unwrap();
    }
    drop(store);
    let before = resident_kb();
    let began = Instant::now();
    let mut store = Store::open(&directory.store()).unwrap();
    let opened = began.elapsed();
    let mut count = 0;
    let last = store.load(|_, _, _| count += 1).unwrap();
    let (took, grown) = (began.elapsed(), resident_kb().saturating_sub(before));
    println!("open {opened:.2?}, load of {count} rows {took:.2?}, {grown} kB more resident afterwards");
    assert!(last == 2800 && count > 100_000);
    assert!(grown < 12_000, "the store keeps little in memory");
}
