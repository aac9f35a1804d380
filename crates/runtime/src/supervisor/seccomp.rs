//! The default system call filter: our own data file, resolved for one container's capabilities and this machine's one
//! architecture into the plain rules of an OCI specification. Pure; loading the filter is libcontainer's.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What a refused call answers: EPERM.
const REFUSED: u32 = 1;

#[derive(Debug, Deserialize)]
struct Profile {
    allow: Vec<String>,
    allow_on: BTreeMap<String, Vec<String>>,
    allow_arguments: Vec<ArgumentRule>,
    by_capability: BTreeMap<String, Vec<String>>,
    without_capability: BTreeMap<String, Without>,
}

#[derive(Debug, Deserialize)]
struct ArgumentRule {
    name: String,
    index: u32,
    operator: Operator,
    value: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    Equal,
    NotEqual,
}

/// What holds for containers that lack a capability.
#[derive(Debug, Deserialize)]
struct Without {
    /// `clone` is allowed when none of these flags is set: no new namespaces.
    clone_flags_refused: u64,
    /// Calls answered with an error of their own, so that C libraries fall back.
    errno: BTreeMap<String, u32>,
}

fn profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| {
        // The file is compiled in and read by a test, so this cannot fail at run time; an empty profile refuses all.
        serde_json::from_str(include_str!("seccomp.json")).unwrap_or(Profile {
            allow: Vec::new(),
            allow_on: BTreeMap::new(),
            allow_arguments: Vec::new(),
            by_capability: BTreeMap::new(),
            without_capability: BTreeMap::new(),
        })
    })
}

/// The name of this machine's architecture in a specification. Only one is given: each further one costs libseccomp
/// eight milliseconds a container.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "SCMP_ARCH_X86_64",
        "aarch64" => "SCMP_ARCH_AARCH64",
        "riscv64" => "SCMP_ARCH_RISCV64",
        _ => "SCMP_ARCH_NATIVE",
    }
}

/// Whether kernel and library can filter here; a node refuses to start containers without.
pub(crate) fn supported() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
        .is_ok_and(|actions| actions.split_whitespace().any(|action| action == "errno"))
}

/// The `linux.seccomp` member for a container with these capabilities (`CAP_…`).
pub(crate) fn resolve(capabilities: &BTreeSet<String>) -> Value {
    let profile = profile();
    let mut names: BTreeSet<&str> = profile.allow.iter().map(String::as_str).collect();
    if let Some(more) = profile.allow_on.get(std::env::consts::ARCH) {
        names.extend(more.iter().map(String::as_str));
    }
    for (capability, more) in &profile.by_capability {
        if capabilities.contains(capability) {
            names.extend(more.iter().map(String::as_str));
        }
    }
    let mut rules = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    for rule in &profile.allow_arguments {
        let operator = match rule.operator {
            Operator::Equal => "SCMP_CMP_EQ",
            Operator::NotEqual => "SCMP_CMP_NE",
        };
        rules.push(json!({
            "names": [rule.name], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": rule.index, "value": rule.value, "op": operator }],
        }));
    }
    for (capability, without) in &profile.without_capability {
        if capabilities.contains(capability) {
            continue;
        }
        rules.push(json!({
            "names": ["clone"], "action": "SCMP_ACT_ALLOW",
            "args": [{
                "index": 0, "value": without.clone_flags_refused, "valueTwo": 0,
                "op": "SCMP_CMP_MASKED_EQ",
            }],
        }));
        for (name, errno) in &without.errno {
            rules.push(json!({
                "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
            }));
        }
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": REFUSED,
        "architectures": [architecture()],
        "syscalls": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(seccomp: &Value) -> BTreeSet<String> {
        let first = &seccomp["syscalls"][0]["names"];
        serde_json::from_value(first.clone()).expect("names")
    }

    #[test]
    fn the_data_file_is_well_formed() {
        let profile: Profile = serde_json::from_str(include_str!("seccomp.json")).expect("seccomp.json");
        assert!(profile.allow.len() > 250);
        let unique: BTreeSet<_> = profile.allow.iter().collect();
        assert_eq!(unique.len(), profile.allow.len());
    }

    #[test]
    fn an_ordinary_container_cannot_make_namespaces_or_mount() {
        let seccomp = resolve(&BTreeSet::new());
        let names = allowed(&seccomp);
        for refused in ["mount", "unshare", "setns", "bpf", "reboot", "keyctl", "add_key", "clone", "clone3"] {
            assert!(!names.contains(refused), "{refused}");
        }
        for needed in ["execve", "openat", "futex", "vfork", "rseq"] {
            assert!(names.contains(needed), "{needed}");
        }
        let rules = seccomp["syscalls"].as_array().expect("rules");
        assert!(rules.iter().any(|r| r["names"][0] == "clone3" && r["errnoRet"] == 38));
        assert!(rules.iter().any(|r| r["names"][0] == "clone" && r["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"));
    }

    #[test]
    fn a_capability_opens_its_calls() {
        let seccomp = resolve(&BTreeSet::from(["CAP_SYS_ADMIN".to_owned()]));
        let names = allowed(&seccomp);
        assert!(names.contains("mount") && names.contains("clone3"));
        assert!(!names.contains("reboot"));
        let rules = seccomp["syscalls"].as_array().expect("rules");
        assert!(!rules.iter().any(|r| r["names"][0] == "clone"));
    }

    #[test]
    fn one_architecture_only() {
        let architectures = resolve(&BTreeSet::new())["architectures"].clone();
        assert_eq!(architectures.as_array().map(Vec::len), Some(1));
    }
}
