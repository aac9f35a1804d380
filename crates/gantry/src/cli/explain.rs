//! `gantry explain`: why a task or a service is where and what it is.

use super::shown::table;
use super::target::Target;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use wire::{ToJson, gantry};

/// Explain why a task, a service or a deployment is where it is, or what it waits for
#[derive(Args)]
pub struct Explain {
    /// A service, a task (ARN, id, or the beginning of an id), or a deployment (ecs-svc/…)
    subject: String,
    #[command(flatten)]
    target: Target,
}

impl Explain {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let ask = async |subject: String| {
                let request = gantry::ExplainRequest { cluster: Some(self.target.cluster.clone()), subject };
                client.gantry(request).await
            };
            let answer = match ask(self.subject.clone()).await {
                Ok(answer) => answer,
                // The beginning of an id is no service.
                Err(fault) => match self.target.task(&client, &self.subject).await {
                    Ok(task) => ask(task).await?,
                    Err(_) => return Err(fault.into()),
                },
            };
            let gantry::Response::Explain(answer) = answer else {
                bail!("the server answered {} instead", answer.operation())
            };
            match self.target.output {
                super::Output::Json => println!("{}", answer.to_json()),
                super::Output::Text => print!("{}", text(&answer)),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// An explanation for people.
fn text(answer: &gantry::ExplainResponse) -> String {
    let word = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut text = format!("{}  {}\n{}\n", word(&answer.subject), word(&answer.status), word(&answer.summary));
    for fact in answer.facts.as_deref().unwrap_or_default() {
        text += &format!("  {}: {}\n", word(&fact.name), word(&fact.value));
    }
    let verdicts = answer.verdicts.as_deref().unwrap_or_default();
    if verdicts.is_empty() {
        return text;
    }
    let mut rows = table(["INSTANCE", "SAYS"]);
    for verdict in verdicts {
        let arn = word(&verdict.container_instance_arn);
        let id = arn.rsplit('/').next().unwrap_or_default().to_owned();
        let reasons = verdict.reasons.as_deref().unwrap_or_default();
        let said = match (verdict.here, reasons) {
            (Some(true), _) => "it is here".to_owned(),
            (_, []) => "would take it".to_owned(),
            (_, reasons) => reasons.iter().map(|reason| word(&reason.message)).collect::<Vec<_>>().join(", and "),
        };
        rows.add_row([id, said]);
    }
    text + &format!("{rows}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_lines() {
        let reason =
            gantry::Refusal { message: Some("needs 2 CPU units, 1 are free".to_owned()), ..Default::default() };
        let verdict = |id: &str, reasons: Vec<gantry::Refusal>| gantry::Verdict {
            container_instance_arn: Some(format!("arn:x/default/{id}")),
            reasons: Some(reasons),
            ..Default::default()
        };
        let answer = gantry::ExplainResponse {
            subject: Some("web".to_owned()),
            status: Some("ACTIVE".to_owned()),
            summary: Some("waits for room".to_owned()),
            facts: Some(vec![gantry::Fact { name: Some("strategy".to_owned()), value: Some("random".to_owned()) }]),
            verdicts: Some(vec![verdict("a1", vec![reason]), verdict("b2", Vec::new())]),
        };
        let text = text(&answer);
        assert!(text.starts_with("web  ACTIVE\nwaits for room\n  strategy: random\n"), "{text}");
        assert!(text.contains("a1") && text.contains("needs 2 CPU units, 1 are free"), "{text}");
        assert!(text.lines().any(|line| line.contains("b2") && line.contains("would take it")), "{text}");
    }
}
