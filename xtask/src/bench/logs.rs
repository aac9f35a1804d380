//! The log path: from a container that prints as fast as it can to a durable stream that can be read, nothing lost.

use super::client::Client;
use super::wait;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Lines that are printed, each of about a hundred bytes.
const LINES: usize = 1_000_000;
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a line ends with.
const REST: &str = "the quick brown fox jumps over the lazy dog and runs away from it as fast as it can go";

/// Measures it with the `awslogs` driver in blocking mode, and counts every line.
pub fn measure(client: &Client) -> Result<()> {
    let script = format!("awk 'BEGIN {{ for (i = 1; i <= {LINES}; i++) print i, \"{REST}\" }}'; sleep 1000");
    let options = json!({"awslogs-group": "bench", "awslogs-create-group": "true", "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "lines", "mode": "blocking"});
    let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", script], "stopTimeout": 0,
        "logConfiguration": {"logDriver": "awslogs", "options": options}});
    let definition = json!({"family": "lines", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "2048", "memory": "4096", "containerDefinitions": [container]});
    client.ecs("RegisterTaskDefinition", &definition)?;
    let network = json!({"awsvpcConfiguration": {"subnets": client.subnets()?}});
    let run = json!({"taskDefinition": "lines", "launchType": "FARGATE", "networkConfiguration": network});
    let began = Instant::now();
    let answer = client.ecs("RunTask", &run)?;
    let task = answer["tasks"][0]["taskArn"].as_str().with_context(|| format!("no task: {answer}"))?.to_owned();
    wait(client, &task, "RUNNING")?;
    let stream = format!("lines/main/{}", task.rsplit('/').next().unwrap_or_default());
    let last = LINES.to_string();
    loop {
        let newest = page(client, &stream, &json!({"limit": 1}));
        let seen = newest.ok().and_then(|page| number(page["events"].as_array()?.last()?).map(str::to_owned));
        if seen.as_deref() == Some(&*last) {
            break;
        }
        if began.elapsed() > PATIENCE {
            bail!("the last line is not there after {PATIENCE:?}; the newest is {seen:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let lost = count(client, &stream)?;
    client.ecs("StopTask", &json!({"task": task}))?;
    wait(client, &task, "STOPPED")?;
    println!(
        "log path: {LINES} lines in {:.2} s from RunTask to the last one readable: {:.0} lines/s, {lost} lost or out of order",
        took.as_secs_f64(),
        LINES as f64 / took.as_secs_f64()
    );
    Ok(())
}

/// Reads the whole stream; how many lines are not where they should be.
fn count(client: &Client, stream: &str) -> Result<usize> {
    let (mut expected, mut odd, mut token) = (1, 0, Value::Null);
    loop {
        let mut input = json!({"startFromHead": true, "limit": 10_000});
        if !token.is_null() {
            input["nextToken"] = token.clone();
        }
        let page = page(client, stream, &input)?;
        for event in page["events"].as_array().context("no events")? {
            let number: usize = number(event).and_then(|number| number.parse().ok()).context("a foreign line")?;
            odd += usize::from(number != expected);
            expected = number + 1;
        }
        if page["nextForwardToken"] == token {
            return Ok(odd + LINES.abs_diff(expected - 1));
        }
        token = page["nextForwardToken"].clone();
    }
}

fn number(event: &Value) -> Option<&str> {
    event["message"].as_str()?.split(' ').next()
}

fn page(client: &Client, stream: &str, input: &Value) -> Result<Value> {
    let mut input = input.clone();
    input["logGroupName"] = json!("bench");
    input["logStreamName"] = json!(stream);
    client.call("logs", "Logs_20140328.GetLogEvents", &input)
}
