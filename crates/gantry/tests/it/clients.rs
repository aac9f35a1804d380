//! Foreign clients: the stock AWS CLI and boto3, each with nothing in its environment but what `gantry env` prints.

use crate::world::{Gantry, told};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// The four variables of `gantry env`.
pub fn environment(gantry: &Gantry) -> Vec<(String, String)> {
    let told = gantry.cli(&["env", "--output", "json"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let object: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let pairs = object.as_object().expect("an object").iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
}

fn bare(gantry: &Gantry, program: &Path) -> Command {
    let mut command = Command::new(program);
    // A home without files, so that no configuration of this host has a part in it.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &gantry.directory);
    command.env("AWS_PAGER", "").envs(environment(gantry));
    command
}

/// Runs `aws` with arguments.
pub fn aws(gantry: &Gantry, arguments: &[&str]) -> Output {
    let program = told("GANTRY_TEST_CLIENTS").join("aws");
    bare(gantry, &program).args(arguments).output().expect("aws")
}

/// Runs `aws` with arguments that must succeed; what it printed.
pub fn aws_ok(gantry: &Gantry, arguments: &[&str]) -> Value {
    let done = aws(gantry, arguments);
    assert!(done.status.success(), "aws {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    if done.stdout.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&done.stdout).expect("aws prints JSON")
}

/// Runs a script of `tests/clients` that must succeed.
pub fn python(gantry: &Gantry, script: &str) {
    python_with(gantry, script, &[]);
}

/// The same with arguments.
pub fn python_with(gantry: &Gantry, script: &str, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let program = told("GANTRY_TEST_CLIENTS").join("python");
    let done = bare(gantry, &program).arg("-B").arg(&script).args(arguments).output().expect("python");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}:\n{}{}", script.display(), said(&done.stdout), said(&done.stderr));
}
