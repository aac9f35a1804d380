//! Writes structures and enums as tables for the macros of `wire::tables`.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::bail;

use super::emit::{imports, rust_type};
use super::limits;
use super::model::{Kind, Member, Model, Protocol};
use super::names;

/// The file of enums; empty when there are none.
pub fn enums(model: &Model) -> anyhow::Result<String> {
    let mut out = String::new();
    for (name, shape) in &model.shapes {
        let Kind::Enum(values) = &shape.kind else {
            continue;
        };
        writeln!(out, "closed_enum! {{\n    pub enum {name} {{")?;
        let mut seen = BTreeSet::new();
        for value in values {
            let variant = names::variant(value);
            if variant.is_empty() || !seen.insert(variant.clone()) {
                bail!("enum {name} has two values for the variant {variant:?}");
            }
            writeln!(out, "        {variant} = {value:?},")?;
        }
        out.push_str("    }\n}\n\n");
    }
    if out.is_empty() {
        return Ok(out);
    }
    Ok(format!("use crate::tables::closed_enum;\n\n{out}"))
}

/// The file of the structures that `wanted` picks; empty when there are none.
pub fn structures(model: &Model, wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut types = BTreeSet::new();
    let mut macros = BTreeSet::new();
    let mut defined = Vec::new();
    for (name, shape) in &model.shapes {
        let Kind::Structure(members) = &shape.kind else {
            continue;
        };
        if !wanted(name) {
            continue;
        }
        let table = macro_for(model, name)?;
        macros.insert(table);
        defined.push(name.clone());
        structure(model, name, members, table, &mut out, &mut types)?;
    }
    if out.contains("masked_debug!") {
        macros.insert("masked_debug");
    }
    if out.is_empty() {
        return Ok(out);
    }
    let types = types.into_iter().filter(|name| !defined.contains(name)).collect();
    let mut head = imports(model, &types);
    if out.contains("limits::") {
        head.push_str("use super::limits;\n");
    }
    for name in macros {
        writeln!(head, "use crate::tables::{name};")?;
    }
    Ok(format!("{head}\n{out}"))
}

/// Which table macro a structure takes: JSON is read and written, the query protocols read requests and write answers.
fn macro_for(model: &Model, name: &str) -> anyhow::Result<&'static str> {
    if model.protocol == Protocol::Json {
        return Ok("structure");
    }
    match (model.from_requests.contains(name), model.from_responses.contains(name)) {
        (true, false) => Ok("query_structure"),
        (false, true) => Ok("xml_structure"),
        (true, true) if model.protocol == Protocol::Query => Ok("query_and_xml_structure"),
        _ => bail!("{name} is in requests and in answers of EC2's dialect"),
    }
}

fn structure(
    model: &Model,
    name: &str,
    members: &[Member],
    table: &str,
    out: &mut String,
    types: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let checked = model.from_requests.contains(name);
    let mut hidden = Vec::new();
    let mut shown = Vec::new();
    let mut fields = String::new();
    let mut seen = BTreeSet::new();
    for member in members {
        let field = names::identifier(&member.name);
        if !seen.insert(field.clone()) {
            bail!("structure {name} has two members for the field {field}");
        }
        let inner = rust_type(model, &member.shape)?;
        let words = inner.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        types.extend(words.map(str::to_owned));
        let required = member.required && checked;
        let limit = limits::applies(model, &member.shape)? && checked;
        let kind = match (required, limit) {
            (true, true) => "required_limited",
            (true, false) => "required",
            (false, true) => "optional_limited",
            (false, false) => "optional",
        };
        let wire = wire_name(model, member, table)?;
        let limit = if limit { format!(", limits::{}", names::identifier(&member.shape)) } else { String::new() };
        let inner = if required { inner } else { format!("Option<{inner}>") };
        writeln!(fields, "        pub {field}: {inner} = {kind}({wire:?}{limit}),")?;
        if model.shape(&member.shape)?.sensitive {
            hidden.push(field);
        } else {
            shown.push(field);
        }
    }
    let masked = model.shape(name)?.sensitive;
    if masked {
        hidden.append(&mut shown);
    }
    if hidden.is_empty() {
        write!(out, "{table}! {{\n    #[derive(Debug)]\n    pub struct {name} {{\n{fields}    }}\n}}\n\n")?;
    } else {
        write!(out, "{table}! {{\n    pub struct {name} {{\n{fields}    }}\n}}\n\n")?;
        write!(out, "masked_debug! {{ {name} shows [{}] hides [{}] }}\n\n", shown.join(" "), hidden.join(" "))?;
    }
    Ok(())
}

/// What a member is called in a request or in an answer.
fn wire_name(model: &Model, member: &Member, table: &str) -> anyhow::Result<String> {
    let located = member.location_name.as_ref().unwrap_or(&member.name);
    Ok(match (table, model.protocol) {
        ("query_structure", Protocol::Ec2) => match (&member.query_name, &member.location_name) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => {
                let (head, tail) = name.split_at(1);
                format!("{}{tail}", head.to_ascii_uppercase())
            }
            (None, None) => member.name.clone(),
        },
        ("xml_structure", protocol) => {
            if let Kind::List { item_name, .. } = &model.shape(&member.shape)?.kind {
                let usual = match protocol {
                    Protocol::Ec2 => "item",
                    _ => "member",
                };
                if item_name.as_deref().unwrap_or("member") != usual {
                    bail!("no generator for the list {} in an answer", member.name);
                }
            }
            located.clone()
        }
        _ => located.clone(),
    })
}
