//! A disk under the data directory that fails while the program runs: no room, or nothing more is taken. Writes are refused
//! in clear words, reads and tasks go on, and nothing that was acknowledged is lost.

use crate::http::Answer;
use crate::tasks::{WAIT, arns, container, definition, shell};
use crate::world::{Gantry, PATIENCE, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Room for images and a few tasks.
const DISK_BYTES: u64 = 48 << 20;

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().expect(program);
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A small ext4 file system in a file, mounted on a loop device.
struct Disk {
    directory: PathBuf,
    file: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Beside a deployment's directory, not in it: that is deleted while this is still mounted.
    fn new(deployment: &Path) -> Self {
        let directory = deployment.with_extension("disk");
        let disk = Self { file: directory.join("image"), mount: directory.join("mount"), directory };
        fs::create_dir(&disk.directory).expect("a directory");
        File::create(&disk.file).and_then(|file| file.set_len(DISK_BYTES)).expect("a file");
        fs::create_dir(&disk.mount).expect("a directory");
        run("mkfs.ext4", &["-q", "-F", &disk.file.to_string_lossy()]);
        disk.mount();
        disk
    }

    /// As most systems mount theirs: an error makes it read-only.
    fn mount(&self) {
        run("mount", &["-o", "loop,errors=remount-ro", &self.file.to_string_lossy(), &self.mount.to_string_lossy()]);
    }

    fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.mount.join("ballast")).expect("ballast");
        for size in [1 << 20, 4096] {
            let block = vec![0; size];
            while ballast.write_all(&block).is_ok() {}
        }
        // A file system keeps blocks back until it must write.
        let _ = ballast.sync_all();
    }

    fn make_room(&self) {
        fs::remove_file(self.mount.join("ballast")).expect("ballast");
    }

    /// What a broken sector does: the file system takes nothing more, and everybody keeps what they have open.
    fn turn_read_only(&self) {
        let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.mount).output().expect("findmnt");
        let device = String::from_utf8_lossy(&found.stdout).trim().replace("/dev/", "");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("an error");
        eventually("read-only file system", PATIENCE, || match File::create(self.mount.join("probe")) {
            Ok(_) => Err("it takes writes".to_owned()),
            Err(_) => Ok(()),
        });
    }

    /// What an operator does then: a file system that was put right, in the same place.
    fn replace(&mut self) {
        let repaired = self.file.with_extension("repaired");
        fs::copy(&self.file, &repaired).expect("a copy");
        self.file = repaired;
        // Says with 1 that it has put something right.
        let checked = Command::new("e2fsck").args(["-p", "-f"]).arg(&self.file).output().expect("e2fsck");
        assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Once for each file system that was mounted there.
        while Command::new("umount").arg("-l").arg(&self.mount).output().is_ok_and(|done| done.status.success()) {}
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A deployment on a disk that fails, with one task that lives through everything.
struct Ordeal {
    gantry: Gantry,
    disk: Disk,
    steady: String,
    before: BTreeSet<(u32, u64)>,
    waiting: String,
    /// Definitions and tasks whose making was acknowledged.
    definitions: BTreeSet<String>,
    tasks: Vec<String>,
}

impl Ordeal {
    fn begin() -> Self {
        let mut gantry = Gantry::new();
        let disk = Disk::new(&gantry.directory);
        gantry.keep_in(disk.data());
        gantry.start("up");
        gantry.load("busybox");
        let steady = gantry.task("steady", &[shell("main", WAIT)]);
        gantry.listening(&steady);
        let before = gantry.processes(&steady);
        let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
        let definitions = BTreeSet::from([waiting.clone()]);
        Self { gantry, disk, steady, before, waiting, definitions, tasks: Vec::new() }
    }

    fn ask(&self, operation: &str, input: &Value) -> Answer {
        self.gantry.signer.ecs(operation, input.to_string().as_bytes())
    }

    /// Registers definitions and runs tasks until the first is refused; its message.
    fn write_until_refused(&mut self) -> String {
        let words = "x".repeat(20_000);
        let input = self.gantry.run_input(&self.waiting, 1);
        for number in 0..3_000 {
            let mut fat = shell("main", WAIT);
            fat["environment"] = json!([{ "name": "WORDS", "value": format!("{number}{words}") }]);
            let asked = definition("fat", &[fat]);
            let answer = self.ask("RegisterTaskDefinition", &asked);
            if answer.status != 200 {
                return refusal(&answer);
            }
            let made = answer.json()["taskDefinition"]["taskDefinitionArn"].as_str().expect("an ARN").to_owned();
            self.definitions.insert(made);
            if number % 50 == 1 && self.tasks.len() < 4 {
                let answer = self.ask("RunTask", &input);
                if answer.status != 200 {
                    return refusal(&answer);
                }
                self.tasks.extend(arns(&answer.json()["tasks"]));
            }
        }
        panic!("everything was taken");
    }

    /// Everything that was acknowledged can be read, and the task that was there is the one that was there.
    fn check_reads(&self) {
        let listed = self.ask("ListTaskDefinitions", &json!({ "familyPrefix": "fat" }));
        assert_eq!(listed.status, 200, "reads go on: {}", listed.text());
        let seen = self.ask("DescribeTasks", &json!({ "tasks": [self.steady] }));
        assert_eq!(seen.status, 200, "reads go on: {}", seen.text());
        assert_eq!(seen.json()["tasks"][0]["lastStatus"], "RUNNING", "{}", seen.text());
        assert_eq!(self.gantry.processes(&self.steady), self.before, "the same processes");
    }

    /// Nothing that was acknowledged is missing, and nothing that was refused is there.
    fn check_kept(&self) {
        let mut found = BTreeSet::new();
        let mut token = Value::Null;
        loop {
            let answer = self.gantry.ecs("ListTaskDefinitions", json!({ "nextToken": token }));
            let these = answer["taskDefinitionArns"].as_array().expect("ARNs").iter().filter_map(Value::as_str);
            found.extend(these.filter(|arn| !arn.contains("/steady:") && !arn.contains("/ending:")).map(str::to_owned));
            token = answer["nextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(found, self.definitions);
        for task in &self.tasks {
            self.gantry.describe(task);
        }
    }

    /// Writing is refused over more than one try to write, and reading is not.
    fn check_refuses(&self) {
        let until = Instant::now() + Duration::from_millis(1_300);
        while Instant::now() < until {
            let name = json!({ "clusterName": "refused" });
            refusal(&self.ask("CreateCluster", &name));
            self.check_reads();
        }
    }

    /// Writes succeed again, without a word from anybody.
    fn check_heals(&mut self) {
        let asked = definition("healed", &[shell("main", WAIT)]);
        let made =
            eventually("store that takes writes", PATIENCE, || match self.ask("RegisterTaskDefinition", &asked) {
                answer if answer.status == 200 => Ok(answer.json()),
                answer => Err(answer.text()),
            });
        self.definitions.insert(made["taskDefinition"]["taskDefinitionArn"].as_str().expect("an ARN").to_owned());
        self.check_works();
    }

    /// What was accepted comes to an end that is told, what runs is what ran, and new tasks come and go.
    fn check_works(&mut self) {
        self.check_kept();
        for task in std::mem::take(&mut self.tasks) {
            let seen = eventually("task that runs or says why not", PATIENCE, || {
                let seen = self.gantry.describe(&task);
                let settled = ["RUNNING", "STOPPED"].iter().any(|status| seen["lastStatus"] == *status);
                if settled { Ok(seen) } else { Err(format!("{seen:#}")) }
            });
            if seen["lastStatus"] == "STOPPED" {
                println!("accepted while the disk was full: {}", seen["stoppedReason"]);
                assert_ne!(seen["stoppedReason"].as_str().unwrap_or_default(), "", "{seen:#}");
            } else {
                self.gantry.stop(&task);
                self.gantry.stopped(&task);
            }
            self.gantry.gone(&task);
        }
        let task = self.gantry.run(&self.waiting, 1).remove(0);
        self.gantry.listening(&task);
        assert_eq!(self.gantry.processes(&task).len(), 1);
        self.gantry.stop(&task);
        assert_eq!(container(&self.gantry.stopped(&task), "main")["exitCode"], 0);
        self.gantry.gone(&task);
        self.check_reads();
    }
}

/// What a write is told when it cannot be kept.
fn refusal(answer: &Answer) -> String {
    let body = answer.json();
    let words = body["message"].as_str().or(body["Message"].as_str()).unwrap_or_default().to_owned();
    assert_eq!(answer.status, 500, "{body}");
    assert!(body["__type"].as_str().is_some_and(|kind| kind.ends_with("ServerException")), "{body}");
    assert!(words.contains("cannot write its store, nothing was changed"), "{body}");
    words
}

#[test]
fn a_full_disk_loses_nothing_and_heals_when_there_is_room() {
    let mut ordeal = Ordeal::begin();
    let ending = ordeal.gantry.task("ending", &[shell("main", &WAIT.replace("exit 0", "exit 7"))]);
    ordeal.gantry.listening(&ending);
    ordeal.disk.fill();
    let words = ordeal.write_until_refused();
    assert!(words.contains("no space is left for the store"), "{words}");
    // Whatever was deleted in the meantime gave room again; the end of a task needs very little.
    ordeal.disk.fill();
    for (pid, _) in ordeal.gantry.processes(&ending) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    }
    ordeal.check_refuses();
    ordeal.check_kept();
    assert!(ordeal.gantry.processes(&ending).is_empty(), "it ended while nothing could be written");
    ordeal.disk.make_room();
    ordeal.check_heals();
    assert_eq!(container(&ordeal.gantry.stopped(&ending), "main")["exitCode"], 7);
    ordeal.gantry.gone(&ending);

    ordeal.disk.fill();
    ordeal.write_until_refused();
    ordeal.gantry.kill("up");
    assert_eq!(ordeal.gantry.processes(&ordeal.steady), ordeal.before, "they run on while nobody watches");
    ordeal.disk.make_room();
    ordeal.gantry.start("up");
    ordeal.check_works();
    ordeal.gantry.take_down();
}

/// A start on a disk that is full says so, or serves; what runs is not touched either way.
#[test]
fn a_start_on_a_full_disk_harms_nothing() {
    let mut ordeal = Ordeal::begin();
    ordeal.gantry.kill("up");
    ordeal.disk.fill();
    let (out, log) = ["full.out", "full.err"].map(|name| ordeal.gantry.directory.join(name)).into();
    let mut start = ordeal.gantry.command(&["up", "--listen", "127.0.0.1:0"]);
    start.stdout(File::create(&out).expect("out")).stderr(File::create(&log).expect("a log"));
    let mut server = start.spawn().expect("the program");
    let said = || fs::read_to_string(&log).expect("a log");
    let ended = eventually("end of a start", PATIENCE, || match server.try_wait().expect("wait") {
        Some(status) => Ok(Some(status)),
        None if fs::read_to_string(&out).expect("out").contains(" is ready: ") => Ok(None),
        None => Err(said()),
    });
    let said = said();
    assert!(!said.contains("panicked"), "{said}");
    match ended {
        // A few blocks were enough after all.
        None => {
            server.kill().expect("kill");
            server.wait().expect("wait");
        }
        Some(status) => {
            let last = said.lines().last().unwrap_or_default();
            assert!(!status.success() && last.starts_with("gantry: "), "{said}");
            assert!(last.to_lowercase().contains("no space"), "{said}");
        }
    }
    assert_eq!(ordeal.gantry.processes(&ordeal.steady), ordeal.before, "the same processes");
    ordeal.disk.make_room();
    ordeal.gantry.start("up");
    ordeal.check_works();
    ordeal.gantry.take_down();
}

#[test]
fn a_disk_that_turns_read_only_loses_nothing() {
    let mut ordeal = Ordeal::begin();
    // What a node notes of its tasks is not synced: with a disk that fails within seconds, they would start anew.
    run("sync", &["--file-system", &ordeal.disk.mount.to_string_lossy()]);
    ordeal.disk.turn_read_only();
    let words = ordeal.write_until_refused();
    assert!(words.contains("Read-only file system"), "{words}");
    ordeal.check_refuses();
    ordeal.check_kept();
    ordeal.gantry.kill("up");
    assert_eq!(ordeal.gantry.processes(&ordeal.steady), ordeal.before, "they run on while nobody watches");
    ordeal.disk.replace();
    ordeal.gantry.start("up");
    ordeal.check_works();
    ordeal.gantry.take_down();
}
