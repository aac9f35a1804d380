//! Writes the table of operations and the constructors of declared faults.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::bail;

use super::emit::{imports, rust_type};
use super::model::{Kind, Model, Protocol};
use super::names;

/// The table from which `wire::service` makes the enums, the handler trait and the dispatch.
pub fn table(model: &Model, name: &str, handler: &str) -> anyhow::Result<String> {
    let mut types = BTreeSet::new();
    let mut rows = String::new();
    for operation in &model.operations {
        let wrapper = operation.result_wrapper.as_deref();
        let empty = matches!(&model.shape(&operation.output)?.kind, Kind::Structure(members) if members.is_empty());
        let usual = wrapper == Some(&format!("{}Result", operation.name)) || (empty && wrapper.is_none());
        if model.protocol == Protocol::Query && !usual {
            bail!("{} has an unusual wrapper of its result", operation.name);
        }
        types.insert(operation.input.clone());
        types.insert(operation.output.clone());
        let faults: Vec<String> = operation.errors.iter().map(|e| format!("{e:?}")).collect();
        writeln!(
            rows,
            "    {} = {}({}) -> {}, reads {}, faults [{}];",
            operation.name,
            names::identifier(&operation.name),
            operation.input,
            operation.output,
            operation.reads,
            faults.join(", ")
        )?;
    }
    let (service, codec) = match model.protocol {
        Protocol::Json => ("json_service", format!(" target {:?}", model.target_prefix)),
        Protocol::Query | Protocol::Ec2 => ("query_service", String::new()),
    };
    Ok(format!(
        "use crate::service::{service};\n{}\n{service}! {{\n    {handler} {name:?}{codec};\n{rows}}}\n",
        imports(model, &types)
    ))
}

/// The file of fault constructors; empty when no operation declares one.
pub fn faults(model: &Model) -> anyhow::Result<String> {
    let mut out = String::new();
    for (name, exception) in &model.exceptions {
        let function = names::identifier(name.trim_end_matches("Exception"));
        let mut parameters = "message: impl Into<String>".to_owned();
        let mut members = String::new();
        // A member that is a structure is left out: nothing here answers one.
        let plain = |name: &str| Ok::<_, anyhow::Error>(!matches!(model.shape(name)?.kind, Kind::Structure(_)));
        for member in &exception.members {
            if !plain(&member.shape)? {
                continue;
            }
            let field = names::identifier(&member.name);
            let kind = rust_type(model, &member.shape)?;
            write!(parameters, ", {field}: {kind}")?;
            write!(members, ".with({:?}, {field}.into())", member.name)?;
        }
        writeln!(
            out,
            "/// `{name}`.\npub fn {function}({parameters}) -> Fault {{\n    Fault::new({name:?}, {}, message){members}\n}}\n",
            exception.status
        )?;
    }
    if out.is_empty() {
        return Ok(out);
    }
    Ok(format!("use crate::Fault;\n\n{out}"))
}
