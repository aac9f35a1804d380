//! `cargo xtask codegen [--check]`: writes `crates/wire/src/generated` from `models/*.json`. The models are botocore-like
//! facts without prose, so the output holds names, types and limits only; it never copies documentation, and the same models
//! always give the same bytes.

mod emit;
mod limits;
mod model;
mod names;
mod operations;
mod shapes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use model::Model;

/// The command line of `codegen`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing; fail when the committed files differ from what the models say
    #[arg(long)]
    check: bool,
}

/// What is generated from one model.
struct Service {
    /// File name of the model and of the folder, and the prefix of an operation's full name.
    name: &'static str,
    /// The trait that handlers of this service implement.
    handler: &'static str,
    /// The operations to generate; `None` takes all.
    operations: Option<&'static [&'static str]>,
    /// A file of extra members and shapes merged into the model.
    additions: Option<&'static str>,
}

const SERVICES: [Service; 9] = [
    Service { name: "ecs", handler: "Ecs", operations: None, additions: Some("ecs-gantry-members.json") },
    Service { name: "gantry", handler: "Gantry", operations: None, additions: None },
    Service { name: "iam", handler: "Iam", operations: None, additions: None },
    Service { name: "logs", handler: "Logs", operations: None, additions: None },
    Service { name: "resourcegroupstaggingapi", handler: "Tagging", operations: None, additions: None },
    Service { name: "secretsmanager", handler: "SecretsManager", operations: None, additions: None },
    Service {
        name: "ssm",
        handler: "Ssm",
        operations: Some(&[
            "AddTagsToResource",
            "DeleteParameter",
            "DeleteParameters",
            "DescribeParameters",
            "GetParameter",
            "GetParameterHistory",
            "GetParameters",
            "GetParametersByPath",
            "LabelParameterVersion",
            "ListTagsForResource",
            "PutParameter",
            "RemoveTagsFromResource",
        ]),
        additions: None,
    },
    Service { name: "sts", handler: "Sts", operations: Some(&["GetCallerIdentity"]), additions: None },
    Service {
        name: "ec2",
        handler: "Ec2",
        operations: Some(&[
            "DescribeAvailabilityZones",
            "DescribeNetworkInterfaces",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeVpcAttribute",
            "DescribeVpcs",
        ]),
        additions: None,
    },
];

/// Writes the generated tree, or with `--check` compares it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = workspace_root()?;
    let tree = root.join("crates/wire/src/generated");
    let wanted = generate(&root.join("models"))?;
    let stale = stale_files(&tree, &wanted)?;
    if arguments.check {
        if stale.is_empty() {
            return Ok(());
        }
        bail!("generated files differ from the models (run `cargo xtask codegen`): {}", stale.join(", "));
    }
    for name in &stale {
        let path = tree.join(name);
        match wanted.get(name) {
            Some(text) => {
                fs::create_dir_all(path.parent().unwrap_or(&tree))?;
                fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            }
            None => fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?,
        }
    }
    println!("{} files, {} changed", wanted.len(), stale.len());
    Ok(())
}

fn workspace_root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask has no parent folder")?.to_path_buf())
}

/// Every generated file: its path below the generated folder, and its text.
fn generate(models: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut modules = String::new();
    for service in &SERVICES {
        let model = Model::load(models, service.name, service.operations, service.additions)
            .with_context(|| format!("model {}", service.name))?;
        let rendered = emit::service(&model, service.name, service.handler)
            .with_context(|| format!("generating {}", service.name))?;
        for (file, text) in rendered {
            files.insert(format!("{}/{file}", service.name), format_rust(&text)?);
        }
        modules.push_str(&format!("pub mod {};\n", service.name));
    }
    let text = format!("{}\n{modules}", emit::header("The generated services"));
    files.insert("mod.rs".to_owned(), format_rust(&text)?);
    Ok(files)
}

/// Names of the files that are missing, different or left over.
fn stale_files(tree: &Path, wanted: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
    let mut stale: Vec<String> = wanted
        .iter()
        .filter(|(name, text)| fs::read_to_string(tree.join(name)).ok().as_deref() != Some(text.as_str()))
        .map(|(name, _)| name.clone())
        .collect();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(tree)?.to_string_lossy().into_owned();
            if !wanted.contains_key(&name) {
                stale.push(name);
            }
        }
    }
    stale.sort();
    Ok(stale)
}

/// Runs rustfmt over one file's text, so that `cargo fmt` never has anything to change in the generated tree.
fn format_rust(text: &str) -> anyhow::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        // The settings are found from the folder that it runs in.
        .current_dir(workspace_root()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    let mut input = child.stdin.take().context("rustfmt has no input")?;
    let owned = text.to_owned();
    // A second thread feeds it: both pipes are bounded and rustfmt may answer before it has read everything.
    let feeder = std::thread::spawn(move || input.write_all(owned.as_bytes()));
    let output = child.wait_with_output().context("running rustfmt")?;
    match feeder.join() {
        Ok(written) => written.context("feeding rustfmt")?,
        Err(_) => bail!("the thread that feeds rustfmt panicked"),
    }
    if !output.status.success() {
        bail!("rustfmt refused a generated file:\n{text}");
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_fresh() -> anyhow::Result<()> {
        run(&Arguments { check: true })
    }

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_stale() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("gantry-codegen-test-{}", std::process::id()));
        fs::create_dir_all(folder.join("ecs"))?;
        fs::write(folder.join("same.rs"), "a")?;
        fs::write(folder.join("changed.rs"), "b")?;
        fs::write(folder.join("ecs/left_over.rs"), "c")?;
        let wanted = [("same.rs", "a"), ("changed.rs", "B"), ("missing.rs", "d")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let stale = stale_files(&folder, &BTreeMap::from(wanted))?;
        fs::remove_dir_all(&folder)?;
        assert_eq!(stale, ["changed.rs", "ecs/left_over.rs", "missing.rs"]);
        Ok(())
    }
}
