//! Reading shapes from JSON and writing them to it. Reading follows what AWS's own front accepts (numbers as text, unknown
//! members ignored, null as absent) and answers with the path of what is wrong; writing leaves absent members out.

mod read;
mod write;

pub use read::{FromJson, Members};
pub use write::{JsonWriter, ToJson};
