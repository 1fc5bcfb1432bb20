//! Where the signature stands and how it is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use smallvec::smallvec;

use super::field_ref::{FieldRef, Lookup};
use super::rejection::Rejection;
use super::request::{Inbound, SmallList};

/// The most signatures of one request that are looked at: a sender that changes its secret sends
/// two or three, and each one costs a comparison.
const CANDIDATES_MAX: usize = 16;

/// Where the signature stands and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// Each of these that the request has is tried: a sender that changes its key signs with both
    /// and puts each signature into a header of its own.
    pub places: Vec<FieldRef>,
    /// What is around it.
    pub format: SignatureFormat,
    /// How its bytes are written.
    pub encoding: Encoding,
}

/// What is around a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureFormat {
    /// The whole value, behind this prefix (`sha256=`, `Bearer `, nothing), in whatever case that is written.
    Whole {
        /// Must stand there; empty where nothing does.
        prefix: Cow<'static, str>,
    },
    /// Several items, as in `t=…,v1=…,v1=…`: any that matches will do.
    List {
        /// What is between two items.
        item: Cow<'static, str>,
        /// What is between an item's key and its value.
        pair: Cow<'static, str>,
        /// The keys of a signature: a sender that changes its secret may sign under a second one.
        keys: Vec<Cow<'static, str>>,
    },
    /// Several items without keys, as in `1687286400000,3f2a…,9b1c…`.
    Items {
        /// What is between two items.
        item: Cow<'static, str>,
        /// Which item is the signature, counted from 0; nothing where each may be one.
        at: Option<usize>,
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
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Plain => "utf8",
        }
    }

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
    /// The raw values that stand in `place`.
    pub(super) fn values<'a>(
        place: &FieldRef,
        request: &Inbound<'a>,
    ) -> Result<SmallList<Cow<'a, [u8]>>, Rejection> {
        match (place, place.find(request)) {
            (_, Lookup::Absent) => Err(Rejection::Missing),
            (_, Lookup::One(value)) => Ok(smallvec![value]),
            // A repeated header is the same as a list: it takes a secret to make any of them.
            (FieldRef::Header(name), Lookup::Ambiguous) => {
                let all = request.headers.get_all(name).take(CANDIDATES_MAX);
                Ok(all.map(Cow::Borrowed).collect())
            }
            (_, Lookup::Ambiguous) => Err(Rejection::Repeated(place.to_string())),
        }
    }

    /// The decoded signatures in `values`; at least one.
    pub(super) fn candidates(
        &self,
        values: &[Cow<'_, [u8]>],
    ) -> Result<SmallList<Vec<u8>>, Rejection> {
        let raw_signatures = self.raw_signatures(values);
        if raw_signatures.is_empty() {
            return Err(Rejection::NotWrapped);
        }
        let decoded: SmallList<_> =
            raw_signatures.iter().filter_map(|text| self.encoding.decode(text)).collect();
        if decoded.is_empty() { Err(Rejection::Undecodable) } else { Ok(decoded) }
    }

    /// The signatures as written, without what is around them.
    pub(super) fn raw_signatures<'v>(&self, values: &'v [Cow<'_, [u8]>]) -> SmallList<&'v [u8]> {
        match &self.format {
            SignatureFormat::Whole { prefix } => {
                // The word before credentials has no case (RFC 9110), and `SHA256=` is a sender's `sha256=`: what
                // stands there is no secret.
                let strip = |value: &'v Cow<'_, [u8]>| {
                    let (head, text) = value.trim_ascii().split_at_checked(prefix.len())?;
                    let is_there = head.eq_ignore_ascii_case(prefix.as_bytes());
                    is_there.then(|| self.unquote_whole(prefix, text.trim_ascii()))
                };
                values.iter().filter_map(strip).collect()
            }
            SignatureFormat::List { keys, .. } => {
                let is_signature = |name: &str| keys.iter().any(|key| key == name);
                let items = self.list_items(values);
                let signatures = items.filter(|item| item.name.is_some_and(is_signature));
                signatures.map(|item| item.value).take(CANDIDATES_MAX).collect()
            }
            SignatureFormat::Items { at, .. } => {
                let items = self.list_items(values);
                let signatures = items.filter(|item| at.is_none_or(|at| at == item.at));
                signatures.map(|item| item.value).take(CANDIDATES_MAX).collect()
            }
        }
    }

    /// A whole value without the quotes around it. A token may have quotes of its own.
    fn unquote_whole<'v>(&self, prefix: &str, text: &'v [u8]) -> &'v [u8] {
        match self.encoding {
            Encoding::Plain => text,
            Encoding::Hex | Encoding::Base64 if prefix.ends_with('"') => {
                text.strip_suffix(b"\"").unwrap_or(text)
            }
            Encoding::Hex | Encoding::Base64 => unquote(text),
        }
    }

    /// The items of the list, in their order.
    fn list_items<'v>(&self, values: &'v [Cow<'_, [u8]>]) -> impl Iterator<Item = Item<'v>> {
        let (item, pair) = match &self.format {
            SignatureFormat::List { item, pair, .. } => (item.as_ref(), Some(pair.as_ref())),
            SignatureFormat::Items { item, .. } => (item.as_ref(), None),
            SignatureFormat::Whole { .. } => ("", None),
        };
        let texts = values.iter().filter_map(|value| std::str::from_utf8(value).ok());
        let items = texts.flat_map(move |text| split(text, item));
        let items = items.flat_map(move |item| split_sets(item, pair)).enumerate();
        items.filter_map(move |(at, item)| {
            let (name, value) = match pair {
                Some(pair) => {
                    let (name, value) = item.trim().split_once(pair)?;
                    (Some(name.trim_end()), value)
                }
                None => (None, item),
            };
            Some(Item { at, name, value: unquote(value.trim().as_bytes()) })
        })
    }

    /// The one value of `key` in the list: its key, or its place counted from 0 where items have
    /// none. The same value twice is one: each set of a sender that changes its secret has it.
    pub(super) fn in_list<'v>(&self, values: &'v [Cow<'_, [u8]>], key: &str) -> Lookup<'v> {
        if matches!(self.format, SignatureFormat::Whole { .. }) {
            return Lookup::Absent;
        }
        let index = key.parse::<usize>().ok();
        let is_meant = |item: &Item<'v>| match item.name {
            Some(name) => name == key,
            None => Some(item.at) == index,
        };
        let mut found = self.list_items(values).filter(is_meant).map(|item| item.value);
        match found.next() {
            None => Lookup::Absent,
            Some(value) if found.all(|other| other == value) => Lookup::One(Cow::Borrowed(value)),
            Some(_) => Lookup::Ambiguous,
        }
    }
}

/// An item of a signature's list.
#[derive(Clone, Copy, Debug)]
struct Item<'v> {
    /// Its place, counted from 0.
    at: usize,
    /// Its key, where items have one.
    name: Option<&'v str>,
    /// Its value, without quotes.
    value: &'v [u8],
}

/// The pairs of an item between blanks: a sender that changes its secret puts one whole list behind
/// the other, as in `t=…,v1=… t=…,v1=…`. Where not each part is a pair the item is one.
fn split_sets<'t>(item: &'t str, pair: Option<&str>) -> impl Iterator<Item = &'t str> + use<'t> {
    let item = item.trim();
    let is_set = pair.is_some_and(|pair| {
        !item.contains('"') && item.split_ascii_whitespace().all(|part| part.contains(pair))
    });
    item.split(move |c: char| is_set && c.is_ascii_whitespace())
        .filter(move |part| !is_set || !part.is_empty())
}

/// The items of a list. A separator within double quotes is part of its item.
fn split<'t, 's>(text: &'t str, separator: &'s str) -> impl Iterator<Item = &'t str> + use<'t, 's> {
    let mut rest = Some(text).filter(|_| !separator.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let end = end_of_item(text, separator);
        let (item, tail) = text.split_at_checked(end)?;
        rest = tail.strip_prefix(separator);
        Some(item)
    })
}

/// Where the first item ends. Where a quote has no partner, quotes mean nothing.
fn end_of_item(text: &str, separator: &str) -> usize {
    let first = text.find(separator).unwrap_or(text.len());
    if !text.get(..first).is_some_and(|item| item.contains('"')) {
        return first;
    }
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        if c == '"' {
            is_quoted = !is_quoted;
        } else if !is_quoted && text.get(at..).is_some_and(|tail| tail.starts_with(separator)) {
            return at;
        }
    }
    if is_quoted { first } else { text.len() }
}

/// `abc` for `"abc"`.
fn unquote(text: &[u8]) -> &[u8] {
    let inner = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    inner.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_split_outside_of_quotes() {
        let items = |text: &'static str| split(text, ",").collect::<Vec<_>>();
        assert_eq!(items(r#"a="1,2",b=3"#), [r#"a="1,2""#, "b=3"]);
        assert_eq!(items(r#"a="1,b=3"#), [r#"a="1"#, "b=3"]);
        assert_eq!(items(r#""a,b","c,d",e,"#), [r#""a,b""#, r#""c,d""#, "e", ""]);
        assert_eq!(items(""), [""]);
    }
}
