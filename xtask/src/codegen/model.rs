//! Reads a botocore-like model into what the generator needs, and refuses what it has no answer for, so that a new model
//! cannot silently lose a member or a constraint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1.
    Json,
    /// AWS query: form in, XML out.
    Query,
    /// EC2's dialect of query.
    Ec2,
}

/// A service: its operations and the shapes they reach.
#[derive(Debug)]
pub struct Model {
    pub protocol: Protocol,
    pub version: String,
    pub target_prefix: String,
    pub namespace: String,
    pub operations: Vec<Operation>,
    pub shapes: BTreeMap<String, Shape>,
    /// Shapes that a request can contain.
    pub from_requests: BTreeSet<String>,
    /// Shapes that a response can contain.
    pub from_responses: BTreeSet<String>,
    /// Exceptions that the kept operations declare: code, HTTP status, extra members.
    pub exceptions: BTreeMap<String, Exception>,
}

#[derive(Debug)]
pub struct Operation {
    pub name: String,
    pub input: String,
    pub output: String,
    pub errors: Vec<String>,
    pub reads: bool,
    pub result_wrapper: Option<String>,
}

#[derive(Debug)]
pub struct Exception {
    pub status: u16,
    pub members: Vec<Member>,
}

#[derive(Debug)]
pub struct Shape {
    pub kind: Kind,
    pub sensitive: bool,
    pub limits: Limits,
}

#[derive(Debug)]
pub enum Kind {
    Structure(Vec<Member>),
    List { member: String, item_name: Option<String> },
    Map { value: String },
    Enum(Vec<String>),
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Document,
}

#[derive(Debug, Default)]
pub struct Limits {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
}

impl Limits {
    pub fn any(&self) -> bool {
        self.min.is_some() || self.max.is_some() || self.pattern.is_some()
    }
}

#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub shape: String,
    pub required: bool,
    pub location_name: Option<String>,
    pub query_name: Option<String>,
}

impl Model {
    /// Reads `NAME.json`, merges the additions and keeps what the wanted operations reach.
    pub fn load(folder: &Path, name: &str, wanted: Option<&[&str]>, additions: Option<&str>) -> anyhow::Result<Self> {
        let mut document = read(&folder.join(format!("{name}.json")))?;
        if let Some(file) = additions {
            merge(&mut document, read(&folder.join(file))?).with_context(|| file.to_owned())?;
        }
        add_empty_shapes(&mut document)?;
        let metadata = object(&document, "metadata")?;
        let protocol = match text(metadata, "protocol")? {
            "json" => Protocol::Json,
            _ if texts(metadata, "protocols").iter().any(|other| other == "json") => Protocol::Json,
            "query" => Protocol::Query,
            "ec2" => Protocol::Ec2,
            other => bail!("no generator for protocol {other}"),
        };
        let optional = |key: &str| text(metadata, key).unwrap_or_default().to_owned();
        let raw_shapes = object(&document, "shapes")?;
        let mut operations = operations(object(&document, "operations")?, wanted)?;
        let mut shapes = BTreeMap::new();
        let inputs = operations.iter().map(|operation| &operation.input);
        let from_requests = reach(raw_shapes, inputs, &mut shapes)?;
        let outputs = operations.iter().map(|operation| &operation.output);
        let from_responses = reach(raw_shapes, outputs, &mut shapes)?;
        let exceptions = exceptions(raw_shapes, &mut operations, protocol)?;
        let extras = exceptions.values().flat_map(|one| &one.members);
        reach(raw_shapes, extras.map(|extra| &extra.shape), &mut shapes)?;
        let from_requests = from_requests.into_iter().map(|name| type_name(&shapes, name)).collect();
        let from_responses = from_responses.into_iter().map(|name| type_name(&shapes, name)).collect();
        capitalise(&mut shapes);
        for name in shapes.keys() {
            refuse_recursion(&shapes, name)?;
        }
        Ok(Self {
            protocol,
            version: optional("apiVersion"),
            target_prefix: optional("targetPrefix"),
            namespace: optional("xmlNamespace"),
            operations,
            shapes,
            from_requests,
            from_responses,
            exceptions,
        })
    }

    pub fn shape(&self, name: &str) -> anyhow::Result<&Shape> {
        self.shapes.get(name).with_context(|| format!("no shape {name}"))
    }
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

fn object<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a Map<String, Value>> {
    value.get(key).and_then(Value::as_object).with_context(|| format!("no object {key}"))
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> anyhow::Result<&'a str> {
    map.get(key).and_then(Value::as_str).with_context(|| format!("no text {key}"))
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn texts(map: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = map.get(key).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(|value| Some(value.as_str()?.to_owned()));
    texts.collect()
}

fn merge(document: &mut Value, additions: Value) -> anyhow::Result<()> {
    let members = object(&additions, "members")?;
    let shapes = object(&additions, "shapes")?;
    let all = document.get_mut("shapes").and_then(Value::as_object_mut).context("no object shapes")?;
    for (shape, extra) in members {
        let known = all
            .get_mut(shape)
            .and_then(|shape| shape.get_mut("members"))
            .and_then(Value::as_object_mut)
            .with_context(|| format!("no structure {shape} to add members to"))?;
        for (name, member) in extra.as_object().context("members must be an object")? {
            if known.insert(name.clone(), member.clone()).is_some() {
                bail!("{shape}.{name} is already a member");
            }
        }
    }
    for (name, shape) in shapes {
        if all.insert(name.clone(), shape.clone()).is_some() {
            bail!("{name} is already a shape");
        }
    }
    Ok(())
}

/// An operation that takes or answers nothing gets an empty shape of its own, named as the others are.
fn add_empty_shapes(document: &mut Value) -> anyhow::Result<()> {
    let mut added = Vec::new();
    let operations = document.get_mut("operations").and_then(Value::as_object_mut).context("no object operations")?;
    for (name, operation) in operations {
        let operation = operation.as_object_mut().context("an operation must be an object")?;
        for (key, suffix) in [("input", "Request"), ("output", "Response")] {
            if !operation.contains_key(key) {
                let shape = format!("{name}{suffix}");
                operation.insert(key.to_owned(), serde_json::json!({ "shape": shape }));
                added.push(shape);
            }
        }
    }
    let shapes = document.get_mut("shapes").and_then(Value::as_object_mut).context("no object shapes")?;
    for shape in added {
        if shapes.insert(shape.clone(), serde_json::json!({"type": "structure", "members": {}})).is_some() {
            bail!("{shape} is already a shape");
        }
    }
    Ok(())
}

fn operations(all: &Map<String, Value>, wanted: Option<&[&str]>) -> anyhow::Result<Vec<Operation>> {
    let mut names: Vec<&String> = all.keys().collect();
    names.sort();
    if let Some(wanted) = wanted {
        for name in wanted {
            if !all.contains_key(*name) {
                bail!("the model has no operation {name}");
            }
        }
        names.retain(|name| wanted.contains(&name.as_str()));
    }
    let read_operation = |name: &&String| operation(name, &all[*name]);
    names.iter().map(read_operation).collect()
}

fn operation(name: &str, raw: &Value) -> anyhow::Result<Operation> {
    let map = raw.as_object().context("an operation must be an object")?;
    let shape_of = |key: &str| text(object(raw, key)?, "shape").map(str::to_owned);
    let errors = map.get("errors").and_then(Value::as_array);
    let mut errors: Vec<String> =
        errors.into_iter().flatten().filter_map(|error| Some(error.get("shape")?.as_str()?.to_owned())).collect();
    errors.sort();
    let wrapper = object(raw, "output")?.get("resultWrapper");
    let by_name = ["Describe", "List", "Get", "Filter"].iter().any(|prefix| name.starts_with(prefix));
    Ok(Operation {
        name: name.to_owned(),
        input: shape_of("input").with_context(|| format!("{name} has no input"))?,
        output: shape_of("output").with_context(|| format!("{name} has no output"))?,
        errors,
        reads: flag(map, "readonly") || by_name,
        result_wrapper: wrapper.and_then(Value::as_str).map(str::to_owned),
    })
}

fn exceptions(
    raw_shapes: &Map<String, Value>,
    operations: &mut [Operation],
    protocol: Protocol,
) -> anyhow::Result<BTreeMap<String, Exception>> {
    let mut exceptions = BTreeMap::new();
    for name in operations.iter_mut().flat_map(|operation| operation.errors.iter_mut()) {
        let raw = raw_shapes.get(name).and_then(Value::as_object).with_context(|| format!("no exception {name}"))?;
        let mut members = structure_members(raw)?;
        members.retain(|member| !member.name.eq_ignore_ascii_case("message"));
        let mut status = if flag(raw, "fault") { 500 } else { 400 };
        // The query protocols have codes and statuses that are not the shapes' names.
        let worded = raw.get("error").filter(|_| protocol != Protocol::Json).and_then(Value::as_object);
        if let Some(worded) = worded {
            text(worded, "code")?.clone_into(name);
            let said = worded.get("httpStatusCode").and_then(Value::as_u64);
            status = u16::try_from(said.context("an error without a status")?)?;
        }
        exceptions.insert(name.clone(), Exception { status, members });
    }
    operations.iter_mut().for_each(|operation| operation.errors.sort());
    Ok(exceptions)
}

/// Collects every shape below the roots into `shapes`; answers their names.
fn reach<'a>(
    raw_shapes: &Map<String, Value>,
    roots: impl Iterator<Item = &'a String>,
    shapes: &mut BTreeMap<String, Shape>,
) -> anyhow::Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let mut queue: Vec<String> = roots.cloned().collect();
    while let Some(name) = queue.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let raw = raw_shapes.get(&name).and_then(Value::as_object).with_context(|| format!("no shape {name}"))?;
        let shape = shape(raw).with_context(|| format!("shape {name}"))?;
        match &shape.kind {
            Kind::Structure(members) => {
                queue.extend(members.iter().map(|member| member.shape.clone()));
            }
            Kind::List { member, .. } => queue.push(member.clone()),
            Kind::Map { value } => queue.push(value.clone()),
            _ => {}
        }
        shapes.insert(name, shape);
    }
    Ok(seen)
}

/// The name of a shape; that of an enum begins as names of Rust's types do.
fn type_name(shapes: &BTreeMap<String, Shape>, name: String) -> String {
    match shapes.get(&name).map(|shape| &shape.kind) {
        Some(Kind::Enum(_)) => name[..1].to_ascii_uppercase() + &name[1..],
        _ => name,
    }
}

/// Enums get such names; the wire never sees them.
fn capitalise(shapes: &mut BTreeMap<String, Shape>) {
    let is_enum = |(_, shape): &(&String, &Shape)| matches!(shape.kind, Kind::Enum(_));
    let enums = shapes.iter().filter(is_enum).map(|(name, _)| (name.clone(), type_name(shapes, name.clone())));
    let renamed: BTreeMap<String, String> = enums.filter(|(name, new)| name != new).collect();
    for shape in shapes.values_mut() {
        let named: Vec<&mut String> = match &mut shape.kind {
            Kind::Structure(members) => members.iter_mut().map(|member| &mut member.shape).collect(),
            Kind::List { member, .. } => vec![member],
            Kind::Map { value } => vec![value],
            _ => Vec::new(),
        };
        for name in named {
            if let Some(new) = renamed.get(name) {
                name.clone_from(new);
            }
        }
    }
    for (name, new) in renamed {
        let shape = shapes.remove(&name);
        shapes.extend(shape.map(|shape| (new, shape)));
    }
}

/// No shape of today's models contains itself. One that does needs a box, and a bound on depth, before it is generated.
fn refuse_recursion(shapes: &BTreeMap<String, Shape>, name: &str) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    let mut queue = vec![name];
    while let Some(at) = queue.pop() {
        let below: Vec<&str> = match shapes.get(at).map(|shape| &shape.kind) {
            Some(Kind::Structure(members)) => members.iter().map(|member| member.shape.as_str()).collect(),
            Some(Kind::List { member, .. }) => vec![member],
            Some(Kind::Map { value }) => vec![value],
            _ => Vec::new(),
        };
        for next in below {
            if next == name {
                bail!("shape {name} contains itself, which the generator does not support");
            }
            if seen.insert(next) {
                queue.push(next);
            }
        }
    }
    Ok(())
}

fn shape(raw: &Map<String, Value>) -> anyhow::Result<Shape> {
    let element = |key: &str| {
        let element = raw.get(key).and_then(Value::as_object);
        text(element.with_context(|| format!("no {key}"))?, "shape").map(str::to_owned)
    };
    let kind = match text(raw, "type")? {
        "structure" if flag(raw, "document") => Kind::Document,
        "structure" => Kind::Structure(structure_members(raw)?),
        "list" => Kind::List {
            member: element("member")?,
            item_name: raw
                .get("member")
                .and_then(|member| member.get("locationName"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        },
        "map" => Kind::Map { value: element("value")? },
        "string" if raw.contains_key("enum") => Kind::Enum(texts(raw, "enum")),
        // Base64 text, as JSON has it.
        "string" | "blob" => Kind::String,
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "double" => Kind::Double,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        other => bail!("no generator for type {other}"),
    };
    let is_blob = text(raw, "type")? == "blob";
    // Limits of bytes are not those of their text.
    let number = |key: &str| raw.get(key).and_then(Value::as_f64).filter(|_| !is_blob);
    let limits =
        Limits { min: number("min"), max: number("max"), pattern: text(raw, "pattern").ok().map(str::to_owned) };
    Ok(Shape { kind, sensitive: flag(raw, "sensitive"), limits })
}

fn structure_members(raw: &Map<String, Value>) -> anyhow::Result<Vec<Member>> {
    let required = texts(raw, "required");
    let members = raw.get("members").and_then(Value::as_object).context("a structure needs members")?;
    let mut found = Vec::new();
    for (name, raw) in members {
        let raw = raw.as_object().context("a member must be an object")?;
        if flag(raw, "flattened") {
            bail!("no generator for flattened lists ({name})");
        }
        let named = |key: &str| text(raw, key).ok().map(str::to_owned);
        found.push(Member {
            name: name.clone(),
            shape: text(raw, "shape")?.to_owned(),
            required: required.contains(name),
            location_name: named("locationName"),
            query_name: named("queryName"),
        });
    }
    // Sorted here, so that the order of a JSON map's keys can never change the output.
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
