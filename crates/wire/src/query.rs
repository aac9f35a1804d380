//! Reading shapes from the forms of the query protocols (`Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1`). EC2 numbers lists
//! directly below their name, the others below `member` (`TagKeys.member.1=a`). Never fails on unknown parameters.

use std::collections::BTreeMap;

use crate::closed_enum::ClosedEnum;
use crate::fault::Fault;
use crate::path::Path;

/// The decoded parameters of a request.
#[derive(Debug, Default)]
pub struct Params {
    values: BTreeMap<String, String>,
}

impl Params {
    /// Parses a form, or the query part of an address. The first of several values of a name counts.
    pub fn parse(form: &str) -> Self {
        let mut params = Self::default();
        params.add(form);
        params
    }

    /// Adds what another form says, without replacing what is there.
    pub fn add(&mut self, form: &str) {
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.values.entry(form_decoded(name)).or_insert_with(|| form_decoded(value));
        }
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The members of the structure at `name`, when any is there; the empty name is the request.
    pub fn members<'a>(&'a self, name: &'a str) -> Option<QueryMembers<'a>> {
        let there = name.is_empty() || self.below(name).next().is_some();
        there.then_some(QueryMembers { params: self, name })
    }

    /// What follows `name.` in the names of the parameters below it.
    fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{name}.");
        self.values.range(prefix.clone()..).map_while(move |(key, _)| key.strip_prefix(prefix.as_str()))
    }
}

/// Reads a whole request.
pub fn read<T: FromQuery + Default>(params: &Params) -> Result<T, Fault> {
    T::from_query(params, "").map(Option::unwrap_or_default).map_err(Fault::in_query)
}

/// A shape that can be read from a form.
pub trait FromQuery: Sized {
    /// Reads the value at `name`; `None` when it is not there.
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault>;
}

/// The members of one structure in a form.
#[derive(Debug)]
pub struct QueryMembers<'a> {
    params: &'a Params,
    name: &'a str,
}

impl QueryMembers<'_> {
    fn full_name(&self, member: &str) -> String {
        if self.name.is_empty() { member.to_owned() } else { format!("{}.{member}", self.name) }
    }

    /// A member that may be absent.
    pub fn optional<T: FromQuery>(&self, member: &str) -> Result<Option<T>, Fault> {
        T::from_query(self.params, &self.full_name(member))
    }

    /// A member that must be there.
    pub fn required<T: FromQuery>(&self, member: &str) -> Result<T, Fault> {
        self.optional(member)?.ok_or_else(|| {
            let name = self.full_name(member);
            let message = format!("The request must contain the parameter {name}");
            Fault::new("MissingParameter", 400, message)
        })
    }

    /// An optional member whose value is limited.
    pub fn optional_limited<T: FromQuery>(
        &self,
        member: &str,
        limit: fn(&T, &Path<'_>) -> Result<(), Fault>,
    ) -> Result<Option<T>, Fault> {
        let value = self.optional(member)?;
        if let Some(value) = &value {
            limit(value, &Path::root().member(&self.full_name(member)))?;
        }
        Ok(value)
    }

    /// A required member whose value is limited.
    pub fn required_limited<T: FromQuery>(
        &self,
        member: &str,
        limit: fn(&T, &Path<'_>) -> Result<(), Fault>,
    ) -> Result<T, Fault> {
        let value = self.required(member)?;
        limit(&value, &Path::root().member(&self.full_name(member)))?;
        Ok(value)
    }
}

impl FromQuery for String {
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault> {
        Ok(params.get(name).map(str::to_owned))
    }
}

fn parsed<T: std::str::FromStr>(params: &Params, name: &str, wanted: &str) -> Result<Option<T>, Fault> {
    let Some(text) = params.get(name) else {
        return Ok(None);
    };
    let refused = |_| Path::root().member(name).invalid(format_args!("expected {wanted}, got {text:?}"));
    text.trim().parse().map(Some).map_err(refused)
}

impl FromQuery for i32 {
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault> {
        parsed(params, name, "an integer")
    }
}

impl FromQuery for bool {
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault> {
        parsed(params, name, "true or false")
    }
}

impl<T: ClosedEnum> FromQuery for T {
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let unknown =
            || Path::root().member(name).invalid(format_args!("use one of {}, got {text:?}", T::NAMES.join(", ")));
        T::find(text).map(Some).ok_or_else(unknown)
    }
}

impl<T: FromQuery> FromQuery for Vec<T> {
    fn from_query(params: &Params, name: &str) -> Result<Option<Self>, Fault> {
        let below_member = format!("{name}.member");
        let name = if params.below(&below_member).next().is_some() { &below_member } else { name };
        let mut indexes: Vec<u32> =
            params.below(name).filter_map(|rest| rest.split('.').next()?.parse().ok()).collect();
        indexes.sort_unstable();
        indexes.dedup();
        let mut list = Self::new();
        for index in indexes {
            // `01` counts as 1 above and names nothing here.
            list.extend(T::from_query(params, &format!("{name}.{index}"))?);
        }
        Ok((!list.is_empty()).then_some(list))
    }
}

/// Decodes `%41` and `+`; what is not valid stays as it is, and bytes that are not UTF-8 become replacement characters.
fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    String::from_utf8_lossy(&percent_decoded(&spaced)).into_owned()
}

/// Decodes `%41`; what is not valid stays as it is.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| char::from(*bytes.get(at + offset)?).to_digit(16);
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_survives_anything() {
        assert_eq!(form_decoded("a+b%2Bc%20%E2%82%AC"), "a b+c €");
        assert_eq!(form_decoded("%"), "%");
        assert_eq!(form_decoded("%4"), "%4");
        assert_eq!(form_decoded("%zz%41"), "%zzA");
        assert_eq!(form_decoded("%ff"), "\u{fffd}");
    }

    #[test]
    fn lists_are_numbered_below_member_too() -> Result<(), Fault> {
        let params = Params::parse("Keys.member.2=b&Keys.member.1=a&Empty=");
        assert_eq!(Vec::<String>::from_query(&params, "Keys")?, Some(vec!["a".into(), "b".into()]));
        assert_eq!(Vec::<String>::from_query(&params, "Empty")?, None);
        Ok(())
    }

    #[test]
    fn lists_follow_their_numbers() -> Result<(), Fault> {
        let params = Params::parse("Id.10=j&Id.2=b&Id.1=a&Ids.1=x&Id=no&Id.x=no");
        assert_eq!(Vec::<String>::from_query(&params, "Id")?, Some(vec!["a".into(), "b".into(), "j".into()]));
        assert_eq!(Vec::<String>::from_query(&params, "Other")?, None);
        Ok(())
    }
}
