use super::*;
use crate::Millis;

/// An instance with these attributes and groups; the rest is the same for all.
struct Host {
    attributes: &'static [(&'static str, &'static str)],
    groups: &'static [&'static str],
}

impl Facts for Host {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
    fn agent_connected(&self) -> bool {
        true
    }
    fn agent_version(&self) -> &str {
        "1.20.3"
    }
    fn ec2_instance_id(&self) -> Option<&str> {
        Some("i-abcd1234")
    }
    fn is_named(&self, name: &str) -> bool {
        name == "arn:x/1"
    }
    fn arn_fits(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        fits("arn:x/1")
    }
    fn registered_at(&self) -> Millis {
        1_529_360_908_500
    }
    fn running_tasks(&self) -> u32 {
        1
    }
    fn pending_tasks(&self) -> u32 {
        0
    }
    fn has_group(&self, group: &str) -> bool {
        self.groups.contains(&group)
    }
    fn any_group(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        self.groups.iter().any(|group| fits(group))
    }
}

const HOST: Host = Host {
    attributes: &[
        ("ecs.instance-type", "t2.small"),
        ("ecs.availability-zone", "us-east-1a"),
        ("stack", "prod"),
        ("disks", "10"),
        ("ssd", ""),
    ],
    groups: &["service:production", "family:web"],
};

fn holds(text: &str) -> bool {
    Expression::parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}")).holds(&HOST)
}

#[test]
fn the_documented_examples() {
    for (text, expected) in [
        ("attribute:ecs.instance-type == t2.small", true),
        ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", true),
        ("attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d", false),
        ("attribute:ecs.instance-type =~ t2.* and attribute:ecs.availability-zone != us-east-1d", true),
        ("task:group == service:production", true),
        ("not(task:group == database)", true),
        ("runningTasksCount == 1", true),
        ("ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']", true),
        ("agentVersion < 1.21.0", true),
        ("agentConnected == true", true),
        ("registeredAt >= 2018-06-18T22:28:28+00:00", true),
        ("registeredAt < 2018-06-18T22:28:28Z", false),
        ("registeredAt == 2018-06-18T22:28:28", true),
        ("registeredAt > 2018-06-18", true),
        ("attribute:stack == prod", true),
        ("(attribute:stack == dev or attribute:stack == prod) and attribute:ssd exists", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn every_operator_in_both_spellings() {
    for (symbol, word, argument, expected) in [
        ("==", "equals", "prod", true),
        ("!=", "not_equals", "prod", false),
        (">", "greater_than", "prod", false),
        (">=", "greater_than_equal", "prod", true),
        ("<", "less_than", "prof", true),
        ("<=", "less_than_equal", "prod", true),
        ("exists", "exists", "", true),
        ("!exists", "not_exists", "", false),
        ("in", "in", "[dev, prod]", true),
        ("!in", "not_in", "[dev, prod]", false),
        ("=~", "matches", "p.o[a-d]", true),
        ("!~", "not_matches", "p.o[a-d]", false),
    ] {
        for operator in [symbol, word] {
            let text = format!("attribute:stack {operator} {argument}");
            assert_eq!(holds(&text), expected, "{text}");
        }
        if !symbol.starts_with(char::is_alphabetic) && !symbol.ends_with(char::is_alphabetic) {
            assert_eq!(holds(&format!("attribute:stack{symbol}{argument}")), expected, "without spaces: {symbol}");
        }
    }
}

#[test]
fn what_is_not_there_is_equal_to_nothing() {
    for (text, expected) in [
        ("attribute:gpu == 1", false),
        ("attribute:gpu != 1", true),
        ("attribute:gpu !in [1]", true),
        ("attribute:gpu !~ .*", true),
        ("attribute:gpu < 5", false),
        ("attribute:gpu exists", false),
        ("attribute:gpu !exists", true),
        ("attribute:ssd == ''", true),
        ("task:group != database", true),
        ("task:group in [database, family:web]", true),
        ("task:group =~ service:.*", true),
        ("task:group !~ service:.*", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn numbers_versions_patterns_and_names() {
    for (text, expected) in [
        ("attribute:disks > 9", true),
        ("attribute:disks < 9.5", false),
        ("agentVersion >= 1.9", true),
        ("agentVersion == 1.20", false),
        ("agentVersion > 1.20", true),
        ("pendingTasksCount < 1", true),
        ("attribute:stack =~ pro", false),
        ("attribute:stack =~ (prod|dev)", true),
        ("attribute:stack =~ 'pro d|prod'", true),
        ("(attribute:stack =~ pr.d)", true),
        ("containerInstanceArn == arn:x/1", true),
        ("containerInstanceArn =~ arn:.*", true),
        ("agentConnected in [true, false]", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn and_binds_before_or_and_not_before_both() {
    for (text, expected) in [
        ("runningTasksCount == 1 or runningTasksCount == 2 and runningTasksCount == 3", true),
        ("(runningTasksCount == 1 or runningTasksCount == 2) and runningTasksCount == 3", false),
        ("!runningTasksCount == 2 && !(runningTasksCount == 3 || runningTasksCount == 4)", true),
        ("not runningTasksCount == 1 or attribute:stack == prod", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn mistakes_have_a_place_and_say_what_to_do() {
    let deep = format!("{}runningTasksCount == 1{}", "(".repeat(40), ")".repeat(40));
    let long = format!("attribute:a == {}", "x".repeat(2_000));
    for (text, position, words) in [
        ("", 1, "a subject is missing, found the end"),
        ("stack == prod", 1, "unknown subject \"stack\", expected agentConnected"),
        ("attribute: == x", 1, "without a name"),
        ("attribute:stack = prod", 17, "expected an operator such as =="),
        ("attribute:stack ==", 19, "a value is missing, found the end"),
        ("attribute:stack == 'prod", 20, "the quote ' is not closed"),
        ("attribute:stack == prod dev", 25, "expected and, or, or the end, found \"dev\""),
        ("attribute:stack in prod", 20, "expected a list such as [a, b]"),
        ("attribute:stack in [a b]", 23, "expected , or ] in the list"),
        ("attribute:stack =~ a(?=b)", 20, "cannot be used"),
        ("attribute:stack =~ 'a)|(b'", 20, "cannot be used"),
        ("attribute:stack =~ 'a{9999}{9999}'", 20, "too large"),
        ("(attribute:stack == prod", 25, "expected a closing parenthesis, found the end"),
        ("runningTasksCount == many", 22, "not a number of tasks"),
        ("runningTasksCount in [1]", 19, "does not have this operator"),
        ("registeredAt > yesterday", 16, "is not a date such as"),
        ("agentVersion > new", 16, "is not a version"),
        ("agentConnected == yes", 19, "is true or false"),
        ("attribute:é == x and oops", 22, "unknown subject \"oops\""),
        (&deep, 34, "nested deeper than 32"),
        (&long, 2_001, "and may have 2000"),
    ] {
        let mistake = Expression::parse(text).expect_err(text);
        assert_eq!(mistake.position, position, "{text}: {mistake}");
        assert!(mistake.message.contains(words), "{text}: {mistake}");
    }
}

#[test]
fn an_expression_is_kept_as_its_text() {
    let text = "attribute:stack  ==  prod";
    let written = serde_json::to_string(&Expression::parse(text).unwrap()).unwrap();
    assert_eq!(written, format!("{text:?}"));
    assert_eq!(serde_json::from_str::<Expression>(&written).unwrap().as_str(), text);
    assert!(serde_json::from_str::<Expression>("\"oops\"").is_err());
    assert!(Expression::parse(text).unwrap().is_of_attributes_only());
    assert!(!Expression::parse("attribute:a exists and task:group == x").unwrap().is_of_attributes_only());
}
