//! A host that fails under the program: records that are garbage, registries that are silent, containers that will not go,
//! a clock that jumps (disks that fail have a file of their own). Each is said in clear words, nothing that was acknowledged
//! is lost, and what has nothing to do with it goes on.

use crate::host;
use crate::http::Signer;
use crate::tasks::{WAIT, container, id, shell};
use crate::world::{GONE, Gantry, PATIENCE, eventually, fault, patient, told};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A container that does not hear that it is to end.
const DEAF: &str = "trap '' TERM; while :; do sleep 1; done";
/// A start or an end that waits for nobody takes no longer, on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Three tasks, killed server, `spoil` for the directory of the first, and a new start; the others are what they were. Then
/// the first runs once with what it runs, or is STOPPED and says why. What it came to.
fn spoiled(words: &str, spoil: impl FnOnce(&Path)) -> (bool, String) {
    let mut gantry = Gantry::up();
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    let tasks = gantry.run(&waiting, 3);
    tasks.iter().for_each(|task| drop(gantry.listening(task)));
    let before: Vec<_> = tasks.iter().map(|task| gantry.processes(task)).collect();
    gantry.kill("up");
    spoil(&gantry.data_dir().join("tasks").join(id(&tasks[0])));
    gantry.start("up");
    let line = eventually("word of what is spoiled", PATIENCE, || {
        let log = gantry.log("up");
        log.lines().find(|line| line.contains(words)).map(str::to_owned).ok_or(log)
    });
    assert!(line.contains(&id(&tasks[0])), "which task: {line}");
    let settled = eventually("task that settled", PATIENCE, || {
        let seen = gantry.describe(&tasks[0]);
        let (supervisors, containers) = (gantry.supervisors(&tasks[0]).len(), gantry.processes(&tasks[0]).len());
        let wanted = if seen["lastStatus"] == "RUNNING" { (1, 1) } else { (0, 0) };
        let settled = seen["lastStatus"] == seen["desiredStatus"] && (supervisors, containers) == wanted;
        if settled { Ok(seen) } else { Err(format!("{supervisors} supervisors, {containers} containers: {seen:#}")) }
    });
    for (task, before) in tasks.iter().zip(&before).skip(1) {
        assert_eq!(gantry.running(task)["desiredStatus"], "RUNNING");
        assert_eq!(gantry.processes(task), *before, "the same processes");
    }
    let same = gantry.processes(&tasks[0]) == before[0];
    if settled["lastStatus"] == "RUNNING" {
        gantry.listening(&tasks[0]);
        gantry.stop(&tasks[0]);
        assert_eq!(container(&gantry.stopped(&tasks[0]), "main")["exitCode"], 0);
    } else {
        assert_ne!(settled["stoppedReason"].as_str().unwrap_or_default(), "", "{settled:#}");
    }
    gantry.gone(&tasks[0]);
    gantry.take_down();
    (same, settled["lastStatus"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_record_of_a_task_that_is_garbage() {
    let came_to = spoiled("record task.json cannot be read", |directory| {
        fs::write(directory.join("task.json"), b"\xff\x00{garbage").expect("write");
    });
    assert_eq!(came_to, (false, "RUNNING".to_owned()), "nobody can say what ran, so that it starts anew");
}

#[test]
fn a_record_of_a_supervisor_that_is_cut_off() {
    let came_to = spoiled("record of a task's supervisor cannot be read", |directory| {
        File::options().write(true).truncate(true).open(directory.join("supervisor.json")).expect("truncate");
    });
    assert_eq!(came_to, (true, "RUNNING".to_owned()), "who holds the task is still to be found");
}

/// A registry that takes connections and does with each as it is told.
fn odd_registry(answer: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let authority = listener.local_addr().expect("an address").to_string();
    // Ends with the tests' process.
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    authority
}

fn of_image(image: &str) -> Value {
    json!({ "name": "main", "image": image })
}

/// Runs a task and stops it, while something else is in the way; neither may take long.
fn comes_and_goes(gantry: &Gantry, definition: &str) {
    let begun = Instant::now();
    let task = gantry.run(definition, 1).remove(0);
    gantry.listening(&task);
    assert!(begun.elapsed() < patient(AT_ONCE), "it started after {:?}", begun.elapsed());
    let begun = Instant::now();
    gantry.stop(&task);
    assert_eq!(container(&gantry.stopped(&task), "main")["exitCode"], 0);
    assert!(begun.elapsed() < patient(AT_ONCE), "it ended after {:?}", begun.elapsed());
}

#[test]
fn a_registry_that_never_answers_holds_up_nobody() {
    let gantry = Gantry::up();
    let kept = std::sync::Mutex::new(Vec::new());
    let silent = odd_registry(move |stream| kept.lock().expect("no panic").push(stream));
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    let images = (0..8).map(|number| format!("{silent}/team/app:{number}"));
    let pulling: Vec<String> = images.map(|image| gantry.task("silent", &[of_image(&image)])).collect();
    for task in &pulling {
        gantry.wait(task, "PENDING");
    }
    comes_and_goes(&gantry, &waiting);
    let begun = Instant::now();
    pulling.iter().for_each(|task| gantry.stop(task));
    for task in &pulling {
        let stopped = gantry.stopped(task);
        assert_eq!(stopped["stopCode"], "UserInitiated", "{stopped:#}");
        assert!(container(&stopped, "main").get("exitCode").is_none(), "nothing ran: {stopped:#}");
        gantry.gone(task);
    }
    assert!(begun.elapsed() < patient(AT_ONCE), "they ended after {:?}", begun.elapsed());
    gantry.take_down();
}

#[test]
fn a_registry_that_hangs_up_is_told_of() {
    let gantry = Gantry::up();
    let rude = odd_registry(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let task = gantry.ended("rude", &[of_image(&format!("{rude}/team/app:1"))]);
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    let reason = task["stoppedReason"].as_str().expect("a reason");
    assert!(reason.contains("CannotPullContainerError") && reason.contains(&rude), "{reason}");
    gantry.gone(task["taskArn"].as_str().expect("an ARN"));
    gantry.take_down();
}

#[test]
fn containers_that_do_not_end_hold_up_nobody() {
    let timeout = patient(Duration::from_secs(4));
    let gantry = Gantry::up();
    let mut deaf = shell("main", DEAF);
    deaf["stopTimeout"] = json!(timeout.as_secs());
    let deaf = gantry.register("deaf", &[deaf]);
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    let hung = gantry.run(&deaf, 3);
    hung.iter().for_each(|task| drop(gantry.running(task)));
    let begun = Instant::now();
    hung.iter().for_each(|task| gantry.stop(task));
    comes_and_goes(&gantry, &waiting);
    comes_and_goes(&gantry, &waiting);
    if begun.elapsed() < timeout {
        let still = gantry.describe(&hung[0]);
        assert_ne!(still["lastStatus"], "STOPPED", "it had time until it is killed: {still:#}");
    }
    for task in &hung {
        let stopped = gantry.stopped(task);
        assert_eq!(container(&stopped, "main")["exitCode"], 137, "{stopped:#}");
        gantry.gone(task);
    }
    let took = begun.elapsed();
    assert!(took >= timeout && took < timeout + patient(GONE), "they ended after {took:?}");
    gantry.take_down();
}

/// Bounded twice, so that a failure does not take the machine along: by the user's own limit, and by the task's memory.
#[test]
fn a_container_that_forks_without_end() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    const MANY: usize = 400;
    let gantry = Gantry::up();
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    // `command eval`: a shell that cannot fork ends, but for what is done so.
    let mut bomb =
        shell("main", "trap '' TERM; bomb() { bomb | bomb & }; while :; do command eval bomb 2>/dev/null; done");
    bomb["user"] = json!("54321");
    bomb["ulimits"] = json!([{ "name": "nproc", "softLimit": MANY, "hardLimit": MANY }]);
    let bomb = gantry.task("bomb", &[bomb]);
    gantry.running(&bomb);
    let group = format!("gantry/{}/{}/c", gantry.node_id(), id(&bomb));
    let most = host::group_file(&group, &["pids.max"]).expect("pids.max");
    assert!(most.parse::<u32>().is_ok_and(|most| most <= 4096), "a task may not fork without end: {most}");
    eventually("crowd", PATIENCE, || match host::processes_below(&group).len() {
        crowd if crowd > MANY / 2 => Ok(()),
        crowd => Err(format!("{crowd} processes")),
    });
    comes_and_goes(&gantry, &waiting);
    let begun = Instant::now();
    gantry.stop(&bomb);
    let stopped = gantry.stopped(&bomb);
    assert!(begun.elapsed() < TIMEOUT + patient(GONE), "it ended after {:?}", begun.elapsed());
    assert_eq!(stopped["stopCode"], "UserInitiated", "{stopped:#}");
    gantry.gone(&bomb);
    gantry.take_down();
}

/// A clock that shows what the file says; the machine's own is not touched.
struct Wall {
    file: PathBuf,
}

const DAY: i64 = 86_400;

impl Wall {
    fn of(gantry: &mut Gantry) -> Self {
        let wall = Self { file: gantry.directory.join("clock") };
        let variables = [
            ("LD_PRELOAD", told("GANTRY_TEST_FAKETIME").to_string_lossy().into_owned()),
            ("FAKETIME_TIMESTAMP_FILE", wall.file.to_string_lossy().into_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // A clock that is set moves no other.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        gantry.environment.extend(variables);
        wall.jump(gantry, 0);
        wall
    }

    /// Clients on the same machine have the same clock.
    fn jump(&self, gantry: &mut Gantry, seconds: i64) {
        let aside = self.file.with_extension("new");
        fs::write(&aside, format!("{seconds:+}\n")).and_then(|()| fs::rename(&aside, &self.file)).expect("a clock");
        gantry.signer.skew = seconds;
    }
}

/// A service of one task.
pub fn serve(gantry: &Gantry, definition: &str) {
    let input = json!({
        "serviceName": "web", "taskDefinition": definition, "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": gantry.run_input(definition, 1)["networkConfiguration"],
    });
    gantry.ecs("CreateService", input);
}

/// A service whose task can be killed and is replaced.
fn check_reconciles(gantry: &Gantry) {
    let settled = || {
        eventually("service with its task", PATIENCE, || {
            let answer = gantry.ecs("DescribeServices", json!({ "services": ["web"] }));
            let seen = &answer["services"][0];
            let listed = gantry.ecs("ListTasks", json!({ "serviceName": "web" }));
            match listed["taskArns"].as_array().map(Vec::as_slice) {
                Some([task]) if seen["runningCount"] == 1 => Ok(task.as_str().expect("an ARN").to_owned()),
                _ => Err(format!("{listed} {seen:#}")),
            }
        })
    };
    let first = settled();
    gantry.stop(&first);
    gantry.stopped(&first);
    assert_ne!(settled(), first);
}

fn created(task: &Value) -> f64 {
    task["createdAt"].as_f64().expect("a time")
}

#[test]
fn a_clock_that_jumps_under_a_running_server() {
    let mut gantry = Gantry::new();
    let wall = Wall::of(&mut gantry);
    gantry.start("up");
    gantry.load("busybox");
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    serve(&gantry, &waiting);
    let steady = gantry.run(&waiting, 1).remove(0);
    let first = created(&gantry.listening(&steady));
    let before = gantry.processes(&steady);
    for seconds in [DAY, -DAY, 400 * DAY, 0] {
        wall.jump(&mut gantry, seconds);
        let late = Signer { skew: seconds + 2_000, ..gantry.signer.clone() };
        let (code, _) = fault("ListTasks", &late.ecs("ListTasks", b"{}"));
        assert!(code.contains("Signature"), "signatures are held to the wall clock: {code}");
        check_reconciles(&gantry);
        let task = gantry.run(&waiting, 1).remove(0);
        let seen = gantry.listening(&task);
        assert!((0.0..300.0).contains(&(created(&seen) - first)), "time goes on as it did: {seen:#}");
        gantry.stop(&task);
        assert_eq!(container(&gantry.stopped(&task), "main")["exitCode"], 0);
        gantry.gone(&task);
        assert_eq!(gantry.processes(&steady), before, "the same processes");
    }
    gantry.take_down();
}

#[test]
fn a_start_whose_clock_is_behind_the_store() {
    let mut gantry = Gantry::new();
    let wall = Wall::of(&mut gantry);
    wall.jump(&mut gantry, DAY);
    gantry.start("up");
    gantry.load("busybox");
    let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
    serve(&gantry, &waiting);
    let steady = gantry.run(&waiting, 1).remove(0);
    let first = created(&gantry.listening(&steady));
    let before = gantry.processes(&steady);
    gantry.kill("up");
    wall.jump(&mut gantry, 0);
    gantry.start("up");
    assert!(gantry.log("up").contains("the wall clock is behind the store"), "{}", gantry.log("up"));
    check_reconciles(&gantry);
    assert_eq!(gantry.processes(&steady), before, "the same processes");
    let task = gantry.run(&waiting, 1).remove(0);
    let seen = gantry.listening(&task);
    assert!((0.0..300.0).contains(&(created(&seen) - first)), "time never goes back: {seen:#}");
    for task in [&task, &steady] {
        gantry.stop(task);
        let stopped = gantry.stopped(task);
        assert_eq!(container(&stopped, "main")["exitCode"], 0);
        let ladder =
            ["createdAt", "startedAt", "stoppingAt", "stoppedAt"].map(|name| stopped[name].as_f64().expect(name));
        assert!(ladder.is_sorted(), "one after the other: {stopped:#}");
    }
    gantry.take_down();
}
