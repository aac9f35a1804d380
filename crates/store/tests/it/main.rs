//! The store against kills, damage, full disks and its own rules. This file runs the cases; it judges nothing itself.

mod damage;
mod kills;
mod rules;
mod speed;
mod world;

use std::process::ExitCode;
use std::time::Instant;

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("what_was_committed_is_there_again", rules::what_was_committed_is_there_again),
    ("batches_follow_each_other_and_are_small", rules::batches_follow_each_other_and_are_small),
    ("history_is_read_in_pieces_and_forgotten_in_slices", rules::history_is_read_and_forgotten),
    ("a_backup_is_a_store", rules::a_backup_is_a_store),
    ("what_must_not_be_opened_is_refused", rules::what_must_not_be_opened_is_refused),
    ("a_full_disk_is_told_and_gets_over", rules::a_full_disk_is_told),
    ("nothing_acknowledged_is_lost_by_kills", kills::nothing_acknowledged_is_lost),
    ("a_torn_file_is_told", damage::a_torn_file_is_told),
    ("a_flipped_bit_is_told_or_harmless", damage::a_flipped_bit_is_told_or_harmless),
    ("how_long_it_takes", speed::how_long_it_takes),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path] => kills::write(path.as_ref()),
        ["fill", path] => {
            rules::fill(path.as_ref());
            return ExitCode::SUCCESS;
        }
        ["--list", ..] => {
            CASES.iter().for_each(|(name, _)| println!("{name}: test"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let filters: Vec<_> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let mut failed = 0;
    for (name, case) in CASES {
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(case).is_ok();
        println!("case {name} ... {} ({:.2?})", if passed { "ok" } else { "FAILED" }, began.elapsed());
        failed += u32::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
