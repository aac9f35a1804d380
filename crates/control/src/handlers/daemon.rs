//! Managed daemons. Their definitions are registered, described, listed and deleted; no engine runs them yet, so that there
//! is never a daemon, nor a deployment or revision of one, and what asks for one is told so.

use super::{check_names, missing, tags};
use crate::authorize::Caller;
use crate::check::capacity::provider_name;
use crate::check::task_definition as check;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::State;
use model::arn::Named;
use model::change::Change;
use model::daemon_definition::DaemonDefinition;
use wire::{Fault, FromJson, ToJson, ecs};

/// Largest document, serialised, as that of a task definition.
const DOCUMENT_MAX: usize = 64 * 1024;
/// Deployments or revisions that one call names.
const DESCRIBE_MAX: usize = 20;

/// RegisterDaemonTaskDefinition: the rules are those of a task definition for hosts.
pub(crate) fn register(
    desk: &mut Desk,
    _: &Caller,
    mut input: ecs::RegisterDaemonTaskDefinitionRequest,
) -> Result<ecs::RegisterDaemonTaskDefinitionResponse, Fault> {
    let tags = tags(input.tags.take())?;
    let (pid_mode, ipc_mode) = (input.pid_mode.take(), input.ipc_mode.take());
    check::normalised(ecs::RegisterTaskDefinitionRequest::from_json_str(&input.to_json())?)?;
    let family = input.family.clone();
    let document = ecs::DaemonTaskDefinition {
        container_definitions: Some(input.container_definitions),
        cpu: input.cpu,
        memory: input.memory,
        execution_role_arn: input.execution_role_arn,
        task_role_arn: input.task_role_arn,
        ipc_mode,
        pid_mode,
        volumes: input.volumes,
        ..ecs::DaemonTaskDefinition::default()
    };
    let text = document.to_json();
    if text.len() > DOCUMENT_MAX {
        let message = format!("The definition is {} bytes; at most {DOCUMENT_MAX} are allowed.", text.len());
        return Err(ecs::fault::client(message));
    }
    let latest = desk.state.daemon_revisions(&family).next_back().map_or(0, |latest| latest.revision);
    let definition = DaemonDefinition {
        family: family.into(),
        revision: latest + 1,
        document: text.into(),
        registered_at: desk.now,
        registered_by: desk.state.scope().root().into(),
        deleted_at: None,
        tags,
    };
    let arn = desk.state.daemon_definition_arn(&definition);
    desk.commit(Change::DaemonDefinitionPut(Box::new(definition)));
    Ok(ecs::RegisterDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(arn) })
}

/// DescribeDaemonTaskDefinition: a revision, deleted or not, or the latest ACTIVE one of a family.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeDaemonTaskDefinitionRequest,
) -> Result<ecs::DescribeDaemonTaskDefinitionResponse, Fault> {
    let definition = find(&desk.state, &input.daemon_task_definition)?;
    let shown = desk.state.project_daemon_definition(definition);
    Ok(ecs::DescribeDaemonTaskDefinitionResponse { daemon_task_definition: Some(shown) })
}

/// DeleteDaemonTaskDefinition: the revision must be named; a second time changes nothing.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteDaemonTaskDefinitionRequest,
) -> Result<ecs::DeleteDaemonTaskDefinitionResponse, Fault> {
    if named::daemon_family_and_revision(&desk.state, &input.daemon_task_definition)?.1.is_none() {
        return Err(Fault::invalid_parameter("Revision is missing."));
    }
    let mut definition = find(&desk.state, &input.daemon_task_definition)?.clone();
    let arn = desk.state.daemon_definition_arn(&definition);
    if definition.deleted_at.is_none() {
        definition.deleted_at = Some(desk.now);
        desk.commit(Change::DaemonDefinitionPut(Box::new(definition)));
    }
    Ok(ecs::DeleteDaemonTaskDefinitionResponse { daemon_task_definition_arn: Some(arn) })
}

fn find<'a>(state: &'a State, text: &str) -> Result<&'a DaemonDefinition, Fault> {
    let (family, revision) = named::daemon_family_and_revision(state, text)?;
    let mut revisions = state.daemon_revisions(family);
    let found = match revision {
        Some(revision) => revisions.find(|known| known.revision == revision),
        None => revisions.rfind(|known| known.deleted_at.is_none()),
    };
    found.ok_or_else(|| ecs::fault::client("Unable to describe daemon task definition."))
}

/// ListDaemonTaskDefinitions: ACTIVE ones unless asked otherwise; none is ever between ACTIVE and DELETED here, and those
/// are not listed.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListDaemonTaskDefinitionsRequest,
) -> Result<ecs::ListDaemonTaskDefinitionsResponse, Fault> {
    let state = &desk.state;
    let descending = input.sort == Some(ecs::SortOrder::Desc);
    let prefix = input.family.as_deref().or(input.family_prefix.as_deref()).unwrap_or_default();
    let last = input.revision.is_some();
    let none = input.status == Some(ecs::DaemonTaskDefinitionStatusFilter::DeleteInProgress);
    let scope = format!("ListDaemonTaskDefinitions|{prefix:?}|{}|{last}|{none}|{descending}", input.family.is_some());
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let after = page.after().and_then(|after| after.rsplit_once(':'));
    let after = after.and_then(|(family, revision)| Some((family.to_owned(), revision.parse::<u32>().ok()?)));
    let fits = |known: &&DaemonDefinition| {
        let family = match &input.family {
            Some(family) => *known.family == **family,
            None => known.family.starts_with(prefix),
        };
        let newest = || state.daemon_revisions(&known.family).rfind(|other| other.deleted_at.is_none());
        family && !none && known.deleted_at.is_none() && (!last || newest().map(|n| n.revision) == Some(known.revision))
    };
    // Those before the cursor's family are passed by.
    let from = after.as_ref().filter(|_| !descending).map_or(prefix, |(family, _)| family.as_str().max(prefix));
    let all = state.daemon_definitions_from(from).take_while(|known| known.family.starts_with(prefix)).filter(fits);
    let beyond = |known: &&DaemonDefinition| {
        let key = (known.family.to_string(), known.revision);
        after.as_ref().is_none_or(|after| if descending { key < *after } else { key > *after })
    };
    let cursor = |known: &&DaemonDefinition| format!("{}:{}", known.family, known.revision);
    let (items, next_token) = match descending {
        false => page.take(all.filter(beyond), cursor),
        true => {
            let mut all: Vec<&DaemonDefinition> = all.filter(beyond).collect();
            all.reverse();
            page.take(all.into_iter(), cursor)
        }
    };
    let shown = items.into_iter().map(|known| state.summarise_daemon_definition(known)).collect();
    Ok(ecs::ListDaemonTaskDefinitionsResponse { daemon_task_definitions: Some(shown), next_token })
}

/// An ARN `kind/<cluster>/<rest>` of that kind, of a cluster that exists.
fn check_arn(state: &State, arn: &str, kind: &str) -> Result<(), Fault> {
    let malformed = || Fault::invalid_parameter(format!("Invalid identifier: {arn:?} is not the ARN of a {kind}."));
    let Named::Resource(path) = named::resource(state, arn, kind)? else { return Err(malformed()) };
    let path = path.strip_prefix(kind).and_then(|path| path.strip_prefix('/'));
    let (cluster, _) = path.and_then(|path| path.split_once('/')).ok_or_else(malformed)?;
    named::any_cluster(state, Some(cluster)).map(|_| ())
}

fn no_daemon(state: &State, arn: &str) -> Fault {
    let missing = || ecs::fault::daemon_not_found(format!("The daemon {arn:?} was not found."));
    check_arn(state, arn, "daemon").map_or_else(|fault| fault, |()| missing())
}

/// DescribeDaemon.
pub(crate) fn describe_daemon(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeDaemonRequest,
) -> Result<ecs::DescribeDaemonResponse, Fault> {
    Err(no_daemon(&desk.state, &input.daemon_arn))
}

/// DeleteDaemon.
pub(crate) fn delete_daemon(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteDaemonRequest,
) -> Result<ecs::DeleteDaemonResponse, Fault> {
    Err(no_daemon(&desk.state, &input.daemon_arn))
}

/// ListDaemons.
pub(crate) fn list_daemons(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListDaemonsRequest,
) -> Result<ecs::ListDaemonsResponse, Fault> {
    named::cluster(&desk.state, input.cluster_arn.as_deref())?;
    let providers = input.capacity_provider_arns.unwrap_or_default();
    providers.iter().try_for_each(|name| provider_name(&desk.state, name).map(|_| ()))?;
    let key = &desk.state.meta().token_key;
    Page::read(key, "ListDaemons".to_owned(), (100, 100), input.max_results, input.next_token.as_deref())?;
    Ok(ecs::ListDaemonsResponse { daemon_summaries_list: Some(Vec::new()), next_token: None })
}

/// DescribeDaemonDeployments.
pub(crate) fn describe_deployments(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeDaemonDeploymentsRequest,
) -> Result<ecs::DescribeDaemonDeploymentsResponse, Fault> {
    check_names(&input.daemon_deployment_arns, "daemonDeploymentArns", DESCRIBE_MAX)?;
    input.daemon_deployment_arns.iter().try_for_each(|arn| check_arn(&desk.state, arn, "daemon-deployment"))?;
    let failures = input.daemon_deployment_arns.into_iter().map(missing).collect();
    Ok(ecs::DescribeDaemonDeploymentsResponse { daemon_deployments: Some(Vec::new()), failures: Some(failures) })
}

/// ListDaemonDeployments.
pub(crate) fn list_deployments(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListDaemonDeploymentsRequest,
) -> Result<ecs::ListDaemonDeploymentsResponse, Fault> {
    check_arn(&desk.state, &input.daemon_arn, "daemon")?;
    // The operation declares no DaemonNotFoundException.
    Err(Fault::invalid_parameter(format!("The daemon {:?} was not found.", input.daemon_arn)))
}

/// DescribeDaemonRevisions.
pub(crate) fn describe_revisions(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeDaemonRevisionsRequest,
) -> Result<ecs::DescribeDaemonRevisionsResponse, Fault> {
    check_names(&input.daemon_revision_arns, "daemonRevisionArns", DESCRIBE_MAX)?;
    input.daemon_revision_arns.iter().try_for_each(|arn| check_arn(&desk.state, arn, "daemon-revision"))?;
    let failures = input.daemon_revision_arns.into_iter().map(missing).collect();
    Ok(ecs::DescribeDaemonRevisionsResponse { daemon_revisions: Some(Vec::new()), failures: Some(failures) })
}
