//! The cluster query language: expressions that choose container instances, in `memberOf` constraints and in the filter
//! of ListContainerInstances ("Create expressions to define container instances for Amazon ECS tasks", developer guide).
//!
//! ```text
//! expression = subject operator [argument]      attribute:ecs.instance-type =~ g2.* and not(task:group == database)
//! ```
//!
//! `or` binds weaker than `and`, `and` weaker than `not`; parentheses group. What an instance does not have is equal to
//! nothing, matches nothing and is in no list, so that the negative operators hold for it; no order holds for it.

mod eval;
mod facts;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use eval::Facts;
pub use facts::InstanceFacts;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest expression (API reference, PlacementConstraint).
pub const LENGTH_MAX: usize = 2_000;
/// How deep parentheses and negations may nest.
const DEPTH_MAX: usize = 32;

/// A parsed expression. It is kept as its text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: Box<str>,
    tree: Tree,
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted in characters, from 1.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.position, self.message)
    }
}

#[derive(Clone, Debug)]
enum Tree {
    All(Box<[Tree]>),
    Any(Box<[Tree]>),
    Not(Box<Tree>),
    Test(Box<Test>),
}

/// One comparison. `negated`: it holds when the positive one does not.
#[derive(Clone, Debug)]
struct Test {
    subject: Subject,
    negated: bool,
    predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    AgentConnected,
    AgentVersion,
    Attribute(Box<str>),
    ContainerInstanceArn,
    Ec2InstanceId,
    PendingTasksCount,
    RegisteredAt,
    RunningTasksCount,
    TaskGroup,
}

#[derive(Clone, Debug)]
enum Predicate {
    Exists,
    Equal(Box<str>),
    In(Box<[Box<str>]>),
    Matches(regex::Regex),
    Order(Order, Box<str>),
    /// Of counts, versions and dates: compared as what they are.
    Number(Order, u64),
    Version(Order, Box<[u64]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Expression {
    /// Reads an expression, or says what is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let tree = parse::expression(text)?;
        Ok(Self { text: text.into(), tree })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it holds for an instance.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        eval::holds(&self.tree, facts)
    }

    /// It asks only for what registering and PutAttributes say, which tasks that come and go do not change.
    pub fn is_of_attributes_only(&self) -> bool {
        fn of(tree: &Tree) -> bool {
            match tree {
                Tree::All(parts) | Tree::Any(parts) => parts.iter().all(of),
                Tree::Not(part) => of(part),
                Tree::Test(test) => matches!(test.subject, Subject::Attribute(_)),
            }
        }
        of(&self.tree)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl PartialOrd for Expression {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Expression {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl TryFrom<String> for Expression {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|mistake| mistake.to_string())
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text.into()
    }
}
