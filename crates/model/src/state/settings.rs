//! Account settings in the state.

use super::{State, Touched};
use crate::account_setting::{AccountSetting, Rule};
use wire::ecs::SettingName;

impl State {
    pub(crate) fn put_account_setting(&mut self, setting: AccountSetting) -> Vec<Touched> {
        let key = (setting.principal.clone(), setting.name.clone());
        self.account_settings.insert(key.clone(), setting);
        vec![Touched::AccountSetting(key.0, key.1)]
    }

    pub(super) fn remove_account_setting(&mut self, principal: &str, name: &str) -> Vec<Touched> {
        let key = (principal.into(), name.into());
        self.account_settings.remove(&key);
        vec![Touched::AccountSetting(key.0, key.1)]
    }

    /// What a principal has chosen.
    pub fn account_setting(&self, principal: &str, name: SettingName) -> Option<&AccountSetting> {
        self.account_settings.get(&(principal.into(), name.as_str().into()))
    }

    /// What holds for a principal: its own choice, else the root's, else the default.
    pub fn effective_setting(&self, principal: &str, name: SettingName) -> &str {
        let own = self.account_setting(principal, name);
        let chosen = own.or_else(|| self.account_setting(&self.scope().root(), name));
        chosen.map_or(Rule::of(name).default, |setting| &setting.value)
    }
}
