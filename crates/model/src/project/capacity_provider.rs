//! Capacity providers.

use crate::capacity_provider::{CapacityProvider, Done, FARGATE, StrategyItem};
use crate::state::State;
use wire::ecs;

impl State {
    /// One that exists from the start.
    pub fn project_fargate_provider(&self, name: &str) -> ecs::CapacityProvider {
        let kind = match name {
            FARGATE => ecs::CapacityProviderType::Fargate,
            _ => ecs::CapacityProviderType::FargateSpot,
        };
        ecs::CapacityProvider {
            capacity_provider_arn: Some(self.scope().capacity_provider(name)),
            name: Some(name.to_owned()),
            status: Some(ecs::CapacityProviderStatus::Active),
            r#type: Some(kind),
            tags: Some(Vec::new()),
            ..ecs::CapacityProvider::default()
        }
    }

    /// One that somebody made.
    pub fn project_capacity_provider(&self, provider: &CapacityProvider, with_tags: bool) -> ecs::CapacityProvider {
        let scaling = provider.scaling;
        let number = |number: u32| i32::try_from(number).ok();
        ecs::CapacityProvider {
            capacity_provider_arn: Some(self.scope().capacity_provider(&provider.name)),
            name: Some(provider.name.to_string()),
            status: Some(match provider.active {
                true => ecs::CapacityProviderStatus::Active,
                false => ecs::CapacityProviderStatus::Inactive,
            }),
            r#type: Some(ecs::CapacityProviderType::Ec2Autoscaling),
            auto_scaling_group_provider: Some(ecs::AutoScalingGroupProvider {
                auto_scaling_group_arn: provider.group.to_string(),
                managed_scaling: Some(ecs::ManagedScaling {
                    status: Some(ecs::ManagedScalingStatus::Disabled),
                    target_capacity: number(scaling.target_capacity),
                    minimum_scaling_step_size: number(scaling.minimum_step),
                    maximum_scaling_step_size: number(scaling.maximum_step),
                    instance_warmup_period: number(scaling.warmup),
                }),
                managed_termination_protection: Some(ecs::ManagedTerminationProtection::Disabled),
                managed_draining: Some(match provider.draining {
                    true => ecs::ManagedDraining::Enabled,
                    false => ecs::ManagedDraining::Disabled,
                }),
            }),
            update_status: Some(match provider.done {
                Done::Created => ecs::CapacityProviderUpdateStatus::CreateComplete,
                Done::Updated => ecs::CapacityProviderUpdateStatus::UpdateComplete,
                Done::Deleted => ecs::CapacityProviderUpdateStatus::DeleteComplete,
            }),
            tags: Some(if with_tags { super::tags(&provider.tags) } else { Vec::new() }),
            ..ecs::CapacityProvider::default()
        }
    }
}

/// A strategy as the wire has it.
pub fn strategy(items: &[StrategyItem]) -> Vec<ecs::CapacityProviderStrategyItem> {
    let item = |item: &StrategyItem| ecs::CapacityProviderStrategyItem {
        capacity_provider: item.provider.to_string(),
        weight: i32::try_from(item.weight).ok(),
        base: i32::try_from(item.base).ok(),
    };
    items.iter().map(item).collect()
}
