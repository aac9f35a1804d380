//! Task definitions.

use super::tags;
use crate::authorize::Caller;
use crate::check::task_definition as check;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::change::Change;
use model::needs::Needs;
use model::project;
use model::state::FamilyKind;
use model::task_definition::{Family, TaskDefinition};
use model::{RevisionId, State};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use wire::{Fault, ToJson, ecs};

/// Largest document, serialised (Amazon ECS service quotas: 64 KiB).
const DOCUMENT_MAX: usize = 64 * 1024;

/// RegisterTaskDefinition: checks, fills in AWS's defaults, keeps every member verbatim.
pub(crate) fn register(
    desk: &mut Desk,
    _: &Caller,
    mut input: ecs::RegisterTaskDefinitionRequest,
) -> Result<ecs::RegisterTaskDefinitionResponse, Fault> {
    let tags = tags(input.tags.take())?;
    let document = check::normalised(input)?;
    let text = document.to_json();
    if text.len() > DOCUMENT_MAX {
        return Err(ecs::fault::client(format!(
            "The task definition is {} bytes; at most {DOCUMENT_MAX} are allowed.",
            text.len()
        )));
    }
    let family = document.family.clone().unwrap_or_default();
    let known = desk.state.family_named(&family);
    let id = known.map_or_else(
        || RevisionId { family: desk.state.next_family(), revision: 1 },
        |known| RevisionId { family: known.id, revision: known.latest + 1 },
    );
    let definition = TaskDefinition {
        id,
        document: text.into(),
        active: true,
        registered_at: desk.now,
        registered_by: desk.state.scope().root().into(),
        deregistered_at: None,
        delete_requested_at: None,
        tags,
        needs: Arc::new(Needs::of(&document)),
    };
    desk.commit(Change::TaskDefinitionRegistered { family: family.into(), definition: Box::new(definition) });
    let definition = &desk.state.definitions[&id];
    let task_definition = Some(desk.state.project_task_definition(definition));
    Ok(ecs::RegisterTaskDefinitionResponse { task_definition, tags: Some(project::tags(&definition.tags)) })
}

/// DescribeTaskDefinition: a revision, or the latest ACTIVE one of a family.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeTaskDefinitionRequest,
) -> Result<ecs::DescribeTaskDefinitionResponse, Fault> {
    let missing = || ecs::fault::client("Unable to describe task definition.");
    let definition = named::task_definition(&desk.state, &input.task_definition)?.ok_or_else(missing)?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::TaskDefinitionField::Tags);
    let tags = if with_tags { project::tags(&definition.tags) } else { Vec::new() };
    let task_definition = Some(desk.state.project_task_definition(definition));
    Ok(ecs::DescribeTaskDefinitionResponse { task_definition, tags: Some(tags) })
}

/// DeregisterTaskDefinition: the revision must be named; a second time changes nothing.
pub(crate) fn deregister(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeregisterTaskDefinitionRequest,
) -> Result<ecs::DeregisterTaskDefinitionResponse, Fault> {
    if named::family_and_revision(&desk.state, &input.task_definition)?.1.is_none() {
        return Err(Fault::invalid_parameter("Revision is missing."));
    }
    let missing = || ecs::fault::client("The specified task definition does not exist.");
    let definition = named::task_definition(&desk.state, &input.task_definition)?.ok_or_else(missing)?;
    let (id, active) = (definition.id, definition.active);
    if active {
        desk.commit(Change::TaskDefinitionDeregistered { id, at: desk.now });
    }
    let definition = &desk.state.definitions[&id];
    Ok(ecs::DeregisterTaskDefinitionResponse { task_definition: Some(desk.state.project_task_definition(definition)) })
}

/// Revisions that one DeleteTaskDefinitions names.
const DELETE_MAX: usize = 10;

/// DeleteTaskDefinitions: INACTIVE revisions become DELETE_IN_PROGRESS, from which nothing new is made, and go when nothing
/// that is shown was made from them. A revision that cannot be deleted is a failure of its own.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteTaskDefinitionsRequest,
) -> Result<ecs::DeleteTaskDefinitionsResponse, Fault> {
    super::check_names(&input.task_definitions, "Task definitions", DELETE_MAX)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for name in &input.task_definitions {
        if named::family_and_revision(&desk.state, name)?.1.is_none() {
            return Err(Fault::invalid_parameter("Revision is missing."));
        }
    }
    for name in &input.task_definitions {
        let failure = |arn: String, reason: &str| ecs::Failure {
            arn: Some(arn),
            reason: Some(reason.to_owned()),
            ..ecs::Failure::default()
        };
        let Some(definition) = named::task_definition(&desk.state, name)? else {
            failures.push(failure(name.clone(), "The specified task definition does not exist. Specify a valid account, family, revision and try again."));
            continue;
        };
        let (id, status) = (definition.id, definition.status());
        match status {
            ecs::TaskDefinitionStatus::Active => {
                let arn = desk.state.task_definition_arn(id);
                failures.push(failure(arn, "The specified task definition is still in ACTIVE status. Please deregister the target and try again."));
                continue;
            }
            ecs::TaskDefinitionStatus::Inactive => {
                desk.commit(Change::TaskDefinitionDeleteRequested { id, at: desk.now });
            }
            ecs::TaskDefinitionStatus::DeleteInProgress => {}
        }
        deleted.push(desk.state.project_task_definition(&desk.state.definitions[&id]));
    }
    Ok(ecs::DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

/// ListTaskDefinitions: by family and revision. `familyPrefix` is the whole name of a family (API reference).
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListTaskDefinitionsRequest,
) -> Result<ecs::ListTaskDefinitionsResponse, Fault> {
    let state = &desk.state;
    let wanted = input.status.unwrap_or(ecs::TaskDefinitionStatus::Active);
    let descending = input.sort == Some(ecs::SortOrder::Desc);
    let family = input.family_prefix.as_deref();
    let scope = format!("ListTaskDefinitions|{family:?}|{wanted}|{descending}");
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let after = page.after().and_then(|after| after.rsplit_once(':'));
    let after = after.and_then(|(family, revision)| Some((family.to_owned(), revision.parse::<u32>().ok()?)));
    let status = FamilyKind::from(wanted);
    let from = after.as_ref().map(|(family, _)| family.as_str());
    // Those of the cursor's family go on where it is.
    let all = families(state, family, status, from, descending).flat_map(|family| {
        let cursor = after.as_ref().filter(|(name, _)| **name == *family.name).map(|(_, revision)| *revision);
        let ids: Box<dyn Iterator<Item = RevisionId>> = match (descending, cursor) {
            (false, Some(u32::MAX)) | (true, Some(0)) => Box::new(std::iter::empty()),
            (false, cursor) => {
                Box::new(state.revisions_between(family.id, status, cursor.map_or(0, |last| last + 1), u32::MAX))
            }
            (true, cursor) => {
                let last = cursor.map_or(u32::MAX, |last| last - 1);
                Box::new(state.revisions_between(family.id, status, 0, last).rev())
            }
        };
        ids.map(move |id| (id, &*family.name))
    });
    let (items, next_token) = page.take(all, |(id, name)| format!("{name}:{}", id.revision));
    let arns = items.into_iter().map(|(id, name)| state.scope().task_definition(name, id.revision)).collect();
    Ok(ecs::ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token })
}

/// The families to list, those before the cursor's left out.
fn families<'a>(
    state: &'a State,
    only: Option<&str>,
    status: FamilyKind,
    after: Option<&str>,
    descending: bool,
) -> Box<dyn Iterator<Item = &'a Family> + 'a> {
    if let Some(name) = only {
        return Box::new(state.family_named(name).into_iter());
    }
    let cursor = after.map_or(Unbounded, Included);
    match descending {
        false => Box::new(state.families_of(status, cursor, Unbounded)),
        true => Box::new(state.families_of(status, Unbounded, cursor).rev()),
    }
}

/// ListTaskDefinitionFamilies. A family is ACTIVE while it has an ACTIVE revision; both kinds are listed by default.
pub(crate) fn list_families(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListTaskDefinitionFamiliesRequest,
) -> Result<ecs::ListTaskDefinitionFamiliesResponse, Fault> {
    let state = &desk.state;
    let prefix = input.family_prefix.unwrap_or_default();
    let wanted = input.status.unwrap_or(ecs::TaskDefinitionFamilyStatus::All);
    let scope = format!("ListTaskDefinitionFamilies|{prefix:?}|{wanted}");
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let from = page.after().filter(|after| *after >= &*prefix).map_or(Included(&*prefix), Excluded);
    let kind = match wanted {
        ecs::TaskDefinitionFamilyStatus::All => FamilyKind::Any,
        ecs::TaskDefinitionFamilyStatus::Active => FamilyKind::Active,
        ecs::TaskDefinitionFamilyStatus::Inactive => FamilyKind::WithoutActive,
    };
    let families = state.families_of(kind, from, Unbounded);
    let rest = families.take_while(|family| family.name.starts_with(&prefix));
    let (families, next_token) = page.take(rest.map(|family| family.name.to_string()), String::clone);
    Ok(ecs::ListTaskDefinitionFamiliesResponse { families: Some(families), next_token })
}
