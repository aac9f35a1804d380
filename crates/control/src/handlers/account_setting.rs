//! Account settings. The operator is the account's root: what it chooses without naming a principal holds for everybody
//! who has not chosen for themselves (AWS: PutAccountSetting by the root user).

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::State;
use model::account_setting::{AccountSetting, RULES, Rule};
use model::change::Change;
use wire::Fault;
use wire::ecs::{self, SettingName};

/// PutAccountSetting: a principal's choice, the root's when none is named.
pub(crate) fn put(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::PutAccountSettingRequest,
) -> Result<ecs::PutAccountSettingResponse, Fault> {
    let principal = principal(&desk.state, input.principal_arn.as_deref())?;
    let setting = choose(desk, principal, input.name, &input.value)?;
    Ok(ecs::PutAccountSettingResponse { setting: Some(setting) })
}

/// PutAccountSettingDefault: the root's choice.
pub(crate) fn put_default(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::PutAccountSettingDefaultRequest,
) -> Result<ecs::PutAccountSettingDefaultResponse, Fault> {
    let root = desk.state.scope().root();
    let setting = choose(desk, root, input.name, &input.value)?;
    Ok(ecs::PutAccountSettingDefaultResponse { setting: Some(setting) })
}

/// AWS's words for the long formats: since 2021 they cannot be turned off.
fn choose(desk: &mut Desk, principal: String, name: SettingName, value: &str) -> Result<ecs::Setting, Fault> {
    let rule = Rule::of(name);
    if rule.is_managed() {
        return Err(Fault::invalid_parameter(format!("The setting {} is read-only: AWS manages it.", name.as_str())));
    }
    if rule.unsupported.contains(&value) {
        return Err(ecs::fault::client(format!("not supported yet: account setting {}={value}", name.as_str())));
    }
    if !rule.values.contains(&value) {
        return Err(Fault::invalid_parameter(match value {
            "disabled" if rule.values == ["enabled"] => "You can no longer disable Long Arn settings.".to_owned(),
            _ => format!("Invalid setting 'value': {} takes {}.", name.as_str(), rule.values.join(", ")),
        }));
    }
    let setting = AccountSetting { name: name.as_str().into(), principal: principal.into(), value: value.into() };
    if desk.state.account_setting(&setting.principal, name) != Some(&setting) {
        desk.commit(Change::AccountSettingPut(Box::new(setting.clone())));
    }
    Ok(shown(name, setting.principal.into(), setting.value.into()))
}

/// DeleteAccountSetting: what holds for the principal afterwards is the root's choice, or the default. Answers the setting
/// as it is then.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteAccountSettingRequest,
) -> Result<ecs::DeleteAccountSettingResponse, Fault> {
    let (principal, name) = (principal(&desk.state, input.principal_arn.as_deref())?, input.name);
    if let Some(old) = desk.state.account_setting(&principal, name).cloned() {
        desk.commit(Change::AccountSettingDeleted { principal: old.principal, name: old.name });
    }
    let value = desk.state.effective_setting(&principal, name).to_owned();
    Ok(ecs::DeleteAccountSettingResponse { setting: Some(shown(name, principal, value)) })
}

/// ListAccountSettings: what the principal has chosen, or with `effectiveSettings` all that holds for it.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListAccountSettingsRequest,
) -> Result<ecs::ListAccountSettingsResponse, Fault> {
    let state = &desk.state;
    let principal = principal(state, input.principal_arn.as_deref())?;
    if input.value.is_some() && input.name.is_none() {
        return Err(Fault::invalid_parameter("A value can be asked for only together with the name of its setting."));
    }
    let effective = input.effective_settings == Some(true);
    let scope = format!("ListAccountSettings|{principal}|{:?}|{:?}|{effective}", input.name, input.value);
    let asked = input.max_results.filter(|asked| *asked != 0);
    let page = Page::read(&state.meta().token_key, scope, (10, 100), asked, input.next_token.as_deref())?;
    let wanted = RULES.iter().filter(|rule| input.name.is_none_or(|name| name == rule.name));
    let settings = wanted.filter_map(|rule| {
        let value = match effective {
            true => state.effective_setting(&principal, rule.name),
            false => &state.account_setting(&principal, rule.name)?.value,
        };
        input.value.as_deref().is_none_or(|wanted| wanted == value).then(|| (rule.name, value.to_owned()))
    });
    let mut settings: Vec<(SettingName, String)> = settings.collect();
    settings.sort_by_key(|(name, _)| name.as_str());
    let rest = settings.into_iter().filter(|(name, _)| page.after().is_none_or(|after| name.as_str() > after));
    let (settings, next_token) = page.take(rest, |(name, _)| name.as_str().to_owned());
    let settings = settings.into_iter().map(|(name, value)| shown(name, principal.clone(), value)).collect();
    Ok(ecs::ListAccountSettingsResponse { settings: Some(settings), next_token })
}

/// A principal of this account: its root, a user or a role.
fn principal(state: &State, arn: Option<&str>) -> Result<String, Fault> {
    let root = state.scope().root();
    let Some(arn) = arn else { return Ok(root) };
    let path = arn.strip_prefix(root.trim_end_matches("root")).unwrap_or_default();
    let named = |kind| path.strip_prefix(kind).is_some_and(|name: &str| !name.is_empty());
    if arn.len() > 2048 || !(path == "root" || named("user/") || named("role/")) {
        return Err(Fault::invalid_parameter(format!(
            "The principal ARN {arn:?} is not of a user, a role or the root of this account."
        )));
    }
    Ok(arn.to_owned())
}

fn shown(name: SettingName, principal: String, value: String) -> ecs::Setting {
    let managed = Rule::of(name).is_managed();
    ecs::Setting {
        name: Some(name),
        value: Some(value),
        principal_arn: Some(principal),
        r#type: Some(if managed { ecs::SettingType::AwsManaged } else { ecs::SettingType::User }),
    }
}
