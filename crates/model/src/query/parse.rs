//! From tokens to a tree, by descent.

use super::scan::Scanner;
use super::{DEPTH_MAX, Mistake, Order, Predicate, Subject, Test, Tree};
use crate::Millis;
use wire::Timestamp;

/// Largest compiled pattern, in bytes.
const PATTERN_MAX: usize = 128 * 1024;

pub(super) fn expression(text: &str) -> Result<Tree, Mistake> {
    let mut scanner = Scanner::new(text)?;
    let tree = any(&mut scanner, 0)?;
    match scanner.rest() {
        "" => Ok(tree),
        _ => {
            let (at, found) = (scanner.position(), scanner.found());
            Err(scanner.mistake(at, format!("expected and, or, or the end, found {found}")))
        }
    }
}

fn any(scanner: &mut Scanner<'_>, depth: usize) -> Result<Tree, Mistake> {
    let mut parts = vec![all(scanner, depth)?];
    while scanner.takes("||") || scanner.takes_word("or") {
        parts.push(all(scanner, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::Any(parts.into()) })
}

fn all(scanner: &mut Scanner<'_>, depth: usize) -> Result<Tree, Mistake> {
    let mut parts = vec![one(scanner, depth)?];
    while scanner.takes("&&") || scanner.takes_word("and") {
        parts.push(one(scanner, depth)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::All(parts.into()) })
}

fn one(scanner: &mut Scanner<'_>, depth: usize) -> Result<Tree, Mistake> {
    let at = scanner.position();
    if depth > DEPTH_MAX {
        return Err(scanner.mistake(at, format!("nested deeper than {DEPTH_MAX}")));
    }
    if scanner.takes("!") || scanner.takes_word("not") {
        return Ok(Tree::Not(Box::new(one(scanner, depth + 1)?)));
    }
    if scanner.takes("(") {
        let tree = any(scanner, depth + 1)?;
        if scanner.takes(")") {
            return Ok(tree);
        }
        let found = scanner.found();
        let here = scanner.position();
        return Err(scanner.mistake(here, format!("expected a closing parenthesis, found {found}")));
    }
    test(scanner).map(|test| Tree::Test(Box::new(test)))
}

fn subject(scanner: &mut Scanner<'_>) -> Result<Subject, Mistake> {
    let (at, found) = (scanner.position(), scanner.found());
    let word = scanner.word().ok_or_else(|| scanner.mistake(at, format!("a subject is missing, found {found}")))?;
    Ok(match word {
        "agentConnected" => Subject::AgentConnected,
        "agentVersion" => Subject::AgentVersion,
        "containerInstanceArn" => Subject::ContainerInstanceArn,
        "ec2InstanceId" => Subject::Ec2InstanceId,
        "pendingTasksCount" => Subject::PendingTasksCount,
        "registeredAt" => Subject::RegisteredAt,
        "runningTasksCount" => Subject::RunningTasksCount,
        "task:group" => Subject::TaskGroup,
        _ => match word.strip_prefix("attribute:") {
            Some("") => return Err(scanner.mistake(at, "attribute: without a name")),
            Some(name) => Subject::Attribute(name.into()),
            None => {
                let known = "agentConnected, agentVersion, attribute:NAME, containerInstanceArn, ec2InstanceId, \
                             pendingTasksCount, registeredAt, runningTasksCount or task:group";
                return Err(scanner.mistake(at, format!("unknown subject {word:?}, expected {known}")));
            }
        },
    })
}

/// An operator, before it is known whether its subject has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exists,
    In,
    Matches,
    Order(Order),
}

/// The symbols, the longer of two that begin alike first; then the words.
const SYMBOLS: [(&str, Operator, bool); 8] = [
    ("==", Operator::Order(Order::Equal), false),
    ("!=", Operator::Order(Order::Equal), true),
    ("=~", Operator::Matches, false),
    ("!~", Operator::Matches, true),
    (">=", Operator::Order(Order::GreaterOrEqual), false),
    ("<=", Operator::Order(Order::LessOrEqual), false),
    (">", Operator::Order(Order::Greater), false),
    ("<", Operator::Order(Order::Less), false),
];
const WORDS: [(&str, Operator, bool); 12] = [
    ("equals", Operator::Order(Order::Equal), false),
    ("not_equals", Operator::Order(Order::Equal), true),
    ("greater_than", Operator::Order(Order::Greater), false),
    ("greater_than_equal", Operator::Order(Order::GreaterOrEqual), false),
    ("less_than", Operator::Order(Order::Less), false),
    ("less_than_equal", Operator::Order(Order::LessOrEqual), false),
    ("exists", Operator::Exists, false),
    ("not_exists", Operator::Exists, true),
    ("in", Operator::In, false),
    ("not_in", Operator::In, true),
    ("matches", Operator::Matches, false),
    ("not_matches", Operator::Matches, true),
];

fn operator(scanner: &mut Scanner<'_>) -> Result<(Operator, bool), Mistake> {
    let (at, found) = (scanner.position(), scanner.found());
    if let Some((_, operator, negated)) = SYMBOLS.iter().find(|(symbol, ..)| scanner.takes(symbol)) {
        return Ok((*operator, *negated));
    }
    // `!exists` and `!in`.
    let bang = scanner.takes("!");
    let word = WORDS.iter().find(|(word, ..)| scanner.takes_word(word));
    match word {
        Some((_, operator, negated)) if !bang => Ok((*operator, *negated)),
        Some((_, operator @ (Operator::Exists | Operator::In), false)) => Ok((*operator, true)),
        _ => Err(scanner.mistake(at, format!("expected an operator such as ==, !=, in, =~ or exists, found {found}"))),
    }
}

fn test(scanner: &mut Scanner<'_>) -> Result<Test, Mistake> {
    let subject = subject(scanner)?;
    let at = scanner.position();
    let (operator, negated) = operator(scanner)?;
    if !subject.has(operator) {
        let message = format!("{} does not have this operator", subject.name());
        return Err(scanner.mistake(at, message));
    }
    let predicate = match operator {
        Operator::Exists => Predicate::Exists,
        Operator::In => Predicate::In(list(scanner, &subject)?),
        Operator::Matches => {
            let at = scanner.position();
            let pattern = scanner.pattern()?;
            Predicate::Matches(regex(pattern).map_err(|why| scanner.mistake(at, why))?)
        }
        Operator::Order(order) => {
            let at = scanner.position();
            let value = scanner.value()?;
            subject.compared(order, value).map_err(|why| scanner.mistake(at, why))?
        }
    };
    Ok(Test { subject, negated, predicate })
}

fn list(scanner: &mut Scanner<'_>, subject: &Subject) -> Result<Box<[Box<str>]>, Mistake> {
    let at = scanner.position();
    if !scanner.takes("[") {
        return Err(scanner.mistake(at, "expected a list such as [a, b]"));
    }
    let mut values: Vec<Box<str>> = Vec::new();
    loop {
        let at = scanner.position();
        let value = scanner.value()?;
        subject.takes_value(value).map_err(|why| scanner.mistake(at, why))?;
        values.push(value.into());
        if scanner.takes("]") {
            return Ok(values.into());
        }
        if !scanner.takes(",") {
            let (at, found) = (scanner.position(), scanner.found());
            return Err(scanner.mistake(at, format!("expected , or ] in the list, found {found}")));
        }
    }
}

/// The whole value must match, as `matches` of Java's strings has it.
fn regex(pattern: &str) -> Result<regex::Regex, String> {
    let compile = |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(PATTERN_MAX).build();
    let why = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("the pattern {pattern:?} cannot be used: {}", last.trim_start_matches("error: "))
        }
    };
    // By itself first: `a)|(b` would be valid between the parentheses.
    compile(pattern).map_err(why)?;
    compile(&format!("^(?:{pattern})$")).map_err(why)
}

impl Subject {
    fn name(&self) -> &str {
        match self {
            Self::AgentConnected => "agentConnected",
            Self::AgentVersion => "agentVersion",
            Self::Attribute(name) => name,
            Self::ContainerInstanceArn => "containerInstanceArn",
            Self::Ec2InstanceId => "ec2InstanceId",
            Self::PendingTasksCount => "pendingTasksCount",
            Self::RegisteredAt => "registeredAt",
            Self::RunningTasksCount => "runningTasksCount",
            Self::TaskGroup => "task:group",
        }
    }

    /// Which operators the documentation gives it.
    fn has(&self, operator: Operator) -> bool {
        match self {
            Self::Attribute(_) => true,
            Self::AgentVersion | Self::PendingTasksCount | Self::RegisteredAt | Self::RunningTasksCount => {
                matches!(operator, Operator::Order(_))
            }
            Self::AgentConnected | Self::ContainerInstanceArn | Self::Ec2InstanceId | Self::TaskGroup => {
                matches!(operator, Operator::In | Operator::Matches | Operator::Order(Order::Equal))
            }
        }
    }

    fn takes_value(&self, value: &str) -> Result<(), String> {
        match self {
            Self::AgentConnected if !matches!(value, "true" | "false") => {
                Err(format!("agentConnected is true or false, not {value:?}"))
            }
            _ => Ok(()),
        }
    }

    fn compared(&self, order: Order, value: &str) -> Result<Predicate, String> {
        self.takes_value(value)?;
        Ok(match self {
            Self::PendingTasksCount | Self::RunningTasksCount => {
                Predicate::Number(order, value.parse().map_err(|_| format!("{value:?} is not a number of tasks"))?)
            }
            Self::RegisteredAt => {
                let at = date(value).ok_or_else(|| {
                    format!("{value:?} is not a date such as 2018-06-18T22:28:28+00:00 or 2018-06-18")
                })?;
                Predicate::Number(order, at)
            }
            Self::AgentVersion => {
                let parts: Option<Box<[u64]>> = version(value).collect();
                Predicate::Version(order, parts.ok_or_else(|| format!("{value:?} is not a version such as 1.20.0"))?)
            }
            _ if order == Order::Equal => Predicate::Equal(value.into()),
            _ => Predicate::Order(order, value.into()),
        })
    }
}

/// The numbers of a version; what follows a `-` or `+` does not count.
pub(super) fn version(text: &str) -> impl Iterator<Item = Option<u64>> {
    let plain = text.split(['-', '+']).next().unwrap_or_default();
    let plain = plain.strip_prefix('v').unwrap_or(plain);
    plain.split('.').map(|part| part.parse().ok())
}

/// Seconds since the epoch, of the four forms that the documentation lists. Without an offset it is UTC.
fn date(text: &str) -> Option<Millis> {
    Timestamp::from_iso(text).map(|at| at.millis() / 1000)
}
