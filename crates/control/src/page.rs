//! Pages of lists: `maxResults` and `nextToken`.
//!
//! A token is stateless: the last thing shown, authenticated with the deployment's key and bound to the operation and its
//! filters, so that one cannot be forged nor used elsewhere, and it stays good while the list changes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use wire::Fault;

/// Bytes of the authentication code in a token.
const MAC_LEN: usize = 16;

/// Which page of what.
pub(crate) struct Page<'a> {
    key: &'a [u8; 32],
    /// The operation and its filters: what a token is bound to.
    scope: String,
    limit: usize,
    after: Option<String>,
}

impl<'a> Page<'a> {
    /// Reads the members of a request. `limits`: the page when nothing is asked, and the largest.
    pub fn read(
        key: &'a [u8; 32],
        scope: String,
        limits: (usize, usize),
        max_results: Option<i32>,
        token: Option<&str>,
    ) -> Result<Self, Fault> {
        let (default, largest) = limits;
        let limit = match max_results {
            None => default,
            Some(asked) => {
                usize::try_from(asked).ok().filter(|asked| (1..=largest).contains(asked)).ok_or_else(|| {
                    Fault::invalid_parameter(format!("maxResults must be between 1 and {largest}, got {asked}"))
                })?
            }
        };
        let mut page = Self { key, scope, limit, after: None };
        if let Some(token) = token {
            let cursor = page.open(token).ok_or_else(|| Fault::invalid_parameter("Invalid token"))?;
            page.after = Some(cursor);
        }
        Ok(page)
    }

    /// The cursor of the last item of the page before.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Takes a page of `items`, which begin after the cursor; `cursor` names an item.
    pub fn take<T>(&self, items: impl Iterator<Item = T>, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let mut taken: Vec<T> = items.take(self.limit + 1).collect();
        let more = taken.len() > self.limit;
        taken.truncate(self.limit);
        let token = taken.last().filter(|_| more).map(|last| self.seal(&cursor(last)));
        (taken, token)
    }

    /// How many items a page has.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The token of the page after `cursor`.
    pub fn seal(&self, cursor: &str) -> String {
        let mac = self.mac(cursor);
        mac.iter().chain(cursor.as_bytes()).map(|byte| format!("{byte:02x}")).collect()
    }

    fn open(&self, token: &str) -> Option<String> {
        let digits = token.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() > 2048 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Option<_>>()?;
        let (mac, cursor) = bytes.split_at_checked(MAC_LEN)?;
        let cursor = std::str::from_utf8(cursor).ok()?;
        bool::from(self.mac(cursor).ct_eq(mac)).then(|| cursor.to_owned())
    }

    fn mac(&self, cursor: &str) -> [u8; MAC_LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key).expect("any length of key is good");
        mac.update(self.scope.as_bytes());
        mac.update(&[0]);
        mac.update(cursor.as_bytes());
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut short = [0; MAC_LEN];
        short.copy_from_slice(&full[..MAC_LEN]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn page(scope: &str, token: Option<&str>) -> Result<Page<'static>, Fault> {
        Page::read(&KEY, scope.to_owned(), (2, 100), None, token)
    }

    #[test]
    fn a_token_goes_on_where_the_page_ended() {
        let all = ["a", "b", "c"];
        let (first, token) = page("List|x", None).unwrap().take(all.iter(), |item| (**item).to_owned());
        assert_eq!(first, [&"a", &"b"]);
        let next = page("List|x", token.as_deref()).unwrap();
        assert_eq!(next.after(), Some("b"));
        let (rest, token) = next.take(all.iter().filter(|item| **item > "b"), |item| (**item).to_owned());
        assert_eq!((rest, token), (vec![&"c"], None));
    }

    #[test]
    fn forged_and_misplaced_tokens_are_refused() {
        let (_, token) = page("List|x", None).unwrap().take(["a", "b", "c"].iter(), |item| (**item).to_owned());
        let token = token.unwrap();
        assert!(page("List|y", Some(&token)).is_err());
        let mut forged = token.clone();
        forged.replace_range(0..1, if token.starts_with('0') { "1" } else { "0" });
        for bad in [forged.as_str(), "", "zz", "00", "é"] {
            assert!(page("List|x", Some(bad)).is_err(), "{bad}");
        }
        assert!(Page::read(&KEY, String::new(), (2, 100), Some(0), None).is_err());
        assert!(Page::read(&KEY, String::new(), (2, 100), Some(101), None).is_err());
    }
}
