//! Identity and Access Management: enough that roles can be made, read and referenced. Nothing enforces a policy: what a
//! caller may do is fixed by its key (see `authorize`), so that documents are checked, kept and shown as they were written.

pub(crate) mod instance_profile;
pub(crate) mod policy;
pub(crate) mod role;

use super::merged;
use crate::desk::Desk;
use crate::page::Page;
use model::change::Change;
use model::cluster::Tag;
use model::iam::{Fits, IamChange};
use model::state::State;
use wire::{Fault, iam};

/// Items of a page when nothing is asked, and at most (IAM API reference, MaxItems).
const PAGE: (usize, usize) = (100, 1000);

fn commit(desk: &mut Desk, change: IamChange) {
    desk.commit(Change::Iam(Box::new(change)));
}

/// A page of `items`, which are in the order of their cursors; the marker of the next.
fn page<T>(
    state: &State,
    scope: String,
    asked: (Option<i32>, Option<&str>),
    items: impl Iterator<Item = (String, T)>,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let page = Page::read(&state.meta().token_key, scope, PAGE, asked.0, asked.1)?;
    let rest = items.filter(|(cursor, _)| page.after().is_none_or(|after| **cursor > *after));
    let (taken, marker) = page.take(rest, |(cursor, _)| cursor.clone());
    Ok((taken.into_iter().map(|(_, item)| item).collect(), marker))
}

/// Names sort as their keys do.
fn cursor(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Documents go out encoded as in addresses.
fn encoded(document: &str) -> String {
    let mut out = String::with_capacity(document.len() * 2);
    for byte in document.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Characters of a document that quotas count: all but white space.
fn size(document: &str) -> usize {
    document.chars().filter(|letter| !letter.is_whitespace()).count()
}

fn check_document(document: &str, fits: Fits) -> Result<(), Fault> {
    model::iam::check(document, fits).map_err(iam::fault::malformed_policy_document)
}

fn put_tags(before: &[Tag], tags: Option<Vec<iam::Tag>>) -> Result<Vec<Tag>, Fault> {
    let tags = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    merged(before, tags).map_err(iam::fault::invalid_input)
}

fn without(before: &[Tag], keys: &[String]) -> Vec<Tag> {
    before.iter().filter(|tag| !keys.iter().any(|key| **key == *tag.key)).cloned().collect()
}

fn shown_tags(tags: &[Tag]) -> Option<Vec<iam::Tag>> {
    let shown = |tag: &Tag| iam::Tag { key: tag.key.to_string(), value: tag.value.to_string() };
    (!tags.is_empty()).then(|| tags.iter().map(shown).collect())
}

/// A page of a thing's tags.
fn page_of_tags(
    state: &State,
    scope: String,
    asked: (Option<i32>, Option<&str>),
    tags: &[Tag],
) -> Result<(Vec<iam::Tag>, Option<String>), Fault> {
    let mut shown: Vec<(String, iam::Tag)> =
        shown_tags(tags).unwrap_or_default().into_iter().map(|tag| (tag.key.clone(), tag)).collect();
    shown.sort_by(|one, other| one.0.cmp(&other.0));
    page(state, scope, asked, shown.into_iter())
}

fn not_supported(member: &str) -> Fault {
    Fault::new("ValidationError", 400, format!("not supported yet: {member}. Nothing was changed."))
}

/// A path that ends with `/` begins those below it; nothing begins all.
fn is_below(path: &str, prefix: Option<&str>) -> bool {
    path.starts_with(prefix.unwrap_or("/"))
}
