//! Rules for the port mappings of a task definition, by network mode. What is allowed and how a mapping is read agrees
//! with `model::needs::port_mappings`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use wire::{Fault, ecs};

const PORTS: RangeInclusive<i32> = 1..=65_535;
/// Ports of a host that its tasks can have together (service quotas).
const MAPPINGS_MAX: usize = 100;

fn client<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(ecs::fault::client(message))
}

/// Checks the mappings of all containers together: in host mode they share the ports of the host.
pub(super) fn check(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    let mode = input.network_mode.unwrap_or(ecs::NetworkMode::Bridge);
    let mut taken = BTreeSet::new();
    let lists = input.container_definitions.iter().filter_map(|container| container.port_mappings.as_ref());
    if lists.map(Vec::len).sum::<usize>() > MAPPINGS_MAX {
        return client(format!("A task definition may have at most {MAPPINGS_MAX} port mappings."));
    }
    for container in &input.container_definitions {
        let name = container.name.as_deref().unwrap_or("");
        for mapping in container.port_mappings.as_deref().unwrap_or_default() {
            check_mapping(mode, name, mapping)?;
            let host = match mode {
                ecs::NetworkMode::Bridge => mapping.host_port.filter(|port| *port != 0),
                ecs::NetworkMode::Host => mapping.container_port,
                ecs::NetworkMode::Awsvpc | ecs::NetworkMode::None => None,
            };
            let protocol = mapping.protocol.unwrap_or(ecs::TransportProtocol::Tcp).as_str();
            if let Some(port) = host
                && !taken.insert((port, protocol))
            {
                return client(format!(
                    "Invalid port mapping for container '{name}': the host port {port}/{protocol} is mapped more than \
                     once in the task definition."
                ));
            }
        }
        if mode == ecs::NetworkMode::Host {
            check_controls(name, container)?;
        }
    }
    Ok(())
}

fn check_mapping(mode: ecs::NetworkMode, name: &str, mapping: &ecs::PortMapping) -> Result<(), Fault> {
    let wrong = |why: &str| client(format!("Invalid port mapping for container '{name}': {why}"));
    if mode == ecs::NetworkMode::None {
        return wrong("port mappings are not supported when networkMode=none.");
    }
    if mapping.container_port_range.is_some() {
        if mode == ecs::NetworkMode::Host {
            return wrong("containerPortRange is not supported when networkMode=host.");
        }
        if mapping.container_port.is_some() || mapping.host_port.is_some() {
            return wrong("containerPortRange cannot be combined with containerPort or hostPort.");
        }
        return Ok(());
    }
    let Some(port) = mapping.container_port else { return wrong("containerPort is missing.") };
    if !PORTS.contains(&port) {
        return wrong(&format!("containerPort is {port}; ports are 1 to 65535."));
    }
    let Some(host) = mapping.host_port.filter(|host| *host != 0) else { return Ok(()) };
    if !PORTS.contains(&host) {
        return wrong(&format!("hostPort is {host}; ports are 1 to 65535, and 0 stands for any that is free."));
    }
    if mode != ecs::NetworkMode::Bridge && host != port {
        return client(format!(
            "When networkMode={}, the host ports and container ports in port mappings must match.",
            mode.as_str()
        ));
    }
    Ok(())
}

/// The host's own parameters are not a task's to set.
fn check_controls(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let controls = container.system_controls.as_deref().unwrap_or_default();
    let names = controls.iter().filter_map(|control| control.namespace.as_deref());
    match names.into_iter().find(|name| name.starts_with("net.")) {
        None => Ok(()),
        Some(control) => client(format!(
            "Invalid systemControls for container '{name}': {control} is not supported when networkMode=host."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecs::NetworkMode::{Awsvpc, Bridge, Host, None as Nothing};

    type Mapping = (Option<i32>, Option<i32>, Option<ecs::TransportProtocol>);

    fn mapping((container_port, host_port, protocol): Mapping) -> ecs::PortMapping {
        ecs::PortMapping { container_port, host_port, protocol, ..Default::default() }
    }

    /// Two containers with these mappings.
    fn checked(mode: Option<ecs::NetworkMode>, first: &[Mapping], second: &[Mapping]) -> Result<(), String> {
        let containers = [("a", first), ("b", second)].map(|(name, mappings)| ecs::ContainerDefinition {
            name: Some(name.to_owned()),
            port_mappings: Some(mappings.iter().copied().map(mapping).collect()),
            ..Default::default()
        });
        let input = ecs::RegisterTaskDefinitionRequest {
            network_mode: mode,
            container_definitions: containers.into(),
            ..Default::default()
        };
        check(&input).map_err(|fault| fault.message)
    }

    #[test]
    fn what_each_mode_takes() {
        let plain: &[Mapping] = &[(Some(80), None, None)];
        let zero: &[Mapping] = &[(Some(80), Some(0), None)];
        let same: &[Mapping] = &[(Some(80), Some(80), None)];
        let other: &[Mapping] = &[(Some(80), Some(8080), None)];
        let takes = |mode| [plain, zero, same, other].map(|mappings| checked(mode, mappings, &[]).is_ok());
        assert_eq!(takes(None), [true; 4]);
        assert_eq!(takes(Some(Bridge)), [true; 4]);
        assert_eq!(takes(Some(Host)), [true, true, true, false]);
        assert_eq!(takes(Some(Awsvpc)), [true, true, true, false]);
        assert_eq!(takes(Some(Nothing)), [false; 4]);
        let message = "When networkMode=host, the host ports and container ports in port mappings must match.";
        assert_eq!(checked(Some(Host), other, &[]), Err(message.to_owned()));
    }

    #[test]
    fn a_host_port_is_mapped_once() {
        let udp = Some(ecs::TransportProtocol::Udp);
        assert!(checked(None, &[(Some(80), Some(80), None)], &[(Some(81), Some(80), None)]).is_err());
        assert!(checked(None, &[(Some(80), Some(80), None), (Some(80), Some(80), udp)], &[]).is_ok());
        assert!(checked(None, &[(Some(80), None, None)], &[(Some(80), None, None)]).is_ok(), "any two are free");
        assert!(checked(Some(Host), &[(Some(80), None, None)], &[(Some(80), None, None)]).is_err());
        assert!(checked(Some(Awsvpc), &[(Some(80), None, None)], &[(Some(80), None, None)]).is_ok());
    }

    #[test]
    fn ports_are_ports() {
        for bad in
            [(None, Some(80), None), (Some(0), None, None), (Some(-1), None, None), (Some(1), Some(65_536), None)]
        {
            assert!(checked(None, &[bad], &[]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_host_keeps_its_parameters() {
        let control = ecs::SystemControl { namespace: Some("net.core.somaxconn".into()), value: Some("1".into()) };
        let container = ecs::ContainerDefinition { system_controls: Some(vec![control]), ..Default::default() };
        let input = |mode| ecs::RegisterTaskDefinitionRequest {
            network_mode: Some(mode),
            container_definitions: vec![container.clone()],
            ..Default::default()
        };
        assert!(check(&input(Host)).is_err() && check(&input(Bridge)).is_ok());
    }
}
