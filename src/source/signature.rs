//! Where the signature stands and how it is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use smallvec::smallvec;

use super::place::{Found, Place};
use super::{Few, Inbound, Rejection};

/// The most signatures of one request that are looked at: a sender that changes its secret sends
/// two or three, and each one costs a comparison.
const CANDIDATES_MAX: usize = 16;

/// Where the signature stands and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// The first of these that the request has is taken.
    pub places: Vec<Place>,
    /// What stands around it.
    pub shape: Shape,
    /// How its bytes are written.
    pub encoding: Encoding,
}

/// What stands around a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The whole value, behind this prefix (`sha256=`, `Bearer `, nothing).
    Whole {
        /// Must stand there; empty where nothing does.
        prefix: Cow<'static, str>,
    },
    /// Several items, as in `t=…,v1=…,v1=…`: any that matches will do.
    List {
        /// What stands between two items.
        item: Cow<'static, str>,
        /// What stands between an item's key and its value.
        pair: Cow<'static, str>,
        /// The key of a signature.
        key: Cow<'static, str>,
    },
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits of either case.
    Hex,
    /// Base64 of either alphabet, padded or not.
    Base64,
    /// As they are: tokens.
    Plain,
}

/// Either padding; bits that mean nothing must be zero, so that no two texts but for the padding
/// stand for the same bytes.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Encoding {
    pub(super) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => {
                let (pairs, rest) = text.as_chunks::<2>();
                rest.is_empty().then_some(())?;
                let mut bytes = Vec::with_capacity(pairs.len());
                for [high, low] in pairs {
                    bytes.push(from_digits(*high, *low)?);
                }
                Some(bytes)
            }
            Self::Base64 if text.iter().any(|byte| matches!(byte, b'-' | b'_')) => {
                BASE64_URL.decode(text).ok()
            }
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Plain => Some(text.to_vec()),
        }
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
            Self::Plain => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// A byte out of two hexadecimal digits. By a table, for the digits of a signature are random: one
/// comparison after the other, as in the crate `hex`, is mispredicted at every second one.
fn from_digits(high: u8, low: u8) -> Option<u8> {
    let high = DIGITS.get(usize::from(high)).copied().unwrap_or(NO_DIGIT);
    let low = DIGITS.get(usize::from(low)).copied().unwrap_or(NO_DIGIT);
    ((high | low) < 0x10).then_some(high << 4 | low)
}

/// In [`DIGITS`]: the character is no hexadecimal digit.
const NO_DIGIT: u8 = 0xff;

/// The value of each character as a hexadecimal digit of either case.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler: it is all in range")]
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

impl SignatureRule {
    /// The raw values of the first place that has any.
    pub(super) fn values<'a>(
        &self,
        request: &Inbound<'a>,
    ) -> Result<Few<Cow<'a, [u8]>>, Rejection> {
        for place in &self.places {
            let values = match (place, place.find(request)) {
                (_, Found::Nothing) => continue,
                (_, Found::One(value)) => smallvec![value],
                // A repeated header is the same as a list: it takes a secret to make any of them.
                (Place::Header(name), Found::Several) => {
                    let all = request.headers.get_all(name).take(CANDIDATES_MAX);
                    all.map(Cow::Borrowed).collect()
                }
                (_, Found::Several) => return Err(Rejection::Repeated(place.to_string())),
            };
            return Ok(values);
        }
        Err(Rejection::Missing)
    }

    /// The decoded signatures in `values`; at least one.
    pub(super) fn candidates(&self, values: &[Cow<'_, [u8]>]) -> Result<Few<Vec<u8>>, Rejection> {
        let texts = self.texts(values);
        if texts.is_empty() {
            return Err(Rejection::NotWrapped);
        }
        let decoded: Few<_> = texts.iter().filter_map(|text| self.encoding.decode(text)).collect();
        if decoded.is_empty() { Err(Rejection::Undecodable) } else { Ok(decoded) }
    }

    /// The signatures as written, without what stands around them.
    pub(super) fn texts<'v>(&self, values: &'v [Cow<'_, [u8]>]) -> Few<&'v [u8]> {
        match &self.shape {
            Shape::Whole { prefix } => {
                // RFC 9110: the word before the credentials has no case.
                let is_word = self.places.contains(&Place::Header("authorization".into()));
                let strip = |value: &'v Cow<'_, [u8]>| {
                    let (head, text) = value.trim_ascii().split_at_checked(prefix.len())?;
                    let is_there = head == prefix.as_bytes()
                        || is_word && head.eq_ignore_ascii_case(prefix.as_bytes());
                    is_there.then(|| text.trim_ascii())
                };
                values.iter().filter_map(strip).collect()
            }
            Shape::List { key, .. } => self.items(values, key).take(CANDIDATES_MAX).collect(),
        }
    }

    /// The values of `key` in the list.
    fn items<'v>(&self, values: &'v [Cow<'_, [u8]>], key: &str) -> impl Iterator<Item = &'v [u8]> {
        let (item, pair) = match &self.shape {
            Shape::List { item, pair, .. } => (item.as_ref(), pair.as_ref()),
            Shape::Whole { .. } => ("", ""),
        };
        let texts = values.iter().filter_map(|value| std::str::from_utf8(value).ok());
        texts.flat_map(move |text| text.split(item)).filter_map(move |item| {
            let (name, value) = item.trim().split_once(pair)?;
            (name == key).then_some(value.as_bytes())
        })
    }

    /// The one value of `key` in the list.
    pub(super) fn in_list<'v>(&self, values: &'v [Cow<'_, [u8]>], key: &str) -> Found<'v> {
        if matches!(self.shape, Shape::Whole { .. }) {
            return Found::Nothing;
        }
        let mut items = self.items(values, key);
        match (items.next(), items.next()) {
            (None, _) => Found::Nothing,
            (Some(value), None) => Found::One(Cow::Borrowed(value)),
            (Some(_), Some(_)) => Found::Several,
        }
    }
}
