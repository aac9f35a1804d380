//! What containers print, from their pipes to those who read it: through boto3, the stock AWS CLI and `gantry logs`, live,
//! across kills and outages.

use crate::clients::{environment, python};
use crate::http::exchange;
use crate::tasks::{id, shell};
use crate::world::{Gantry, PATIENCE, eventually, fault, patient};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Prints numbers for as long as it lives, and pauses so that others can work.
const COUNT: &str = "n=0; while :; do n=$((n+1)); echo number $n; [ $((n % 200)) = 0 ] && sleep 0.02; done";

fn options(mode: &str) -> Value {
    json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "counted", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true", "mode": mode,
    }})
}

fn counting(mode: &str, script: &str) -> Value {
    let mut container = shell("main", script);
    container["logConfiguration"] = options(mode);
    container
}

impl Gantry {
    /// Calls an operation of CloudWatch Logs: its status and answer.
    fn logs(&self, operation: &str, input: &Value) -> (u16, Value) {
        let body = input.to_string();
        let target = format!("Logs_20140328.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let headers = self.signer.sign("logs", &headers, body.as_bytes());
        let answer = exchange(&self.signer.authority, "POST", "/", &headers, body.as_bytes()).expect("an answer");
        (answer.status, answer.json())
    }

    /// All messages of a stream; none while it is not there.
    fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let (mut all, mut token) = (Vec::new(), Value::Null);
        loop {
            let input =
                json!({"logGroupName": group, "logStreamName": stream, "startFromHead": true, "nextToken": token});
            let (status, page) = self.logs("GetLogEvents", &input);
            if status != 200 {
                return all;
            }
            let events = page["events"].as_array().expect("events");
            if events.is_empty() {
                return all;
            }
            all.extend(events.iter().map(|event| event["message"].as_str().expect("text").to_owned()));
            token = page["nextForwardToken"].clone();
        }
    }

    fn numbers(&self, task: &str) -> Vec<u64> {
        let messages = self.messages("counted", &format!("p/main/{}", id(task)));
        let number = |line: &String| line.strip_prefix("number ").and_then(|number| number.parse().ok());
        messages.iter().map(|line| number(line).unwrap_or_else(|| panic!("an odd line: {line}"))).collect()
    }
}

/// Every number up to the highest, each once, but for what a kill may have repeated: runs in order, of a batch at most.
fn check_numbers(numbers: &[u64], kills: usize) {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    numbers.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
    let highest = counts.last_key_value().map_or(0, |(highest, _)| *highest);
    let missing: Vec<u64> = (1..=highest).filter(|number| !counts.contains_key(number)).collect();
    assert_eq!(missing, Vec::<u64>::new(), "of {highest}");
    let mut sorted: Vec<u64> = counts.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
    sorted.dedup_by(|next, number| {
        *next == *number + 1 && {
            *number += 1;
            true
        }
    });
    let repeats = numbers.len() as u64 - counts.len() as u64;
    assert!(repeats <= 10_000 * kills as u64 && sorted.len() <= kills, "{repeats} repeated after {kills} kills");
}

#[test]
fn boto3_reads_writes_and_sees_what_containers_print() {
    let gantry = Gantry::up();
    python(&gantry, "logs.py");
    gantry.take_down();
}

#[test]
fn every_operation_of_the_logs_model_is_answered() {
    const HANDLED: [&str; 11] = [
        "CreateLogGroup",
        "CreateLogStream",
        "DeleteLogGroup",
        "DeleteLogStream",
        "DeleteRetentionPolicy",
        "DescribeLogGroups",
        "DescribeLogStreams",
        "FilterLogEvents",
        "GetLogEvents",
        "PutLogEvents",
        "PutRetentionPolicy",
    ];
    let mut gantry = Gantry::new();
    gantry.start("control");
    let model: Value = serde_json::from_str(include_str!("../../../../models/logs.json")).expect("the model");
    for (name, operation) in model["operations"].as_object().expect("operations") {
        let shape = operation["input"]["shape"].as_str();
        let input = shape.map_or(json!({}), |shape| crate::operations::least(&model, shape));
        let body = input.to_string();
        let target = format!("Logs_20140328.{name}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let headers = gantry.signer.sign("logs", &headers, body.as_bytes());
        let answer = exchange(&gantry.signer.authority, "POST", "/", &headers, body.as_bytes()).expect("an answer");
        let handled = HANDLED.contains(&name.as_str());
        if answer.status == 200 {
            assert!(handled, "{name} was answered: {}", answer.text());
            continue;
        }
        let (code, message) = fault(name, &answer);
        let unsupported = message.starts_with(&format!("{name} is not supported yet"));
        // The least of some shapes is refused for its characters before.
        assert!(
            !(unsupported && handled) && (unsupported || handled || code != "InternalFailure"),
            "{name}: {message}"
        );
    }
    gantry.take_down();
}

#[test]
fn a_nodes_key_writes_to_the_streams_of_its_tasks_only() {
    let gantry = Gantry::up();
    let task = gantry.task("own", &[shell("main", "echo hello; exec sleep 1000")]);
    let stream = format!("main/{}", id(&task));
    let said = || match gantry.messages("/gantry/own", &stream) {
        lines if lines == ["hello"] => Ok(()),
        lines => Err(format!("{lines:?}")),
    };
    eventually("line", PATIENCE, said);
    let key = crate::world::read_json(&gantry.data_dir().join("node.json"));
    let text = |name: &str| key[name].as_str().expect("text").to_owned();
    let mut node = Gantry::new();
    node.signer.authority.clone_from(&gantry.signer.authority);
    (node.signer.access_key, node.signer.secret) = (text("accessKeyId"), text("secretAccessKey"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now").as_millis() as u64;
    let put = |group: &str, stream: &str| {
        let events = json!([{"timestamp": now, "message": "x"}]);
        node.logs("PutLogEvents", &json!({"logGroupName": group, "logStreamName": stream, "logEvents": events})).0
    };
    gantry.logs("CreateLogGroup", &json!({"logGroupName": "other"}));
    gantry.logs("CreateLogStream", &json!({"logGroupName": "other", "logStreamName": stream}));
    gantry.logs("CreateLogStream", &json!({"logGroupName": "/gantry/own", "logStreamName": "x"}));
    assert_eq!((put("/gantry/own", &stream), put("other", &stream), put("/gantry/own", "x")), (200, 400, 400));
    let stream_input = json!({"logGroupName": "/gantry/own", "logStreamName": stream});
    for (operation, input) in [
        ("GetLogEvents", stream_input.clone()),
        ("DeleteLogStream", stream_input),
        ("FilterLogEvents", json!({"logGroupName": "/gantry/own"})),
        ("DeleteLogGroup", json!({"logGroupName": "/gantry/own"})),
        ("DescribeLogGroups", json!({})),
    ] {
        let (status, answer) = node.logs(operation, &input);
        assert_eq!((status, answer["__type"].as_str()), (400, Some("AccessDeniedException")), "{operation}: {answer}");
    }
    node.take_down_nothing();
    gantry.take_down();
}

/// Debian's AWS CLI 2, which is too old for `AWS_ENDPOINT_URL`. Its `tail --follow` sleeps five seconds between two
/// questions; only that number is changed here, to see our part of the time. Without it nothing is changed.
#[test]
fn the_aws_cli_follows_a_container_live() {
    let gantry = Gantry::up();
    let task = gantry.task("live", &[shell("main", "while :; do cat /proc/uptime; sleep 0.2; done")]);
    gantry.running(&task);
    let endpoint = format!("http://{}", gantry.signer.authority);
    let stock = |program: &str| {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &gantry.directory).env("AWS_PAGER", "");
        command.envs(environment(&gantry)).stdin(Stdio::null());
        command
    };
    let tail = ["--endpoint-url", &endpoint, "logs", "tail", "/gantry/live", "--format", "short"];
    eventually("lines in the stock client", PATIENCE, || {
        let done = stock("/usr/bin/aws").args(tail).output().expect("Debian's aws");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        if said.lines().count() > 2 { Ok(()) } else { Err(format!("{said}{}", String::from_utf8_lossy(&done.stderr))) }
    });
    let script = "import sys; sys.argv[0] = 'aws'\n\
                  from awscli.customizations.logs import tail\n\
                  tail.FollowLogEventsGenerator._TIME_TO_SLEEP = 0.1\n\
                  from awscli.clidriver import main\nsys.exit(main())";
    let mut command = stock("/usr/bin/python3");
    command.args(["-c", script]).args(tail).arg("--follow").env("PYTHONUNBUFFERED", "1");
    let mut tail = command.stdout(Stdio::piped()).spawn().expect("Debian's aws");
    let uptime = |text: &str| text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    // The first lines were printed before anybody asked, and other tests take the processors in turns: what counts is
    // that the client keeps up, ten lines running. One that is a second behind stays a second behind.
    let (mut lags, mut in_time) = (Vec::new(), 0);
    for line in BufReader::new(tail.stdout.take().expect("a pipe")).lines() {
        let line = line.expect("a line");
        let printed = line.split_once(' ').and_then(|(_, rest)| uptime(rest)).unwrap_or_else(|| panic!("odd: {line}"));
        let now = uptime(&std::fs::read_to_string("/proc/uptime").expect("uptime")).expect("a number");
        lags.push(now - printed);
        in_time = if now - printed < 1.0 { in_time + 1 } else { 0 };
        if in_time == 10 || lags.len() == 300 {
            break;
        }
    }
    tail.kill().expect("kill");
    tail.wait().expect("wait");
    assert_eq!(in_time, 10, "not ten lines running under a second, or the client ended: {lags:?}");
    gantry.take_down();
}

#[test]
fn nothing_is_lost_when_up_is_killed() {
    let mut gantry = Gantry::up();
    let task = gantry.task("killed", &[counting("blocking", COUNT)]);
    gantry.running(&task);
    let kills = 4;
    for moment in [30, 180, 400, 700u64] {
        std::thread::sleep(Duration::from_millis(moment));
        gantry.kill("up");
        std::thread::sleep(Duration::from_millis(50));
        gantry.start("up");
    }
    let before = gantry.numbers(&task).len();
    eventually("more numbers", PATIENCE, || {
        if gantry.numbers(&task).len() > before { Ok(()) } else { Err(String::new()) }
    });
    gantry.stop(&task);
    gantry.stopped(&task);
    gantry.gone(&task);
    let numbers = gantry.numbers(&task);
    assert!(numbers.len() > 1000, "{}", numbers.len());
    check_numbers(&numbers, kills);
    gantry.take_down();
}

#[test]
fn containers_run_on_while_nobody_takes_their_output() {
    let mut gantry = Gantry::new();
    gantry.start_apart();
    gantry.load("busybox");
    let task = gantry.task("away", &[counting("non-blocking", COUNT)]);
    gantry.running(&task);
    gantry.kill("control");
    let before = gantry.processes(&task);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(gantry.processes(&task), before, "it runs");
    gantry.start("control");
    let count = gantry.numbers(&task).len();
    eventually("numbers of the outage", PATIENCE, || match gantry.numbers(&task).len() {
        more if more > count + 500 => Ok(()),
        same => Err(format!("{count} and {same}")),
    });
    check_numbers(&gantry.numbers(&task), 1);
    gantry.take_down();
}

#[test]
fn gantry_logs_shows_tasks_and_services() {
    let gantry = Gantry::up();
    let task = gantry.task("talk", &[shell("main", "for n in 1 2 3; do echo line $n; done; exec sleep 1000")]);
    let said = |arguments: &[&str]| {
        let done = gantry.cli(&[&["logs"], arguments].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let short = &id(&task)[..8];
    eventually("lines", PATIENCE, || match said(&[short]) {
        lines if lines == "line 1\nline 2\nline 3\n" => Ok(()),
        lines => Err(lines),
    });
    assert_eq!(said(&["-n", "1", short]), "line 3\n");
    assert_eq!(said(&["--since", "1d", "-n", "2", short]), "line 2\nline 3\n");
    let first: Value =
        serde_json::from_str(said(&["--output", "json", short]).lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["message"], &first["task"]), (&json!("line 1"), &json!(id(&task))));
    let definition = gantry.register("many", &[shell("main", "echo I am; while :; do sleep 0.2; echo tick; done")]);
    let mut service = gantry.run_input(&definition, 0);
    service.as_object_mut().expect("an object").remove("count");
    (service["serviceName"], service["desiredCount"]) = (json!("many"), json!(2));
    gantry.ecs("CreateService", service);
    let both = || {
        let lines = said(&["--service", "many"]);
        let speakers = lines.lines().filter(|line| line.ends_with("/main I am")).count();
        if speakers == 2 { Ok(()) } else { Err(lines) }
    };
    eventually("lines of both tasks", PATIENCE, both);
    let mut command = gantry.command(&["logs", "-f", "-n", "1", "--service", "many"]);
    let mut follow = command.stdout(Stdio::piped()).spawn().expect("the program");
    let begun = Instant::now();
    let lines: Vec<String> = BufReader::new(follow.stdout.take().expect("a pipe"))
        .lines()
        .take(6)
        .map(|line| line.expect("a line"))
        .collect();
    assert!(
        begun.elapsed() < patient(Duration::from_secs(5)) && lines.iter().all(|line| line.contains("/main ")),
        "{lines:?}"
    );
    follow.kill().expect("kill");
    follow.wait().expect("wait");
    gantry.ecs("DeleteService", json!({"service": "many", "force": true}));
    gantry.take_down();
}
