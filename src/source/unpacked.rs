//! A body without its `Content-Encoding`, for senders that sign before they compress.

use std::borrow::Cow;

use super::rejection::Rejection;
use super::request::Inbound;
use crate::body;

/// The body as it was before it was packed: as everything else reads it, and within the same
/// bounds, since nothing is believed yet.
pub(super) fn unpack<'a>(request: &Inbound<'a>) -> Result<Cow<'a, [u8]>, Rejection> {
    let encoding = request.headers.get("content-encoding");
    body::unpacked(encoding, request.body).map_err(|_| Rejection::NotUnpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn unpacked(encoding: &str, body: &[u8]) -> Result<Vec<u8>, Rejection> {
        let headers = [("content-encoding", encoding.as_bytes())].into_iter().collect();
        let request = Inbound { method: "POST", path_and_query: "/", headers: &headers, body };
        unpack(&request).map(Cow::into_owned)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn body_is_unpacked_by_each_encoding() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"body").unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(b"body").unwrap();
        for (encoding, packed) in [
            ("", b"body".to_vec()),
            ("identity", b"body".to_vec()),
            ("gzip", gzip(b"body")),
            (" GZip ", gzip(b"body")),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            // A proxy has dropped the header.
            ("", gzip(b"body")),
        ] {
            assert_eq!(unpacked(encoding, &packed), Ok(b"body".to_vec()), "{encoding}");
        }
    }

    #[test]
    fn body_that_a_proxy_has_unpacked_is_taken_as_it_is() {
        for encoding in ["gzip", "br", "UTF-8"] {
            assert_eq!(unpacked(encoding, b"{}"), Ok(b"{}".to_vec()), "{encoding}");
        }
    }

    #[test]
    fn bombs_and_broken_bodies_are_refused() {
        let whole = gzip(b"body");
        let cut = whole.split_last().unwrap().1;
        for (encoding, packed) in [
            ("gzip", b"body".as_slice()),
            ("gzip", cut),
            ("br", &whole),
            ("gzip, gzip", &whole),
            ("gzip", &gzip(&vec![0; 4 << 20])),
        ] {
            assert_eq!(unpacked(encoding, packed), Err(Rejection::NotUnpacked), "{encoding}");
        }
    }
}
