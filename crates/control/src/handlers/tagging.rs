//! The Resource Groups Tagging API: what has tags, whatever it is, with its ARN.

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::State;
use model::cluster::Tag;
use model::iam::IamRow;
use model::parameter::ParameterRow;
use model::secret::SecretRow;
use model::state::Touched;
use std::collections::BTreeSet;
use wire::{Fault, tagging};

/// Resources of a page when nothing is asked, and at most (GetResources in the API reference).
const PAGE: (usize, usize) = (50, 100);
/// Keys or values of a page.
const WORDS: (usize, usize) = (1000, 1000);

/// Rows that one request looks at. What has tags but not those asked for is passed over, so a page may be empty and yet have
/// a next one, as on AWS.
const LOOKED_AT: usize = 2000;

/// The row an ARN names, if it names one. Whether what is there has that ARN is to be seen.
fn row_of(state: &State, text: &str) -> Option<Touched> {
    let arn = model::arn::Arn::parse(text)?;
    let (kind, rest) = arn.resource.split_once(['/', ':'])?;
    let last = || rest.rsplit('/').next().unwrap_or(rest).to_ascii_lowercase().into_boxed_str();
    Some(match (arn.service, kind) {
        ("ecs", _) => super::tag::row(state, text)?,
        ("iam", "role") => Touched::Iam(IamRow::Role(last())),
        ("iam", "policy") => Touched::Iam(IamRow::Policy(last())),
        ("iam", "instance-profile") => Touched::Iam(IamRow::InstanceProfile(last())),
        ("ssm", "parameter") => {
            let of_path = format!("/{rest}");
            let name = if state.parameters.get(&of_path).is_some() { &*of_path } else { rest };
            Touched::Parameter(ParameterRow::Parameter(name.into()))
        }
        ("secretsmanager", "secret") => {
            Touched::Secret(SecretRow::Secret(super::secret::find(state, text).ok()?.name.clone()))
        }
        _ => return None,
    })
}

/// Where a page ended: a row, and which of its task sets.
type Cursor = (Touched, Option<u64>);

/// What is asked for.
struct Wanted {
    arns: Vec<String>,
    types: Vec<String>,
    filters: Vec<tagging::TagFilter>,
}

impl Wanted {
    fn passes(&self, arn: &str, tags: &[Tag]) -> bool {
        (self.arns.is_empty() || self.arns.iter().any(|asked| asked == arn))
            && (self.types.is_empty() || self.types.iter().any(|wanted| is_of_type(arn, wanted)))
            && self.filters.iter().all(|filter| has(tags, filter))
    }

    /// Of a row, what passes.
    fn of_row(&self, state: &State, row: &Touched) -> Vec<(Cursor, tagging::ResourceTagMapping)> {
        let mut found = Vec::new();
        state.each_tagged(row, |set, tags| {
            let arn = state.arn_of_tagged(row, set).filter(|arn| self.passes(arn, tags));
            found.extend(arn.map(|arn| ((row.clone(), set), shown(arn, tags))));
        });
        found
    }

    /// A page, and its token.
    fn page(
        &self,
        state: &State,
        page: &Page<'_>,
        after: Option<Cursor>,
    ) -> (Vec<tagging::ResourceTagMapping>, String) {
        let mut taken = Vec::new();
        let token = |cursor: &Cursor| page.seal(&serde_json::to_string(cursor).expect("a cursor is JSON"));
        let mut last = after.clone();
        for (number, row) in state.tagged_from(after.as_ref().map(|(row, _)| row)).enumerate() {
            if let Some(last) = last.as_ref().filter(|_| number == LOOKED_AT) {
                return (taken, token(last));
            }
            for (cursor, mapping) in self.of_row(state, row) {
                if after.as_ref().is_some_and(|after| cursor <= *after) {
                    continue;
                }
                if taken.len() == page.limit() {
                    return (taken, last.as_ref().map(token).unwrap_or_default());
                }
                taken.push(mapping);
                last = Some(cursor);
            }
            // All of the row has been seen.
            last = Some((row.clone(), Some(u64::MAX)));
        }
        (taken, String::new())
    }
}

fn shown(arn: String, tags: &[Tag]) -> tagging::ResourceTagMapping {
    tagging::ResourceTagMapping {
        resource_arn: Some(arn),
        tags: Some(tags.iter().map(shown_tag).collect()),
        compliance_details: None,
    }
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
    let wanted = Wanted { arns, types, filters };
    let (list, token) = if wanted.arns.is_empty() {
        let after = page.after().map(serde_json::from_str).transpose();
        let after = after.map_err(|_| Fault::invalid_parameter("Invalid token"))?;
        wanted.page(state, &page, after)
    } else {
        let rows: BTreeSet<Touched> = wanted.arns.iter().filter_map(|arn| row_of(state, arn)).collect();
        let found = rows.iter().flat_map(|row| wanted.of_row(state, row)).map(|(_, mapping)| mapping);
        (found.collect(), String::new())
    };
    Ok(tagging::GetResourcesOutput { pagination_token: Some(token), resource_tag_mapping_list: Some(list) })
}

fn shown_tag(tag: &Tag) -> tagging::Tag {
    tagging::Tag { key: Some(tag.key.to_string()), value: Some(tag.value.to_string()) }
}

/// resourcegroupstaggingapi:GetTagKeys.
pub(crate) fn keys(
    desk: &mut Desk,
    _: &Caller,
    input: tagging::GetTagKeysInput,
) -> Result<tagging::GetTagKeysOutput, Fault> {
    let (state, asked) = (&desk.state, token(input.pagination_token.as_deref()));
    let page = Page::read(&state.meta().token_key, "GetTagKeys".to_owned(), WORDS, None, asked)?;
    let (keys, next) = page.take(state.tag_keys_after(page.after()).map(str::to_owned), String::clone);
    Ok(tagging::GetTagKeysOutput { pagination_token: Some(next.unwrap_or_default()), tag_keys: Some(keys) })
}

/// resourcegroupstaggingapi:GetTagValues.
pub(crate) fn values(
    desk: &mut Desk,
    _: &Caller,
    input: tagging::GetTagValuesInput,
) -> Result<tagging::GetTagValuesOutput, Fault> {
    let (state, asked) = (&desk.state, token(input.pagination_token.as_deref()));
    let scope = format!("GetTagValues|{}", input.key);
    let page = Page::read(&state.meta().token_key, scope, WORDS, None, asked)?;
    let known = state.tag_values_after(&input.key, page.after());
    let (values, next) = page.take(known.map(str::to_owned), String::clone);
    Ok(tagging::GetTagValuesOutput { pagination_token: Some(next.unwrap_or_default()), tag_values: Some(values) })
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
