//! Request headers in one allocation, in the form in which the log stores them.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Names that webhook requests often carry, stored as one byte each. The order is part of the
/// format on disk: append only.
const COMMON: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "user-agent",
    "accept",
    "accept-encoding",
    "connection",
    "x-signature",
    "x-ue-signature",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-github-event",
    "x-github-delivery",
    "x-github-hook-id",
    "stripe-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "date",
    "via",
    "forwarded",
    "x-request-id",
    "traceparent",
    "content-encoding",
    "transfer-encoding",
];

/// The place of `name` in [`COMMON`].
fn common_index(name: &str) -> Option<u8> {
    let candidates = BY_LENGTH.get(name.len())?;
    let is_it = |index: &&u8| COMMON.get(usize::from(**index)).is_some_and(|it| *it == name);
    candidates.iter().take_while(|index| **index != SPELLED_OUT).find(is_it).copied()
}

/// The longest of [`COMMON`], and the most of them that are of one length.
const LENGTH_MAX: usize = 20;
const SAME_LENGTH_MAX: usize = 6;

/// The places in [`COMMON`] of the names of each length, then [`SPELLED_OUT`]: a request has a
/// dozen headers, and each is compared with at most six names instead of all of [`COMMON`].
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "worked out by the compiler: what does not fit does not compile"
)]
const BY_LENGTH: [[u8; SAME_LENGTH_MAX]; LENGTH_MAX] = {
    let mut table = [[SPELLED_OUT; SAME_LENGTH_MAX]; LENGTH_MAX];
    let mut index = 0;
    while index < COMMON.len() {
        let row = &mut table[COMMON[index].len()];
        let mut at = 0;
        while row[at] != SPELLED_OUT {
            at += 1;
        }
        row[at] = index as u8;
        index += 1;
    }
    table
};

/// In place of an index into [`COMMON`]: a length byte and the name itself follow.
const SPELLED_OUT: u8 = 0xff;

/// In place of an index into [`COMMON`], far above them: no header begins here, but what else is known
/// of the request.
pub(super) const ARRIVAL: u8 = 0xfe;

const _: () = assert!(COMMON.len() < ARRIVAL as usize, "no name has the mark's number");

/// The headers of a request: lower-case names and raw values, repeated names repeated, their values
/// in the order they came. Cheap to clone.
///
/// Layout of one header: name (index into a fixed table, or `0xff`, length `u8`, text), value
/// length `u16` little endian, value. Behind the last one may stand what else is known of the
/// request ([`Headers::arrival`]).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// The longest value that is kept, in bytes; longer ones are cut.
    pub const VALUE_BYTES_MAX: usize = u16::MAX as usize;
    /// The longest name that is kept, in bytes; a longer one is cut.
    pub const NAME_BYTES_MAX: usize = u8::MAX as usize;

    /// A builder with room for headers of ordinary size.
    pub fn builder() -> HeadersBuilder {
        HeadersBuilder(BytesMut::with_capacity(256))
    }

    /// Takes what [`Headers::encoded`] gave. Bytes that are not headers simply end the iteration.
    pub fn from_encoded(encoded: Bytes) -> Self {
        Self(encoded)
    }

    /// The stored form.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    pub(super) fn into_encoded(self) -> Bytes {
        self.0
    }

    /// What stands behind the last header.
    pub(super) fn tail(&self) -> &[u8] {
        let mut rest: &[u8] = &self.0;
        while let Some((_, tail)) = split_first(rest) {
            rest = tail;
        }
        rest
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (header, tail) = split_first(rest)?;
            rest = tail;
            Some(header)
        })
    }

    /// The value of the first header of this (lower-case) name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The values of all headers of this (lower-case) name.
    pub fn get_all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value)
    }
}

/// Name and value.
type Header<'a> = (&'a str, &'a [u8]);

/// Takes one header off the front; `None` at the end or where the bytes are no header.
fn split_first(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (&index, rest) = bytes.split_first()?;
    let (name, rest) = if index == SPELLED_OUT {
        let (&len, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(len))?;
        (std::str::from_utf8(name).ok()?, rest)
    } else {
        (*COMMON.get(usize::from(index))?, rest)
    };
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some(((name, value), rest))
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(headers: T) -> Self {
        let mut builder = Self::builder();
        for (name, value) in headers {
            builder.push(name, value);
        }
        builder.finish()
    }
}

/// Names only: a value may be a secret.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Collects headers into their stored form.
#[derive(Debug)]
pub struct HeadersBuilder(BytesMut);

impl HeadersBuilder {
    /// Adds a header. `name` is expected in lower case, as HTTP libraries give it.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        if let Some(index) = common_index(name) {
            self.0.put_u8(index);
        } else {
            let name = name.get(..name.floor_char_boundary(Headers::NAME_BYTES_MAX));
            let name = name.unwrap_or_default();
            self.0.put_u8(SPELLED_OUT);
            self.0.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
            self.0.put_slice(name.as_bytes());
        }
        let value = value.get(..Headers::VALUE_BYTES_MAX).unwrap_or(value);
        self.0.put_u16_le(u16::try_from(value.len()).unwrap_or(u16::MAX));
        self.0.put_slice(value);
    }

    pub fn finish(self) -> Headers {
        Headers(self.0.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_in_order_with_their_bytes() {
        let given: &[(&str, &[u8])] =
            &[("host", b"a"), ("x-odd", b"\xff\x00"), ("host", b"b"), ("x-empty", b"")];
        let headers: Headers = given.iter().copied().collect();
        assert_eq!(headers.iter().collect::<Vec<_>>(), given);
        assert_eq!(headers.get_all("host").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(headers.get("missing"), None);
    }

    #[test]
    fn every_common_name_is_found_and_no_other() {
        for (index, name) in COMMON.iter().enumerate() {
            assert_eq!(common_index(name).map(usize::from), Some(index), "{name}");
        }
        for other in ["", "x", "hosts", "x-signaturf", "a-name-longer-than-any-of-them"] {
            assert_eq!(common_index(other), None, "{other}");
        }
    }

    #[test]
    fn over_long_names_and_values_are_cut_not_lost() {
        let name = "n".repeat(300);
        let value = vec![b'v'; 70_000];
        let headers: Headers = [(name.as_str(), value.as_slice())].into_iter().collect();
        let (name, value) = headers.iter().next().unwrap();
        assert_eq!((name.len(), value.len()), (255, 65_535));
    }

    #[test]
    fn debug_shows_no_value() {
        let headers: Headers = [("authorization", b"secret".as_slice())].into_iter().collect();
        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }

    #[test]
    fn bytes_that_are_no_headers_end_the_iteration() {
        for bytes in [&b"\xfe"[..], b"\xff\x09ab", b"\x00\x05\x00ab", b"\xff\x01\xff\x00\x00"] {
            let headers = Headers::from_encoded(Bytes::copy_from_slice(bytes));
            assert_eq!(headers.iter().count(), 0, "{bytes:?}");
        }
    }
}
