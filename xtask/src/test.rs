//! `cargo xtask test`: every test of the project, in groups: each test program of the workspace, among them the whole
//! program with the stock AWS clients. Installs what they need first. The first group that fails ends it, and the summary
//! says which. No documentation here has examples to run.

use crate::command::{cargo, is_root, output, run, target};
use crate::{images, packages};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The foreign clients, fixed so that a run today is the run of tomorrow.
const CLIENTS: [&str; 2] = ["awscli==1.46.3", "boto3==1.44.5"];
/// The group of the tests that drive the whole program.
const WHOLE: &str = "gantry it";

/// Options of the tests.
#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Only the groups whose name contains this: a crate's name, or "gantry it" for the tests of the whole program
    #[arg(long)]
    only: Option<String>,
    /// Given to every test program: names of tests, --nocapture, ...
    #[arg(last = true)]
    rest: Vec<String>,
}

/// What limits of time in the tests are multiplied with.
pub const SLOWNESS: &str = "GANTRY_TEST_SLOWNESS";

/// A test program.
pub struct Group {
    /// The crate's name, and the program's where that differs.
    pub name: String,
    /// The built program.
    pub program: PathBuf,
    /// The package's directory, where cargo runs tests too.
    directory: PathBuf,
}

/// Runs them.
pub fn test(arguments: &Arguments) -> Result<()> {
    if !is_root() {
        bail!(
            "the tests make namespaces, cgroups and containers, which only root may: run this as root, for example with \
             sudo --preserve-env=PATH,HOME"
        );
    }
    packages::ensure(&[packages::TO_BUILD, packages::TO_TEST].concat())?;
    let target = target()?;
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    // How long something may take, for tests that share two cores and a disk with others; the benchmark says how long it takes.
    let slowness = std::env::var_os(SLOWNESS).unwrap_or_else(|| "4".into());
    let mut environment = vec![("GANTRY_TEST_REGISTRY", registry(&target)?), (SLOWNESS, slowness.into())];
    if wanted(WHOLE) {
        run(&mut cargo(&["build", "--release", "--package", "gantry"]))?;
        environment.extend(for_the_whole(&target)?);
    }
    let mut summary = Summary::default();
    for group in groups()?.iter().filter(|group| wanted(&group.name)) {
        let mut command = Command::new(&group.program);
        command.current_dir(&group.directory).env("CARGO_MANIFEST_DIR", &group.directory);
        command.args(&arguments.rest).envs(environment.iter().cloned());
        summary.run(&group.name, &mut command)?;
    }
    summary.end()
}

/// Builds every test program of the workspace at once, and finds out where they are.
pub fn groups() -> Result<Vec<Group>> {
    let build = ["test", "--release", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"];
    eprintln!("$ cargo {}", build.join(" "));
    let messages = output(&mut cargo(&build))?;
    let read = |line: &str| -> Option<Group> {
        let message: Value = serde_json::from_str(line).ok()?;
        let program = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
        let directory = Path::new(message["manifest_path"].as_str()?).parent()?;
        let (package, target) = (directory.file_name()?.to_string_lossy(), message["target"]["name"].as_str()?);
        let name = if package == target { target.to_owned() } else { format!("{package} {target}") };
        Some(Group { name, program: program.into(), directory: directory.to_owned() })
    };
    let mut groups: Vec<Group> = messages.lines().filter_map(read).collect();
    if groups.is_empty() {
        bail!("cargo built no test program");
    }
    // What takes longest comes last.
    groups.sort_by(|a, b| (a.name == WHOLE, &a.name).cmp(&(b.name == WHOLE, &b.name)));
    Ok(groups)
}

/// What the tests of the whole program are told.
fn for_the_whole(target: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    Ok(vec![
        ("GANTRY_BIN", target.join("release/gantry")),
        ("GANTRY_TEST_IMAGES", images::all(target)?),
        ("GANTRY_TEST_CLIENTS", clients(target)?),
        ("GANTRY_TEST_FAKETIME", faketime(target)?),
    ])
}

/// The AWS CLI and boto3, in an environment of their own; the directory of their programs.
fn clients(target: &Path) -> Result<PathBuf> {
    let directory = target.join("test-clients");
    let (programs, stamp) = (directory.join("bin"), directory.join("installed"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == CLIENTS.join("\n")) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    run(Command::new(programs.join("pip")).args(["install", "--quiet"]).args(CLIENTS))?;
    fs::write(&stamp, CLIENTS.join("\n")).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(programs)
}

/// Debian's container registry, unpacked and not installed: an installed one would start with the system.
pub fn registry(target: &Path) -> Result<PathBuf> {
    let directory = target.join("test-registry");
    let program = directory.join("usr/bin/docker-registry");
    if !program.exists() {
        packages::unpack(&BTreeSet::from(["docker-registry".to_owned()]), &directory)?;
    }
    Ok(program)
}

/// Debian's library that shows a program another time than the machine's, unpacked and not installed.
pub fn faketime(target: &Path) -> Result<PathBuf> {
    let directory = target.join("test-faketime");
    let find = || {
        let kinds = fs::read_dir(directory.join("usr/lib")).into_iter().flatten().flatten();
        kinds.map(|kind| kind.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
    };
    if find().is_none() {
        packages::unpack(&BTreeSet::from(["libfaketime".to_owned()]), &directory)?;
    }
    find().context("Debian's libfaketime has no libfaketimeMT.so.1")
}

#[derive(Default)]
struct Summary {
    passed: Vec<(String, Duration)>,
}

impl Summary {
    fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        eprintln!("\n==> {name}");
        let begun = Instant::now();
        let status =
            command.stdin(Stdio::null()).status().with_context(|| format!("cannot run the tests of {name}"))?;
        if !status.success() {
            self.print();
            bail!("FAILED: {name} ({status})");
        }
        self.passed.push((name.to_owned(), begun.elapsed()));
        Ok(())
    }

    fn print(&self) {
        eprintln!("\npassed:");
        for (name, time) in &self.passed {
            eprintln!("  {name:<24} {:>7.1} s", time.as_secs_f64());
        }
    }

    fn end(&self) -> Result<()> {
        if self.passed.is_empty() {
            bail!("no group of tests has such a name");
        }
        self.print();
        eprintln!("all {} groups passed", self.passed.len());
        Ok(())
    }
}
