//! A service revision: what tasks of a service are made from, as it was when somebody wished it. It never changes.

use crate::Millis;
use crate::capacity_provider::StrategyItem;
use crate::ids::{RevisionId, ServiceId};
use crate::task::LaunchType;
use serde::{Deserialize, Serialize};

/// A service revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Whose.
    pub service: ServiceId,
    /// The 19 digits at the end of its ARN.
    pub number: u64,
    /// The number of the deployment that was made for it; going back to it goes back to that.
    pub deployment: u64,
    /// The task definition.
    pub definition: RevisionId,
    /// Where its tasks run.
    pub launch_type: LaunchType,
    /// Which capacity providers they are asked of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<StrategyItem>,
    /// Positions of their subnets.
    pub subnets: Vec<u8>,
    /// When it was wished.
    pub created_at: Millis,
}
