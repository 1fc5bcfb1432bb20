//! Bodies that were packed for the way (`Content-Encoding`), unpacked for reading.

use std::borrow::Cow;
use std::io::Read;

use super::form::is_likely;
use flate2::bufread::GzDecoder;
use flate2::read::{DeflateDecoder, ZlibDecoder};

/// The most that a body is unpacked to.
pub(crate) const UNPACKED_MAX: usize = 16 << 20;
/// By how much a body may grow: JSON and logs grow tenfold, at most some hundredfold.
const RATIO_MAX: usize = 200;
/// What is never too much, whatever the ratio: a long row of equal records is no attack.
const UNPACKED_FREE: usize = 1 << 20;
/// The most encodings, one around the other, that are undone.
const LAYERS_MAX: usize = 3;
/// How gzip (its one method) and zstd begin.
const GZIP: &[u8] = b"\x1f\x8b\x08";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// Why a body cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("it is packed by zstd, which is not read: only gzip, deflate and br are")]
    Zstd,
    #[error("its content encoding is none of gzip, deflate and br")]
    Unknown,
    #[error("it is packed more than {LAYERS_MAX} times")]
    Layers,
    #[error("it is not the {0} that its content encoding says")]
    Broken(&'static str),
    #[error("unpacked it is larger than 16 MiB, or {RATIO_MAX} times as large as it came")]
    TooLarge,
}

/// `body` as it was before the encodings that the header `Content-Encoding` names.
pub(crate) fn unpack<'a>(encodings: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, UnpackError> {
    let names = encodings.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<&str> =
        names.filter(|name| !name.eq_ignore_ascii_case("identity")).collect();
    // A proxy dropped the header, or the sender never wrote one: no text begins like this.
    if encodings.is_empty() && body.starts_with(GZIP) {
        names.push("gzip");
    }
    if names.len() > LAYERS_MAX {
        return Err(UnpackError::Layers);
    }
    let limit = body.len().saturating_mul(RATIO_MAX).clamp(UNPACKED_FREE, UNPACKED_MAX);
    let mut unpacked = Cow::Borrowed(body);
    // The last one named was put on last.
    for name in names.into_iter().rev() {
        if let Some(bytes) = undo(name, &unpacked, limit)? {
            unpacked = Cow::Owned(bytes);
        }
    }
    Ok(unpacked)
}

/// `None` = a proxy has unpacked it and left the header as it was.
fn undo(name: &str, packed: &[u8], limit: usize) -> Result<Option<Vec<u8>>, UnpackError> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("gzip") || is("x-gzip") {
        if !packed.starts_with(b"\x1f\x8b") && looks_plain(packed) {
            return Ok(None);
        }
        read_gzip(packed, limit).map(Some)
    } else if is("deflate") {
        if looks_plain(packed) {
            return Ok(None);
        }
        // RFC 9110 means zlib; some send the bare stream.
        match read(ZlibDecoder::new(packed), "deflate", limit) {
            Err(UnpackError::Broken(_)) => {
                read(DeflateDecoder::new(packed), "deflate", limit).map(Some)
            }
            unpacked => unpacked.map(Some),
        }
    } else if is("br") {
        let unpacked = read(brotli_decompressor::Decompressor::new(packed, 4096), "br", limit);
        match unpacked {
            Err(UnpackError::Broken(_)) if looks_plain(packed) => Ok(None),
            unpacked => unpacked.map(Some),
        }
    } else if std::str::from_utf8(packed).is_ok() {
        // `Content-Encoding: UTF-8` and other words that do not belong there.
        Ok(None)
    } else if is("zstd") || packed.starts_with(ZSTD) {
        Err(UnpackError::Zstd)
    } else {
        Err(UnpackError::Unknown)
    }
}

/// Whether it begins like JSON or XML, or is a form.
fn looks_plain(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[' | b'<')) || is_likely(bytes)
}

/// One member after the other. Zero bytes behind the last one fill a block up, as tapes and some
/// programs have them (gzip(1), "trailing zeros are ignored").
fn read_gzip(mut packed: &[u8], limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::new();
    loop {
        let mut member = GzDecoder::new(packed);
        read_into(&mut unpacked, &mut member, "gzip", limit)?;
        packed = member.into_inner();
        if packed.iter().all(|byte| *byte == 0) {
            return Ok(unpacked);
        }
    }
}

fn read(mut stream: impl Read, name: &'static str, limit: usize) -> Result<Vec<u8>, UnpackError> {
    let mut unpacked = Vec::new();
    read_into(&mut unpacked, &mut stream, name, limit)?;
    Ok(unpacked)
}

/// Puts all of the stream behind what is there, up to `limit` bytes of both.
fn read_into(
    unpacked: &mut Vec<u8>,
    stream: &mut impl Read,
    name: &'static str,
    limit: usize,
) -> Result<(), UnpackError> {
    let room = limit.saturating_sub(unpacked.len()).saturating_add(1);
    let take = u64::try_from(room).unwrap_or(u64::MAX);
    let read = stream.take(take).read_to_end(unpacked);
    if unpacked.len() > limit {
        return Err(UnpackError::TooLarge);
    }
    read.map_err(|_| UnpackError::Broken(name))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    /// `{"a":1}` by another program.
    const BROTLI: &[u8] = b"\x0b\x03\x80{\"a\":1}\x03";

    #[track_caller]
    fn check(encodings: &str, packed: &[u8], expected: Result<&[u8], UnpackError>) {
        assert_eq!(unpack(encodings, packed), expected.map(Cow::Borrowed));
    }

    #[test]
    fn every_known_encoding_is_undone() {
        let plain = br#"{"a":1}"#;
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(plain).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(plain).unwrap();
        check("", plain, Ok(plain));
        check("identity", plain, Ok(plain));
        check("GZIP", &gzip(plain), Ok(plain));
        check("x-gzip", &[gzip(b"{\"a\""), gzip(b":1}")].concat(), Ok(plain));
        check("deflate", &zlib.finish().unwrap(), Ok(plain));
        check("deflate", &bare.finish().unwrap(), Ok(plain));
        check("gzip", &[gzip(plain), vec![0; 512]].concat(), Ok(plain));
        check("br", BROTLI, Ok(plain));
        check("br, gzip", &gzip(BROTLI), Ok(plain));
    }

    #[test]
    fn body_that_a_proxy_has_unpacked_is_read_as_it_is() {
        for encoding in ["gzip", "deflate", "br"] {
            check(encoding, br#" {"a":1}"#, Ok(br#" {"a":1}"#));
            check(encoding, b"a=1&b=x+y", Ok(b"a=1&b=x+y"));
        }
    }

    #[test]
    fn broken_and_unknown_encodings_say_so() {
        check("zstd", b"(\xb5/\xfd", Err(UnpackError::Zstd));
        check("compress", b"\x1f\x9d\x90", Err(UnpackError::Unknown));
        // A word that does not belong there.
        check("UTF-8", b"{}", Ok(b"{}"));
        check("gzip", b"\x1f\x8bxx", Err(UnpackError::Broken("gzip")));
        check("gzip", b"a = 1", Err(UnpackError::Broken("gzip")));
        check("deflate", b"a = 1", Err(UnpackError::Broken("deflate")));
        check("br", b"\xff\xff\xff", Err(UnpackError::Broken("br")));
        check("gzip,gzip,gzip,gzip", b"x", Err(UnpackError::Layers));
        let two = [gzip(b"{}"), b"\0\0x".to_vec()].concat();
        check("gzip", &two, Err(UnpackError::Broken("gzip")));
        let cut = gzip(b"some text");
        check("gzip", &cut[..cut.len() - 9], Err(UnpackError::Broken("gzip")));
    }

    #[test]
    fn gzip_that_nothing_names_is_unpacked() {
        let plain = br#"{"a":1}"#;
        check("", &gzip(plain), Ok(plain));
        let packed = gzip(plain);
        check("identity", &packed, Ok(&packed));
        check("", b"\x1f\x8b", Ok(b"\x1f\x8b"));
        check("", b"\x1f\x8b\x08xx", Err(UnpackError::Broken("gzip")));
    }

    #[test]
    fn bombs_are_not_unpacked() {
        let mebibytes = |n: usize| gzip(&vec![b' '; n << 20]);
        assert_eq!(unpack("gzip", &mebibytes(1)).unwrap().len(), 1 << 20);
        check("gzip", &mebibytes(3), Err(UnpackError::TooLarge));
        check("gzip", &mebibytes(40), Err(UnpackError::TooLarge));
        check("gzip, gzip", &gzip(&mebibytes(20)), Err(UnpackError::TooLarge));
    }
}
