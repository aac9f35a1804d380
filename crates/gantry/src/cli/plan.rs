//! `gantry plan`: what a call of ECS would bring about, without making it. Takes an operation and its arguments as the AWS
//! CLI does.

use super::shown::table;
use super::target::Target;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};
use std::process::ExitCode;
use wire::{ToJson, ecs, gantry};

/// Show what a call would bring about, without making it
#[derive(Args)]
#[command(after_help = "Example: gantry plan update-service --service web --task-definition web:2")]
pub struct Plan {
    #[command(flatten)]
    target: Target,
    /// The operation, as the AWS CLI writes it: update-service
    operation: String,
    /// Its arguments, as the AWS CLI writes them: --service web --desired-count 4; values may be JSON or shorthand
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Plan {
    /// Asks and prints; exits with 1 when something would block it.
    pub fn run(self) -> Result<ExitCode> {
        let operation = operation(&self.operation)?;
        let input = input(operation, &self.arguments, &self.target.cluster)?;
        super::block_on(async {
            let client = self.target.client()?;
            let request = gantry::PlanRequest { operation: operation.name().to_owned(), input: Some(input) };
            let plan = match client.gantry(request).await? {
                gantry::Response::Plan(plan) => *plan,
                other => bail!("the server answered {} instead", other.operation()),
            };
            match self.target.output {
                super::Output::Json => println!("{}", plan.to_json()),
                super::Output::Text => print(&plan),
            }
            Ok(if plan.outcome.as_deref() == Some("COMPLETED") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }
}

fn operation(written: &str) -> Result<ecs::Operation> {
    let wanted: String = written.chars().filter(|c| *c != '-').collect();
    let mut all = ecs::Operation::ALL.iter();
    let found = all.find(|operation| operation.name().eq_ignore_ascii_case(&wanted));
    found.copied().with_context(|| format!("ECS has no operation {written:?}; try update-service or run-task"))
}

/// The request's body. A number may be meant as text (a revision), so that both readings are tried.
fn input(operation: ecs::Operation, arguments: &[String], cluster: &str) -> Result<String> {
    let mut failed = None;
    for numbers in [true, false] {
        let mut members = members(arguments, numbers)?;
        members.entry("cluster").or_insert_with(|| cluster.into());
        let text = Value::Object(members).to_string();
        match ecs::Request::decode(operation, text.as_bytes()) {
            Ok(_) => return Ok(text),
            Err(fault) => drop(failed.get_or_insert(fault)),
        }
    }
    match failed {
        Some(fault) => Err(fault.into()),
        None => bail!("nothing was read"),
    }
}

fn members(arguments: &[String], numbers: bool) -> Result<Map<String, Value>> {
    let mut members = Map::new();
    let mut rest = arguments.iter().peekable();
    while let Some(flag) = rest.next() {
        let Some(name) = flag.strip_prefix("--") else { bail!("{flag:?} is no --argument") };
        let (name, joined) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
        let mut values: Vec<String> = joined.into_iter().collect();
        while let Some(value) = rest.next_if(|next| !next.starts_with("--")) {
            values.push(value.clone());
        }
        if name == "cli-input-json" {
            let text = values.first().context("--cli-input-json takes JSON or file://PATH")?;
            let text = match text.strip_prefix("file://") {
                Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
                None => text.clone(),
            };
            let more: Map<String, Value> = serde_json::from_str(&text).context("--cli-input-json is no JSON object")?;
            members.extend(more);
            continue;
        }
        let value = match values.as_slice() {
            [] if name.starts_with("no-") => false.into(),
            [] => true.into(),
            [one] => value(one, numbers)?,
            several => several.iter().map(|one| value(one, numbers)).collect::<Result<_>>()?,
        };
        let name = if values.is_empty() { name.strip_prefix("no-").unwrap_or(name) } else { name };
        members.insert(camel(name), if is_list(name) && !value.is_array() { vec![value].into() } else { value });
    }
    Ok(members)
}

/// Arguments that take a list even when one value is written.
fn is_list(name: &str) -> bool {
    const LISTS: [&str; 9] = [
        "tasks",
        "container-instances",
        "tags",
        "placement-constraints",
        "placement-strategy",
        "capacity-provider-strategy",
        "capacity-providers",
        "attributes",
        "load-balancers",
    ];
    LISTS.contains(&name)
}

fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut all, word| {
        let mut letters = word.chars();
        all.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        all + letters.as_str()
    })
}

/// JSON, or the AWS CLI's shorthand, or text.
fn value(text: &str, numbers: bool) -> Result<Value> {
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text).with_context(|| format!("{text} is no JSON"));
    }
    // ARNs and names hold no `=`; shorthand does.
    if text.contains('=') && !text.starts_with("arn:") {
        let mut rest = text;
        let value = pairs(&mut rest, numbers)?;
        if rest.is_empty() {
            return Ok(value);
        }
        bail!("{text:?} is no shorthand: {rest:?} is left over");
    }
    Ok(plain(text, numbers))
}

fn plain(text: &str, numbers: bool) -> Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ if numbers => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

/// `key=value,key={…},key=[…]`.
fn pairs(rest: &mut &str, numbers: bool) -> Result<Value> {
    let mut members = Map::new();
    loop {
        let (key, after) = rest.split_once('=').with_context(|| format!("{rest:?} is no key=value"))?;
        *rest = after;
        members.insert(key.trim().to_owned(), part(rest, numbers)?);
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None => return Ok(Value::Object(members)),
        }
    }
}

fn part(rest: &mut &str, numbers: bool) -> Result<Value> {
    if let Some(after) = rest.strip_prefix('{') {
        *rest = after;
        let value = pairs(rest, numbers)?;
        return close(rest, '}').map(|()| value);
    }
    if let Some(after) = rest.strip_prefix('[') {
        *rest = after;
        let mut all = Vec::new();
        while !rest.starts_with(']') {
            all.push(part(rest, numbers)?);
            match rest.strip_prefix(',') {
                Some(after) => *rest = after,
                None => break,
            }
        }
        return close(rest, ']').map(|()| all.into());
    }
    let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    *rest = after;
    Ok(plain(text, numbers))
}

fn close(rest: &mut &str, bracket: char) -> Result<()> {
    *rest = rest.strip_prefix(bracket).with_context(|| format!("{bracket:?} is missing before {rest:?}"))?;
    Ok(())
}

fn print(plan: &gantry::PlanResponse) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut steps = table(["AFTER", "WHAT", "TASK", "OF", "SERVICE", "INSTANCE", "WHY"]);
    for step in plan.steps.iter().flatten() {
        let instance = text(&step.container_instance).chars().take(8).collect();
        let after = format!("{} ms", step.at_ms.unwrap_or(0));
        let (task, of) = (text(&step.task), text(&step.task_definition));
        steps.add_row([after, text(&step.action), task, of, text(&step.service), instance, text(&step.detail)]);
    }
    println!("{steps}\n");
    let mut peaks = table(["INSTANCE", "TASKS AT MOST", "CPU", "OF", "MIB", "OF"]);
    for peak in plan.peaks.iter().flatten() {
        let number = |number: Option<i64>| number.unwrap_or(0).to_string();
        let instance = text(&peak.container_instance).chars().take(8).collect();
        let (cpu, memory) = (number(peak.cpu), number(peak.memory));
        peaks.add_row([
            instance,
            number(peak.tasks),
            cpu,
            number(peak.cpu_offered),
            memory,
            number(peak.memory_offered),
        ]);
    }
    println!("{peaks}\n");
    plan.basis.iter().flatten().for_each(|sentence| println!("{sentence}"));
    plan.blocked.iter().flatten().for_each(|sentence| println!("BLOCKED: {sentence}"));
    println!(
        "{} would be {} after about {} ms",
        text(&plan.operation),
        text(&plan.outcome),
        plan.duration_ms.unwrap_or(0)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(operation_name: &str, arguments: &[&str]) -> Value {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let text = input(operation(operation_name).unwrap(), &arguments, "default").unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn arguments_read_as_the_aws_cli_reads_them() {
        let wanted = json!({"cluster": "default", "service": "web", "desiredCount": 4, "forceNewDeployment": true});
        assert_eq!(
            read("update-service", &["--service", "web", "--desired-count", "4", "--force-new-deployment"]),
            wanted
        );
        let wanted = json!({"cluster": "c", "service": "web", "deploymentConfiguration": {"maximumPercent": 150}});
        let shorthand = ["--cluster", "c", "--service", "web", "--deployment-configuration", "maximumPercent=150"];
        assert_eq!(read("update-service", &shorthand), wanted);
        let network = "awsvpcConfiguration={subnets=[subnet-1,subnet-2],assignPublicIp=DISABLED}";
        let read_back = read("run-task", &["--task-definition", "7", "--network-configuration", network]);
        assert_eq!(read_back["taskDefinition"], "7");
        assert_eq!(
            read_back["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
            json!(["subnet-1", "subnet-2"])
        );
        let drain = ["--container-instances", "a", "--status", "DRAINING"];
        assert_eq!(read("update-container-instances-state", &drain)["containerInstances"], json!(["a"]));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(operation("make-coffee").is_err());
        for wrong in [&["web"][..], &["--deployment-configuration", "a={b"], &["--cli-input-json", "no"]] {
            let arguments: Vec<String> = wrong.iter().map(|argument| (*argument).to_owned()).collect();
            assert!(members(&arguments, true).is_err(), "{wrong:?}");
        }
    }
}
