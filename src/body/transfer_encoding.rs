//! `Content-Transfer-Encoding` of a part of a form (RFC 2045): old, and still what mail programs write.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How the bytes of a part are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    QuotedPrintable,
    Base64,
}

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);

impl TransferEncoding {
    /// The encoding of this name; nothing for those that change nothing (`7bit`, `8bit`, `binary`).
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "quoted-printable" => Some(Self::QuotedPrintable),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }

    /// What `text` stands for, which is never longer than it; `text` itself where it is not written like this.
    pub(super) fn decode(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::QuotedPrintable => unquoted(text).into(),
            Self::Base64 => {
                let is_sign = |byte: &u8| !byte.is_ascii_whitespace();
                let signs: Vec<u8> = text.iter().copied().filter(is_sign).collect();
                BASE64.decode(signs).map_or(Cow::Borrowed(text), Cow::Owned)
            }
        }
    }

    /// How long [`Self::decode`] is. Base64, in which files of many MiB come, is counted and not decoded.
    pub(super) fn decoded_len(self, text: &[u8]) -> usize {
        if self == Self::QuotedPrintable {
            return self.decode(text).len();
        }
        let (mut n_signs, mut n_padding) = (0, 0);
        for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            match byte {
                b'=' => n_padding += 1,
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if n_padding == 0 => {
                    n_signs += 1;
                }
                _ => return text.len(),
            }
        }
        // Padding fills the last four signs up, of which one alone is no byte.
        match (n_signs % 4, n_padding) {
            (0, 0) | (2, 0..=2) | (3, 0..=1) => n_signs * 3 / 4,
            _ => text.len(),
        }
    }
}

/// Without the escapes and the soft line breaks of quoted-printable. What is no escape stays.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match tail {
            [b'\r', b'\n', behind @ ..] | [b'\n', behind @ ..] => rest = behind,
            [high, low, behind @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = behind;
                }
                _ => bytes.push(b'='),
            },
            _ => bytes.push(b'='),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: &str) {
        let encoding = TransferEncoding::of(name).unwrap();
        assert_eq!(encoding.decode(text.as_bytes()), expected.as_bytes(), "{text}");
        assert_eq!(encoding.decoded_len(text.as_bytes()), expected.len(), "{text}");
    }

    #[test]
    fn both_encodings_are_undone_and_what_is_none_stays() {
        check("Quoted-Printable", "Gr=C3=BC=c3=9fe=3D=\r\n!=\n?", "Grüße=!?");
        check("quoted-printable", "a=b=", "a=b=");
        check("base64", "R3LDvMOf\r\nZQ==\r\n", "Grüße");
        check("BASE64", "R3LDvMOfZQ", "Grüße");
        for text in ["no base64!", "QQ=Q", "QUJDR", "QUJD=", "Q===", "QQ===", "="] {
            check("base64", text, text);
        }
        for (text, expected) in
            [("", ""), ("QQ", "A"), ("Q Q=", "A"), ("QUI=", "AB"), ("QUJD", "ABC")]
        {
            check("base64", text, expected);
        }
        assert_eq!(TransferEncoding::of("8bit"), None);
    }
}
