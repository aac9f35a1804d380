//! What each operation decides: one file for each noun.

pub(crate) mod account_setting;
pub(crate) mod agent;
pub(crate) mod attribute;
pub(crate) mod capacity_provider;
pub(crate) mod cluster;
pub(crate) mod daemon;
pub(crate) mod explain;
pub(crate) mod gantry;
pub(crate) mod iam;
pub(crate) mod instance;
pub(crate) mod log_group;
pub(crate) mod network;
pub(crate) mod parameter;
pub(crate) mod protection;
pub(crate) mod run;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod service_deployment;
pub(crate) mod tag;
pub(crate) mod tagging;
pub(crate) mod task;
pub(crate) mod task_definition;
pub(crate) mod task_set;

use model::cluster::Tag;
use sha2::{Digest, Sha256};
use wire::{Fault, ToJson, ecs};

/// Tags a resource may have (Amazon ECS developer guide, tag restrictions).
const TAGS_MAX: usize = 50;

/// Reads the tags of a request: unique keys, none of AWS's reserved prefix.
pub(crate) fn tags(wire: Option<Vec<ecs::Tag>>) -> Result<Vec<Tag>, Fault> {
    let wire = wire.unwrap_or_default();
    if wire.len() > TAGS_MAX {
        return Err(Fault::invalid_parameter(format!("A resource may have at most {TAGS_MAX} tags.")));
    }
    let mut tags: Vec<Tag> = Vec::with_capacity(wire.len());
    for tag in wire {
        let key = tag
            .key
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Fault::invalid_parameter("Tag keys cannot be empty."))?;
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Fault::invalid_parameter(format!("Tag key {key:?} uses the reserved prefix aws:.")));
        }
        if tags.iter().any(|known| *known.key == *key) {
            return Err(Fault::invalid_parameter(format!("Duplicate tag keys found: {key:?}.")));
        }
        tags.push(Tag { key: key.into(), value: tag.value.unwrap_or_default().into() });
    }
    Ok(tags)
}

/// Tags after others were put: unique keys, none of AWS's reserved prefix. `Err` says what is wrong.
pub(crate) fn merged(before: &[Tag], put: impl Iterator<Item = (String, String)>) -> Result<Vec<Tag>, String> {
    let (mut tags, mut keys) = (before.to_vec(), Vec::new());
    for (key, value) in put {
        if key.is_empty() {
            return Err("Tag keys cannot be empty.".to_owned());
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(format!("Tag key {key:?} uses the reserved prefix aws:."));
        }
        if keys.contains(&key) {
            return Err(format!("Duplicate tag keys found: {key:?}."));
        }
        match tags.iter_mut().find(|tag| *tag.key == *key) {
            Some(tag) => tag.value = value.into(),
            None => tags.push(Tag { key: key.as_str().into(), value: value.into() }),
        }
        keys.push(key);
    }
    if tags.len() > TAGS_MAX {
        return Err(format!("A resource may have at most {TAGS_MAX} tags."));
    }
    Ok(tags)
}

/// A failure without words of its own.
pub(crate) fn missing(arn: String) -> ecs::Failure {
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), ..ecs::Failure::default() }
}

/// Refuses an empty list of names and one that is longer than AWS takes.
pub(crate) fn check_names(names: &[String], what: &str, max: usize) -> Result<(), Fault> {
    if names.is_empty() {
        return Err(Fault::invalid_parameter(format!("{what} cannot be empty.")));
    }
    if names.len() > max {
        // The member's name, in AWS's words.
        let what = if what == "Tasks" { "taskIds" } else { what };
        return Err(Fault::invalid_parameter(format!("{what} can have at most {max} items.")));
    }
    Ok(())
}

/// A digest of a request, to tell a repetition of it from another use of its token or name.
pub(crate) fn digest(input: &impl ToJson) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(input.to_json()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}
