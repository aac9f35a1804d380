//! The Resource Groups Tagging API: what has tags, whatever it is, with its ARN.

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::State;
use model::cluster::Tag;
use model::service::ServiceStatus;
use model::task::TaskStatus;
use model::task_set::TaskSetStatus;
use std::collections::BTreeSet;
use wire::{Fault, tagging};

/// Resources of a page when nothing is asked, and at most (GetResources in the API reference).
const PAGE: (usize, usize) = (50, 100);
/// Keys or values of a page.
const WORDS: (usize, usize) = (1000, 1000);

/// Everything there is that has tags and is not over, by ARN.
fn resources(state: &State) -> Vec<(String, &[Tag])> {
    let scope = state.scope();
    let cluster = |id| state.clusters.get(&id).map_or("", |cluster| &*cluster.name);
    let mut found: Vec<(String, &[Tag])> = Vec::new();
    let add = |tags: &[Tag]| !tags.is_empty();
    let mut push = |arn: String, tags| found.push((arn, tags));
    for known in state.clusters.values().filter(|known| known.active && add(&known.tags)) {
        push(scope.cluster(&known.name), &known.tags);
    }
    for known in state.capacity_providers.values().filter(|known| known.active && add(&known.tags)) {
        push(scope.capacity_provider(&known.name), &known.tags);
    }
    for known in state.definitions.values().filter(|known| known.active && add(&known.tags)) {
        let family = state.families.get(&known.id.family).map_or("", |family| &*family.name);
        push(scope.task_definition(family, known.id.revision), &known.tags);
    }
    for known in state.daemon_definitions.values().filter(|known| known.deleted_at.is_none() && add(&known.tags)) {
        push(scope.daemon_definition(&known.family, known.revision), &known.tags);
    }
    for known in state.instances.values().filter(|known| known.is_registered() && add(&known.tags)) {
        push(scope.instance(cluster(known.cluster), known.id), &known.tags);
    }
    for known in state.services.values().filter(|known| known.status != ServiceStatus::Inactive) {
        if add(&known.tags) {
            push(scope.service(cluster(known.cluster), &known.name), &known.tags);
        }
        for one in known.deployments.iter().filter(|one| !one.is_set(TaskSetStatus::Draining)) {
            if let Some(set) = one.set.as_ref().filter(|set| add(&set.tags)) {
                push(scope.task_set(cluster(known.cluster), &known.name, one.number), &set.tags);
            }
        }
    }
    for known in state.tasks.values().filter(|known| known.status != TaskStatus::Stopped && add(&known.tags)) {
        push(scope.task(cluster(known.cluster), known.id), &known.tags);
    }
    for known in state.iam.roles().filter(|known| add(&known.tags)) {
        push(scope.iam("role", &known.path, &known.name), &known.tags);
    }
    for known in state.iam.policies().filter(|known| add(&known.tags)) {
        push(scope.iam("policy", &known.path, &known.name), &known.tags);
    }
    for known in state.iam.profiles().filter(|known| add(&known.tags)) {
        push(scope.iam("instance-profile", &known.path, &known.name), &known.tags);
    }
    for known in state.parameters.from("").filter(|known| add(&known.tags)) {
        push(scope.parameter(&known.name), &known.tags);
    }
    for known in state.secrets.all().filter(|known| known.deleted.is_none() && add(&known.tags)) {
        push(scope.secret(&known.name, &known.suffix), &known.tags);
    }
    found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Whether an ARN is of a type such as `ecs:task`, or of a service such as `ecs`.
fn is_of_type(arn: &str, wanted: &str) -> bool {
    let Some(arn) = model::arn::Arn::parse(arn) else { return false };
    let kind = arn.resource.split(['/', ':']).next().unwrap_or_default();
    match wanted.split_once(':') {
        None => arn.service == wanted,
        Some((service, resource)) => arn.service == service && kind == resource,
    }
}

fn has(tags: &[Tag], filter: &tagging::TagFilter) -> bool {
    let key = filter.key.as_deref().unwrap_or_default();
    let values = filter.values.as_deref().unwrap_or_default();
    let tag = tags.iter().find(|tag| *tag.key == *key);
    tag.is_some_and(|tag| values.is_empty() || values.iter().any(|value| **value == *tag.value))
}

fn token(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// resourcegroupstaggingapi:GetResources.
pub(crate) fn resources_page(
    desk: &mut Desk,
    _: &Caller,
    input: tagging::GetResourcesInput,
) -> Result<tagging::GetResourcesOutput, Fault> {
    let used = [
        ("IncludeComplianceDetails", input.include_compliance_details == Some(true)),
        ("ExcludeCompliantResources", input.exclude_compliant_resources == Some(true)),
        ("TagsPerPage", input.tags_per_page.is_some()),
    ];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(Fault::invalid_parameter(format!("not supported yet: {member}.")));
    }
    let arns = input.resource_arn_list.unwrap_or_default();
    let types = input.resource_type_filters.unwrap_or_default();
    let filters = input.tag_filters.unwrap_or_default();
    let asked = token(input.pagination_token.as_deref());
    let narrowed = !types.is_empty() || !filters.is_empty() || asked.is_some() || input.resources_per_page.is_some();
    if !arns.is_empty() && narrowed {
        let message = "ResourceARNList cannot be combined with filters or pages.";
        return Err(Fault::invalid_parameter(message));
    }
    if filters.iter().any(|filter| filter.key.as_deref().is_none_or(str::is_empty)) {
        return Err(Fault::invalid_parameter("TagFilters: each filter needs a Key."));
    }
    let state = &desk.state;
    let scope = format!("GetResources|{arns:?}|{types:?}|{filters:?}");
    let page = Page::read(&state.meta().token_key, scope, PAGE, input.resources_per_page, asked)?;
    let wanted = resources(state).into_iter().filter(|(arn, tags)| {
        page.after().is_none_or(|after| **arn > *after)
            && (arns.is_empty() || arns.contains(arn))
            && (types.is_empty() || types.iter().any(|wanted| is_of_type(arn, wanted)))
            && filters.iter().all(|filter| has(tags, filter))
    });
    let (taken, next) = page.take(wanted, |(arn, _)| arn.clone());
    let shown = |(arn, tags): (String, &[Tag])| tagging::ResourceTagMapping {
        resource_arn: Some(arn),
        tags: Some(tags.iter().map(shown_tag).collect()),
        compliance_details: None,
    };
    Ok(tagging::GetResourcesOutput {
        pagination_token: Some(next.unwrap_or_default()),
        resource_tag_mapping_list: Some(taken.into_iter().map(shown).collect()),
    })
}

fn shown_tag(tag: &Tag) -> tagging::Tag {
    tagging::Tag { key: Some(tag.key.to_string()), value: Some(tag.value.to_string()) }
}

/// A page of words.
fn words(
    state: &State,
    scope: String,
    asked: Option<&str>,
    words: BTreeSet<&str>,
) -> Result<(Vec<String>, String), Fault> {
    let page = Page::read(&state.meta().token_key, scope, WORDS, None, token(asked))?;
    let rest = words.into_iter().filter(|word| page.after().is_none_or(|after| *word > after));
    let (taken, next) = page.take(rest, |word| (*word).to_owned());
    Ok((taken.into_iter().map(str::to_owned).collect(), next.unwrap_or_default()))
}

/// resourcegroupstaggingapi:GetTagKeys.
pub(crate) fn keys(
    desk: &mut Desk,
    _: &Caller,
    input: tagging::GetTagKeysInput,
) -> Result<tagging::GetTagKeysOutput, Fault> {
    let all = resources(&desk.state);
    let known = all.iter().flat_map(|(_, tags)| tags.iter()).map(|tag| &*tag.key).collect();
    let (keys, next) = words(&desk.state, "GetTagKeys".to_owned(), input.pagination_token.as_deref(), known)?;
    Ok(tagging::GetTagKeysOutput { pagination_token: Some(next), tag_keys: Some(keys) })
}

/// resourcegroupstaggingapi:GetTagValues.
pub(crate) fn values(
    desk: &mut Desk,
    _: &Caller,
    input: tagging::GetTagValuesInput,
) -> Result<tagging::GetTagValuesOutput, Fault> {
    let all = resources(&desk.state);
    let of_key = all.iter().flat_map(|(_, tags)| tags.iter()).filter(|tag| *tag.key == *input.key);
    let scope = format!("GetTagValues|{}", input.key);
    let known = of_key.map(|tag| &*tag.value).collect();
    let (values, next) = words(&desk.state, scope, input.pagination_token.as_deref(), known)?;
    Ok(tagging::GetTagValuesOutput { pagination_token: Some(next), tag_values: Some(values) })
}

#[cfg(test)]
mod tests {
    use super::is_of_type;

    #[test]
    fn types_are_read_from_arns() {
        let task = "arn:aws:ecs:us-east-1:000000000000:task/default/0";
        assert!(is_of_type(task, "ecs") && is_of_type(task, "ecs:task") && !is_of_type(task, "ecs:task-set"));
        let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-b";
        assert!(is_of_type(secret, "secretsmanager:secret") && !is_of_type(secret, "ecs"));
    }
}
