//! The checks behind the models' constraints: sizes, ranges and characters. Each answers with the path of what is wrong; none
//! changes a value. The functions generated per shape call these.

use crate::fault::Fault;
use crate::path::Path;
use std::collections::BTreeMap;

fn bounds(min: Option<impl std::fmt::Display>, max: Option<impl std::fmt::Display>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("must be between {min} and {max}"),
        (Some(min), None) => format!("must be at least {min}"),
        (None, Some(max)) => format!("must be at most {max}"),
        (None, None) => "is not allowed".to_owned(),
    }
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    value: T,
    min: Option<T>,
    max: Option<T>,
    what: &str,
    at: &Path<'_>,
) -> Result<(), Fault> {
    if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
        return Err(at.invalid(format_args!("{what} {}, got {value}", bounds(min, max))));
    }
    Ok(())
}

/// The number of a list's items.
pub fn items(count: usize, min: Option<usize>, max: Option<usize>, at: &Path<'_>) -> Result<(), Fault> {
    within(count, min, max, "the number of items", at)
}

/// The length of a text, in characters.
pub fn length(text: &str, min: Option<usize>, max: Option<usize>, at: &Path<'_>) -> Result<(), Fault> {
    within(text.chars().count(), min, max, "the number of characters", at)
}

/// The range of a whole number.
pub fn integer(value: i64, min: Option<i64>, max: Option<i64>, at: &Path<'_>) -> Result<(), Fault> {
    within(value, min, max, "the value", at)
}

/// The range of a number.
pub fn number(value: f64, min: Option<f64>, max: Option<f64>, at: &Path<'_>) -> Result<(), Fault> {
    within(value, min, max, "the value", at)
}

/// A check of every item of a list.
pub fn each<T>(list: &[T], check: fn(&T, &Path<'_>) -> Result<(), Fault>, at: &Path<'_>) -> Result<(), Fault> {
    for (index, item) in list.iter().enumerate() {
        check(item, &at.item(index))?;
    }
    Ok(())
}

/// A check of every value of a map.
pub fn each_value<T>(
    map: &BTreeMap<String, T>,
    check: fn(&T, &Path<'_>) -> Result<(), Fault>,
    at: &Path<'_>,
) -> Result<(), Fault> {
    map.iter().try_for_each(|(key, value)| check(value, &at.key(key)))
}

fn characters(text: &str, allowed: fn(char) -> bool, wanted: &str, at: &Path<'_>) -> Result<(), Fault> {
    match text.chars().find(|letter| !allowed(*letter)) {
        Some(letter) => Err(at.invalid(format_args!("the character {letter:?} is not allowed; use {wanted}"))),
        None => Ok(()),
    }
}

/// `[a-zA-Z0-9\.\*\-]+`
pub fn instance_type_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    length(text, Some(1), None, at)?;
    characters(text, |letter| letter.is_ascii_alphanumeric() || ".*-".contains(letter), "letters, digits and . * -", at)
}

/// `([\p{L}\p{Z}\p{N}_.:/=+\-@]*)`
///
/// Rust's `is_alphabetic` is a little wider than `\p{L}`: it also takes the vowel signs that some scripts write as marks.
pub fn tag_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    fn allowed(letter: char) -> bool {
        letter.is_alphabetic()
            || letter.is_numeric()
            || "_.:/=+-@".contains(letter)
            || (letter.is_whitespace() && !letter.is_control())
    }
    characters(text, allowed, "letters, digits, spaces and _ . : / = + - @", at)
}

/// `^!?\*?([\p{L}\p{Z}\p{N}_.:/=+\-@]*)\*?$`
pub fn tag_filter_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let inner = text.strip_prefix('!').unwrap_or(text);
    let inner = inner.strip_prefix('*').unwrap_or(inner);
    tag_text(inner.strip_suffix('*').unwrap_or(inner), at)
}

/// `^\d{12}$`; the length is checked beside it.
pub fn digits(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| letter.is_ascii_digit(), "digits", at)
}

/// `[\.\-_/#A-Za-z0-9]*`
pub fn log_group_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, in_log_group, "letters, digits and . - _ / #", at)
}

fn in_log_group(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ".-_/#".contains(letter)
}

/// `(\^?[\.\-_\/#A-Za-z0-9]{3,24})(\|\^?[\.\-_\/#A-Za-z0-9]{3,24}){0,4}`
pub fn log_group_choice(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let parts = text.split('|').map(|part| part.strip_prefix('^').unwrap_or(part));
    items(text.split('|').count(), Some(1), Some(5), at)?;
    for part in parts {
        length(part, Some(3), Some(24), at)?;
        log_group_text(part, at)?;
    }
    Ok(())
}

/// `[\w#+=/:,.@-]*`
pub fn log_group_identifier(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| letter == '#' || in_resource_name(letter), "letters, digits and _ # + = / : , . @ -", at)
}

/// `[\w+=/:,.@-]*`
pub fn resource_name(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, in_resource_name, "letters, digits and _ + = / : , . @ -", at)
}

fn in_resource_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_+=/:,.@-".contains(letter)
}

/// `[^:*]*`
pub fn log_stream_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| !":*".contains(letter), "anything but : and *", at)
}

/// `[^:*$]*`
pub fn metric_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| !":*$".contains(letter), "anything but : * and $", at)
}

/// `[\w]+`
pub fn word_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| letter.is_ascii_alphanumeric() || letter == '_', "letters, digits and _", at)
}

/// `[\w+=,.@-]+`
pub fn iam_name_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    characters(text, allowed, "letters, digits and _ + = , . @ -", at)
}

/// `((/[A-Za-z0-9\.,\+@=_-]+)*)/`
pub fn iam_policy_path(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    iam_path(text, at)?;
    iam_name_text(&text.replace('/', ""), at)?;
    if text.contains("//") {
        return Err(at.invalid(format_args!("a path has no empty parts, got {text:?}")));
    }
    Ok(())
}

/// `(/)|(/[\u0021-\u007E]+/)`
pub fn iam_path(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    iam_path_prefix(text, at)?;
    if !text.ends_with('/') {
        return Err(at.invalid(format_args!("a path begins and ends with /, got {text:?}")));
    }
    Ok(())
}

/// `/[\u0021-\u007F]*`
pub fn iam_path_prefix(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| ('!'..='\u{7f}').contains(&letter), "printable ASCII characters without spaces", at)?;
    if !text.starts_with('/') {
        return Err(at.invalid(format_args!("a path begins with /, got {text:?}")));
    }
    Ok(())
}

/// `[\u0020-\u00FF]+`
pub fn latin_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| (' '..='\u{ff}').contains(&letter), "characters of Latin 1", at)
}

/// `[\u0009\u000A\u000D\u0020-\u00FF]+`, with or without `\u007F-\u00A0`.
pub fn latin_lines(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let allowed = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    characters(text, allowed, "characters of Latin 1 and line ends", at)
}

/// `[\s\S]*`
pub fn any_text(_: &str, _: &Path<'_>) -> Result<(), Fault> {
    Ok(())
}

/// `^(tag:.+|Name|Type|KeyId|Path|Label|Tier|DataType)$`
pub fn parameter_filter_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let known = ["Name", "Type", "KeyId", "Path", "Label", "Tier", "DataType"];
    if known.contains(&text) || text.strip_prefix("tag:").is_some_and(|key| !key.is_empty()) {
        return Ok(());
    }
    Err(at.invalid(format_args!("use tag:<key> or one of {}, got {text:?}", known.join(", "))))
}

/// `^([a-zA-Z0-9:/_-]+)$`
pub fn kms_key_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(
        text,
        |letter| letter.is_ascii_alphanumeric() || ":/_-".contains(letter),
        "letters, digits and : / _ -",
        at,
    )
}

/// `[0-9A-Za-z\-\_]+`
pub fn rotation_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| letter.is_ascii_alphanumeric() || "-_".contains(letter), "letters, digits and - _", at)
}

/// `[0-9A-Za-z\(\)#\?\*\-\/, ]+`
pub fn schedule_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "()#?*-/, ".contains(letter);
    characters(text, allowed, "what schedules are written with", at)
}

/// `[0-9]+h`
pub fn hours_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let digits = text.strip_suffix('h').filter(|digits| !digits.is_empty());
    digits.map_or_else(
        || Err(at.invalid(format_args!("use hours such as 3h, got {text:?}"))),
        |text| self::digits(text, at),
    )
}

/// `^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$`
pub fn secret_filter_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " :_@/+=.-!".contains(letter);
    characters(text, allowed, "letters, digits, spaces and : _ @ / + = . - !", at)
}

/// `^([a-z]+-)+\d+$`
pub fn region_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    characters(text, allowed, "a region such as us-east-1", at)
}

/// `^[a-zA-Z0-9\-]+$`
pub fn secret_label_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    characters(text, |letter| letter.is_ascii_alphanumeric() || letter == '-', "letters, digits and -", at)
}

/// `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`
pub fn policy_version_text(text: &str, at: &Path<'_>) -> Result<(), Fault> {
    let number = text.strip_prefix('v').map(|rest| rest.split('.').next().unwrap_or(rest));
    match number {
        Some(number) if !number.starts_with('0') && number.parse::<u32>().is_ok() => Ok(()),
        _ => Err(at.invalid(format_args!("a version of a policy is v1, v2 and so on, got {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_named() {
        let at = Path::root();
        let at = at.member("count");
        assert!(integer(0, Some(0), Some(5), &at).is_ok());
        assert!(integer(5, Some(0), Some(5), &at).is_ok());
        let fault = integer(6, Some(0), Some(5), &at).unwrap_err();
        assert_eq!(fault.message, "count: the value must be between 0 and 5, got 6");
        assert_eq!(fault.code, "InvalidParameterException");
        assert!(length("éé", Some(2), Some(2), &at).is_ok());
        assert!(items(0, Some(1), None, &at).is_err());
        assert!(number(f64::MAX, None, Some(100.0), &at).is_err());
    }

    #[test]
    fn patterns() {
        let at = Path::root();
        for good in ["", "a b", "Ünï:/=+-@._", "数字 ٣", "a\u{a0}b"] {
            assert!(tag_text(good, &at).is_ok(), "{good:?}");
        }
        for bad in ["a\tb", "a\nb", "50%", "a,b", "\u{85}", "💥"] {
            assert!(tag_text(bad, &at).is_err(), "{bad:?}");
        }
        assert!(instance_type_text("c5*.large-x", &at).is_ok());
        assert!(instance_type_text("", &at).is_err());
        assert!(instance_type_text("c5 large", &at).is_err());
        assert!(log_group_text("/ecs/web.1-a_b#c", &at).is_ok() && log_group_text("a b", &at).is_err());
        assert!(log_stream_text("web/main/0f é", &at).is_ok() && log_stream_text("a:b", &at).is_err());
        assert!(log_group_choice("^web|api", &at).is_ok() && log_group_choice("web|a", &at).is_err());
        assert!(tag_filter_text("!*a*", &at).is_ok() && tag_filter_text("a*b", &at).is_err());
    }
}
