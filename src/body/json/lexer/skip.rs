//! Skips what is not looked for.

use super::{Expected, JsonError, Lexer};

/// One in each byte of a word.
const ONES: u64 = u64::from_le_bytes([1; 8]);

/// How many bytes at the beginning end no string and begin no escape. Eight are looked at in one step
/// whatever the compiler makes of loops: where it is told to keep code small it leaves them byte by byte,
/// which took a twentieth of a delivery's time.
pub(crate) fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    words.len() * 8 + rest.iter().take_while(is_plain).count()
}

/// The highest bit of each control character, quote and backslash. Above the lowest of them a byte may be
/// marked that is none.
const fn special_bytes(word: u64) -> u64 {
    // Only what is less than `least`, and has no highest bit, borrows it.
    const fn less(word: u64, least: u8) -> u64 {
        word.wrapping_sub(ONES * least as u64) & !word
    }
    let quotes = less(word ^ (ONES * b'"' as u64), 1);
    let backslashes = less(word ^ (ONES * b'\\' as u64), 1);
    (less(word, 0x20) | quotes | backslashes) & (ONES << 7)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(bytes: &[u8]) -> usize {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        bytes.iter().position(special).unwrap_or(bytes.len())
    }

    proptest! {
        #[test]
        fn plain_bytes_are_those_in_front_of_the_first_special_one(
            mut bytes in proptest::collection::vec(0x23_u8.., 0..40),
            special in proptest::collection::vec((any::<u8>(), 0_usize..40), 0..4),
        ) {
            for (byte, at) in special {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            prop_assert_eq!(plain_bytes(&bytes), one_by_one(&bytes));
        }
    }

    #[test]
    fn every_byte_is_judged_in_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                // Bytes that would lend a bit to the one above them, and such that take none.
                for around in [b' ', b'#', 0x7f, 0x80, 0xff] {
                    let mut bytes = [around; 20];
                    bytes[at] = byte;
                    assert_eq!(plain_bytes(&bytes), one_by_one(&bytes), "{byte} at {at}");
                }
            }
        }
    }
}
