//! What makes a policy document one: checked when it is written, for nothing reads its meaning later.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// Who may assume a role.
    Trust,
    /// What an identity may do.
    Identity,
}

/// Checks a document; `Err` says what is wrong.
pub fn check(document: &str, fits: Fits) -> Result<(), String> {
    let syntax = || "Syntax errors in policy.".to_owned();
    let value: Value = serde_json::from_str(document).map_err(|_| "This policy contains invalid Json".to_owned())?;
    let members = value.as_object().ok_or_else(syntax)?;
    if let Some(name) = members.keys().find(|name| !["Version", "Id", "Statement"].contains(&name.as_str())) {
        return Err(format!("Syntax error in policy: unknown element {name:?}."));
    }
    match members.get("Version").map(Value::as_str) {
        None | Some(Some("2012-10-17" | "2008-10-17")) => {}
        Some(_) => return Err("Syntax error in policy: Version must be 2012-10-17 or 2008-10-17.".to_owned()),
    }
    let statements = match members.get("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => list.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err("Syntax error in policy: Statement must be a statement or a list of them.".to_owned()),
    };
    let mut ids = BTreeSet::new();
    for one in statements {
        let one = one.as_object().ok_or_else(syntax)?;
        statement(one, fits)?;
        if one.get("Sid").is_some_and(|id| !ids.insert(id.as_str().unwrap_or_default())) {
            return Err("Statement IDs (SID) in a single policy must be unique.".to_owned());
        }
    }
    Ok(())
}

fn statement(members: &Map<String, Value>, fits: Fits) -> Result<(), String> {
    const KNOWN: [&str; 9] =
        ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    if let Some(name) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(format!("Syntax error in policy: unknown element {name:?} in a statement."));
    }
    if !matches!(members.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Err("Syntax error in policy: Effect must be Allow or Deny.".to_owned());
    }
    if members.get("Sid").is_some_and(|id| !id.is_string()) {
        return Err("Syntax error in policy: Sid must be text.".to_owned());
    }
    if members.get("Condition").is_some_and(|condition| !condition.is_object()) {
        return Err("Syntax error in policy: Condition must be an object.".to_owned());
    }
    let one_of = |name: &str, not: &str| members.contains_key(name) != members.contains_key(not);
    let texts = |name: &str| match members.get(name) {
        None => true,
        Some(Value::Array(list)) => !list.is_empty() && list.iter().all(Value::is_string),
        Some(value) => value.is_string(),
    };
    if !one_of("Action", "NotAction") || !texts("Action") || !texts("NotAction") {
        return Err("Policy statement must contain actions.".to_owned());
    }
    let named = members.contains_key("Principal") || members.contains_key("NotPrincipal");
    let has_resource = members.contains_key("Resource") || members.contains_key("NotResource");
    match fits {
        Fits::Trust if has_resource => Err("Has prohibited field Resource".to_owned()),
        Fits::Trust if !one_of("Principal", "NotPrincipal") => Err("Missing required field Principal".to_owned()),
        Fits::Identity if named => Err("Policy document should not specify a principal.".to_owned()),
        Fits::Identity if !one_of("Resource", "NotResource") || !texts("Resource") || !texts("NotResource") => {
            Err("Policy statement must contain resources.".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
    const IDENTITY: &str =
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}}"#;

    #[test]
    fn documents_are_told_apart_by_what_they_are_for() {
        assert_eq!((check(TRUST, Fits::Trust), check(IDENTITY, Fits::Identity)), (Ok(()), Ok(())));
        assert!(check(IDENTITY, Fits::Trust).is_err_and(|why| why.contains("prohibited field Resource")));
        assert!(check(TRUST, Fits::Identity).is_err_and(|why| why.contains("principal")));
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let bad = [
            "",
            "[]",
            "{}",
            "\"x\"",
            r#"{"Statement": []}"#,
            r#"{"Statement": [1]}"#,
            r#"{"Statement": {}}"#,
            r#"{"Version": "2020-01-01", "Statement": {"Effect": "Allow", "Action": "a:b", "Resource": "*"}}"#,
            r#"{"Statement": {"Effect": "allow", "Action": "a:b", "Resource": "*"}}"#,
            r#"{"Statement": {"Effect": "Allow", "Resource": "*"}}"#,
            r#"{"Statement": {"Effect": "Allow", "Action": [1], "Resource": "*"}}"#,
            r#"{"Statement": {"Effect": "Allow", "Action": "a:b"}}"#,
            r#"{"Statement": {"Effect": "Allow", "Action": "a:b", "Resource": "*"}, "X": 1}"#,
            r#"{"Statement": [{"Sid": "1", "Effect": "Allow", "Action": "a:b", "Resource": "*"},
                {"Sid": "1", "Effect": "Allow", "Action": "a:b", "Resource": "*"}]}"#,
        ];
        for document in bad {
            assert!(check(document, Fits::Identity).is_err(), "{document}");
        }
        assert!(check(&"[".repeat(100_000), Fits::Identity).is_err());
    }
}
