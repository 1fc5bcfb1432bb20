//! What is known of a request beside its head and its body, kept behind its headers.
//!
//! A reader of headers stops where none begins ([`Headers::iter`]), so a version that does not know of
//! this reads the same event without it, and passes it on unchanged.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use uuid::Uuid;

use super::EventId;
use super::headers::{ARRIVAL, Headers};

const CLIENT: u8 = 1;
const ALGORITHM: u8 = 2;
const SECRET: u8 = 3;
const KNOWN_BY: u8 = 4;
const WINDOW: u8 = 5;
const DELIVERY_ID: u8 = 6;
/// One parameter of the query as it was written, once for each.
const QUERY: u8 = 7;
/// A piece of one that is too long for a field: the last piece is not full.
const QUERY_PIECE: u8 = 8;
/// The id of the event that it is an edited copy of.
const PARENT: u8 = 9;
/// The most bytes of a field.
const FIELD_BYTES_MAX: usize = u8::MAX as usize;

/// How a repeat of an event is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// Not at all: two equal requests are two events.
    Nothing = 0,
    /// By the sender's id, which is signed.
    SignedId = 1,
    /// By the sender's id together with the body.
    Id = 2,
    /// By the body, which carries a stamp of its event.
    Stamp = 3,
    /// By the body.
    Body = 4,
}

impl KnownBy {
    const ALL: [Self; 5] = [Self::Nothing, Self::SignedId, Self::Id, Self::Stamp, Self::Body];
}

/// What is known of a request beside its head and its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Its sender's address, through the proxies that are believed.
    pub client: Option<IpAddr>,
    /// The algorithm by which it was believed.
    pub algorithm: Option<&'a str>,
    /// The fingerprint of the secret that it was signed with.
    pub secret: Option<&'a str>,
    /// How a repeat of it is recognised.
    pub known_by: Option<KnownBy>,
    /// For how long; `None` = until its answer has arrived.
    pub window: Option<Duration>,
    /// What its sender calls it.
    pub delivery_id: Option<&'a str>,
    /// The event that it is an edited copy of: its owner made it, and no request brought it.
    pub parent: Option<EventId>,
}

impl Arrival<'_> {
    /// The longest id that is kept, in bytes; a longer one is cut.
    const ID_BYTES_MAX: usize = 200;
}

impl Headers {
    /// The most that is kept of a query, in bytes. A parameter that has no room in it is left out.
    pub const QUERY_BYTES_MAX: usize = 2_048;

    /// The same headers with what else is known of their request, and the parameters of its query.
    #[must_use]
    pub fn with_arrival(self, arrival: &Arrival<'_>, query: &str) -> Self {
        let encoded = self.into_encoded();
        let mut out = encoded.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        out.put_u8(ARRIVAL);
        match arrival.client {
            Some(IpAddr::V4(address)) => put(&mut out, CLIENT, &address.octets()),
            Some(IpAddr::V6(address)) => put(&mut out, CLIENT, &address.octets()),
            None => {}
        }
        let text = |out: &mut BytesMut, tag, text: Option<&str>| {
            if let Some(text) = text {
                let text = text.get(..text.floor_char_boundary(Arrival::ID_BYTES_MAX));
                put(out, tag, text.unwrap_or_default().as_bytes());
            }
        };
        text(&mut out, ALGORITHM, arrival.algorithm);
        text(&mut out, SECRET, arrival.secret);
        if let Some(known_by) = arrival.known_by {
            put(&mut out, KNOWN_BY, &[known_by as u8]);
        }
        if let Some(window) = arrival.window {
            put(&mut out, WINDOW, &window.as_secs().to_le_bytes());
        }
        text(&mut out, DELIVERY_ID, arrival.delivery_id);
        if let Some(EventId(parent)) = arrival.parent {
            put(&mut out, PARENT, parent.as_bytes());
        }
        let mut room = Self::QUERY_BYTES_MAX;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let parameter = parameter.as_bytes();
            // With the tag and the length of each piece, one byte each.
            let n_bytes = parameter.len() + 2 * (parameter.len() / FIELD_BYTES_MAX + 1);
            if n_bytes > room {
                continue;
            }
            room -= n_bytes;
            if parameter.len() <= FIELD_BYTES_MAX {
                put(&mut out, QUERY, parameter);
                continue;
            }
            let (pieces, last) = parameter.as_chunks::<FIELD_BYTES_MAX>();
            for piece in pieces {
                put(&mut out, QUERY_PIECE, piece);
            }
            put(&mut out, QUERY_PIECE, last);
        }
        Self::from_encoded(out.freeze())
    }

    /// The parameters of the request's query as they were written (`order=42`), without passwords and
    /// signatures.
    pub fn query(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = self.tail().strip_prefix(&[ARRIVAL]).unwrap_or_default();
        let mut pieces = Vec::new();
        std::iter::from_fn(move || {
            loop {
                let (tag, value, tail) = split_first(rest)?;
                rest = tail;
                if tag == QUERY
                    && let Ok(parameter) = std::str::from_utf8(value)
                {
                    return Some(Cow::Borrowed(parameter));
                }
                if tag == QUERY_PIECE {
                    pieces.extend_from_slice(value);
                    if value.len() < FIELD_BYTES_MAX
                        && let Ok(parameter) = String::from_utf8(std::mem::take(&mut pieces))
                    {
                        return Some(Cow::Owned(parameter));
                    }
                }
            }
        })
    }

    /// [`Self::query`] as one text, as it was written.
    pub fn query_text(&self) -> String {
        self.query().collect::<Vec<_>>().join("&")
    }

    /// What else is known of the request; `None` = nothing was kept.
    pub fn arrival(&self) -> Option<Arrival<'_>> {
        let (&ARRIVAL, mut rest) = self.tail().split_first()? else { return None };
        let mut arrival = Arrival::default();
        // What a later version adds has another tag.
        while let Some((tag, value, tail)) = split_first(rest) {
            rest = tail;
            let text = std::str::from_utf8(value).ok();
            match tag {
                CLIENT => arrival.client = address(value),
                ALGORITHM => arrival.algorithm = text,
                SECRET => arrival.secret = text,
                KNOWN_BY => {
                    let mut all = KnownBy::ALL.into_iter();
                    arrival.known_by = all.find(|one| value == [*one as u8]);
                }
                WINDOW => {
                    let seconds = value.first_chunk().copied().map(u64::from_le_bytes);
                    arrival.window = seconds.map(Duration::from_secs);
                }
                DELIVERY_ID => arrival.delivery_id = text,
                PARENT => arrival.parent = Uuid::from_slice(value).ok().map(EventId),
                _ => {}
            }
        }
        Some(arrival)
    }
}

/// Tag `u8`, length `u8`, value.
fn put(out: &mut BytesMut, tag: u8, value: &[u8]) {
    out.put_u8(tag);
    out.put_u8(u8::try_from(value.len()).unwrap_or(u8::MAX));
    out.put_slice(value);
}

fn split_first(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&len, rest) = rest.split_first()?;
    let (value, rest) = rest.split_at_checked(usize::from(len))?;
    Some((tag, value, rest))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const FULL: Arrival<'_> = Arrival {
        client: Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 24))),
        algorithm: Some("token"),
        secret: Some("0a1b2c3d"),
        known_by: Some(KnownBy::SignedId),
        window: Some(Duration::from_secs(256)),
        delivery_id: Some("é1"),
        parent: None,
    };

    fn headers() -> Headers {
        [("host", b"a".as_slice()), ("x-odd", b"\xff")].into_iter().collect()
    }

    #[test]
    fn arrival_comes_back_and_the_headers_stay_as_they_were() {
        let kept = headers().with_arrival(&FULL, "");
        assert_eq!(kept.arrival(), Some(FULL));
        assert_eq!(kept.iter().collect::<Vec<_>>(), headers().iter().collect::<Vec<_>>());
        assert_eq!(kept.get("host"), Some(b"a".as_slice()));
        for known_by in KnownBy::ALL {
            let arrival = Arrival { known_by: Some(known_by), ..Arrival::default() };
            assert_eq!(headers().with_arrival(&arrival, "").arrival(), Some(arrival));
        }
        let client = Some("2001:db8::7".parse().unwrap());
        let arrival = Arrival { client, ..Arrival::default() };
        assert_eq!(Headers::default().with_arrival(&arrival, "").arrival(), Some(arrival));
        let parent = Some(EventId(Uuid::from_u128(7)));
        let edited = Arrival { parent, ..Arrival::default() };
        assert_eq!(headers().with_arrival(&edited, "a=1").arrival(), Some(edited));
        // Shared with others, as of the items of a list.
        let (shared, other) = (headers(), headers());
        let copy = shared.clone();
        assert_eq!(copy.with_arrival(&FULL, "").arrival(), Some(FULL));
        assert_eq!(shared, other);
    }

    /// The form on the disk, which stays.
    #[test]
    fn arrival_is_read_as_it_was_written_once() {
        let bytes = b"\x00\x01\x00a\xfe\x01\x04\xcb\x00\x71\x18\x02\x05token\x03\x080a1b2c3d\
            \x04\x01\x01\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00\x06\x03\xc3\xa91";
        let read = Headers::from_encoded(Bytes::from_static(bytes));
        assert_eq!(read.arrival(), Some(FULL));
        assert_eq!(read.iter().collect::<Vec<_>>(), [("host", b"a".as_slice())]);
        let anew: Headers = [("host", b"a".as_slice())].into_iter().collect();
        assert_eq!(&**anew.with_arrival(&FULL, "").encoded(), bytes);
    }

    #[test]
    fn arrival_that_was_not_kept_or_has_unknown_parts_is_no_mistake() {
        assert_eq!(headers().arrival(), None);
        assert_eq!(Headers::default().arrival(), None);
        let read = |bytes: &'static [u8]| Headers::from_encoded(Bytes::from_static(bytes));
        let known = Arrival { secret: Some("a"), ..Arrival::default() };
        assert_eq!(read(b"\xfe\x63\x02zz\x03\x01a").arrival(), Some(known));
        for broken in [b"\xfe\x03".as_slice(), b"\xfe\x03\x09a", b"\xfe\x01\x01a", b"\xfe\x04\x01z"]
        {
            assert_eq!(read(broken).arrival(), Some(Arrival::default()), "{broken:?}");
        }
        assert_eq!(read(b"\xfd\x03\x01a").arrival(), None);
    }

    #[test]
    fn query_is_kept_parameter_by_parameter_and_within_bounds() {
        let kept = |query: &str| headers().with_arrival(&FULL, query);
        let all = |headers: &Headers| headers.query().map(Cow::into_owned).collect::<Vec<_>>();
        let both = kept("order=42&&env=a%20b&flag");
        assert_eq!(all(&both), ["order=42", "env=a%20b", "flag"]);
        assert_eq!(both.arrival(), Some(FULL), "the rest is as it was");
        assert_eq!(both.iter().count(), headers().iter().count());
        assert_eq!(kept(""), headers().with_arrival(&FULL, ""));
        // An older event has none.
        assert_eq!(all(&headers().with_arrival(&FULL, "")), [""; 0]);
        assert_eq!(all(&headers()), [""; 0]);
        for n_bytes in [252, 253, 254, 507, 508, 509, 2_000] {
            let long = format!("b=é{}", "x".repeat(n_bytes - 2));
            let query = format!("a=1&{long}&c=2");
            assert_eq!(all(&kept(&query)), ["a=1", &long, "c=2"], "{n_bytes}");
        }
        let too_long = format!("a=1&b={}&c=2", "x".repeat(2_048));
        assert_eq!(all(&kept(&too_long)), ["a=1", "c=2"]);
        let many = vec![format!("k={}", "x".repeat(198)); 20].join("&");
        assert_eq!(all(&kept(&many)).len(), 10);
        // The forms on the disk, which stay.
        let edited = Arrival { parent: Some(EventId(Uuid::from_u128(7))), ..Arrival::default() };
        let edited = Headers::default().with_arrival(&edited, "");
        assert_eq!(&**edited.encoded(), b"\xfe\x09\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07");
        let known = Headers::default().with_arrival(&Arrival::default(), "a=1&b");
        assert_eq!(&**known.encoded(), b"\xfe\x07\x03a=1\x07\x01b");
    }

    #[test]
    fn id_that_is_too_long_is_cut() {
        let id = "é".repeat(150);
        let arrival = Arrival { delivery_id: Some(&id), ..Arrival::default() };
        let kept = headers().with_arrival(&arrival, "");
        assert_eq!(kept.arrival().unwrap().delivery_id, Some("é".repeat(100).as_str()));
    }
}
