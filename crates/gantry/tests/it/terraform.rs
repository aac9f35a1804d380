//! Terraform with its AWS provider, as it is: told nothing but the four variables of `gantry env`. No registry that a test
//! could fetch the program or the provider from is known; where they are not installed, this says so.

use crate::clients::environment;
use crate::world::Gantry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where providers lie unpacked, `registry.terraform.io/hashicorp/aws/...` below it: what Terraform searches by itself, and
/// what administrators make.
fn mirror() -> Option<PathBuf> {
    let beside = |parent: &str| fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let usual = ["/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"].map(PathBuf::from);
    let mut all = usual.into_iter().chain(beside("/opt"));
    all.find(|directory| directory.join("registry.terraform.io/hashicorp/aws").is_dir())
}

fn terraform(gantry: &Gantry, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("terraform");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", directory);
    command.env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1").envs(environment(gantry));
    command.current_dir(directory).args(arguments).output().expect("terraform")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn terraform_applies_finds_nothing_to_change_updates_and_destroys() {
    let (Some(mirror), Ok(_)) = (mirror(), Command::new("terraform").arg("version").output()) else {
        println!("NOT RUN: terraform");
        return;
    };
    let gantry = Gantry::up();
    let directory = gantry.directory.join("terraform");
    fs::create_dir(&directory).expect("a directory");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terraform/main.tf");
    fs::copy(from, directory.join("main.tf")).expect("the configuration");
    let run = |arguments: &[&str], code: i32| {
        let done = terraform(&gantry, &directory, arguments);
        assert_eq!(done.status.code(), Some(code), "terraform {arguments:?}: {}", told(&done));
    };
    run(&["init", "-no-color", &format!("-plugin-dir={}", mirror.display())], 0);
    let more = ["-var=wanted=2", "-var=command=sleep 700"];
    for variables in [&[][..], &more] {
        run(&[&["apply", "-auto-approve", "-no-color"], variables].concat(), 0);
        // 2 would mean that something is to be changed.
        run(&[&["plan", "-detailed-exitcode", "-no-color"], variables].concat(), 0);
    }
    run(&[&["destroy", "-auto-approve", "-no-color"][..], &more].concat(), 0);
    gantry.take_down();
}
