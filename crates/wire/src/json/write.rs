//! From shapes to JSON text, without an intermediate tree.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::closed_enum::ClosedEnum;

/// A shape that can be written as JSON.
pub trait ToJson {
    /// Writes the value.
    fn write_json(&self, out: &mut JsonWriter);

    /// The value as a document.
    fn to_json(&self) -> String {
        let mut out = JsonWriter::with_room();
        self.write_json(&mut out);
        out.finish()
    }
}

/// Builds one JSON document; the caller keeps the order of opening and closing.
#[derive(Debug, Default)]
pub struct JsonWriter {
    text: String,
    /// Whether the next member or item follows another one.
    follows: bool,
}

impl JsonWriter {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// The document's text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Starts an object.
    pub fn open_object(&mut self) {
        self.text.push('{');
        self.follows = false;
    }

    /// Ends an object.
    pub fn close_object(&mut self) {
        self.text.push('}');
        self.follows = true;
    }

    /// Starts a list.
    pub fn open_list(&mut self) {
        self.text.push('[');
        self.follows = false;
    }

    /// Ends a list.
    pub fn close_list(&mut self) {
        self.text.push(']');
        self.follows = true;
    }

    /// Separates the next item from the one before; call it before each item of a list.
    pub fn item(&mut self) {
        if self.follows {
            self.text.push(',');
        }
        self.follows = true;
    }

    /// Writes a member's name; its value comes next. Names of members are a model's, and have nothing to escape.
    pub fn key(&mut self, name: &'static str) {
        self.item();
        self.plain(name);
        self.text.push(':');
    }

    /// Writes text that has nothing to escape.
    fn plain(&mut self, text: &'static str) {
        self.text.reserve(text.len() + 3);
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }

    /// Room for a usual answer, so that it is not moved again and again as it grows.
    fn with_room() -> Self {
        Self { text: String::with_capacity(2048), follows: false }
    }

    /// Writes a text value.
    pub fn string(&mut self, text: &str) {
        self.escaped(text);
    }

    /// Writes a whole number.
    pub fn integer(&mut self, number: i64) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{number}");
    }

    /// Writes a number; one that JSON cannot express becomes null.
    pub fn number(&mut self, number: f64) {
        if number.is_finite() {
            let _ = write!(self.text, "{number}");
        } else {
            self.null();
        }
    }

    /// Writes a number whose text the caller made.
    pub(crate) fn raw(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(text);
    }

    /// Writes true or false.
    pub fn boolean(&mut self, flag: bool) {
        self.text.push_str(if flag { "true" } else { "false" });
    }

    /// Writes null.
    pub fn null(&mut self) {
        self.text.push_str("null");
    }

    /// Writes a member unless it is absent.
    pub fn optional<T: ToJson>(&mut self, name: &'static str, value: &Option<T>) {
        if let Some(value) = value {
            self.required(name, value);
        }
    }

    /// Writes a member.
    pub fn required<T: ToJson>(&mut self, name: &'static str, value: &T) {
        self.key(name);
        value.write_json(self);
    }

    /// As [`JsonWriter::optional`]: limits are checked when reading.
    pub fn optional_limited<T: ToJson>(&mut self, name: &'static str, value: &Option<T>) {
        self.optional(name, value);
    }

    /// As [`JsonWriter::required`]: limits are checked when reading.
    pub fn required_limited<T: ToJson>(&mut self, name: &'static str, value: &T) {
        self.required(name, value);
    }

    fn escaped(&mut self, text: &str) {
        self.text.push('"');
        // Without an early end, so that the compiler looks at many bytes at once; hardly a text has one to escape.
        if !text.bytes().fold(false, |odd, byte| odd | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
            self.text.push_str(text);
            self.text.push('"');
            return;
        }
        let mut start = 0;
        for (index, byte) in text.bytes().enumerate() {
            let short = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0..0x20 => "",
                _ => continue,
            };
            // The byte is ASCII, so both cuts are at character boundaries.
            self.text.push_str(&text[start..index]);
            if short.is_empty() {
                let _ = write!(self.text, "\\u{byte:04x}");
            } else {
                self.text.push_str(short);
            }
            start = index + 1;
        }
        self.text.push_str(&text[start..]);
        self.text.push('"');
    }
}

impl ToJson for String {
    fn write_json(&self, out: &mut JsonWriter) {
        out.string(self);
    }
}

impl ToJson for bool {
    fn write_json(&self, out: &mut JsonWriter) {
        out.boolean(*self);
    }
}

impl ToJson for i32 {
    fn write_json(&self, out: &mut JsonWriter) {
        out.integer(i64::from(*self));
    }
}

impl ToJson for i64 {
    fn write_json(&self, out: &mut JsonWriter) {
        out.integer(*self);
    }
}

impl ToJson for f64 {
    fn write_json(&self, out: &mut JsonWriter) {
        out.number(*self);
    }
}

impl ToJson for Value {
    fn write_json(&self, out: &mut JsonWriter) {
        out.raw(format_args!("{self}"));
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write_json(&self, out: &mut JsonWriter) {
        out.open_list();
        for item in self {
            out.item();
            item.write_json(out);
        }
        out.close_list();
    }
}

impl<T: ToJson> ToJson for BTreeMap<String, T> {
    fn write_json(&self, out: &mut JsonWriter) {
        out.open_object();
        for (key, item) in self {
            out.item();
            out.string(key);
            out.text.push(':');
            item.write_json(out);
        }
        out.close_object();
    }
}

impl<T: ClosedEnum> ToJson for T {
    fn write_json(&self, out: &mut JsonWriter) {
        out.plain(T::NAMES[self.index()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_json_wants() -> Result<(), serde_json::Error> {
        let nasty = "plain \" \\ \n \r \t \u{0} \u{1f} \u{7f} é 💥 \u{2028}".to_owned();
        let back: String = serde_json::from_str(&nasty.to_json())?;
        assert_eq!(back, nasty);
        Ok(())
    }

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let lists = vec![vec![1_i32, 2], vec![], vec![3]];
        assert_eq!(lists.to_json(), "[[1,2],[],[3]]");
        let map: BTreeMap<String, Vec<bool>> = [("a".into(), vec![]), ("b".into(), vec![true])].into();
        assert_eq!(map.to_json(), r#"{"a":[],"b":[true]}"#);
    }

    #[test]
    fn numbers() {
        assert_eq!(vec![0.5, 100.0, f64::NAN].to_json(), "[0.5,100,null]");
        assert_eq!(i64::MIN.to_json(), "-9223372036854775808");
    }
}
