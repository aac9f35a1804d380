//! `cargo xtask vm`: the tests on real containers once more, on another kind of host: Debian's kernel with cgroup v2 alone, in
//! an emulated machine (qemu without KVM, so that it runs wherever the project is built). The machine has no network and ends
//! when the tests do; what they print comes over its serial line. A test that needs the AWS clients stays on the host.

mod machine;
mod tree;

use crate::command::{cargo, is_root, run, target};
use crate::test::{Group, SLOWNESS, groups, registry};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// What the machine is made of, beside what it tests.
const NEEDED: &[&str] =
    &["busybox-static", "ca-certificates", "e2fsprogs", "iproute2", "nftables", "qemu-system-x86", "util-linux"];

/// The groups that run there, and what each is told. An emulated processor is some ten times slower: of the tests of the
/// whole program, those that a kernel decides, and none that measures.
const RUN: [(&str, &[&str]); 3] = [
    ("runtime it", &["--test-threads=2", "--skip", "timing::"]),
    ("network it", &[]),
    ("gantry it", &["--test-threads=2", "isolation::", "tasks::", "life::", "network::", "kills::", "cli::top"]),
];

/// Options of the machine.
#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Only the groups whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Given to every test program instead of the choice made for it: names of tests, --nocapture, ...
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Boots the machine and runs the tests in it.
pub fn vm(arguments: &Arguments) -> Result<()> {
    if !is_root() {
        bail!("the machine's file system has files of root's: run this as root");
    }
    if cfg!(not(target_arch = "x86_64")) {
        bail!("the emulated machine is an x86-64 one, and so must this one be");
    }
    packages::ensure(&[packages::TO_BUILD, NEEDED].concat())?;
    let target = target()?;
    run(&mut cargo(&["build", "--release", "--package", "gantry"]))?;
    let built = groups()?;
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let mut tests = Vec::new();
    for (name, choice) in RUN.into_iter().filter(|(name, _)| wanted(name)) {
        let group = built.iter().find(|group| group.name == name).with_context(|| format!("no tests {name}"))?;
        let choice: Vec<String> = choice.iter().map(|word| (*word).to_owned()).collect();
        tests.push((group, if arguments.rest.is_empty() { choice } else { arguments.rest.clone() }));
    }
    if tests.is_empty() {
        bail!("no group of tests has such a name");
    }
    let begun = Instant::now();
    let kernel = machine::kernel(&target)?;
    let root = target.join("vm");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let disk = tree::disk(&root, &kernel, &contents(&target, &tests)?)?;
    let first = tree::first(&root, &kernel)?;
    let told = machine::boot(&kernel, &first, &disk)?;
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    for (group, _) in &tests {
        match told.get(&group.name) {
            Some(0) => {}
            Some(code) => bail!("FAILED on {}: {} (exit code {code})", kernel.release, group.name),
            None => bail!("FAILED on {}: the machine ended before it had run {}", kernel.release, group.name),
        }
    }
    let names: Vec<&str> = tests.iter().map(|(group, _)| group.name.as_str()).collect();
    eprintln!("passed on {} with cgroup v2, in {:.0?}: {}", kernel.release, begun.elapsed(), names.join(", "));
    Ok(())
}

/// Files for the machine, at the paths they have here, and the script that runs them.
fn contents(target: &Path, tests: &[(&Group, Vec<String>)]) -> Result<tree::Contents> {
    let (gantry, images) = (target.join("release/gantry"), images::all(target)?);
    let supervisor = target.join("release/gantry-supervisor");
    let registry = registry(target)?;
    let mut files = vec![gantry.clone(), registry.clone(), images.join("busybox.tar"), images.join("nginx.tar")];
    files.extend(supervisor.exists().then_some(supervisor));
    let mut script = format!(
        "export {SLOWNESS}=10 GANTRY_BIN={} GANTRY_TEST_IMAGES={} GANTRY_TEST_REGISTRY={} RUST_BACKTRACE=0\n",
        quoted(&gantry.to_string_lossy()),
        quoted(&images.to_string_lossy()),
        quoted(&registry.to_string_lossy())
    );
    for (group, arguments) in tests {
        files.push(group.program.clone());
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        script += &format!(
            "echo; echo '==> {name}'\n{program} {words}\necho \"{RESULT}{name}: $?\"\n",
            name = group.name,
            program = quoted(&group.program.to_string_lossy()),
            words = words.join(" "),
            RESULT = machine::RESULT,
        );
    }
    Ok(tree::Contents { files, script })
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
