//! Writes one checking function for each shape that is limited in size, range or characters.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, bail};

use super::emit::{imports, rust_type};
use super::model::{Kind, Model, Shape};
use super::names;

/// The patterns that occur, and the function of `wire::limit` that knows the same characters. An unknown pattern stops the
/// generator: guessing would let through what AWS refuses.
const PATTERNS: [(&str, &str); 33] = [
    (r"[a-zA-Z0-9\.\*\-]+", "instance_type_text"),
    (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "tag_text"),
    (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "tag_text"),
    (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$", "tag_text"),
    (r"^!?\*?([\p{L}\p{Z}\p{N}_.:/=+\-@]*)\*?$", "tag_filter_text"),
    (r"^\d{12}$", "digits"),
    (r"[\.\-_/#A-Za-z0-9]+", "log_group_text"),
    (r"[\.\-_/#A-Za-z0-9]*", "log_group_text"),
    (r"(\^?[\.\-_\/#A-Za-z0-9]{3,24})(\|\^?[\.\-_\/#A-Za-z0-9]{3,24}){0,4}", "log_group_choice"),
    (r"[\w#+=/:,.@-]*", "log_group_identifier"),
    (r"[\w+=/:,.@-]*", "resource_name"),
    (r"[^:*]*", "log_stream_text"),
    (r"[^:*$]*", "metric_text"),
    (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "tag_text"),
    (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", "tag_text"),
    (r"[\w]+", "word_text"),
    (r"[\w+=,.@-]+", "iam_name_text"),
    (r"((/[A-Za-z0-9\.,\+@=_-]+)*)/", "iam_policy_path"),
    (r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", "iam_path"),
    (r"\u002F[\u0021-\u007F]*", "iam_path_prefix"),
    (r"[\u0020-\u00FF]+", "latin_text"),
    (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "latin_lines"),
    (r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*", "latin_lines"),
    (r"[\s\S]*", "any_text"),
    (r"^(tag:.+|Name|Type|KeyId|Path|Label|Tier|DataType)$", "parameter_filter_text"),
    (r"^([a-zA-Z0-9:/_-]+)$", "kms_key_text"),
    (r"[0-9A-Za-z\-\_]+", "rotation_text"),
    (r"[0-9A-Za-z\(\)#\?\*\-\/, ]+", "schedule_text"),
    (r"[0-9]+h", "hours_text"),
    (r"^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$", "secret_filter_text"),
    (r"^([a-z]+-)+\d+$", "region_text"),
    (r"^[a-zA-Z0-9\-]+$", "secret_label_text"),
    (r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?", "policy_version_text"),
];

/// Whether a member of this shape needs a check. Structures check their own members while they are read.
pub fn applies(model: &Model, name: &str) -> anyhow::Result<bool> {
    let shape = model.shape(name)?;
    Ok(match &shape.kind {
        Kind::Structure(_) | Kind::Enum(_) => false,
        Kind::List { member, .. } => shape.limits.any() || applies(model, member)?,
        Kind::Map { value } => shape.limits.any() || applies(model, value)?,
        _ => shape.limits.any(),
    })
}

/// The file of checks; empty when there are none.
pub fn functions(model: &Model) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut types = BTreeSet::new();
    for name in &model.from_requests {
        if !applies(model, name)? {
            continue;
        }
        let shape = model.shape(name)?;
        let mut kind = rust_type(model, name)?;
        types.insert(kind.clone());
        if let Kind::List { member, .. } = &shape.kind {
            kind = format!("Vec<{}>", rust_type(model, member)?);
        }
        let body = checks(model, shape).with_context(|| format!("limits of {name}"))?;
        writeln!(
            out,
            "pub(super) fn {}(value: &{kind}, at: &Path<'_>) -> Result<(), Fault> {{\n{body}}}\n",
            names::identifier(name)
        )?;
    }
    if out.is_empty() {
        return Ok(out);
    }
    Ok(format!("#![allow(clippy::ptr_arg)]\n\n{}use crate::{{Fault, Path, limit}};\n\n{out}", imports(model, &types)))
}

fn checks(model: &Model, shape: &Shape) -> anyhow::Result<String> {
    let limits = &shape.limits;
    let whole = |bound: Option<f64>| match bound {
        Some(bound) if bound.fract() == 0.0 => Ok(format!("Some({bound:.0})")),
        Some(bound) => bail!("the bound {bound} is not whole"),
        None => Ok("None".to_owned()),
    };
    let mut lines = Vec::new();
    let bounded = limits.min.is_some() || limits.max.is_some();
    match &shape.kind {
        Kind::List { member, .. } => {
            if bounded {
                let (min, max) = (whole(limits.min)?, whole(limits.max)?);
                lines.push(format!("limit::items(value.len(), {min}, {max}, at)"));
            }
            if applies(model, member)? {
                let check = names::identifier(member);
                lines.push(format!("limit::each(value, {check}, at)"));
            }
        }
        Kind::Map { value } => {
            if bounded {
                let (min, max) = (whole(limits.min)?, whole(limits.max)?);
                lines.push(format!("limit::items(value.len(), {min}, {max}, at)"));
            }
            if applies(model, value)? {
                let check = names::identifier(value);
                lines.push(format!("limit::each_value(value, {check}, at)"));
            }
        }
        Kind::String => {
            if bounded {
                let (min, max) = (whole(limits.min)?, whole(limits.max)?);
                lines.push(format!("limit::length(value, {min}, {max}, at)"));
            }
            if let Some(pattern) = &limits.pattern {
                let known = PATTERNS.iter().find(|(text, _)| text == pattern);
                let (_, check) = known.with_context(|| format!("unknown pattern {pattern}"))?;
                lines.push(format!("limit::{check}(value, at)"));
            }
        }
        Kind::Integer | Kind::Long => {
            let (min, max) = (whole(limits.min)?, whole(limits.max)?);
            let value = if matches!(shape.kind, Kind::Long) { "*value" } else { "i64::from(*value)" };
            lines.push(format!("limit::integer({value}, {min}, {max}, at)"));
        }
        Kind::Double => lines.push(format!("limit::number(*value, {:?}, {:?}, at)", limits.min, limits.max)),
        _ => bail!("no generator for limits of this type"),
    }
    let last = lines.pop().context("a limit without a check")?;
    let mut body: String = lines.iter().map(|line| format!("{line}?;\n")).collect();
    body.push_str(&last);
    body.push('\n');
    Ok(body)
}
