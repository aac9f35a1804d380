//! `gantry service`: services from the command line. A verb that changes one waits until what was asked for has come true,
//! and shows how far it is.

use super::definition::{Definition, Where};
use super::shown::{ago, clock_time, table};
use super::target::{Target, odd};
use crate::client::Client;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use std::process::ExitCode;
use std::time::Duration;
use wire::{ToJson, ecs};

/// Between looks at a service that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// Services: tasks that are kept at a number
#[derive(Subcommand)]
pub enum ServiceVerb {
    /// Create a service
    Create(Create),
    /// Change a service's number of tasks or what they are made of
    Update(Update),
    /// List services
    Ls(Ls),
    /// Show what happened to a service, newest last
    Events(Events),
    /// Delete a service and stop its tasks
    Rm(Rm),
}

/// Create a service
#[derive(Args)]
pub struct Create {
    /// Its name
    name: String,
    /// A file with a task definition, or the name of one that is registered
    definition: String,
    /// How many tasks it keeps
    #[arg(short = 'n', long, default_value_t = 1)]
    count: i32,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    place: Where,
    /// Return as soon as it is accepted
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    target: Target,
}

/// Change a service
#[derive(Args)]
pub struct Update {
    /// Its name
    name: String,
    /// A file with a task definition, or the name of one that is registered
    #[arg(long)]
    definition: Option<String>,
    /// How many tasks it keeps
    #[arg(short = 'n', long)]
    count: Option<i32>,
    /// Replace its tasks even if nothing of them has changed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    bounds: Bounds,
    /// Return as soon as it is accepted
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    target: Target,
}

/// How far a deployment may go at a time.
#[derive(Args)]
struct Bounds {
    /// Percent of its tasks that stay healthy through a deployment
    #[arg(long, value_name = "PERCENT")]
    min_healthy: Option<i32>,
    /// Percent of its tasks that may exist through a deployment
    #[arg(long, value_name = "PERCENT")]
    max: Option<i32>,
}

impl Bounds {
    fn configuration(&self) -> Option<ecs::DeploymentConfiguration> {
        (self.min_healthy.is_some() || self.max.is_some()).then(|| ecs::DeploymentConfiguration {
            minimum_healthy_percent: self.min_healthy,
            maximum_percent: self.max,
            ..Default::default()
        })
    }
}

/// List services
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    target: Target,
}

/// Show what happened to a service
#[derive(Args)]
pub struct Events {
    /// Its name
    name: String,
    /// Go on showing what happens
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Delete a service
#[derive(Args)]
pub struct Rm {
    /// Its name
    name: String,
    /// Return as soon as it is accepted
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    target: Target,
}

impl ServiceVerb {
    /// Runs it.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            match self {
                Self::Create(verb) => verb.run().await?,
                Self::Update(verb) => verb.run().await?,
                Self::Ls(verb) => verb.run().await?,
                Self::Events(verb) => verb.run().await?,
                Self::Rm(verb) => verb.run().await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl Create {
    async fn run(self) -> Result<()> {
        let client = self.target.client()?;
        let definition = Definition::of(&client, &self.definition).await?;
        let request = ecs::CreateServiceRequest {
            cluster: Some(self.target.cluster.clone()),
            service_name: self.name.clone(),
            task_definition: Some(definition.arn.clone()),
            desired_count: Some(self.count),
            launch_type: Some(definition.launch_type(&self.place)?),
            network_configuration: definition.network(&client, &self.place).await?,
            deployment_configuration: self.bounds.configuration(),
            ..Default::default()
        };
        let service = match client.ecs(request).await? {
            ecs::Response::CreateService(answer) => answer.service.context("the server created no service")?,
            other => return Err(odd(&other)),
        };
        finish(&self.target, &client, service, self.detach).await
    }
}

impl Update {
    async fn run(self) -> Result<()> {
        let client = self.target.client()?;
        let definition = match &self.definition {
            Some(text) => Some(Definition::of(&client, text).await?.arn),
            None => None,
        };
        let request = ecs::UpdateServiceRequest {
            cluster: Some(self.target.cluster.clone()),
            service: self.name.clone(),
            task_definition: definition,
            desired_count: self.count,
            force_new_deployment: self.force.then_some(true),
            deployment_configuration: self.bounds.configuration(),
            ..Default::default()
        };
        let service = match client.ecs(request).await? {
            ecs::Response::UpdateService(answer) => answer.service.context("the server updated no service")?,
            other => return Err(odd(&other)),
        };
        finish(&self.target, &client, service, self.detach).await
    }
}

impl Ls {
    async fn run(self) -> Result<()> {
        let client = self.target.client()?;
        let services = all(&self.target, &client).await?;
        match self.target.output {
            super::Output::Json => {
                let all: Vec<String> = services.iter().map(ToJson::to_json).collect();
                println!("[{}]", all.join(","));
            }
            super::Output::Text => println!("{}", listed(&services)),
        }
        Ok(())
    }
}

impl Events {
    async fn run(self) -> Result<()> {
        let client = self.target.client()?;
        let mut shown = Shown::default();
        loop {
            let service = describe(&self.target, &client, &self.name).await?;
            for event in shown.fresh(&service) {
                match self.target.output {
                    super::Output::Json => println!("{}", event.to_json()),
                    super::Output::Text => println!("{}", told(event)),
                }
            }
            if !self.follow || service.status.as_deref() == Some("INACTIVE") {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Rm {
    async fn run(self) -> Result<()> {
        let client = self.target.client()?;
        let request = ecs::DeleteServiceRequest {
            cluster: Some(self.target.cluster.clone()),
            service: self.name.clone(),
            force: Some(true),
        };
        let service = match client.ecs(request).await? {
            ecs::Response::DeleteService(answer) => answer.service.context("the server deleted no service")?,
            other => return Err(odd(&other)),
        };
        finish(&self.target, &client, service, self.detach).await
    }
}

/// Waits until the service is as it was asked to be, and prints it.
async fn finish(target: &Target, client: &Client, service: ecs::Service, detach: bool) -> Result<()> {
    let service = if detach { service } else { settled(target, client, service).await? };
    match target.output {
        super::Output::Json => println!("{}", service.to_json()),
        super::Output::Text => println!("{} {}", name(&service), standing(&service)),
    }
    Ok(())
}

/// Follows a service, telling its new events, until it is stable or gone: as AWS's waiters judge it.
async fn settled(target: &Target, client: &Client, mut service: ecs::Service) -> Result<ecs::Service> {
    let progress = ProgressBar::new_spinner();
    let mut shown = Shown::default();
    // What happened before is not news.
    let known = service.events.as_deref().and_then(<[_]>::first).and_then(|event| event.id.clone());
    shown.last = known;
    loop {
        for event in shown.fresh(&service) {
            progress.suspend(|| eprintln!("{}", told(event)));
        }
        progress.set_message(standing(&service));
        progress.tick();
        let deployments = service.deployments.as_deref().unwrap_or_default();
        let stable = match &service.task_sets {
            Some(sets) => sets.iter().all(|set| set.stability_status == Some(ecs::StabilityStatus::SteadyState)),
            None => {
                let completed = |deployment: &ecs::Deployment| {
                    deployment.rollout_state.as_ref().is_none_or(|state| state.as_str() == "COMPLETED")
                };
                let count = service.running_count == service.desired_count;
                deployments.len() == 1 && count && completed(&deployments[0])
            }
        };
        match service.status.as_deref() {
            Some("ACTIVE") if stable => {
                progress.finish_and_clear();
                return Ok(service);
            }
            Some("INACTIVE") => {
                progress.finish_and_clear();
                return Ok(service);
            }
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
        service = describe(target, client, name(&service)).await?;
    }
}

/// Tells each event once.
#[derive(Default)]
struct Shown {
    last: Option<String>,
}

impl Shown {
    /// Events that were not shown yet, oldest first.
    fn fresh<'a>(&mut self, service: &'a ecs::Service) -> Vec<&'a ecs::ServiceEvent> {
        let events = service.events.as_deref().unwrap_or_default();
        let mut fresh: Vec<_> =
            events.iter().take_while(|event| self.last.is_none() || event.id != self.last).collect();
        if let Some(newest) = fresh.first() {
            self.last.clone_from(&newest.id);
        }
        fresh.reverse();
        fresh
    }
}

fn told(event: &ecs::ServiceEvent) -> String {
    let at = event.created_at.map(|at| clock_time(at.millis())).unwrap_or_default();
    format!("{at}  {}", event.message.as_deref().unwrap_or(""))
}

async fn describe(target: &Target, client: &Client, name: &str) -> Result<ecs::Service> {
    let mut found = described(target, client, vec![name.to_owned()]).await?;
    found.pop().with_context(|| format!("cluster {} has no service {name}", target.cluster))
}

async fn described(target: &Target, client: &Client, services: Vec<String>) -> Result<Vec<ecs::Service>> {
    let mut all = Vec::new();
    for services in services.chunks(10) {
        let request = ecs::DescribeServicesRequest {
            cluster: Some(target.cluster.clone()),
            services: services.to_vec(),
            ..Default::default()
        };
        match client.ecs(request).await? {
            ecs::Response::DescribeServices(answer) => all.extend(answer.services.unwrap_or_default()),
            other => return Err(odd(&other)),
        }
    }
    Ok(all)
}

/// Every service of the cluster, by name.
pub async fn all(target: &Target, client: &Client) -> Result<Vec<ecs::Service>> {
    let (mut arns, mut next_token) = (Vec::new(), None);
    loop {
        let cluster = Some(target.cluster.clone());
        let request = ecs::ListServicesRequest { cluster, next_token, max_results: Some(100), ..Default::default() };
        match client.ecs(request).await? {
            ecs::Response::ListServices(answer) => {
                arns.extend(answer.service_arns.unwrap_or_default());
                next_token = answer.next_token;
            }
            other => bail!(odd(&other)),
        }
        if next_token.is_none() {
            break;
        }
    }
    let mut services = described(target, client, arns).await?;
    services.sort_by(|a, b| a.service_name.cmp(&b.service_name));
    Ok(services)
}

fn name(service: &ecs::Service) -> &str {
    service.service_name.as_deref().unwrap_or("")
}

/// In a few words, how far it is.
fn standing(service: &ecs::Service) -> String {
    let count = |count: Option<i32>| count.unwrap_or(0);
    let mut text = format!(
        "{} {} of {} running",
        service.status.as_deref().unwrap_or(""),
        count(service.running_count),
        count(service.desired_count)
    );
    if count(service.pending_count) > 0 {
        text += &format!(", {} pending", count(service.pending_count));
    }
    if service.deployments.as_deref().is_some_and(|deployments| deployments.len() > 1) {
        text += ", deploying";
    }
    text
}

/// Services as a table.
pub fn listed(services: &[ecs::Service]) -> comfy_table::Table {
    let mut table = table(["SERVICE", "DEFINITION", "STATUS", "RUNNING", "PENDING", "WANTED", "DEPLOYMENT", "SINCE"]);
    for service in services {
        let primary = service.deployments.iter().flatten().next();
        let rollout = primary.and_then(|deployment| deployment.rollout_state.as_ref()).map(|state| state.as_str());
        table.add_row([
            name(service).to_owned(),
            link::acs::id_of(service.task_definition.as_deref().unwrap_or("")).to_owned(),
            service.status.clone().unwrap_or_default(),
            service.running_count.unwrap_or(0).to_string(),
            service.pending_count.unwrap_or(0).to_string(),
            service.desired_count.unwrap_or(0).to_string(),
            rollout.unwrap_or("").to_owned(),
            primary.and_then(|deployment| deployment.updated_at).map(|at| ago(at.millis())).unwrap_or_default(),
        ]);
    }
    table
}
