//! What a request or a service says of where tasks may go and which place is best, read once from the wire's words.

use crate::instance::ATTRIBUTE_ZONE;
use crate::query::Expression;
use serde::{Deserialize, Serialize};
use wire::ecs;

/// Constraints and strategies that one request or service has (API reference, RunTask).
pub const CONSTRAINTS_MAX: usize = 10;
/// See `CONSTRAINTS_MAX`.
pub const STRATEGIES_MAX: usize = 5;

/// Constraints and strategies.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// All must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// The first decides, the next among what it leaves equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<Strategy>,
}

/// Where a task may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Constraint {
    /// No two tasks of its group on one instance.
    DistinctInstance,
    /// Instances for which the expression holds.
    MemberOf(Expression),
}

/// Which of the places is best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Strategy {
    /// Any.
    Random,
    /// Where the fewest tasks of its group are.
    Spread(Field),
    /// Where the least is left.
    Binpack(Resource),
}

/// What tasks are spread over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// Instances; `host` means the same.
    Instance {
        /// It was said as `host`.
        host: bool,
    },
    /// Values of an attribute.
    Attribute(Box<str>),
}

/// What is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// CPU units.
    Cpu,
    /// MiB.
    Memory,
}

impl Placement {
    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        self.constraints.is_empty() && self.strategy.is_empty()
    }

    /// Reads constraints, or says what is wrong with them.
    pub fn read_constraints(wire: &[ecs::PlacementConstraint]) -> Result<Vec<Constraint>, String> {
        if wire.len() > CONSTRAINTS_MAX {
            return Err(format!("placementConstraints can have at most {CONSTRAINTS_MAX} items."));
        }
        let read = |constraint: &ecs::PlacementConstraint| {
            let expression = constraint.expression.as_deref().filter(|text| !text.trim().is_empty());
            match (constraint.r#type, expression) {
                (Some(ecs::PlacementConstraintType::DistinctInstance), None) => Ok(Constraint::DistinctInstance),
                (Some(ecs::PlacementConstraintType::DistinctInstance), Some(_)) => {
                    Err("The placement constraint distinctInstance takes no expression.".to_owned())
                }
                (Some(ecs::PlacementConstraintType::MemberOf), expression) => member_of(expression),
                (None, _) => Err("A placement constraint has no type.".to_owned()),
            }
        };
        wire.iter().map(read).collect()
    }

    /// Reads strategies, or says what is wrong with them.
    pub fn read_strategy(wire: &[ecs::PlacementStrategy]) -> Result<Vec<Strategy>, String> {
        if wire.len() > STRATEGIES_MAX {
            return Err(format!("placementStrategy can have at most {STRATEGIES_MAX} items."));
        }
        wire.iter().map(Strategy::read).collect()
    }

    /// The constraints in the wire's words.
    pub fn shown_constraints(&self) -> Vec<ecs::PlacementConstraint> {
        let shown = |constraint: &Constraint| match constraint {
            Constraint::DistinctInstance => ecs::PlacementConstraint {
                r#type: Some(ecs::PlacementConstraintType::DistinctInstance),
                expression: None,
            },
            Constraint::MemberOf(expression) => ecs::PlacementConstraint {
                r#type: Some(ecs::PlacementConstraintType::MemberOf),
                expression: Some(expression.as_str().to_owned()),
            },
        };
        self.constraints.iter().map(shown).collect()
    }

    /// The strategies in the wire's words.
    pub fn shown_strategy(&self) -> Vec<ecs::PlacementStrategy> {
        self.strategy.iter().map(Strategy::shown).collect()
    }

    /// No two tasks of the group on one instance.
    pub fn is_distinct(&self) -> bool {
        self.constraints.contains(&Constraint::DistinctInstance)
    }

    /// The expressions that must hold.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.constraints.iter().filter_map(|constraint| match constraint {
            Constraint::MemberOf(expression) => Some(expression),
            Constraint::DistinctInstance => None,
        })
    }
}

fn member_of(expression: Option<&str>) -> Result<Constraint, String> {
    let text = expression.ok_or("The placement constraint memberOf needs an expression.")?;
    let parsed = Expression::parse(text);
    parsed.map(Constraint::MemberOf).map_err(|mistake| format!("Invalid expression {text:?}: {mistake}."))
}

/// The expressions of a task definition, which may have no other constraint.
pub fn expressions_of(wire: &[ecs::TaskDefinitionPlacementConstraint]) -> Result<Vec<Expression>, String> {
    if wire.len() > CONSTRAINTS_MAX {
        return Err(format!("placementConstraints can have at most {CONSTRAINTS_MAX} items."));
    }
    let read = |constraint: &ecs::TaskDefinitionPlacementConstraint| {
        let text = constraint.expression.as_deref().filter(|text| !text.trim().is_empty());
        match (constraint.r#type, member_of(text)?) {
            (Some(_), Constraint::MemberOf(expression)) => Ok(expression),
            _ => Err("A placement constraint of a task definition is of type memberOf.".to_owned()),
        }
    };
    wire.iter().map(read).collect()
}

impl Strategy {
    fn read(wire: &ecs::PlacementStrategy) -> Result<Self, String> {
        let field = wire.field.as_deref().map(str::trim).filter(|field| !field.is_empty());
        let kind = wire.r#type.ok_or("A placement strategy has no type.")?;
        match (kind, field) {
            (ecs::PlacementStrategyType::Random, None) => Ok(Self::Random),
            (ecs::PlacementStrategyType::Random, Some(field)) => {
                Err(format!("The placement strategy random takes no field, got {field:?}."))
            }
            (ecs::PlacementStrategyType::Binpack, Some(field)) if field.eq_ignore_ascii_case("cpu") => {
                Ok(Self::Binpack(Resource::Cpu))
            }
            (ecs::PlacementStrategyType::Binpack, Some(field)) if field.eq_ignore_ascii_case("memory") => {
                Ok(Self::Binpack(Resource::Memory))
            }
            (ecs::PlacementStrategyType::Binpack, field) => Err(format!(
                "The placement strategy binpack takes the field cpu or memory, got {:?}.",
                field.unwrap_or_default()
            )),
            (ecs::PlacementStrategyType::Spread, field) => {
                let field = field.unwrap_or_default();
                let is = |name: &str| field.eq_ignore_ascii_case(name);
                match field.strip_prefix("attribute:").filter(|name| !name.is_empty() && name.len() <= 128) {
                    Some(name) => Ok(Self::Spread(Field::Attribute(name.into()))),
                    None if is("instanceId") || is("host") => Ok(Self::Spread(Field::Instance { host: is("host") })),
                    None => Err(format!(
                        "The placement strategy spread takes the field instanceId, host or attribute:NAME, got {field:?}."
                    )),
                }
            }
        }
    }

    /// In the wire's words.
    pub fn shown(&self) -> ecs::PlacementStrategy {
        let (kind, field) = match self {
            Self::Random => (ecs::PlacementStrategyType::Random, None),
            Self::Binpack(Resource::Cpu) => (ecs::PlacementStrategyType::Binpack, Some("cpu".to_owned())),
            Self::Binpack(Resource::Memory) => (ecs::PlacementStrategyType::Binpack, Some("memory".to_owned())),
            Self::Spread(Field::Instance { host }) => {
                (ecs::PlacementStrategyType::Spread, Some(if *host { "host" } else { "instanceId" }.to_owned()))
            }
            Self::Spread(Field::Attribute(name)) => {
                (ecs::PlacementStrategyType::Spread, Some(format!("attribute:{name}")))
            }
        };
        ecs::PlacementStrategy { r#type: Some(kind), field }
    }

    /// Where the fewest of the group are among the zones.
    pub fn zones() -> Self {
        Self::Spread(Field::Attribute(ATTRIBUTE_ZONE.into()))
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.shown();
        let kind = shown.r#type.map_or("", |kind| kind.as_str());
        match shown.field {
            Some(field) => write!(f, "{kind}({field})"),
            None => f.write_str(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(kind: ecs::PlacementStrategyType, field: Option<&str>) -> Result<Strategy, String> {
        Strategy::read(&ecs::PlacementStrategy { r#type: Some(kind), field: field.map(Into::into) })
    }

    #[test]
    fn strategies_are_read_and_shown_in_aws_words() {
        use ecs::PlacementStrategyType::{Binpack, Random, Spread};
        for (kind, field, shown) in [
            (Random, None, "random"),
            (Binpack, Some("MEMORY"), "binpack(memory)"),
            (Binpack, Some("cpu"), "binpack(cpu)"),
            (Spread, Some("instanceId"), "spread(instanceId)"),
            (Spread, Some("host"), "spread(host)"),
            (Spread, Some("attribute:rack"), "spread(attribute:rack)"),
        ] {
            assert_eq!(strategy(kind, field).unwrap().to_string(), shown);
        }
        for (kind, field, words) in [
            (Random, Some("cpu"), "takes no field"),
            (Binpack, None, "cpu or memory"),
            (Binpack, Some("disk"), "cpu or memory"),
            (Spread, None, "instanceId, host or attribute:NAME"),
            (Spread, Some("attribute:"), "instanceId, host or attribute:NAME"),
        ] {
            let why = strategy(kind, field).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn constraints_are_read_and_kept() {
        use ecs::PlacementConstraintType::{DistinctInstance, MemberOf};
        let wire = |kind, expression: Option<&str>| ecs::PlacementConstraint {
            r#type: Some(kind),
            expression: expression.map(Into::into),
        };
        let all = [wire(DistinctInstance, None), wire(MemberOf, Some("attribute:a == b"))];
        let constraints = Placement::read_constraints(&all).unwrap();
        let placement = Placement { constraints, strategy: vec![Strategy::zones()] };
        let text = serde_json::to_string(&placement).unwrap();
        assert_eq!(serde_json::from_str::<Placement>(&text).unwrap(), placement);
        assert_eq!(placement.shown_constraints()[1].expression.as_deref(), Some("attribute:a == b"));
        for bad in [wire(DistinctInstance, Some("x")), wire(MemberOf, None), wire(MemberOf, Some("oops"))] {
            assert!(Placement::read_constraints(&[bad]).is_err());
        }
        assert!(Placement::read_constraints(&vec![wire(DistinctInstance, None); 11]).is_err());
    }
}
