//! Skips what is not looked for.

use super::{Expected, JsonError, Lexer};

/// As long as most keys are.
const SHORT: usize = 16;

/// How many bytes at the beginning end no string and begin no escape. Keys are short: the first
/// bytes are looked at one by one, the others 16 at a time, which the compiler makes one step of.
pub(super) fn plain_bytes(bytes: &[u8]) -> usize {
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let is_plain = |byte: &&u8| !is_special(**byte);
    let n_short = bytes.iter().take(SHORT).take_while(is_plain).count();
    if n_short < SHORT {
        return n_short;
    }
    let rest = bytes.get(SHORT..).unwrap_or_default();
    let (chunks, _) = rest.as_chunks::<16>();
    let is_plain_chunk = |chunk: &&[u8; 16]| {
        chunk.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) == 0
    };
    let n_plain = chunks.iter().take_while(is_plain_chunk).count() * 16;
    let rest = rest.get(n_plain..).unwrap_or_default();
    SHORT + n_plain + rest.iter().take_while(is_plain).count()
}

impl Lexer<'_> {
    /// Goes behind the container that has just begun. What is in it is checked like everything, but
    /// no token is made of what is plain: most of a body is of no interest to who looks for a
    /// field.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.skip_plain();
            // Whatever is not plain, and the end.
            self.next()?;
        }
        Ok(())
    }

    /// Goes over plain strings, numbers, commas and colons, in front of anything else.
    fn skip_plain(&mut self) {
        // Copies in locals: the compiler keeps them in registers, and the fields are written once.
        let text = self.text;
        let is_object = self.is_object();
        let mut expected = self.expected;
        let mut at = self.at;
        while let Some(&byte) = text.get(at) {
            let n_bytes = match (byte, expected) {
                (b' ' | b'\n' | b'\r' | b'\t', _) => {
                    at += 1;
                    continue;
                }
                (b',', Expected::CommaOrEnd) => {
                    expected = if is_object { Expected::Key } else { Expected::Value };
                    1
                }
                (b':', Expected::Colon) => {
                    expected = Expected::Value;
                    1
                }
                (
                    b'"',
                    Expected::Key | Expected::KeyOrEnd | Expected::Value | Expected::ValueOrEnd,
                ) => {
                    let string = text.get(at + 1..).unwrap_or_default();
                    let n_plain = plain_bytes(string);
                    // An escape, a control character or the end: the full lexer judges it.
                    if string.get(n_plain) != Some(&b'"') {
                        break;
                    }
                    let is_key = matches!(expected, Expected::Key | Expected::KeyOrEnd);
                    expected = if is_key { Expected::Colon } else { Expected::CommaOrEnd };
                    n_plain + 2
                }
                (b'1'..=b'9', Expected::Value | Expected::ValueOrEnd) => {
                    let rest = text.get(at..).unwrap_or_default();
                    let n_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    // Only whole numbers without a sign are plain; others keep their text in the
                    // full lexer.
                    if matches!(rest.get(n_digits), Some(b'.' | b'e' | b'E')) {
                        break;
                    }
                    expected = Expected::CommaOrEnd;
                    n_digits
                }
                (b'n' | b't' | b'f', Expected::Value | Expected::ValueOrEnd) => {
                    let rest = text.get(at..).unwrap_or_default();
                    let words: [&[u8]; 3] = [b"null", b"true", b"false"];
                    let Some(word) = words.iter().find(|word| rest.starts_with(word)) else {
                        break;
                    };
                    expected = Expected::CommaOrEnd;
                    word.len()
                }
                (_, _) => break,
            };
            at += n_bytes;
        }
        (self.at, self.expected) = (at, expected);
    }
}
