//! How verbs show things to people: tables, ages, times of day.

use crate::clock::wall_ms;
use comfy_table::{Table, presets};

/// An empty table.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

/// How long ago a moment was, in one unit.
pub fn ago(at: u64) -> String {
    let seconds = wall_ms().saturating_sub(at) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment in UTC, to the millisecond.
pub fn clock_time(at: u64) -> String {
    wire::Timestamp::from_millis(at).to_string()
}
