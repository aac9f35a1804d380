//! Roles, parameters and secrets: who may, that values come sealed only, and that rows hold all there is.

use crate::{Desk, node, operator};
use control::{Caller, Input};
use model::row::Loader;
use model::sealed::Sealed;
use std::collections::BTreeMap;
use wire::http::{Answer, Call};
use wire::{Fault, iam, secretsmanager as secrets, ssm};

impl Desk {
    pub fn ask(&mut self, caller: Caller, call: Call) -> Result<Answer, Fault> {
        self.now += 1;
        self.control.handle(self.now, Input::Request { ticket: 9, caller, call });
        self.round().expect("an answer")
    }
}

fn sealed(digest: u8) -> String {
    Sealed::new(&[digest; 16], &[digest; 40]).as_str().to_owned()
}

fn put_parameter(value: String) -> Call {
    let name = "/app/password".to_owned();
    let kind = Some(ssm::ParameterType::SecureString);
    let input = ssm::PutParameterRequest { name, value, r#type: kind, overwrite: Some(true), ..Default::default() };
    Call::Ssm(ssm::Request::PutParameter(Box::new(input)))
}

fn create_secret(name: &str, value: String) -> Call {
    Call::SecretsManager(secrets::Request::CreateSecret(Box::new(secrets::CreateSecretRequest {
        name: name.to_owned(),
        secret_string: Some(value),
        client_request_token: Some("t".repeat(32)),
        ..Default::default()
    })))
}

fn create_role() -> Call {
    let trust = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}"#;
    Call::Iam(iam::Request::CreateRole(Box::new(iam::CreateRoleRequest {
        role_name: "web".to_owned(),
        assume_role_policy_document: trust.to_owned(),
        ..Default::default()
    })))
}

#[test]
fn a_plain_value_is_never_taken_and_a_node_takes_no_part() {
    let mut desk = Desk::new();
    let refused = |answer: Result<Answer, Fault>| answer.expect_err("a refusal").code.to_string();
    assert_eq!(refused(desk.ask(operator(), put_parameter("hunter2".into()))), "InternalServerError");
    assert_eq!(refused(desk.ask(operator(), create_secret("a", "hunter2".into()))), "InternalServiceError");
    for call in [put_parameter(sealed(1)), create_secret("a", sealed(1)), create_role()] {
        assert_eq!(refused(desk.ask(node(), call.clone())), "AccessDeniedException");
        desk.ask(operator(), call).unwrap();
    }
}

#[test]
fn a_deleted_secret_goes_when_its_time_is_up() {
    let mut desk = Desk::new();
    desk.ask(operator(), create_secret("a", sealed(1))).unwrap();
    let delete =
        secrets::DeleteSecretRequest { secret_id: "a".into(), recovery_window_in_days: Some(7), ..Default::default() };
    desk.ask(operator(), Call::SecretsManager(secrets::Request::DeleteSecret(Box::new(delete)))).unwrap();
    let due = desk.control.next_wake().expect("a time");
    assert_eq!(due, desk.now + 7 * 86_400_000);
    desk.now = due - 1;
    desk.control.handle_time(desk.now);
    desk.round();
    assert!(desk.control.state().secrets.get("a").is_some());
    desk.now = due;
    desk.control.handle_time(desk.now);
    desk.round();
    let secrets = &desk.control.state().secrets;
    assert!(secrets.get("a").is_none() && secrets.versions("a").next().is_none() && secrets.next_expiry().is_none());
}

#[test]
fn the_rows_that_were_written_make_the_same_state() {
    let mut desk = Desk::new();
    for call in [
        create_role(),
        put_parameter(sealed(1)),
        put_parameter(sealed(2)),
        create_secret("a", sealed(1)),
        create_secret("b", sealed(2)),
    ] {
        desk.ask(operator(), call).unwrap();
    }
    let profile = iam::CreateInstanceProfileRequest { instance_profile_name: "hosts".into(), ..Default::default() };
    desk.ask(operator(), Call::Iam(iam::Request::CreateInstanceProfile(Box::new(profile)))).unwrap();
    let force = secrets::DeleteSecretRequest {
        secret_id: "b".into(),
        force_delete_without_recovery: Some(true),
        ..Default::default()
    };
    desk.ask(operator(), Call::SecretsManager(secrets::Request::DeleteSecret(Box::new(force)))).unwrap();
    let mut written = BTreeMap::new();
    for row in desk.batches.iter().flat_map(|batch| &batch.rows) {
        match &row.value {
            Some(value) => drop(written.insert((row.kind, row.key.clone()), value.clone())),
            None => drop(written.remove(&(row.kind, row.key.clone()))),
        }
    }
    let state = desk.control.state();
    let known: BTreeMap<_, _> =
        state.rows().into_iter().filter_map(|row| Some(((row.kind, row.key), row.value?))).collect();
    let of_ours = |(kind, _): &(&str, Vec<u8>)| {
        ["role", "instance-profile", "parameter", "parameter-version", "secret", "secret-version"].contains(kind)
    };
    let ours: Vec<_> = known.iter().filter(|(key, _)| of_ours(key)).collect();
    assert_eq!(ours.len(), 1 + 1 + 1 + 2 + 1 + 1);
    assert!(ours.iter().all(|(key, value)| written.get(*key) == Some(value)));
    assert!(written.keys().all(|key| known.contains_key(key)), "what is gone is not written");
    let mut loader = Loader::default();
    known.iter().for_each(|((kind, _), value)| loader.take(kind, value).unwrap());
    let again = loader.finish().unwrap().expect("a state");
    let again: BTreeMap<_, _> =
        again.rows().into_iter().filter_map(|row| Some(((row.kind, row.key), row.value?))).collect();
    assert_eq!(again, known);
}
