//! Attributes of container instances: put, delete, list. Those that begin with `ecs.`, `com.amazonaws.` or `gantry.` say
//! what a host is and can do, and only its agent says them.

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::change::Change;
use model::instance::{Attribute, Instance, RESERVED_ATTRIBUTES};
use model::{Cluster, InstanceId, State};
use std::collections::BTreeMap;
use wire::{Fault, ecs};

/// Attributes that one request names, and custom ones that an instance has (service quotas).
const NAMED_MAX: usize = 10;
const CUSTOM_MAX: usize = 10;
/// Longest name and value (API reference, Attribute).
const LENGTH_MAX: usize = 128;

/// PutAttributes: all of a request or none of it.
pub(crate) fn put(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::PutAttributesRequest,
) -> Result<ecs::PutAttributesResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?.clone();
    let mut targets = Targets::default();
    for attribute in named_attributes(&input.attributes)? {
        check(attribute)?;
        let all = targets.of(&desk.state, &cluster, attribute)?;
        let value = attribute.value.as_deref().map(Into::into);
        match all.iter_mut().find(|known| *known.name == *attribute.name) {
            Some(known) => known.value = value,
            None => all.push(Attribute { name: attribute.name.as_str().into(), value }),
        }
        if all.iter().filter(|attribute| attribute.is_custom()).count() > CUSTOM_MAX {
            let message = format!("A container instance may have at most {CUSTOM_MAX} custom attributes.");
            return Err(ecs::fault::attribute_limit_exceeded(message));
        }
    }
    targets.commit(desk);
    Ok(ecs::PutAttributesResponse { attributes: Some(echo(&desk.state, &cluster, input.attributes)?) })
}

/// DeleteAttributes. One that is given with a value goes only if it has that value.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteAttributesRequest,
) -> Result<ecs::DeleteAttributesResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?.clone();
    let mut targets = Targets::default();
    for attribute in named_attributes(&input.attributes)? {
        check(attribute)?;
        let all = targets.of(&desk.state, &cluster, attribute)?;
        let is_it = |known: &Attribute| {
            let value = attribute.value.as_deref().is_none_or(|value| known.value.as_deref() == Some(value));
            *known.name == *attribute.name && value
        };
        let before = all.len();
        all.retain(|known| !is_it(known));
        if all.len() == before {
            let message = format!("The attribute {:?} was not found on the target.", attribute.name);
            return Err(ecs::fault::target_not_found(message));
        }
    }
    targets.commit(desk);
    Ok(ecs::DeleteAttributesResponse { attributes: Some(echo(&desk.state, &cluster, input.attributes)?) })
}

/// The attributes of each instance that a request touches, as they will be.
#[derive(Default)]
struct Targets(BTreeMap<InstanceId, Vec<Attribute>>);

impl Targets {
    fn of(&mut self, state: &State, cluster: &Cluster, wire: &ecs::Attribute) -> Result<&mut Vec<Attribute>, Fault> {
        let instance = target(state, cluster, wire)?;
        Ok(self.0.entry(instance.id).or_insert_with(|| instance.attributes.clone()))
    }

    fn commit(self, desk: &mut Desk) {
        for (id, attributes) in self.0 {
            if desk.state.instances[&id].attributes != attributes {
                desk.commit(Change::InstanceAttributes { id, attributes });
            }
        }
    }
}

fn named_attributes(attributes: &[ecs::Attribute]) -> Result<&[ecs::Attribute], Fault> {
    match attributes.len() {
        0 => Err(Fault::invalid_parameter("attributes cannot be empty.")),
        1..=NAMED_MAX => Ok(attributes),
        _ => Err(Fault::invalid_parameter(format!("attributes can have at most {NAMED_MAX} items."))),
    }
}

fn target<'a>(state: &'a State, cluster: &Cluster, wire: &ecs::Attribute) -> Result<&'a Instance, Fault> {
    let name = wire.target_id.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Fault::invalid_parameter("targetId: the container instance is missing."))?;
    let found = named::instance(state, cluster, name)?.filter(|instance| instance.is_registered());
    found.ok_or_else(|| ecs::fault::target_not_found(format!("The container instance {name:?} was not found.")))
}

/// Names and values as the API reference allows them; no name that only an agent may say.
fn check(attribute: &ecs::Attribute) -> Result<(), Fault> {
    let name = &attribute.name;
    let named = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
    if name.is_empty() || name.chars().count() > LENGTH_MAX || !name.chars().all(named) {
        let message = format!(
            "Invalid attribute name {name:?}: 1 to {LENGTH_MAX} letters, digits, hyphens, underscores, dots and slashes."
        );
        return Err(Fault::invalid_parameter(message));
    }
    if let Some(prefix) = RESERVED_ATTRIBUTES.iter().find(|prefix| name.starts_with(*prefix)) {
        let message = format!("Attribute names that begin with {prefix} are reserved, got {name:?}.");
        return Err(Fault::invalid_parameter(message));
    }
    let Some(value) = attribute.value.as_deref() else { return Ok(()) };
    let valued = |c: char| c.is_alphanumeric() || "-_.@:/\\ ".contains(c);
    let spaced = value.starts_with(' ') || value.ends_with(' ');
    if value.is_empty() || value.chars().count() > LENGTH_MAX || spaced || !value.chars().all(valued) {
        let message = format!(
            "Invalid value {value:?} of attribute {name}: 1 to {LENGTH_MAX} letters, digits, and - _ . @ : / \\ and \
             spaces inside."
        );
        return Err(Fault::invalid_parameter(message));
    }
    Ok(())
}

/// The attributes of a request, with full ARNs.
fn echo(state: &State, cluster: &Cluster, wire: Vec<ecs::Attribute>) -> Result<Vec<ecs::Attribute>, Fault> {
    let shown = |attribute: ecs::Attribute| {
        let id = target(state, cluster, &attribute)?.id;
        Ok(shown(state, cluster, id, attribute.name, attribute.value))
    };
    wire.into_iter().map(shown).collect()
}

fn shown(state: &State, cluster: &Cluster, id: InstanceId, name: String, value: Option<String>) -> ecs::Attribute {
    let target_id = Some(state.scope().instance(&cluster.name, id));
    ecs::Attribute { name, value, target_type: Some(ecs::TargetType::ContainerInstance), target_id }
}

/// ListAttributes, by instance and name.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListAttributesRequest,
) -> Result<ecs::ListAttributesResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, input.cluster.as_deref())?;
    let (name, value) = (input.attribute_name.as_deref(), input.attribute_value.as_deref());
    if name.is_none() && value.is_some() {
        return Err(Fault::invalid_parameter("attributeValue needs attributeName."));
    }
    let scope = format!("ListAttributes|{}|{name:?}|{value:?}", cluster.name);
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let after = page.after().and_then(|cursor| cursor.split_once(' '));
    let after = after.and_then(|(id, name)| Some((InstanceId::parse(id)?, name)));
    let fits = |attribute: &&Attribute| {
        name.is_none_or(|name| *attribute.name == *name)
            && value.is_none_or(|value| attribute.value.as_deref() == Some(value))
    };
    let instances = state.registered_from(cluster.id, after.map(|(id, _)| id));
    let all = instances.flat_map(|instance| {
        let mut fitting: Vec<&Attribute> = instance.attributes.iter().filter(fits).collect();
        fitting.sort();
        fitting.into_iter().map(move |attribute| (instance.id, attribute))
    });
    let rest = all.filter(|(id, attribute)| after.is_none_or(|after| (*id, &*attribute.name) > after));
    let (taken, next_token) = page.take(rest, |(id, attribute)| format!("{id} {}", attribute.name));
    let attributes = taken.into_iter().map(|(id, attribute)| {
        shown(state, cluster, id, attribute.name.to_string(), attribute.value.as_deref().map(str::to_owned))
    });
    Ok(ecs::ListAttributesResponse { attributes: Some(attributes.collect()), next_token })
}
