//! Writing shapes as the XML of the query protocols. Text only: nothing here decides what an answer's frame looks like.

use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::writer::Writer;

use crate::closed_enum::ClosedEnum;
use crate::timestamp::Timestamp;

/// A shape that can be written as XML, inside an element that its holder opened.
pub trait ToXml {
    /// Writes the content.
    fn write_xml(&self, out: &mut XmlWriter);
}

/// Builds one XML document.
pub struct XmlWriter {
    writer: Writer<Vec<u8>>,
    /// What an item of a list is called.
    item: &'static str,
}

impl std::fmt::Debug for XmlWriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("XmlWriter").finish_non_exhaustive()
    }
}

impl Default for XmlWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl XmlWriter {
    /// A document with its declaration.
    pub fn new() -> Self {
        let declaration = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        Self { writer: Writer::new(declaration.to_vec()), item: "item" }
    }

    /// A document whose lists have items of that name.
    pub fn with_items(item: &'static str) -> Self {
        Self { item, ..Self::new() }
    }

    /// The document's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.writer.into_inner()
    }

    fn event(&mut self, event: Event<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.writer.write_event(event);
    }

    /// An element around what `content` writes.
    pub fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.event(Event::Start(BytesStart::new(name)));
        content(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// The outermost element, with its namespace.
    pub fn root(&mut self, name: &str, namespace: &str, content: impl FnOnce(&mut Self)) {
        let start = BytesStart::new(name).with_attributes([("xmlns", namespace)]);
        self.event(Event::Start(start));
        content(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// Text; characters that XML cannot carry become replacement characters.
    pub fn text(&mut self, text: &str) {
        let carried = |letter: char| match letter {
            '\t' | '\n' | '\r' => letter,
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            _ => letter,
        };
        let clean: String = text.chars().map(carried).collect();
        self.event(Event::Text(BytesText::new(&clean)));
    }

    /// An element with text.
    pub fn text_element(&mut self, name: &str, text: &str) {
        self.element(name, |out| out.text(text));
    }

    /// A member of a structure, unless it is absent.
    pub fn optional<T: ToXml>(&mut self, name: &str, value: &Option<T>) {
        if let Some(value) = value {
            self.required(name, value);
        }
    }

    /// A member of a structure.
    pub fn required<T: ToXml>(&mut self, name: &str, value: &T) {
        self.element(name, |out| value.write_xml(out));
    }
}

impl XmlWriter {
    /// As [`XmlWriter::optional`]: limits are checked when reading.
    pub fn optional_limited<T: ToXml>(&mut self, name: &str, value: &Option<T>) {
        self.optional(name, value);
    }

    /// As [`XmlWriter::required`]: limits are checked when reading.
    pub fn required_limited<T: ToXml>(&mut self, name: &str, value: &T) {
        self.required(name, value);
    }
}

impl ToXml for String {
    fn write_xml(&self, out: &mut XmlWriter) {
        out.text(self);
    }
}

impl ToXml for i32 {
    fn write_xml(&self, out: &mut XmlWriter) {
        out.text(&self.to_string());
    }
}

impl ToXml for bool {
    fn write_xml(&self, out: &mut XmlWriter) {
        out.text(if *self { "true" } else { "false" });
    }
}

impl ToXml for Timestamp {
    fn write_xml(&self, out: &mut XmlWriter) {
        out.text(&self.to_string());
    }
}

impl<T: ToXml> ToXml for Vec<T> {
    fn write_xml(&self, out: &mut XmlWriter) {
        for item in self {
            out.required(out.item, item);
        }
    }
}

impl<T: ClosedEnum> ToXml for T {
    fn write_xml(&self, out: &mut XmlWriter) {
        out.text(T::NAMES[self.index()]);
    }
}
