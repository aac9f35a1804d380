//! From `serde_json::Value` to shapes. Never panics on any value, and never repeats text that was sent where a text was
//! wanted, since that may be a secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::closed_enum::{ClosedEnum, allowed_values};
use crate::fault::Fault;
use crate::path::Path;

/// A shape that can be read from JSON.
pub trait FromJson: Sized {
    /// Reads the value that stands at `at`.
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault>;

    /// Reads a whole document.
    fn from_json_str(text: &str) -> Result<Self, Fault> {
        Self::from_json_slice(text.as_bytes())
    }

    /// Reads a whole document; nothing at all counts as `{}`.
    fn from_json_slice(body: &[u8]) -> Result<Self, Fault> {
        Self::from_json(&parse(body)?, &Path::root())
    }
}

/// Parses a request's body; nothing at all counts as `{}`.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body)
        .map_err(|cause| Fault::serialization(format!("the request is not valid JSON: {cause}")))
}

/// The members of one JSON object, for the structure that reads them.
#[derive(Debug)]
pub struct Members<'a> {
    map: &'a Map<String, Value>,
    at: &'a Path<'a>,
}

impl<'a> Members<'a> {
    /// The members of `value`, which must be an object.
    pub fn of(value: &'a Value, at: &'a Path<'a>) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self { map, at }),
            other => Err(mismatch(at, "an object", other)),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A member that may be absent or null.
    pub fn optional<T: FromJson>(&self, name: &str) -> Result<Option<T>, Fault> {
        match self.get(name) {
            Some(value) => T::from_json(value, &self.at.member(name)).map(Some),
            None => Ok(None),
        }
    }

    /// A member that must be there.
    pub fn required<T: FromJson>(&self, name: &str) -> Result<T, Fault> {
        match self.get(name) {
            Some(value) => T::from_json(value, &self.at.member(name)),
            None => Err(self.missing(name)),
        }
    }

    /// An optional member whose value is limited.
    pub fn optional_limited<T: FromJson>(
        &self,
        name: &str,
        limit: fn(&T, &Path<'_>) -> Result<(), Fault>,
    ) -> Result<Option<T>, Fault> {
        let value = self.optional(name)?;
        if let Some(value) = &value {
            limit(value, &self.at.member(name))?;
        }
        Ok(value)
    }

    /// A required member whose value is limited.
    pub fn required_limited<T: FromJson>(
        &self,
        name: &str,
        limit: fn(&T, &Path<'_>) -> Result<(), Fault>,
    ) -> Result<T, Fault> {
        let value = self.required(name)?;
        limit(&value, &self.at.member(name))?;
        Ok(value)
    }

    #[cold]
    fn missing(&self, name: &str) -> Fault {
        self.at.member(name).invalid("a required member is missing")
    }
}

/// How much of a wrong value is repeated in the fault.
const SHOWN_CHARACTERS_MAX: usize = 40;

#[cold]
fn mismatch(at: &Path<'_>, wanted: &str, got: &Value) -> Fault {
    let got = match got {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) if wanted != "a string" => number.to_string(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) => {
            let shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
            let cut = if shown.len() < text.len() { "..." } else { "" };
            format!("{:?}", shown + cut)
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    at.mismatch(format_args!("expected {wanted}, got {got}"))
}

impl FromJson for String {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(mismatch(at, "a string", other)),
        }
    }
}

impl FromJson for bool {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            other => Err(mismatch(at, "a boolean", other)),
        }
    }
}

/// A whole number: as one, as text, or as a fraction without a fractional part.
fn whole(value: &Value) -> Option<i64> {
    let from_fraction = |number: f64| {
        // Beyond 2^53 a double no longer says which whole number was meant.
        let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
        exact.then_some(number as i64)
    };
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(from_fraction)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().and_then(from_fraction))
        }
        _ => None,
    }
}

impl FromJson for i64 {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        whole(value).ok_or_else(|| mismatch(at, "an integer", value))
    }
}

impl FromJson for i32 {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let wide = whole(value).ok_or_else(|| mismatch(at, "an integer", value))?;
        Self::try_from(wide).map_err(|_| mismatch(at, "an integer of 32 bits", value))
    }
}

impl FromJson for f64 {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| mismatch(at, "a number", value))
    }
}

impl FromJson for Value {
    fn from_json(value: &Value, _: &Path<'_>) -> Result<Self, Fault> {
        Ok(value.clone())
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let Value::Array(items) = value else {
            return Err(mismatch(at, "a list", value));
        };
        let mut list = Self::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            list.push(T::from_json(item, &at.item(index))?);
        }
        Ok(list)
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let Value::Object(members) = value else {
            return Err(mismatch(at, "an object", value));
        };
        let mut map = Self::new();
        for (key, item) in members {
            map.insert(key.clone(), T::from_json(item, &at.key(key))?);
        }
        Ok(map)
    }
}

impl<T: ClosedEnum> FromJson for T {
    fn from_json(value: &Value, at: &Path<'_>) -> Result<Self, Fault> {
        let Value::String(text) = value else {
            return Err(mismatch(at, "a string", value));
        };
        T::find(text).ok_or_else(|| at.invalid(format_args!("{text:?} is not one of {}", allowed_values::<T>())))
    }
}
