//! The shapes against the model they were generated from: for every operation of ECS, documents made from the model itself must
//! survive being read and written, and documents with something wrong in them must be refused in the right words.

use serde_json::{Map, Value, json};
use wire::ecs::{Operation, Request, Response};

/// The models that the code was generated from, merged as the generator merges them.
struct Model {
    shapes: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Model {
    fn load() -> Self {
        let mut model: Value = serde_json::from_str(include_str!("../../../models/ecs.json")).unwrap();
        let extra: Value = serde_json::from_str(include_str!("../../../models/ecs-gantry-members.json")).unwrap();
        let shapes = model["shapes"].as_object_mut().unwrap();
        for (name, members) in extra["members"].as_object().unwrap() {
            for (member, shape) in members.as_object().unwrap() {
                shapes[name]["members"][member] = shape.clone();
            }
        }
        shapes.extend(extra["shapes"].as_object().unwrap().clone());
        Self { shapes: shapes.clone(), operations: model["operations"].as_object().unwrap().clone() }
    }

    fn root(&self, operation: Operation, side: &str) -> &str {
        self.operations[operation.name()][side]["shape"].as_str().unwrap()
    }
}

/// A small generator of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// A document of the shape, within its limits. `skip` of ten optional members are left out.
fn sample(model: &Model, name: &str, dice: &mut Dice, skip: usize) -> Value {
    let shape = &model.shapes[name];
    let min = shape["min"].as_f64().unwrap_or(0.0);
    let max = shape["max"].as_f64().unwrap_or(min + 9.0).min(min + 9.0);
    let whole = |dice: &mut Dice| min as i64 + dice.roll((max - min) as usize + 1) as i64;
    match shape["type"].as_str().unwrap() {
        "structure" if shape["document"] == true => json!({"any": [1, "thing", null]}),
        "structure" => {
            let required = shape["required"].as_array().cloned().unwrap_or_default();
            let mut members = Map::new();
            for (member, target) in shape["members"].as_object().unwrap() {
                if required.contains(&json!(member)) || dice.roll(10) >= skip {
                    let target = target["shape"].as_str().unwrap();
                    members.insert(member.clone(), sample(model, target, dice, skip));
                }
            }
            Value::Object(members)
        }
        "list" => {
            let member = shape["member"]["shape"].as_str().unwrap();
            let count = whole(dice).min(min as i64 + 2);
            (0..count).map(|_| sample(model, member, dice, skip)).collect()
        }
        "map" => {
            let value = shape["value"]["shape"].as_str().unwrap();
            let pairs = (0..dice.roll(3)).map(|at| (format!("key-{at}"), sample(model, value, dice, skip)));
            Value::Object(pairs.collect())
        }
        "string" if shape.get("enum").is_some() => {
            let values = shape["enum"].as_array().unwrap();
            values[dice.roll(values.len())].clone()
        }
        "string" => {
            let limited = shape.get("pattern").is_some() || shape.get("max").is_some();
            let letters = if limited { "abcXYZ019.-" } else { "ab\"\\/\n\u{1}é💥 " };
            let letters: Vec<char> = letters.chars().collect();
            let count = whole(dice).max(min as i64);
            Value::String((0..count).map(|_| letters[dice.roll(letters.len())]).collect())
        }
        "integer" => json!(whole(dice)),
        "long" => json!(whole(dice) + (1 << 40)),
        "double" => json!(whole(dice) as f64 * 0.5 + 0.25),
        "boolean" => json!(dice.roll(2) == 0),
        "timestamp" => json!((1_700_000_000_000_u64 + dice.roll(1 << 40) as u64) as f64 / 1000.0),
        other => panic!("the test knows no type {other}"),
    }
}

/// Reads and writes a document; what comes back is read again too.
fn round(operation: Operation, document: &Value, side: &str) -> Result<(Value, bool), wire::Fault> {
    let body = document.to_string();
    let (text, same) = if side == "input" {
        let read = Request::decode(operation, body.as_bytes())?;
        let text = read.to_json();
        let same = Request::decode(operation, text.as_bytes())? == read;
        (text, same)
    } else {
        let read = Response::decode(operation, body.as_bytes())?;
        let text = read.to_json();
        let same = Response::decode(operation, text.as_bytes())? == read;
        (text, same)
    };
    Ok((serde_json::from_str(&text).unwrap(), same))
}

#[test]
fn every_shape_goes_there_and_back_without_losing_a_member() {
    let model = Model::load();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    assert_eq!(Operation::ALL.len(), model.operations.len());
    for operation in Operation::ALL.iter().copied() {
        for (side, skip) in [("input", 0), ("output", 0), ("input", 5), ("output", 5), ("input", 9)] {
            for _ in 0..4 {
                let document = sample(&model, model.root(operation, side), &mut dice, skip);
                let (written, same) = round(operation, &document, side)
                    .unwrap_or_else(|fault| panic!("{operation} {side}: {fault}\n{document}"));
                // The document is compared as text too is read: both went through the same parser.
                let document: Value = serde_json::from_str(&document.to_string()).unwrap();
                assert_eq!(written, document, "{operation} {side}");
                assert!(same, "{operation} {side}");
            }
        }
    }
}

#[test]
fn an_empty_request_is_read_or_misses_a_member() {
    let model = Model::load();
    for operation in Operation::ALL.iter().copied() {
        let shape = &model.shapes[model.root(operation, "input")];
        let required = shape.get("required").is_some();
        for body in ["{}", "", " \n", "{\"unknown\":1}"] {
            match Request::decode(operation, body.as_bytes()) {
                Ok(request) => {
                    assert!(!required, "{operation}");
                    assert_eq!(request.operation(), operation);
                    assert_eq!(request.to_json(), "{}");
                }
                Err(fault) => {
                    assert!(required, "{operation}: {fault}");
                    assert_eq!(fault.code, "InvalidParameterException");
                    assert!(fault.message.ends_with(": a required member is missing"), "{fault}");
                }
            }
        }
    }
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn anything_wrong_is_refused_with_its_place_and_nothing_panics() {
    let model = Model::load();
    let mut dice = Dice(42);
    let wrongs = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(2.5),
        json!(""),
        json!("\u{0}wrong"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": {"b": []}}),
        json!(u64::MAX),
        json!("99999999999"),
    ];
    let mut refused = 0;
    for operation in Operation::ALL.iter().copied() {
        let document = sample(&model, model.root(operation, "input"), &mut dice, 3);
        let mut found = Vec::new();
        places(&document, "", &mut found);
        for place in found.iter().take(400) {
            let mut broken = document.clone();
            let wrong = wrongs[dice.roll(wrongs.len())].clone();
            *broken.pointer_mut(place).unwrap() = wrong.clone();
            let Err(fault) = Request::decode(operation, broken.to_string().as_bytes()) else {
                continue;
            };
            refused += 1;
            assert!(matches!(fault.code.as_ref(), "SerializationException" | "InvalidParameterException"), "{fault}");
            assert_eq!(fault.status, 400);
            let first = place.split('/').nth(1).unwrap_or("the request");
            let about_the_place =
                fault.message.starts_with(first) || fault.message.ends_with("a required member is missing");
            assert!(about_the_place, "{place} {wrong}: {fault}");
        }
    }
    assert!(refused > 1000, "only {refused} documents were refused");
}

#[test]
fn every_enum_value_and_no_other_is_accepted() {
    let model = Model::load();
    let accepts = |value: &str| {
        let body = json!({"launchType": value, "taskDefinition": "t"}).to_string();
        Request::decode(Operation::RunTask, body.as_bytes()).map(drop)
    };
    let values = model.shapes["LaunchType"]["enum"].as_array().unwrap();
    for value in values {
        accepts(value.as_str().unwrap()).unwrap();
    }
    let names: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    let fault = accepts("ec2").unwrap_err();
    assert_eq!(fault.code, "InvalidParameterException");
    assert_eq!(fault.message, format!("launchType: \"ec2\" is not one of {}", names.join(", ")));
}
