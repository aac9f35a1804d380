//! State as rows: a kind, a key and a JSON value, what the store keeps and gives back at start. JSON names its members,
//! so a row written by one version is readable by the next.

use crate::change::ClientToken;
use crate::ids::{ClusterId, RevisionId, ServiceId};
use crate::needs::Needs;
use crate::state::{Meta, State, Touched};
use crate::{iam, parameter, secret};
use serde::Serialize;
use std::sync::Arc;

/// The schema of rows and changes; raised when a reader of the old one could misread.
pub const SCHEMA: u32 = 1;

/// A row to write, or to delete when it has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub kind: &'static str,
    /// Which.
    pub key: Vec<u8>,
    /// JSON; `None`: gone.
    pub value: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn of<T: Serialize>(kind: &'static str, key: &[u8], value: Option<&T>) -> Self {
        Self { kind, key: key.to_vec(), value: encode(value) }
    }
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its kind.
    pub kind: String,
    /// Why.
    pub message: String,
}

const META: &str = "meta";
const CLUSTER: &str = "cluster";
const ACCOUNT_SETTING: &str = "account-setting";
const DAEMON_DEFINITION: &str = "daemon-task-definition";
const CAPACITY_PROVIDER: &str = "capacity-provider";
const FAMILY: &str = "family";
const DEFINITION: &str = "task-definition";
const INSTANCE: &str = "container-instance";
const SERVICE: &str = "service";
const SERVICE_EVENT: &str = "service-event";
const SERVICE_REVISION: &str = "service-revision";
const SERVICE_DEPLOYMENT: &str = "service-deployment";
const TASK: &str = "task";
const LOG_GROUP: &str = "log-group";
const CLIENT_TOKEN: &str = "client-token";

fn revision_key(id: RevisionId) -> Vec<u8> {
    [id.family.0.to_be_bytes(), id.revision.to_be_bytes()].concat()
}

fn event_key(service: ServiceId, number: u64) -> Vec<u8> {
    [&service.0.to_be_bytes()[..], &number.to_be_bytes()].concat()
}

fn deployment_key(service: ServiceId, number: u32) -> Vec<u8> {
    [service.0.to_be_bytes(), number.to_be_bytes()].concat()
}

fn token_key(cluster: ClusterId, token: &str) -> Vec<u8> {
    [&cluster.0.to_be_bytes()[..], token.as_bytes()].concat()
}

impl State {
    /// What `touched` looks like now.
    pub fn row(&self, touched: &Touched) -> Row {
        let (kind, key, value) = match touched {
            Touched::Meta => (META, Vec::new(), encode(Some(self.meta()))),
            Touched::Cluster(id) => (CLUSTER, id.0.to_be_bytes().to_vec(), encode(self.clusters.get(id))),
            Touched::AccountSetting(principal, name) => {
                let setting = self.account_settings.get(&(principal.clone(), name.clone()));
                (ACCOUNT_SETTING, [principal.as_bytes(), b"\0", name.as_bytes()].concat(), encode(setting))
            }
            Touched::DaemonDefinition(family, revision) => {
                let definition = self.daemon_definitions.get(&(family.clone(), *revision));
                (DAEMON_DEFINITION, [family.as_bytes(), &revision.to_be_bytes()].concat(), encode(definition))
            }
            Touched::CapacityProvider(name) => {
                (CAPACITY_PROVIDER, name.as_bytes().to_vec(), encode(self.capacity_providers.get(name)))
            }
            Touched::Family(id) => (FAMILY, id.0.to_be_bytes().to_vec(), encode(self.families.get(id))),
            Touched::Definition(id) => (DEFINITION, revision_key(*id), encode(self.definitions.get(id))),
            Touched::Instance(id) => (INSTANCE, id.0.to_vec(), encode(self.instances.get(id))),
            Touched::Service(id) => (SERVICE, id.0.to_be_bytes().to_vec(), encode(self.services.get(id))),
            Touched::ServiceEvent(service, number) => {
                let event = self.service_events.get(&(*service, *number));
                (SERVICE_EVENT, event_key(*service, *number), encode(event))
            }
            Touched::ServiceRevision(service, number) => {
                let revision = self.service_revisions.get(&(*service, *number));
                (SERVICE_REVISION, event_key(*service, *number), encode(revision))
            }
            Touched::ServiceDeployment(service, number) => {
                let deployment = self.service_deployments.get(&(*service, *number));
                (SERVICE_DEPLOYMENT, deployment_key(*service, *number), encode(deployment))
            }
            Touched::Task(id) => (TASK, id.0.to_vec(), encode(self.tasks.get(id))),
            Touched::LogGroup(id) => (LOG_GROUP, id.0.to_vec(), encode(self.log_groups.get(id))),
            Touched::Iam(row) => return self.iam.row(row),
            Touched::Parameter(row) => return self.parameters.row(row),
            Touched::Secret(row) => return self.secrets.row(row),
            Touched::ClientToken(cluster, token) => {
                (CLIENT_TOKEN, token_key(*cluster, token), encode(self.client_token_row(*cluster, token)))
            }
        };
        Row { kind, key, value }
    }

    /// Every row there is.
    pub fn rows(&self) -> Vec<Row> {
        self.all_rows().iter().map(|touched| self.row(touched)).collect()
    }

    /// The same, without what is in them.
    pub(crate) fn all_rows(&self) -> Vec<Touched> {
        let mut touched = vec![Touched::Meta];
        touched.extend(self.clusters.keys().map(|id| Touched::Cluster(*id)));
        let settings = self.account_settings.keys().cloned();
        touched.extend(settings.map(|(principal, name)| Touched::AccountSetting(principal, name)));
        let daemons = self.daemon_definitions.keys().cloned();
        touched.extend(daemons.map(|(family, revision)| Touched::DaemonDefinition(family, revision)));
        touched.extend(self.capacity_providers.keys().map(|name| Touched::CapacityProvider(name.clone())));
        touched.extend(self.families.keys().map(|id| Touched::Family(*id)));
        touched.extend(self.definitions.keys().map(|id| Touched::Definition(*id)));
        touched.extend(self.instances.keys().map(|id| Touched::Instance(*id)));
        touched.extend(self.services.keys().map(|id| Touched::Service(*id)));
        touched.extend(self.service_events.keys().map(|(id, number)| Touched::ServiceEvent(*id, *number)));
        touched.extend(self.service_revisions.keys().map(|(id, number)| Touched::ServiceRevision(*id, *number)));
        touched.extend(self.service_deployments.keys().map(|(id, number)| Touched::ServiceDeployment(*id, *number)));
        touched.extend(self.tasks.keys().map(|id| Touched::Task(*id)));
        touched.extend(self.log_groups.keys().map(|id| Touched::LogGroup(*id)));
        touched.extend(self.iam.rows().map(Touched::Iam));
        touched.extend(self.parameters.rows().map(Touched::Parameter));
        touched.extend(self.secrets.rows().map(Touched::Secret));
        let tokens = self.index.token_ages.iter();
        touched.extend(tokens.map(|(_, cluster, token)| Touched::ClientToken(*cluster, token.clone())));
        touched
    }
}

/// Collects rows in any order into a state.
#[derive(Debug, Default)]
pub struct Loader {
    meta: Option<Meta>,
    rows: Vec<(String, Vec<u8>)>,
}

impl Loader {
    /// Takes a row.
    pub fn take(&mut self, kind: &str, value: &[u8]) -> Result<(), BadRow> {
        match kind {
            META => self.meta = Some(decode(kind, value)?),
            _ => self.rows.push((kind.to_owned(), value.to_vec())),
        }
        Ok(())
    }

    /// The state; `None` when nothing was ever stored.
    pub fn finish(self) -> Result<Option<State>, BadRow> {
        let Some(meta) = self.meta else { return Ok(None) };
        let mut state = State::new(meta);
        for (kind, value) in self.rows {
            put(&mut state, &kind, &value)?;
        }
        state.retag_all();
        Ok(Some(state))
    }
}

fn put(state: &mut State, kind: &str, value: &[u8]) -> Result<(), BadRow> {
    match kind {
        CLUSTER => drop(state.put_cluster(decode(kind, value)?)),
        ACCOUNT_SETTING => drop(state.put_account_setting(decode(kind, value)?)),
        DAEMON_DEFINITION => drop(state.put_daemon_definition(decode(kind, value)?)),
        CAPACITY_PROVIDER => drop(state.put_capacity_provider(decode(kind, value)?)),
        FAMILY => state.put_family(decode(kind, value)?),
        DEFINITION => {
            let mut definition: crate::TaskDefinition = decode(kind, value)?;
            definition.needs = Arc::new(Needs::of_document(&definition.document));
            state.put_definition(definition);
        }
        INSTANCE => drop(state.put_instance(decode(kind, value)?)),
        SERVICE => drop(state.put_service(decode(kind, value)?)),
        SERVICE_EVENT => drop(state.put_service_event(decode(kind, value)?)),
        SERVICE_REVISION => drop(state.put_service_revision(decode(kind, value)?)),
        SERVICE_DEPLOYMENT => drop(state.put_service_deployment(decode(kind, value)?)),
        TASK => drop(state.put_task(decode(kind, value)?)),
        LOG_GROUP => drop(state.put_log_group(decode(kind, value)?)),
        iam::ROLE => state.iam.load_role(decode(kind, value)?),
        iam::POLICY => state.iam.load_policy(decode(kind, value)?),
        iam::INSTANCE_PROFILE => state.iam.load_profile(decode(kind, value)?),
        parameter::PARAMETER => state.parameters.load(decode(kind, value)?),
        parameter::PARAMETER_VERSION => state.parameters.load_version(decode(kind, value)?),
        secret::SECRET => state.secrets.put(decode(kind, value)?),
        secret::SECRET_VERSION => state.secrets.put_version(decode(kind, value)?),
        CLIENT_TOKEN => drop(state.put_client_token(decode::<ClientToken>(kind, value)?)),
        _ => return Err(BadRow { kind: kind.to_owned(), message: "unknown kind of row".to_owned() }),
    }
    Ok(())
}

fn encode<T: Serialize>(value: Option<&T>) -> Option<Vec<u8>> {
    // Our own types always serialise: no maps with odd keys, no fallible impls.
    value.map(|value| serde_json::to_vec(value).expect("state rows serialise"))
}

fn decode<'a, T: serde::Deserialize<'a>>(kind: &str, value: &'a [u8]) -> Result<T, BadRow> {
    serde_json::from_slice(value).map_err(|error| BadRow { kind: kind.to_owned(), message: error.to_string() })
}
