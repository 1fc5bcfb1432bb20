//! Whatever in a request can be a signature: where it stands, what is around it, how it is written.

use std::borrow::Cow;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::request::Inbound;
use super::super::signature::{Encoding, SignatureFormat};

/// Longer values hold no signature of ours.
const VALUE_BYTES_MAX: usize = 2048;
/// The most values that are looked at, and the most that is found in them: what is there is a
/// stranger's.
const VALUES_MAX: usize = 128;
const SIGHTINGS_MAX: usize = 64;
/// The most separators at which a value may begin anew.
const BREAKS_MAX: usize = 8;
/// How long a hash is.
const LENGTHS: [usize; 5] = [16, 20, 32, 48, 64];
/// What stands between the items of lists.
const SEPARATORS: [&str; 5] = [",", ";", "&", " ", "|"];

/// A text in a request that can be a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) place: FieldRef,
    pub(super) format: SignatureFormat,
    pub(super) spelling: Spelling,
    pub(super) bytes: Vec<u8>,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    In(Encoding),
    /// The base64 of its hexadecimal digits.
    HexInBase64,
    /// Hexadecimal digits in pairs with `:`, `-` or a blank between.
    Pairs,
}

/// A value of a request, by its place.
pub(super) type PlacedValue = (FieldRef, String);

/// The values of headers and of the query that are texts.
pub(super) fn values(request: &Inbound<'_>) -> Vec<PlacedValue> {
    let text = |bytes: &[u8]| {
        let is_short = bytes.len() <= VALUE_BYTES_MAX;
        is_short.then(|| String::from_utf8(bytes.to_vec()).ok()).flatten()
    };
    let headers = request.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((FieldRef::header(name), text(value)?)));
    let fields = pairs(query(request).as_bytes());
    let fields = fields.filter_map(|(name, value)| {
        let name = String::from_utf8(name.into_owned()).ok()?;
        Some((FieldRef::Query(name.into()), text(&value)?))
    });
    headers.take(VALUES_MAX).chain(fields.take(VALUES_MAX)).collect()
}

/// Everything in `values` that can be a signature.
pub(super) fn sightings(values: &[PlacedValue]) -> Vec<Sighting> {
    let mut found: Vec<Sighting> = Vec::new();
    for (place, value) in values {
        for (format, text) in readings(value.trim()) {
            let Some((spelling, bytes)) = decode(text) else { continue };
            let sighting = Sighting { place: place.clone(), format, spelling, bytes };
            // The simplest reading comes first.
            let is_known = |one: &Sighting| one.place == *place && one.bytes == sighting.bytes;
            if !found.iter().any(is_known) {
                found.push(sighting);
            }
            if found.len() == SIGHTINGS_MAX {
                return found;
            }
        }
    }
    found
}

/// The parts of a value that may be a signature, with what is around them.
fn readings(value: &str) -> Vec<(SignatureFormat, &str)> {
    let whole = |prefix: &str| SignatureFormat::Whole { prefix: prefix.to_owned().into() };
    let mut readings = vec![(whole(""), unquoted(value))];
    for item in SEPARATORS.into_iter().filter(|item| value.contains(item)) {
        for (at, text) in value.split(item).enumerate().take(BREAKS_MAX) {
            let keyed = ["=", ":"].into_iter().find_map(|pair| {
                let (key, value) = text.trim().split_once(pair)?;
                let is_key = !key.is_empty()
                    && key.bytes().all(|one| one.is_ascii_alphanumeric() || b"-_.".contains(&one));
                let (item, pair, key) = (item.to_owned(), pair, key.trim().to_owned());
                let list = SignatureFormat::List {
                    item: item.into(),
                    pair: pair.into(),
                    keys: vec![key.into()],
                };
                is_key.then(|| (list, unquoted(value.trim())))
            });
            readings.extend(keyed);
            // A list of one kind of items, or a word before the signature: that is a prefix.
            if item != " " {
                let list = SignatureFormat::Items { item: item.to_owned().into(), at: Some(at) };
                readings.push((list, unquoted(text.trim())));
            }
        }
    }
    let breaks = value.match_indices(['=', ':', ' ', '.', ',']).take(BREAKS_MAX);
    for (at, mark) in breaks {
        if let Some((prefix, text)) = value.split_at_checked(at + mark.len()) {
            readings.push((whole(prefix), unquoted(text.trim())));
        }
    }
    readings.extend(value.strip_prefix("0x").map(|text| (whole("0x"), text)));
    readings
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// The bytes of what may be a signature.
fn decode(text: &str) -> Option<(Spelling, Vec<u8>)> {
    let is_hash = |bytes: &Vec<u8>| LENGTHS.contains(&bytes.len());
    let hex = |text: &[u8]| Encoding::Hex.decode(text).filter(is_hash);
    if let Some(bytes) = hex(text.as_bytes()) {
        return Some((Spelling::In(Encoding::Hex), bytes));
    }
    let plain: String = text.chars().filter(|one| !matches!(one, ':' | '-' | ' ')).collect();
    if plain.len() < text.len()
        && let Some(bytes) = hex(plain.as_bytes())
    {
        return Some((Spelling::Pairs, bytes));
    }
    let decoded = Encoding::Base64.decode(text.as_bytes())?;
    match hex(&decoded) {
        Some(bytes) => Some((Spelling::HexInBase64, bytes)),
        None => is_hash(&decoded).then_some((Spelling::In(Encoding::Base64), decoded)),
    }
}

/// Where something is that a sender may sign beside the body, with its value.
#[derive(Clone, Debug)]
pub(super) struct SignedValue {
    pub(super) place: FieldRef,
    pub(super) value: String,
}

/// What looks like the time of sending, and what looks like an id; the lists' own keys among them.
pub(super) fn beside_the_body(values: &[PlacedValue]) -> (Vec<SignedValue>, Vec<SignedValue>) {
    let (mut times, mut ids) = (Vec::new(), Vec::new());
    for (place, value) in values {
        let value = value.trim();
        let mut sort = |place: FieldRef, value: &str| {
            let one = SignedValue { value: value.to_owned(), place };
            let name = one.place.name().to_ascii_lowercase();
            if is_time_name(&name) && is_time(value) {
                times.push(one);
            } else if is_id_name(&name) && (1..=128).contains(&value.len()) {
                ids.push(one);
            }
        };
        sort(place.clone(), value);
        for item in value.split([',', ';', '&']).take(BREAKS_MAX) {
            if let Some((key, value)) = item.trim().split_once('=') {
                sort(FieldRef::List(Cow::Owned(key.to_owned())), value);
            }
        }
        if let Some((first, _)) = value.split_once(',')
            && first.len() >= 10
            && first.bytes().all(|byte| byte.is_ascii_digit())
        {
            times.push(SignedValue { place: FieldRef::List("0".into()), value: first.to_owned() });
        }
    }
    times.truncate(3);
    ids.truncate(3);
    (times, ids)
}

fn is_time_name(name: &str) -> bool {
    ["time", "date", "created", "-ts", "_ts"].iter().any(|part| name.contains(part))
        || ["t", "ts"].contains(&name)
}

fn is_time(value: &str) -> bool {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_number && (9..=20).contains(&value.len())) || (value.contains(':') && value.len() <= 40)
}

fn is_id_name(name: &str) -> bool {
    let ends = ["id", "nonce", "delivery", "uuid", "salt", "random", "msg"];
    ends.iter().any(|end| name.ends_with(end)) && name != "content-id"
}
