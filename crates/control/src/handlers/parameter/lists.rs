//! Lists of parameters: by filters, below a path, and the versions of one.

use super::{DATA_TYPE, find, shown, shown_key, shown_kind, shown_tier};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::parameter::{Parameter, ParameterVersion};
use model::state::State;
use wire::{Fault, Timestamp, ssm};

/// Filters of DescribeParameters, and of GetParametersByPath, that act.
const FILTERS: [&str; 5] = ["Name", "Type", "Path", "Tier", "DataType"];

/// A filter as it is applied.
struct Filter<'a> {
    key: &'a str,
    option: &'a str,
    values: &'a [String],
}

fn check<'a>(filters: &'a [ssm::ParameterStringFilter], path: bool) -> Result<Vec<Filter<'a>>, Fault> {
    let check_one = |filter: &'a ssm::ParameterStringFilter| {
        let key = filter.key.as_str();
        let acts = if path { key == "Type" } else { FILTERS.contains(&key) || key.starts_with("tag:") };
        if !acts {
            return Err(ssm::fault::invalid_filter_key(format!("not supported yet: the filter {key}.")));
        }
        let option = filter.option.as_deref().unwrap_or(if key == "Path" { "OneLevel" } else { "Equals" });
        let options: &[&str] = match key {
            "Name" => &["Equals", "BeginsWith", "Contains"],
            "Path" => &["OneLevel", "Recursive"],
            _ => &["Equals"],
        };
        if !options.contains(&option) {
            let message = format!("The filter {key} takes the options {}, not {option}.", options.join(", "));
            return Err(ssm::fault::invalid_filter_option(message));
        }
        let values = filter.values.as_deref().unwrap_or_default();
        if values.is_empty() && !key.starts_with("tag:") {
            return Err(ssm::fault::invalid_filter_value(format!("The filter {key} needs a value.")));
        }
        if key == "Path" && values.iter().any(|value| !value.starts_with('/')) {
            return Err(ssm::fault::invalid_filter_value("A path begins with /."));
        }
        Ok(Filter { key, option, values })
    };
    filters.iter().map(check_one).collect()
}

/// Whether a name is below a path, at any level or the next one.
fn is_below(name: &str, path: &str, recursive: bool) -> bool {
    let name = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
    let root = format!("{}/", path.trim_end_matches('/'));
    name.strip_prefix(&root).is_some_and(|rest| !rest.is_empty() && (recursive || !rest.contains('/')))
}

fn passes(parameter: &Parameter, version: &ParameterVersion, filter: &Filter<'_>) -> bool {
    let any = |wanted: &dyn Fn(&str) -> bool| filter.values.iter().any(|value| wanted(value));
    let name = &*parameter.name;
    match (filter.key, filter.option) {
        ("Name", "BeginsWith") => any(&|value| name.starts_with(value)),
        ("Name", "Contains") => any(&|value| name.contains(value)),
        ("Name", _) => any(&|value| name == value),
        ("Type", _) => any(&|value| shown_kind(version.kind).as_str() == value),
        ("Tier", _) => any(&|value| shown_tier(version).as_str() == value),
        ("DataType", _) => any(&|value| value == DATA_TYPE),
        ("Path", option) => any(&|value| is_below(name, value, option == "Recursive")),
        (key, _) => {
            let key = key.strip_prefix("tag:").unwrap_or(key);
            let tag = parameter.tags.iter().find(|tag| *tag.key == *key);
            tag.is_some_and(|tag| filter.values.is_empty() || any(&|value| *tag.value == *value))
        }
    }
}

/// A parameter with its newest version.
type Known<'a> = (&'a Parameter, &'a ParameterVersion);

/// A page of parameters that pass `wanted`.
fn page<'a>(
    state: &'a State,
    scope: String,
    (default, largest): (usize, usize),
    asked: (Option<i32>, Option<&str>),
    wanted: impl Fn(&Parameter, &ParameterVersion) -> bool,
) -> Result<(Vec<Known<'a>>, Option<String>), Fault> {
    let token = |_| ssm::fault::invalid_next_token("The specified token isn't valid.");
    let page = Page::read(&state.meta().token_key, scope, (default, largest), asked.0, asked.1).map_err(token)?;
    let all = state.parameters.from(page.after().unwrap_or(""));
    let rest = all.filter(|parameter| page.after().is_none_or(|after| *parameter.name > *after));
    let found = rest.filter_map(|parameter| Some((parameter, state.parameters.newest(&parameter.name)?)));
    Ok(page.take(found.filter(|(parameter, version)| wanted(parameter, version)), |(parameter, _)| {
        parameter.name.to_string()
    }))
}

/// ssm:GetParametersByPath.
pub(crate) fn by_path(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::GetParametersByPathRequest,
) -> Result<ssm::GetParametersByPathResult, Fault> {
    if !input.path.starts_with('/') {
        let message = "The parameter path must be prefixed with a forward slash (/).";
        return Err(Fault::new("ValidationException", 400, message));
    }
    let filters = input.parameter_filters.unwrap_or_default();
    let checked = check(&filters, true)?;
    let recursive = input.recursive == Some(true);
    let scope = format!("GetParametersByPath|{}|{recursive}|{filters:?}", input.path);
    let asked = (input.max_results, input.next_token.as_deref());
    let (found, next_token) = page(&desk.state, scope, (10, 10), asked, |parameter, version| {
        is_below(&parameter.name, &input.path, recursive)
            && checked.iter().all(|filter| passes(parameter, version, filter))
    })?;
    let parameters = found.into_iter().map(|(_, version)| shown(&desk.state, version, None)).collect();
    Ok(ssm::GetParametersByPathResult { next_token, parameters: Some(parameters) })
}

/// ssm:DescribeParameters.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::DescribeParametersRequest,
) -> Result<ssm::DescribeParametersResult, Fault> {
    if input.shared == Some(true) {
        return Err(super::not_supported("Shared"));
    }
    let old = |filter: ssm::ParametersFilter| ssm::ParameterStringFilter {
        key: filter.key.as_str().to_owned(),
        option: (filter.key == ssm::ParametersFilterKey::Name).then(|| "BeginsWith".to_owned()),
        values: Some(filter.values),
    };
    let older = input.filters.unwrap_or_default().into_iter().map(old);
    let filters: Vec<ssm::ParameterStringFilter> =
        input.parameter_filters.unwrap_or_default().into_iter().chain(older).collect();
    let checked = check(&filters, false)?;
    let scope = format!("DescribeParameters|{filters:?}");
    let asked = (input.max_results, input.next_token.as_deref());
    let state = &desk.state;
    let (found, next_token) = page(state, scope, (50, 50), asked, |parameter, version| {
        checked.iter().all(|filter| passes(parameter, version, filter))
    })?;
    let metadata = |(_, version): (&Parameter, &ParameterVersion)| ssm::ParameterMetadata {
        arn: Some(state.scope().parameter(&version.name)),
        allowed_pattern: None,
        data_type: Some(DATA_TYPE.to_owned()),
        description: version.description.as_deref().map(str::to_owned),
        key_id: shown_key(version),
        last_modified_date: Some(Timestamp::from_millis(version.at)),
        last_modified_user: Some(state.scope().root()),
        name: Some(version.name.to_string()),
        policies: Some(Vec::new()),
        tier: Some(shown_tier(version)),
        r#type: Some(shown_kind(version.kind)),
        version: i64::try_from(version.number).ok(),
    };
    let parameters = found.into_iter().map(metadata).collect();
    Ok(ssm::DescribeParametersResult { next_token, parameters: Some(parameters) })
}

/// ssm:GetParameterHistory, the oldest first.
pub(crate) fn history(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::GetParameterHistoryRequest,
) -> Result<ssm::GetParameterHistoryResult, Fault> {
    let state = &desk.state;
    // The operation declares no code for a version that is not there; a name with one is no name of a parameter.
    let name = match find(state, &input.name) {
        Ok(named) if named.selector.is_none() => named.version.name.clone(),
        _ => return Err(super::missing()),
    };
    let token = |_| ssm::fault::invalid_next_token("The specified token isn't valid.");
    let scope = format!("GetParameterHistory|{name}");
    let key = &state.meta().token_key;
    let page = Page::read(key, scope, (50, 50), input.max_results, input.next_token.as_deref()).map_err(token)?;
    let cursor = |version: &ParameterVersion| format!("{:020}", version.number);
    let versions = state.parameters.versions(&name);
    let rest = versions.filter(|version| page.after().is_none_or(|after| *cursor(version) > *after));
    let (versions, next_token) = page.take(rest, |version| cursor(version));
    let shown = |version: &ParameterVersion| ssm::ParameterHistory {
        allowed_pattern: None,
        data_type: Some(DATA_TYPE.to_owned()),
        description: version.description.as_deref().map(str::to_owned),
        key_id: shown_key(version),
        labels: Some(Vec::new()),
        last_modified_date: Some(Timestamp::from_millis(version.at)),
        last_modified_user: Some(state.scope().root()),
        name: Some(version.name.to_string()),
        policies: Some(Vec::new()),
        tier: Some(shown_tier(version)),
        r#type: Some(shown_kind(version.kind)),
        value: Some(version.value.as_str().to_owned()),
        version: i64::try_from(version.number).ok(),
    };
    let parameters = versions.into_iter().map(shown).collect();
    Ok(ssm::GetParameterHistoryResult { next_token, parameters: Some(parameters) })
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn paths_hold_what_is_below_them() {
        assert!(is_below("/a/b", "/a", false) && is_below("/a/b", "/a/", false) && is_below("/a/b/c", "/a", true));
        assert!(!is_below("/a/b/c", "/a", false) && !is_below("/ab", "/a", true) && !is_below("/a", "/a", true));
        assert!(is_below("x", "/", false) && is_below("/x", "/", false) && is_below("/x/y", "/", true));
    }
}
