//! A body without its `Content-Encoding`, for senders that sign before they compress.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::rejection::Rejection;
use super::request::Inbound;

/// The most bytes that a body is unpacked to: it is done before verification.
const BYTES_MAX: u64 = 16 << 20;
/// The most that a body may grow by: text packs to a tenth, a hundredth is a bomb.
const RATIO_MAX: u64 = 100;

/// The body as it was before it was packed by gzip or deflate; any other encoding is refused.
pub(super) fn unpack<'a>(request: &Inbound<'a>) -> Result<Cow<'a, [u8]>, Rejection> {
    let encoding = request.headers.get("content-encoding").unwrap_or_default();
    let encoding = encoding.trim_ascii().to_ascii_lowercase();
    match encoding.as_slice() {
        b"" | b"identity" => Ok(Cow::Borrowed(request.body)),
        b"gzip" | b"x-gzip" => read_all(MultiGzDecoder::new(request.body), request.body),
        // Some write the zlib wrapping that the name means, some leave it out.
        b"deflate" => read_all(ZlibDecoder::new(request.body), request.body)
            .or_else(|_| read_all(DeflateDecoder::new(request.body), request.body)),
        _ => Err(Rejection::NotUnpacked),
    }
}

fn read_all<'a>(decoder: impl Read, packed: &[u8]) -> Result<Cow<'a, [u8]>, Rejection> {
    let packed_bytes = u64::try_from(packed.len()).unwrap_or(u64::MAX);
    let bytes_max = packed_bytes.saturating_mul(RATIO_MAX).clamp(64 << 10, BYTES_MAX);
    let mut body = Vec::new();
    let n_read = decoder.take(bytes_max + 1).read_to_end(&mut body);
    match n_read {
        Ok(_) if u64::try_from(body.len()).is_ok_and(|n_bytes| n_bytes <= bytes_max) => {
            Ok(Cow::Owned(body))
        }
        Ok(_) | Err(_) => Err(Rejection::NotUnpacked),
    }
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
        ] {
            assert_eq!(unpacked(encoding, &packed), Ok(b"body".to_vec()), "{encoding}");
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
