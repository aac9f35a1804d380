//! The EC2 side: the VPC, its subnets, security group and interfaces.

use crate::state::State;
use crate::task::{Eni, EniStatus, Task};
use crate::vpc::{Subnet, private_dns_name};
use wire::ec2;

impl State {
    /// The default VPC.
    pub fn project_vpc(&self) -> ec2::Vpc {
        let vpc = &self.meta().vpc;
        ec2::Vpc {
            vpc_id: Some(vpc.id.to_string()),
            owner_id: Some(self.meta().account.to_string()),
            cidr_block: Some(vpc.cidr()),
            is_default: Some(true),
            state: Some(ec2::VpcState::Available),
            instance_tenancy: Some(ec2::Tenancy::Default),
            ..ec2::Vpc::default()
        }
    }

    /// A subnet, with the number of addresses that are free.
    pub fn project_subnet(&self, position: u8, subnet: &Subnet) -> ec2::Subnet {
        let usable = subnet.usable();
        let free = (usable.end - usable.start).saturating_sub(self.subnet_eni_count(position));
        let meta = self.meta();
        ec2::Subnet {
            subnet_id: Some(subnet.id.to_string()),
            subnet_arn: Some(format!("arn:aws:ec2:{}:{}:subnet/{}", meta.region, meta.account, subnet.id)),
            vpc_id: Some(meta.vpc.id.to_string()),
            owner_id: Some(meta.account.to_string()),
            cidr_block: Some(subnet.cidr()),
            availability_zone: Some(subnet.zone.to_string()),
            availability_zone_id: Some(zone_id(&meta.region, &subnet.zone)),
            available_ip_address_count: i32::try_from(free).ok(),
            default_for_az: Some(true),
            map_public_ip_on_launch: Some(false),
            state: Some(ec2::SubnetState::Available),
            ..ec2::Subnet::default()
        }
    }

    /// The default security group: all traffic among its members, all traffic out.
    pub fn project_security_group(&self) -> ec2::SecurityGroup {
        let meta = self.meta();
        let any = |group: Option<String>, range: Option<String>| ec2::IpPermission {
            ip_protocol: Some("-1".to_owned()),
            user_id_group_pairs: Some(group.into_iter().map(|group_id| self.group_pair(group_id)).collect()),
            ip_ranges: Some(
                range
                    .into_iter()
                    .map(|cidr_ip| ec2::IpRange { cidr_ip: Some(cidr_ip), ..Default::default() })
                    .collect(),
            ),
            ..ec2::IpPermission::default()
        };
        ec2::SecurityGroup {
            group_id: Some(meta.vpc.default_security_group.to_string()),
            group_name: Some("default".to_owned()),
            description: Some("default VPC security group".to_owned()),
            owner_id: Some(meta.account.to_string()),
            vpc_id: Some(meta.vpc.id.to_string()),
            ip_permissions: Some(vec![any(Some(meta.vpc.default_security_group.to_string()), None)]),
            ip_permissions_egress: Some(vec![any(None, Some("0.0.0.0/0".to_owned()))]),
            ..ec2::SecurityGroup::default()
        }
    }

    fn group_pair(&self, group_id: String) -> ec2::UserIdGroupPair {
        let user_id = Some(self.meta().account.to_string());
        ec2::UserIdGroupPair { group_id: Some(group_id), user_id, ..Default::default() }
    }

    /// The zones: one for each subnet.
    pub fn project_zones(&self) -> Vec<ec2::AvailabilityZone> {
        let meta = self.meta();
        let zone = |subnet: &Subnet| ec2::AvailabilityZone {
            zone_name: Some(subnet.zone.to_string()),
            zone_id: Some(zone_id(&meta.region, &subnet.zone)),
            zone_type: Some("availability-zone".to_owned()),
            region_name: Some(meta.region.to_string()),
            group_name: Some(meta.region.to_string()),
            network_border_group: Some(meta.region.to_string()),
            state: Some(ec2::AvailabilityZoneState::Available),
            opt_in_status: Some(ec2::AvailabilityZoneOptInStatus::OptInNotRequired),
            ..ec2::AvailabilityZone::default()
        };
        meta.vpc.subnets.iter().map(zone).collect()
    }

    /// The interface of a task.
    pub fn project_interface(&self, task: &Task, eni: &Eni) -> Option<ec2::NetworkInterface> {
        let meta = self.meta();
        let subnet = meta.vpc.subnets.get(usize::from(eni.subnet))?;
        let attached = eni.status == EniStatus::Attached;
        let name = private_dns_name(eni.address, &meta.region);
        let group = ec2::GroupIdentifier {
            group_id: Some(meta.vpc.default_security_group.to_string()),
            group_name: Some("default".to_owned()),
        };
        Some(ec2::NetworkInterface {
            network_interface_id: Some(eni.id.to_string()),
            subnet_id: Some(subnet.id.to_string()),
            vpc_id: Some(meta.vpc.id.to_string()),
            availability_zone: Some(subnet.zone.to_string()),
            owner_id: Some(meta.account.to_string()),
            description: Some(self.scope().attachment(&eni.attachment.dashed())),
            interface_type: Some(ec2::NetworkInterfaceType::Interface),
            mac_address: Some(mac(eni.mac)),
            private_ip_address: Some(eni.address.to_string()),
            private_dns_name: Some(name.clone()),
            private_ip_addresses: Some(vec![ec2::NetworkInterfacePrivateIpAddress {
                primary: Some(true),
                private_ip_address: Some(eni.address.to_string()),
                private_dns_name: Some(name),
                ..Default::default()
            }]),
            groups: Some(vec![group]),
            status: Some(if attached {
                ec2::NetworkInterfaceStatus::InUse
            } else {
                ec2::NetworkInterfaceStatus::Attaching
            }),
            requester_managed: Some(false),
            source_dest_check: Some(true),
            attachment: Some(ec2::NetworkInterfaceAttachment {
                attachment_id: Some(format!("eni-attach-{:017x}", eni.id.0)),
                device_index: Some(1),
                status: Some(if attached { ec2::AttachmentStatus::Attached } else { ec2::AttachmentStatus::Attaching }),
                attach_time: super::time(task.times.created),
                delete_on_termination: Some(true),
                ..Default::default()
            }),
            tag_set: Some(Vec::new()),
            ..ec2::NetworkInterface::default()
        })
    }
}

/// `02:00:ac:1f:00:04`.
pub fn mac(bytes: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// A zone id in AWS's form, `use1-az1` for `us-east-1a`: the region's short form and the letter's number.
fn zone_id(region: &str, zone: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or("");
    let direction: String = parts.next().unwrap_or("").chars().take(1).collect();
    let number = parts.next().unwrap_or("");
    let letter = zone.bytes().last().unwrap_or(b'a');
    format!("{area}{direction}{number}-az{}", letter.saturating_sub(b'a') + 1)
}
