//! Which process is ours: a process number alone is used again by the kernel, so that its start time and the boot are
//! kept with it. Reads /proc; never signals.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// What `supervisor.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot.
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
    /// The version of the protocol it speaks.
    pub(crate) version: u32,
}

impl Identity {
    /// The calling process.
    pub(crate) fn own(version: u32) -> io::Result<Self> {
        let pid = std::process::id();
        let start_time = start_time(pid).ok_or_else(|| io::Error::other("no start time in /proc/self/stat"))?;
        Ok(Self { pid, start_time, boot_id: boot_id()?, version })
    }

    /// Whether that very process is alive now.
    pub(crate) fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id) && start_time(self.pid) == Some(self.start_time)
    }
}

/// This boot's identifier.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// `None` when the process is gone or a zombie.
fn start_time(pid: u32) -> Option<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The program's name is in parentheses and may itself hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        assert_eq!(parse_stat(stat), Some(4242));
        assert_eq!(parse_stat(&stat.replace(") S", ") Z")), None);
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn we_are_ourselves() {
        let own = Identity::own(1).expect("own identity");
        assert!(own.is_alive());
        assert!(!Identity { start_time: own.start_time + 1, ..own.clone() }.is_alive());
        assert!(!Identity { boot_id: "other".into(), ..own }.is_alive());
    }
}
