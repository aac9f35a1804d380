//! CBOR of Smithy's RPC v2 protocol, by way of the JSON that the same shapes have. No service that is spoken in it here has
//! bytes or answers with times, so neither is written, and bytes are refused.

use crate::Fault;
use minicbor::data::Type;
use minicbor::encode::Error;
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Number, Value};
use std::convert::Infallible;

/// How deep lists and maps may be nested; JSON is read to the same depth.
const DEPTH_MAX: usize = 128;

/// Reads a request; nothing at all counts as an empty map.
pub(crate) fn read(body: &[u8]) -> Result<Value, Fault> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let mut decoder = Decoder::new(body);
    let value = value(&mut decoder, DEPTH_MAX)?;
    if decoder.position() != body.len() {
        return Err(malformed("something follows its end"));
    }
    Ok(value)
}

fn malformed(why: impl std::fmt::Display) -> Fault {
    Fault::serialization(format!("the request is not valid CBOR: {why}"))
}

fn value(from: &mut Decoder<'_>, depth: usize) -> Result<Value, Fault> {
    let below = depth.checked_sub(1).ok_or_else(|| malformed(format!("it is nested deeper than {DEPTH_MAX}")))?;
    Ok(match from.datatype().map_err(malformed)? {
        Type::Bool => Value::Bool(from.bool().map_err(malformed)?),
        Type::Null => from.null().map(|()| Value::Null).map_err(malformed)?,
        Type::Undefined => from.undefined().map(|()| Value::Null).map_err(malformed)?,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::from(from.u64().map_err(malformed)?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Value::from(from.i64().map_err(malformed)?),
        Type::F16 => number(f64::from(from.f16().map_err(malformed)?)),
        Type::F32 => number(f64::from(from.f32().map_err(malformed)?)),
        Type::F64 => number(from.f64().map_err(malformed)?),
        Type::String | Type::StringIndef => Value::String(text(from)?),
        Type::Array | Type::ArrayIndef => {
            let mut list = Vec::new();
            let mut left = from.array().map_err(malformed)?;
            while more(from, &mut left)? {
                list.push(value(from, below)?);
            }
            Value::Array(list)
        }
        Type::Map | Type::MapIndef => {
            let mut members = Map::new();
            let mut left = from.map().map_err(malformed)?;
            while more(from, &mut left)? {
                let key = text(from)?;
                members.insert(key, value(from, below)?);
            }
            Value::Object(members)
        }
        // A time is a number after tag 1, the only tag of RPC v2.
        Type::Tag => {
            let tag = from.tag().map_err(malformed)?.as_u64();
            match (tag, value(from, below)?) {
                (1, time @ Value::Number(_)) => time,
                _ => return Err(malformed(format!("tag {tag} has no meaning here"))),
            }
        }
        other => return Err(malformed(format!("{other} has no meaning here"))),
    })
}

/// Whether another item follows: `left` of a known number, or whatever comes before the break.
fn more(from: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, Fault> {
    if let Some(left) = left {
        let there = *left > 0;
        *left = left.saturating_sub(1);
        return Ok(there);
    }
    let over = from.datatype().map_err(malformed)? == Type::Break;
    if over {
        from.set_position(from.position() + 1);
    }
    Ok(!over)
}

fn number(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn text(from: &mut Decoder<'_>) -> Result<String, Fault> {
    if !matches!(from.datatype().map_err(malformed)?, Type::String | Type::StringIndef) {
        return Err(malformed("a member's name is a text"));
    }
    from.str_iter().map_err(malformed)?.collect::<Result<String, _>>().map_err(malformed)
}

/// Writes an answer.
pub(crate) fn written(value: &Value) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    let done: Result<(), Error<Infallible>> = write(&mut out, value);
    debug_assert!(done.is_ok(), "a vector takes everything");
    out.into_writer()
}

fn write(out: &mut Encoder<Vec<u8>>, value: &Value) -> Result<(), Error<Infallible>> {
    match value {
        Value::Null => out.null()?,
        Value::Bool(flag) => out.bool(*flag)?,
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => out.i64(whole)?,
            (None, Some(fraction)) => out.f64(fraction)?,
            (None, None) => out.null()?,
        },
        Value::String(text) => out.str(text)?,
        Value::Array(list) => {
            out.array(list.len() as u64)?;
            list.iter().try_for_each(|item| write(out, item))?;
            out
        }
        Value::Object(members) => {
            out.map(members.len() as u64)?;
            for (key, value) in members {
                out.str(key)?;
                write(out, value)?;
            }
            out
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_back() {
        let value = json!({"a": [1, -1, 1.5, true, null, "é"], "b": {}, "c": [u32::MAX, i64::MIN]});
        assert_eq!(read(&written(&value)).unwrap(), value);
        assert_eq!(read(b"").unwrap(), json!({}));
    }

    #[test]
    fn every_way_to_write_a_value_is_read() {
        // {_ "a": [_ 1, 2], "b": (_ "x", "y")}, a half float, undefined, a time.
        let cases: [(&[u8], Value); 4] = [
            (b"\xbf\x61a\x9f\x01\x02\xff\x61b\x7f\x61x\x61y\xff\xff", json!({"a": [1, 2], "b": "xy"})),
            (b"\xf9\x3e\x00", json!(1.5)),
            (b"\xf7", Value::Null),
            (b"\xc1\x18\x64", json!(100)),
        ];
        for (bytes, value) in cases {
            assert_eq!(read(bytes).unwrap(), value, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let deep = [vec![0x81; 200], vec![0x01]].concat();
        let cases: [&[u8]; 11] = [
            &deep,
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x7b\xff\xff\xff\xff\xff\xff\xff\xffabc",
            b"\xa1\x01\x02",
            b"\xbf\x61a",
            b"\x61\xff",
            b"\x01\x02",
            b"\xff",
            b"\x43abc",
            b"\xc2\x01",
            b"{}",
        ];
        for bytes in cases {
            assert_eq!(read(bytes).unwrap_err().code, "SerializationException", "{bytes:02x?}");
        }
    }
}
