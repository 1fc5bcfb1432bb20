//! The tolerant JSON lexer: tokens of RFC 8259, plus what senders really write.
//!
//! Taken beyond the RFC, each noted by [`Lexer::is_strict`]: byte order marks, bytes that are not
//! UTF-8 and halves of surrogate pairs (both read as U+FFFD), control characters inside strings, a
//! `\` before a sign that needs none (`\'`), `NaN`, `Infinity` and `-Infinity`, and zero bytes behind
//! the document, which programs in C send along. It keeps one bit a level and calls nothing recursively, so
//! that no nesting overflows a stack.

use std::borrow::Cow;

mod skip;

pub(crate) use skip::plain_bytes;

/// The deepest nesting that is read. A thread of replies that carries its parents gets to some
/// hundred; what walks a value recursively (dropping, comparing) needs about 300 bytes of stack a
/// level in a release build.
pub(crate) const DEPTH_MAX: usize = 1_000;

/// The UTF-8 byte order mark, which RFC 8259 lets a reader ignore.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `text` without byte order marks: a writer that marks a file marked before has two.
pub(crate) fn unmarked(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(BYTE_ORDER_MARK) {
        text = rest;
    }
    text
}

/// Why a text is not JSON. Says where, never what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("{wanted} expected at line {line}, column {column}")]
    Syntax { wanted: &'static str, line: usize, column: usize },
    #[error("it ends too early: {wanted} expected")]
    End { wanted: &'static str },
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Key(RawText<'a>),
    Text(RawText<'a>),
    /// A number as it is written, `NaN` and `Infinity` included.
    Number(&'a str),
    Bool(bool),
    Null,
}

/// What is between the quotes of a string, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawText<'a> {
    bytes: &'a [u8],
    has_escapes: bool,
}

impl<'a> RawText<'a> {
    /// The text; what no character is becomes U+FFFD.
    pub(crate) fn decode(self) -> Cow<'a, str> {
        if !self.has_escapes {
            return String::from_utf8_lossy(self.bytes);
        }
        let mut text = String::with_capacity(self.bytes.len());
        let mut rest = self.bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
            let (before, escape) = rest.split_at(at);
            text.push_str(&String::from_utf8_lossy(before));
            let (character, n_bytes) = unescape(escape);
            text.push(character);
            rest = escape.get(n_bytes..).unwrap_or_default();
        }
        text.push_str(&String::from_utf8_lossy(rest));
        Cow::Owned(text)
    }

    /// Whether the text is `expected`, without copying it where nothing in it is escaped.
    pub(crate) fn is(self, expected: &str) -> bool {
        if self.has_escapes { self.decode() == expected } else { self.bytes == expected.as_bytes() }
    }
}

/// The character of a checked escape that `bytes` begin with, and how long it is.
fn unescape(bytes: &[u8]) -> (char, usize) {
    let character = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = code_unit(bytes).unwrap_or(0xfffd);
            let next = bytes.get(6..).and_then(code_unit);
            let units = [unit, next.unwrap_or_default()];
            return match char::decode_utf16(units).next() {
                Some(Ok(pair)) if pair.len_utf16() == 2 => (pair, 12),
                Some(Ok(single)) => (single, 6),
                Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
            };
        }
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

/// The UTF-16 code unit of the `\uXXXX` that `bytes` begin with.
fn code_unit(bytes: &[u8]) -> Option<u16> {
    let hex = bytes.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    hex.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        Some(unit << 4 | digit)
    })
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Value,
    /// The first value of an array, or its end.
    ValueOrEnd,
    /// The first key of an object, or its end.
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    End,
}

/// A cursor over JSON text.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    expected: Expected,
    depth: usize,
    /// One bit a level: whether it is an object.
    objects: [u64; DEPTH_MAX.div_ceil(64)],
    is_strict: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let at = text.len() - unmarked(text).len();
        Self {
            text,
            at,
            expected: Expected::Value,
            depth: 0,
            objects: [0; DEPTH_MAX.div_ceil(64)],
            is_strict: at == 0 && std::str::from_utf8(text).is_ok(),
        }
    }

    /// Whether all that was read is JSON by the letter, which any reader takes as it stands.
    pub(crate) fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// How much of the text was read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next token; `None` behind the one value.
    pub(crate) fn next(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        loop {
            let byte = self.skip_white();
            match self.expected {
                Expected::ValueOrEnd if byte == Some(b']') => return Ok(Some(self.close())),
                Expected::Value | Expected::ValueOrEnd => return self.value(byte).map(Some),
                Expected::KeyOrEnd if byte == Some(b'}') => return Ok(Some(self.close())),
                Expected::Key | Expected::KeyOrEnd => return self.key(byte).map(Some),
                Expected::Colon => {
                    self.take(byte, b':', "`:`")?;
                    self.expected = Expected::Value;
                }
                Expected::CommaOrEnd => {
                    let is_object = self.is_object();
                    let (end, next) =
                        if is_object { (b'}', Expected::Key) } else { (b']', Expected::Value) };
                    if byte == Some(end) {
                        return Ok(Some(self.close()));
                    }
                    self.take(byte, b',', if is_object { "`,` or `}`" } else { "`,` or `]`" })?;
                    self.expected = next;
                }
                Expected::End => {
                    let is_filled_up = self.rest().iter().all(|byte| b"\0\n\r".contains(byte));
                    if byte.is_some() && !is_filled_up {
                        return Err(self.wrong("the end"));
                    }
                    self.is_strict &= byte.is_none();
                    self.at = self.text.len();
                    return Ok(None);
                }
            }
        }
    }

    fn value(&mut self, byte: Option<u8>) -> Result<Token<'a>, JsonError> {
        match byte {
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => {
                let text = self.string()?;
                self.expected = self.behind_value();
                Ok(Token::Text(text))
            }
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => {
                let number = self.number()?;
                self.expected = self.behind_value();
                Ok(Token::Number(number))
            }
            Some(b't') => self.word("true", Token::Bool(true)),
            Some(b'f') => self.word("false", Token::Bool(false)),
            Some(b'n') => self.word("null", Token::Null),
            _ => Err(self.wrong("a value")),
        }
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        self.expected = self.behind_value();
        Ok(token)
    }

    fn key(&mut self, byte: Option<u8>) -> Result<Token<'a>, JsonError> {
        if byte != Some(b'"') {
            return Err(self.wrong("a key in quotes"));
        }
        let text = self.string()?;
        self.expected = Expected::Colon;
        Ok(Token::Key(text))
    }

    fn open(&mut self, is_object: bool) -> Result<Token<'a>, JsonError> {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        let Some(word) = self.objects.get_mut(word).filter(|_| self.depth < DEPTH_MAX) else {
            return Err(JsonError::TooDeep);
        };
        *word = *word & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
        self.at += 1;
        self.expected = if is_object { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
        Ok(if is_object { Token::ObjectStart } else { Token::ArrayStart })
    }

    fn close(&mut self) -> Token<'a> {
        let is_object = self.is_object();
        debug_assert!(self.depth > 0, "a container that ends was begun");
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        self.expected = self.behind_value();
        if is_object { Token::ObjectEnd } else { Token::ArrayEnd }
    }

    /// Whether the innermost container is an object.
    fn is_object(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.objects.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1)
    }

    fn behind_value(&self) -> Expected {
        if self.depth == 0 { Expected::End } else { Expected::CommaOrEnd }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_white(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn take(&mut self, byte: Option<u8>, wanted: u8, name: &'static str) -> Result<(), JsonError> {
        if byte != Some(wanted) {
            return Err(self.wrong(name));
        }
        self.at += 1;
        Ok(())
    }

    /// The string whose opening quote is next.
    fn string(&mut self) -> Result<RawText<'a>, JsonError> {
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.at += plain_bytes(self.rest());
            match self.text.get(self.at) {
                Some(b'"') => {
                    let bytes = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(RawText { bytes, has_escapes });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_control) => {
                    self.is_strict = false;
                    self.at += 1;
                }
                None => return Err(JsonError::End { wanted: "`\"`" }),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let rest = self.rest();
        let n_bytes = match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let Some(unit) = code_unit(rest) else { return Err(self.wrong("an escape")) };
                let (_, n_bytes) = unescape(rest);
                if n_bytes == 6 && (0xd800..0xe000).contains(&unit) {
                    self.is_strict = false;
                }
                n_bytes
            }
            Some(sign) if sign.is_ascii_punctuation() => {
                self.is_strict = false;
                2
            }
            Some(_) | None => return Err(self.wrong("an escape")),
        };
        self.at += n_bytes;
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.rest();
        for word in ["NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.is_strict = false;
                self.at += word.len();
                return Ok(word);
            }
        }
        let start = self.at;
        self.at += usize::from(rest.first() == Some(&b'-'));
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let bytes = self.text.get(start..self.at).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| self.wrong("a number"))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let n_digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if n_digits == 0 {
            return Err(self.wrong("a digit"));
        }
        self.at += n_digits;
        Ok(())
    }

    fn wrong(&self, wanted: &'static str) -> JsonError {
        if self.at >= self.text.len() {
            return JsonError::End { wanted };
        }
        let before = self.text.get(..self.at).unwrap_or_default();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        JsonError::Syntax { wanted, line, column: self.at - line_start + 1 }
    }
}

#[cfg(test)]
mod tests;
