//! The keeper: one client of the companions of ECS. It puts parameters and secrets, tags what it makes, and reads all of it
//! again, through whatever befalls the control plane. As nobody else touches what is its own and it asks one thing after the
//! other, it knows what every answer may be: what it was told last, or either, when an answer was lost.

use crate::agenda::Event;
use crate::asks::SOUND;
use crate::faults::operator;
use crate::random::Stream;
use crate::world::World;
use link::acs::id_of;
use model::sealed::Sealed;
use model::{TaskId, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use wire::http::{Answer, Call};
use wire::{Fault, ecs, secretsmanager as secrets, ssm, tagging};

/// Names of parameters, of secrets and of clusters; one of each is never deleted.
const NAMES: [&str; 3] = ["lamp", "door", "roof"];
/// The key of its tags.
const KEPT: &str = "kept";
/// Tasks that it runs in all.
const TASKS_MAX: usize = 8;

/// What something may be; more than one after an answer that was lost. `None`: it is not there.
type May = BTreeSet<Option<String>>;

/// One thing that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Parameter(&'static str),
    Secret(&'static str),
    /// The tag of a cluster.
    Cluster(&'static str),
}

/// What it has asked.
#[derive(Clone, Debug)]
enum Step {
    /// It will be that.
    Put(Thing, Option<String>),
    /// It is that.
    Get(Thing),
    /// Tasks with a tag.
    Run,
    /// Everything with a tag.
    Tagged,
}

/// The keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    chance: Stream,
    /// It asks; else it only reads what it keeps, once.
    active: bool,
    asked: Option<Step>,
    known: BTreeMap<Thing, May>,
    /// Tasks that it was told of.
    tasks: Vec<String>,
    /// What is still to be read.
    unread: Vec<Step>,
    serial: u64,
    /// When it asked, on the agenda's count.
    sent: u64,
}

impl Keeper {
    pub fn new(chance: Stream) -> Self {
        let (active, asked) = (false, None);
        let (known, tasks, unread) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { chance, active, asked, known, tasks, unread, serial: 0, sent: 0 }
    }

    /// It asks nothing new.
    pub fn rest(&mut self) {
        self.active = false;
    }

    fn may(&self, thing: &Thing) -> May {
        self.known.get(thing).cloned().unwrap_or_else(|| May::from([None]))
    }
}

pub(crate) fn sealed(number: u64) -> String {
    let bytes = [number.to_be_bytes(), number.wrapping_mul(31).to_be_bytes()].concat();
    let mut digest = [0; 16];
    digest.copy_from_slice(&bytes);
    Sealed::new(&digest, &[bytes.as_slice(), &bytes, &bytes].concat()).as_str().to_owned()
}

impl Thing {
    fn parameter(name: &str) -> String {
        format!("/keeper/{name}")
    }

    fn put(&self, value: Option<&str>, known: &May, serial: u64) -> Call {
        let value = value.map(str::to_owned);
        match (self, value) {
            (Self::Parameter(name), Some(value)) => Call::Ssm(ssm::Request::from(ssm::PutParameterRequest {
                name: Self::parameter(name),
                value,
                r#type: Some(ssm::ParameterType::SecureString),
                overwrite: Some(true),
                ..Default::default()
            })),
            (Self::Parameter(name), None) => {
                Call::Ssm(ssm::Request::from(ssm::DeleteParameterRequest { name: Self::parameter(name) }))
            }
            (Self::Secret(name), Some(value)) if known.contains(&None) => {
                Call::SecretsManager(secrets::Request::from(secrets::CreateSecretRequest {
                    name: (*name).to_owned(),
                    secret_string: Some(value),
                    client_request_token: Some(format!("{serial:032}")),
                    tags: Some(vec![secrets::Tag { key: Some(KEPT.to_owned()), value: Some("secret".to_owned()) }]),
                    ..Default::default()
                }))
            }
            (Self::Secret(name), Some(value)) => {
                Call::SecretsManager(secrets::Request::from(secrets::PutSecretValueRequest {
                    secret_id: (*name).to_owned(),
                    secret_string: Some(value),
                    client_request_token: Some(format!("{serial:032}")),
                    ..Default::default()
                }))
            }
            (Self::Secret(name), None) => Call::SecretsManager(secrets::Request::from(secrets::DeleteSecretRequest {
                secret_id: (*name).to_owned(),
                force_delete_without_recovery: Some(true),
                ..Default::default()
            })),
            (Self::Cluster(name), Some(value)) => Call::Ecs(ecs::Request::from(ecs::TagResourceRequest {
                resource_arn: cluster_arn(name),
                tags: vec![ecs::Tag { key: Some(KEPT.to_owned()), value: Some(value) }],
            })),
            (Self::Cluster(name), None) => Call::Ecs(ecs::Request::from(ecs::UntagResourceRequest {
                resource_arn: cluster_arn(name),
                tag_keys: vec![KEPT.to_owned()],
            })),
        }
    }

    fn get(&self) -> Call {
        match self {
            Self::Parameter(name) => Call::Ssm(ssm::Request::from(ssm::GetParameterRequest {
                name: Self::parameter(name),
                with_decryption: Some(true),
            })),
            Self::Secret(name) => Call::SecretsManager(secrets::Request::from(secrets::GetSecretValueRequest {
                secret_id: (*name).to_owned(),
                ..Default::default()
            })),
            Self::Cluster(name) => {
                Call::Ecs(ecs::Request::from(ecs::ListTagsForResourceRequest { resource_arn: cluster_arn(name) }))
            }
        }
    }
}

fn cluster_arn(name: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:cluster/{name}")
}

/// What an answer says that something is; `None`: it says nothing of it.
fn told(thing: &Thing, answer: &Result<Answer, Fault>) -> Option<Option<String>> {
    match (thing, answer) {
        (Thing::Parameter(_), Ok(Answer::Ssm(ssm::Response::GetParameter(answer)))) => {
            Some(answer.parameter.as_ref().and_then(|parameter| parameter.value.clone()))
        }
        (Thing::Secret(_), Ok(Answer::SecretsManager(secrets::Response::GetSecretValue(answer)))) => {
            Some(answer.secret_string.clone())
        }
        (Thing::Cluster(_), Ok(Answer::Ecs(ecs::Response::ListTagsForResource(answer)))) => {
            let tags = answer.tags.iter().flatten();
            Some(tags.into_iter().find(|tag| tag.key.as_deref() == Some(KEPT)).and_then(|tag| tag.value.clone()))
        }
        (Thing::Parameter(_), Err(fault)) if fault.code == "ParameterNotFound" => Some(None),
        (Thing::Secret(_), Err(fault)) if fault.code == "ResourceNotFoundException" => Some(None),
        _ => None,
    }
}

impl World {
    /// The keeper begins, in every other world.
    pub fn keeper_begins(&mut self) {
        if self.seed.is_multiple_of(2) {
            self.keeper.active = true;
            self.keeper_plan();
        }
    }

    fn keeper_plan(&mut self) {
        let at = self.now + self.keeper.chance.between((50, 4_000));
        self.agenda.plan(at, Event::KeeperTurn);
    }

    /// Faults are over: it reads all that it keeps.
    pub fn keeper_reads_all(&mut self) {
        let known: Vec<Thing> = self.keeper.known.keys().cloned().collect();
        self.keeper.unread = known.into_iter().map(Step::Get).chain([Step::Tagged]).collect();
        if self.keeper.asked.is_none() {
            self.keeper_plan();
        }
    }

    /// What is left to be read.
    pub fn unread(&self) -> Option<String> {
        self.keeper.unread.last().map(|step| format!("the keeper has not read {step:?}"))
    }

    fn keeper_step(&mut self) -> Option<Step> {
        if !self.keeper.active {
            return self.keeper.unread.pop();
        }
        let chance = &mut self.keeper.chance;
        let name = *chance.pick(&NAMES);
        let thing = match chance.below(3) {
            0 => Thing::Parameter(name),
            1 => Thing::Secret(name),
            _ => Thing::Cluster(name),
        };
        Some(match chance.below(10) {
            0..4 => {
                self.keeper.serial += 1;
                let gone = name != NAMES[0] && chance.per_mille(300);
                let value = match thing {
                    Thing::Cluster(_) => format!("value-{}", self.keeper.serial),
                    Thing::Parameter(_) | Thing::Secret(_) => sealed(self.keeper.serial),
                };
                Step::Put(thing, (!gone).then_some(value))
            }
            4..7 => Step::Get(thing),
            7 if self.keeper.tasks.len() < TASKS_MAX && self.disk.history.family_named(SOUND).is_some() => Step::Run,
            _ => Step::Tagged,
        })
    }

    /// It asks the next thing.
    pub fn keeper_turn(&mut self) {
        if self.keeper.asked.is_some() {
            return;
        }
        let Some(step) = self.keeper_step() else { return };
        let call = match &step {
            // A cluster is made before it is tagged.
            Step::Put(Thing::Cluster(name), _) | Step::Get(Thing::Cluster(name))
                if self.disk.history.cluster_named(name).is_none() =>
            {
                let request =
                    ecs::CreateClusterRequest { cluster_name: Some((*name).to_owned()), ..Default::default() };
                self.note("keeper makes a cluster".to_owned());
                self.keeper.asked = Some(Step::Get(Thing::Cluster(name)));
                return self.call_any(operator(), Call::Ecs(request.into()));
            }
            Step::Put(thing, value) => {
                let known = self.keeper.may(thing);
                self.keeper.known.insert(thing.clone(), known.iter().cloned().chain([value.clone()]).collect());
                thing.put(value.as_deref(), &known, self.keeper.serial)
            }
            Step::Get(thing) => thing.get(),
            Step::Run => {
                let network_configuration = Some(self.keeper_network());
                Call::Ecs(ecs::Request::from(ecs::RunTaskRequest {
                    task_definition: SOUND.to_owned(),
                    launch_type: Some(ecs::LaunchType::Fargate),
                    tags: Some(vec![ecs::Tag { key: Some(KEPT.to_owned()), value: Some("task".to_owned()) }]),
                    network_configuration,
                    ..Default::default()
                }))
            }
            Step::Tagged => Call::Tagging(tagging::Request::from(tagging::GetResourcesInput {
                tag_filters: Some(vec![tagging::TagFilter { key: Some(KEPT.to_owned()), values: None }]),
                resources_per_page: Some(100),
                ..Default::default()
            })),
        };
        self.keeper.sent = self.agenda.planned();
        self.note(format!("keeper asks {:?}", call.operation()));
        self.keeper.asked = Some(step);
        self.call_any(operator(), call);
    }

    fn keeper_network(&self) -> ecs::NetworkConfiguration {
        let subnets = vec![self.disk.history.meta().vpc.subnets[0].id.to_string()];
        let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
        ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }
    }

    /// An answer, or the end of waiting for one.
    pub fn keeper_hears(&mut self, answer: Option<Result<Answer, Fault>>) {
        let Some(step) = self.keeper.asked.take() else { return };
        let unsure = |fault: &Fault| fault.is_server_side() || fault.code == "ServerException";
        let lost = answer.as_ref().is_none_or(|answer| answer.as_ref().is_err_and(unsure));
        let said = match &answer {
            None => "nothing".to_owned(),
            Some(Ok(_)) => "yes".to_owned(),
            Some(Err(fault)) => fault.code.to_string(),
        };
        self.note(format!("keeper hears {said}"));
        match (answer, step) {
            (Some(answer), step) if !lost => self.keeper_judges(step, &answer),
            // What was only read is read again.
            (_, step @ (Step::Get(_) | Step::Tagged)) if !self.keeper.active => self.keeper.unread.push(step),
            _ => {}
        }
        if self.keeper.active || !self.keeper.unread.is_empty() {
            self.keeper_plan();
        }
    }

    fn keeper_judges(&mut self, step: Step, answer: &Result<Answer, Fault>) {
        match step {
            Step::Put(thing, value) if answer.is_ok() => drop(self.keeper.known.insert(thing, May::from([value]))),
            // It was not as it was thought to be, and another look will say how.
            Step::Put(..) => {}
            Step::Get(thing) => {
                let Some(is) = told(&thing, answer) else { return };
                let may = self.keeper.may(&thing);
                if !may.contains(&is) {
                    self.fail("what was put is what is read", format!("{thing:?}: {is:?}, not one of {may:?}"));
                }
                self.keeper.known.insert(thing, May::from([is]));
            }
            Step::Run => {
                let Ok(Answer::Ecs(ecs::Response::RunTask(answer))) = answer else { return };
                self.keeper.tasks.extend(answer.tasks.iter().flatten().filter_map(|task| task.task_arn.clone()));
            }
            Step::Tagged => {
                let Ok(Answer::Tagging(tagging::Response::GetResources(answer))) = answer else {
                    return self.fail("what has tags can be asked for", format!("{answer:?}"));
                };
                let shown = answer.resource_tag_mapping_list.iter().flatten();
                let shown = shown.filter_map(|mapping| {
                    let tag = mapping.tags.iter().flatten().find(|tag| tag.key.as_deref() == Some(KEPT))?;
                    Some((mapping.resource_arn.clone()?, tag.value.clone().unwrap_or_default()))
                });
                self.keeper_judges_tags(&shown.collect());
            }
        }
    }

    /// What has its tag and is not over is shown, and nothing else is.
    fn keeper_judges_tags(&mut self, shown: &BTreeMap<String, String>) {
        let mut broken = None;
        for (thing, may) in &self.keeper.known {
            let is = match thing {
                Thing::Parameter(_) => continue,
                Thing::Cluster(name) => shown.get(&cluster_arn(name)).cloned(),
                Thing::Secret(name) => {
                    let of_it = |arn: &&String| arn.contains(&format!(":secret:{name}-"));
                    let there = shown.keys().any(|arn| of_it(&arn));
                    let fits = may.iter().any(|value| value.is_some() == there);
                    broken = broken.or((!fits).then(|| format!("{thing:?}: {there}, {may:?}")));
                    continue;
                }
            };
            broken = broken.or((!may.contains(&is)).then(|| format!("{thing:?}: {is:?}, not one of {may:?}")));
        }
        let state = &self.disk.history;
        for arn in &self.keeper.tasks {
            let task = TaskId::parse(id_of(arn)).and_then(|id| state.tasks.get(&id));
            // One that has stopped may have done so after the look.
            let lives = task.is_some_and(|task| task.status != TaskStatus::Stopped);
            if lives && !shown.contains_key(arn) {
                broken = broken.or(Some(format!("{} lives and is not shown", self.trace.name(arn))));
            }
        }
        let ours = |arn: &String| arn.contains(":cluster/") || arn.contains(":secret:") || arn.contains(":task/");
        let over = shown.keys().find(|arn| !ours(arn) || self.clients.oracle.was_stopped_before(arn, self.keeper.sent));
        let broken = broken.or(over.map(|arn| format!("{arn} is shown and is over")));
        if let Some(detail) = broken {
            self.fail("what has tags and is not over is what is shown", detail);
        }
    }
}
