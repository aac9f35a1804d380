//! Requests per second over many connections of this machine. Each connection has one request under way; a request is signed
//! once and sent again and again, so that the client takes as little of the machine as it can. The server checks each. What
//! it takes of a processor is told beside, as that depends less on what else the machine does.

use super::client::{Client, read_answer};
use super::server::Server;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections, in two threads.
const CONNECTIONS: usize = 64;
/// How long each operation is asked for.
const TIME: Duration = Duration::from_secs(5);

/// Measures DescribeTasks of one task and RegisterTaskDefinition of a small definition.
pub fn measure(server: &Server, client: &Client, task: &str) -> Result<()> {
    let describe = client.signed("DescribeTasks", &json!({"tasks": [task]}))?;
    let (per_second, cpu) = rate(server, client.authority(), &describe)?;
    println!("DescribeTasks of one task over {CONNECTIONS} connections: {per_second:.0} requests/s, {cpu}");
    let container = json!({"name": "main", "image": "busybox", "command": ["true"]});
    let definition = json!({"family": "rate", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [container]});
    let register = client.signed("RegisterTaskDefinition", &definition)?;
    let (per_second, cpu) = rate(server, client.authority(), &register)?;
    println!("RegisterTaskDefinition, durable, over {CONNECTIONS} connections: {per_second:.0} requests/s, {cpu}");
    let last = client.ecs("DescribeTaskDefinition", &json!({"taskDefinition": "rate"}))?;
    let revision = last["taskDefinition"]["revision"].as_i64().context("no revision")?;
    println!("  {revision} revisions are there, the last ACTIVE");
    Ok(())
}

/// Answers with status 200 per second, and what each takes of the server.
fn rate(server: &Server, authority: &str, request: &str) -> Result<(f64, String)> {
    let (before, began) = (server.cpu_seconds()?, Instant::now());
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| ask(authority, request, began + TIME))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked")))
            .collect::<Result<Vec<u64>>>()
    })?;
    let (count, took) = (counts.iter().sum::<u64>() as f64, began.elapsed().as_secs_f64());
    let cpu = (server.cpu_seconds()? - before) * 1e6 / count;
    Ok((count / took, format!("{cpu:.0} µs of CPU in the server each")))
}

fn ask(authority: &str, request: &str, until: Instant) -> Result<u64> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS / 2 {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        connections.push(BufReader::new(stream));
    }
    let mut count = 0;
    for connection in &mut connections {
        connection.get_mut().write_all(request.as_bytes())?;
    }
    // Each connection is asked again as soon as its answer has been read: one request is always under way.
    while Instant::now() < until {
        for connection in &mut connections {
            let (status, body) = read_answer(connection)?;
            if status != 200 {
                bail!("HTTP {status}: {body}");
            }
            count += 1;
            connection.get_mut().write_all(request.as_bytes())?;
        }
    }
    Ok(count)
}

/// A task to describe.
pub fn one_task(client: &Client) -> Result<String> {
    let network = json!({"awsvpcConfiguration": {"subnets": client.subnets()?}});
    let run = json!({"taskDefinition": "bench", "launchType": "FARGATE", "networkConfiguration": network});
    let answer: Value = client.ecs("RunTask", &run)?;
    let task = answer["tasks"][0]["taskArn"].as_str().with_context(|| format!("no task: {answer}"))?;
    super::wait(client, task, "RUNNING")?;
    Ok(task.to_owned())
}
