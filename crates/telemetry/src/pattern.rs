//! Filter patterns: terms and quoted phrases that must all occur, `-term` that must not, `?term` of which one must.

use crate::Error;

/// A pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    all: Vec<String>,
    none: Vec<String>,
    any: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    All,
    None,
    Any,
}

impl Pattern {
    /// Reads a pattern; nothing at all lets everything through.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut rest = text.trim();
        let refused = |what: &str| {
            let known = "use terms, \"quoted phrases\", -term and ?term";
            Err(Error::Invalid(format!("{what} filter patterns are not supported yet: {known}.")))
        };
        match rest.chars().next() {
            Some('{') => return refused("JSON"),
            Some('[') => return refused("Space-delimited"),
            Some('%') => return refused("Regular-expression"),
            _ => {}
        }
        let mut pattern = Self::default();
        while !rest.is_empty() {
            let sign = match rest.as_bytes()[0] {
                b'-' => Sign::None,
                b'?' => Sign::Any,
                _ => Sign::All,
            };
            let (term, after) = term(if sign == Sign::All { rest } else { &rest[1..] })?;
            match sign {
                Sign::All => pattern.all.push(term),
                Sign::None => pattern.none.push(term),
                Sign::Any => pattern.any.push(term),
            }
            rest = after.trim_start();
        }
        // As AWS says it: beside other terms, those with a question mark are not heeded.
        if !pattern.all.is_empty() || !pattern.none.is_empty() {
            pattern.any.clear();
        }
        Ok(pattern)
    }

    /// Whether it lets a message through.
    pub fn matches(&self, message: &str) -> bool {
        self.all.iter().all(|term| message.contains(term))
            && !self.none.iter().any(|term| message.contains(term))
            && (self.any.is_empty() || self.any.iter().any(|term| message.contains(term)))
    }
}

/// The term that `text` begins with, and what follows it.
fn term(text: &str) -> Result<(String, &str), Error> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (term, rest) = text.split_at(end);
        let plain = |letter: char| letter.is_alphanumeric() || letter == '_';
        if term.is_empty() || !term.chars().all(plain) {
            let message = format!("Invalid filter pattern: invalid character(s) in term {term:?}; put it in quotes.");
            return Err(Error::Invalid(message));
        }
        return Ok((term.to_owned(), rest));
    };
    let (mut phrase, mut letters) = (String::new(), quoted.char_indices());
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' if phrase.is_empty() => break,
            '"' => return Ok((phrase, &quoted[place + 1..])),
            '\\' => phrase.extend(letters.next().map(|(_, letter)| letter)),
            letter => phrase.push(letter),
        }
    }
    Err(Error::Invalid("Invalid filter pattern: a quoted phrase is empty or not closed.".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_phrases_and_signs() {
        let matches = |pattern: &str, message: &str| Pattern::parse(pattern).unwrap().matches(message);
        assert!(matches("", "anything") && matches("  ", ""));
        assert!(matches("ERROR disk", "a disk ERROR") && !matches("ERROR disk", "an ERROR"));
        assert!(!matches("error", "ERROR"), "terms heed case");
        assert!(matches("\"GET /x-y\"", "1 GET /x-y 2") && !matches("\"GET /x-y\"", "GET  /x-y"));
        assert!(matches("\"say \\\"hi\\\"\"", "they say \"hi\" now"));
        assert!(matches("-debug", "info") && !matches("-debug info", "debug info"));
        assert!(matches("?a ?b", "xbx") && !matches("?a ?b", "xcx"));
        assert!(matches("?a b", "b") && matches("-\"a b\"", "ab"));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (bad, word) in [("{ $.a = 1 }", "JSON"), ("[a, b]", "Space"), ("%a%", "Regular"), ("a-b", "a-b")] {
            let Err(Error::Invalid(why)) = Pattern::parse(bad) else { panic!("{bad}") };
            assert!(why.contains(word), "{why}");
        }
        for bad in ["\"", "\"\"", "\"a", "-", "?", "- a", "é!"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
