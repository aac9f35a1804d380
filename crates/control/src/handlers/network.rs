//! The read side of the default VPC: what a client needs to choose subnets and to find a task's address.

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::EniId;
use model::state::State;
use wire::{Fault, ec2};

/// Items on one page of an EC2 list.
const PAGE_MAX: usize = 1000;

/// An item of a list with the facts that filters ask for.
struct Item<T> {
    shape: T,
    id: String,
    facts: Vec<(&'static str, String)>,
}

/// What the four paged lists have in common.
struct Query<'a> {
    operation: &'static str,
    /// The ids asked for, and the code for one that does not exist.
    ids: (Option<Vec<String>>, &'static str),
    filters: Option<Vec<ec2::Filter>>,
    max_results: Option<i32>,
    next_token: Option<&'a str>,
    dry_run: Option<bool>,
}

impl Query<'_> {
    fn answer<T>(self, state: &State, known: &[&str], items: Vec<Item<T>>) -> Result<(Vec<T>, Option<String>), Fault> {
        check_dry_run(self.dry_run)?;
        let filters = self.filters.unwrap_or_default();
        check_filters(&filters, known)?;
        let (ids, code) = self.ids;
        let ids = ids.unwrap_or_default();
        if let Some(missing) = ids.iter().find(|id| !items.iter().any(|item| item.id == **id)) {
            return Err(Fault::new(code, 400, format!("The ID '{missing}' does not exist")));
        }
        let scope = format!("{}|{ids:?}|{filters:?}", self.operation);
        let key = &state.meta().token_key;
        let page =
            Page::read(key, scope, (PAGE_MAX, PAGE_MAX), self.max_results, self.next_token).map_err(Fault::in_query)?;
        let wanted = items.into_iter().filter(|item| {
            (ids.is_empty() || ids.contains(&item.id)) && filters.iter().all(|filter| passes(filter, &item.facts))
        });
        let mut wanted: Vec<Item<T>> =
            wanted.filter(|item| page.after().is_none_or(|after| *item.id > *after)).collect();
        wanted.sort_by(|a, b| a.id.cmp(&b.id));
        let (taken, next_token) = page.take(wanted.into_iter(), |item| item.id.clone());
        Ok((taken.into_iter().map(|item| item.shape).collect(), next_token))
    }
}

fn check_dry_run(asked: Option<bool>) -> Result<(), Fault> {
    if asked == Some(true) {
        return Err(Fault::new("DryRunOperation", 412, "Request would have succeeded, but DryRun flag is set."));
    }
    Ok(())
}

fn check_filters(filters: &[ec2::Filter], known: &[&str]) -> Result<(), Fault> {
    let unknown = |filter: &&ec2::Filter| !filter.name.as_deref().is_some_and(|name| known.contains(&name));
    match filters.iter().find(unknown) {
        None => Ok(()),
        Some(filter) => {
            let name = filter.name.as_deref().unwrap_or("");
            let message = format!("The filter '{name}' is invalid; supported are: {}", known.join(", "));
            Err(Fault::new("InvalidParameterValue", 400, message))
        }
    }
}

fn passes(filter: &ec2::Filter, facts: &[(&str, String)]) -> bool {
    let name = filter.name.as_deref().unwrap_or("");
    let values = filter.values.as_deref().unwrap_or_default();
    let mut facts = facts.iter().filter(|(fact, _)| *fact == name);
    facts.any(|(_, fact)| values.iter().any(|pattern| matches(pattern.as_bytes(), fact.as_bytes())))
}

/// EC2's filter patterns: `*` stands for any text, `?` for one character. Linear: a star is tried again only from the
/// last one.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// ec2:DescribeVpcs.
pub(crate) fn vpcs(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeVpcsRequest,
) -> Result<ec2::DescribeVpcsResult, Fault> {
    let query = Query {
        operation: "DescribeVpcs",
        ids: (input.vpc_ids, "InvalidVpcID.NotFound"),
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let vpc = &desk.state.meta().vpc;
    let facts = vec![
        ("vpc-id", vpc.id.to_string()),
        ("is-default", "true".to_owned()),
        ("isDefault", "true".to_owned()),
        ("cidr", vpc.cidr()),
        ("state", "available".to_owned()),
    ];
    let item = Item { shape: desk.state.project_vpc(), id: vpc.id.to_string(), facts };
    let known = ["vpc-id", "is-default", "isDefault", "cidr", "state"];
    let (vpcs, next_token) = query.answer(&desk.state, &known, vec![item])?;
    Ok(ec2::DescribeVpcsResult { vpcs: Some(vpcs), next_token })
}

/// ec2:DescribeVpcAttribute: tasks are answered by a resolver, and have no names of their own in it.
pub(crate) fn vpc_attribute(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeVpcAttributeRequest,
) -> Result<ec2::DescribeVpcAttributeResult, Fault> {
    check_dry_run(input.dry_run)?;
    if *input.vpc_id != *desk.state.meta().vpc.id {
        let message = format!("The vpc ID '{}' does not exist", input.vpc_id);
        return Err(Fault::new("InvalidVpcID.NotFound", 400, message));
    }
    let is =
        |attribute, value| (input.attribute == attribute).then_some(ec2::AttributeBooleanValue { value: Some(value) });
    use ec2::VpcAttributeName::{EnableDnsHostnames, EnableDnsSupport, EnableNetworkAddressUsageMetrics};
    Ok(ec2::DescribeVpcAttributeResult {
        enable_dns_hostnames: is(EnableDnsHostnames, false),
        enable_dns_support: is(EnableDnsSupport, true),
        enable_network_address_usage_metrics: is(EnableNetworkAddressUsageMetrics, false),
        vpc_id: Some(input.vpc_id),
    })
}

/// ec2:DescribeSubnets.
pub(crate) fn subnets(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeSubnetsRequest,
) -> Result<ec2::DescribeSubnetsResult, Fault> {
    let query = Query {
        operation: "DescribeSubnets",
        ids: (input.subnet_ids, "InvalidSubnetID.NotFound"),
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let vpc = &desk.state.meta().vpc;
    let items = (0u8..).zip(&vpc.subnets).map(|(position, subnet)| Item {
        shape: desk.state.project_subnet(position, subnet),
        id: subnet.id.to_string(),
        facts: vec![
            ("subnet-id", subnet.id.to_string()),
            ("vpc-id", vpc.id.to_string()),
            ("availability-zone", subnet.zone.to_string()),
            ("availabilityZone", subnet.zone.to_string()),
            ("default-for-az", "true".to_owned()),
            ("defaultForAz", "true".to_owned()),
            ("cidr-block", subnet.cidr()),
            ("state", "available".to_owned()),
        ],
    });
    let known = [
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "availabilityZone",
        "default-for-az",
        "defaultForAz",
        "cidr-block",
        "state",
    ];
    let (subnets, next_token) = query.answer(&desk.state, &known, items.collect())?;
    Ok(ec2::DescribeSubnetsResult { subnets: Some(subnets), next_token })
}

/// ec2:DescribeSecurityGroups.
pub(crate) fn security_groups(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeSecurityGroupsRequest,
) -> Result<ec2::DescribeSecurityGroupsResult, Fault> {
    if let Some(name) = input.group_names.unwrap_or_default().iter().find(|name| *name != "default") {
        let message = format!("The security group '{name}' does not exist in default VPC");
        return Err(Fault::new("InvalidGroup.NotFound", 400, message));
    }
    let query = Query {
        operation: "DescribeSecurityGroups",
        ids: (input.group_ids, "InvalidGroup.NotFound"),
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let vpc = &desk.state.meta().vpc;
    let id = vpc.default_security_group.to_string();
    let facts = vec![("group-id", id.clone()), ("group-name", "default".to_owned()), ("vpc-id", vpc.id.to_string())];
    let items = vec![Item { shape: desk.state.project_security_group(), id, facts }];
    let (groups, next_token) = query.answer(&desk.state, &["group-id", "group-name", "vpc-id"], items)?;
    Ok(ec2::DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
}

/// ec2:DescribeNetworkInterfaces. Asked by id alone, as clients do for one task, it looks at those only.
pub(crate) fn interfaces(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeNetworkInterfacesRequest,
) -> Result<ec2::DescribeNetworkInterfacesResult, Fault> {
    let state = &desk.state;
    let ids = input.network_interface_ids.clone().unwrap_or_default();
    let tasks: Vec<_> = match ids.is_empty() {
        true => state.eni_tasks().collect(),
        false => ids.iter().filter_map(|id| state.eni_task(EniId::parse(id)?)).collect(),
    };
    let items = tasks.into_iter().filter_map(|task| {
        let eni = task.eni.as_ref()?;
        let shape = state.project_interface(task, eni)?;
        let facts = vec![
            ("network-interface-id", eni.id.to_string()),
            ("subnet-id", shape.subnet_id.clone()?),
            ("vpc-id", shape.vpc_id.clone()?),
            ("availability-zone", shape.availability_zone.clone()?),
            ("private-ip-address", eni.address.to_string()),
            ("addresses.private-ip-address", eni.address.to_string()),
            ("group-id", state.meta().vpc.default_security_group.to_string()),
            ("mac-address", shape.mac_address.clone()?),
            ("status", shape.status?.as_str().to_owned()),
        ];
        Some(Item { shape, id: eni.id.to_string(), facts })
    });
    let items = items.collect();
    let query = Query {
        operation: "DescribeNetworkInterfaces",
        ids: (input.network_interface_ids, "InvalidNetworkInterfaceID.NotFound"),
        filters: input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let known = [
        "network-interface-id",
        "subnet-id",
        "vpc-id",
        "availability-zone",
        "private-ip-address",
        "addresses.private-ip-address",
        "group-id",
        "mac-address",
        "status",
    ];
    let (interfaces, next_token) = query.answer(state, &known, items)?;
    Ok(ec2::DescribeNetworkInterfacesResult { network_interfaces: Some(interfaces), next_token })
}

/// ec2:DescribeAvailabilityZones.
pub(crate) fn zones(
    desk: &mut Desk,
    _: &Caller,
    input: ec2::DescribeAvailabilityZonesRequest,
) -> Result<ec2::DescribeAvailabilityZonesResult, Fault> {
    let state = &desk.state;
    let items = state.project_zones().into_iter().map(|zone| Item {
        id: zone.zone_name.clone().unwrap_or_default(),
        facts: vec![
            ("zone-name", zone.zone_name.clone().unwrap_or_default()),
            ("zone-id", zone.zone_id.clone().unwrap_or_default()),
            ("region-name", state.meta().region.to_string()),
            ("state", "available".to_owned()),
            ("opt-in-status", "opt-in-not-required".to_owned()),
            ("zone-type", "availability-zone".to_owned()),
        ],
        shape: zone,
    });
    let by_zone_id =
        input.zone_ids.map(|values| ec2::Filter { name: Some("zone-id".to_owned()), values: Some(values) });
    let mut filters = input.filters.unwrap_or_default();
    filters.extend(by_zone_id);
    let query = Query {
        operation: "DescribeAvailabilityZones",
        ids: (input.zone_names, "InvalidParameterValue"),
        filters: Some(filters),
        max_results: None,
        next_token: None,
        dry_run: input.dry_run,
    };
    let known = ["zone-name", "zone-id", "region-name", "state", "opt-in-status", "zone-type"];
    let (zones, _) = query.answer(state, &known, items.collect())?;
    Ok(ec2::DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_ec2s() {
        let matches = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes());
        for (pattern, text) in
            [("abc", "abc"), ("a*", "abc"), ("*c", "abc"), ("a?c", "abc"), ("*", ""), ("*b*b*", "abxbx")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("abc", "ab"), ("a", "ab"), ("?", ""), ("a*d", "abc"), ("*b*b*", "abx")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
