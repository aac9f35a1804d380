//! From text to tokens. Positions are bytes here and become characters in a mistake.

use super::{LENGTH_MAX, Mistake};

/// Characters that end a bare word, besides white space.
const ENDS: &[char] = &['(', ')', '[', ']', ',', '\'', '"', '=', '!', '<', '>', '&', '|', '~'];

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Result<Self, Mistake> {
        let scanner = Self { text, at: 0 };
        match text.chars().count() {
            0..=LENGTH_MAX => Ok(scanner),
            length => {
                let message = format!("the expression has {length} characters, and may have {LENGTH_MAX}");
                Err(Mistake { position: LENGTH_MAX + 1, message })
            }
        }
    }

    /// Where the next token begins.
    pub fn position(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    pub fn rest(&mut self) -> &'a str {
        let at = self.position();
        &self.text[at..]
    }

    pub fn mistake(&self, at: usize, message: impl Into<String>) -> Mistake {
        Mistake { position: self.text[..at].chars().count() + 1, message: message.into() }
    }

    /// What stands at the next token, for messages.
    pub fn found(&mut self) -> String {
        match self.rest() {
            "" => "the end".to_owned(),
            rest => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                format!("{:?}", rest[..end].chars().take(40).collect::<String>())
            }
        }
    }

    /// Takes `token` if it is next.
    pub fn takes(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    /// Takes a keyword if it is next, and not merely how a longer word begins.
    pub fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.bare().eq_ignore_ascii_case(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// The bare word that is next; empty: there is none.
    pub fn bare(&mut self) -> &'a str {
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || ENDS.contains(&c);
        &rest[..rest.find(ends).unwrap_or(rest.len())]
    }

    /// Takes a bare word.
    pub fn word(&mut self) -> Option<&'a str> {
        let word = self.bare();
        self.at += word.len();
        (!word.is_empty()).then_some(word)
    }

    /// Takes a value: a bare word, or anything in quotes.
    pub fn value(&mut self) -> Result<&'a str, Mistake> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted);
        }
        let at = self.position();
        let found = self.found();
        self.word().ok_or_else(|| self.mistake(at, format!("a value is missing, found {found}")))
    }

    /// Takes a pattern: anything in quotes, or all up to white space or to a parenthesis that was not opened in it.
    pub fn pattern(&mut self) -> Result<&'a str, Mistake> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted);
        }
        let at = self.position();
        let rest = self.rest();
        let mut open = 0_usize;
        let ends = |c: char| {
            match c {
                '(' => open += 1,
                ')' if open == 0 => return true,
                ')' => open -= 1,
                _ => {}
            }
            c.is_whitespace()
        };
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        let empty = || self.mistake(at, "a pattern is missing");
        if end == 0 { Err(empty()) } else { Ok(&rest[..end]) }
    }

    fn quoted(&mut self) -> Result<Option<&'a str>, Mistake> {
        let at = self.position();
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return Ok(None) };
        let inside = &rest[1..];
        let end = inside.find(quote).ok_or_else(|| self.mistake(at, format!("the quote {quote} is not closed")))?;
        self.at += end + 2;
        Ok(Some(&inside[..end]))
    }
}
