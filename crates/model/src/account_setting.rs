//! Account settings: what somebody has chosen for themselves, or the account's root for everybody.

use serde::{Deserialize, Serialize};
use wire::ecs::SettingName;

/// A choice that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSetting {
    /// AWS's name of the setting.
    pub name: Box<str>,
    /// The ARN of who it holds for; the root's choice holds for all who made none.
    pub principal: Box<str>,
    /// What was chosen.
    pub value: Box<str>,
}

/// A setting, the values it may have, and the one that holds where nobody chose.
#[derive(Debug)]
pub struct Rule {
    /// Which.
    pub name: SettingName,
    /// What it may be set to.
    pub values: &'static [&'static str],
    /// Values of AWS's that no engine here implements.
    pub unsupported: &'static [&'static str],
    /// What holds where nobody chose.
    pub default: &'static str,
}

/// Values as the API reference of PutAccountSetting names them. Of the settings that change what is done, a value that has
/// no engine is in `unsupported`. Interfaces of hosts have no limit that trunking could lift, no task of the pool is retired,
/// and who may create may tag: there either value is true.
pub const RULES: &[Rule] = &[
    rule(SettingName::ServiceLongArnFormat, &["enabled"], &[], "enabled"),
    rule(SettingName::TaskLongArnFormat, &["enabled"], &[], "enabled"),
    rule(SettingName::ContainerInstanceLongArnFormat, &["enabled"], &[], "enabled"),
    rule(SettingName::AwsvpcTrunking, &["enabled", "disabled"], &[], "disabled"),
    rule(SettingName::ContainerInsights, &["disabled"], &["enabled", "enhanced"], "disabled"),
    rule(SettingName::FargateFIPSMode, &["disabled"], &["enabled"], "disabled"),
    rule(SettingName::TagResourceAuthorization, &["on", "off"], &[], "on"),
    rule(SettingName::FargateTaskRetirementWaitPeriod, &["0", "7", "14"], &[], "7"),
    rule(SettingName::GuardDutyActivate, &[], &[], "off"),
    rule(SettingName::DefaultLogDriverMode, &["blocking", "non-blocking"], &[], "non-blocking"),
    rule(SettingName::FargateEventWindows, &["disabled"], &["enabled"], "disabled"),
];

const fn rule(
    name: SettingName,
    values: &'static [&'static str],
    unsupported: &'static [&'static str],
    default: &'static str,
) -> Rule {
    Rule { name, values, unsupported, default }
}

impl Rule {
    /// The rule of a setting.
    pub fn of(name: SettingName) -> &'static Self {
        RULES.iter().find(|rule| rule.name == name).expect("every setting has a rule")
    }

    /// Whether nobody may set it: AWS does.
    pub fn is_managed(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_one_rule() {
        let model: serde_json::Value = serde_json::from_str(include_str!("../../../models/ecs.json")).unwrap();
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name.as_str()).collect();
        let wanted: Vec<&str> = model["shapes"]["SettingName"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|name| name.as_str())
            .collect();
        assert_eq!(names, wanted);
        for rule in RULES {
            assert!(rule.is_managed() || rule.values.contains(&rule.default), "{}", rule.name.as_str());
        }
    }
}
