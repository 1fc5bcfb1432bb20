//! Secrets as Windows writes them: Notepad puts a byte order mark before a text, and `>` of
//! PowerShell 5 makes UTF-16 of it.

use zeroize::Zeroizing;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file without a byte order mark, in UTF-8 where it came as UTF-16. What could be the
/// bytes of a key stays as it is.
pub(super) fn as_plain_text(bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if let Some(rest) = bytes.strip_prefix(UTF8_MARK)
        && std::str::from_utf8(rest).is_ok()
    {
        return Zeroizing::new(rest.to_vec());
    }
    from_utf16(&bytes).unwrap_or(bytes)
}

/// `None` = it is no text in UTF-16. A text of ASCII is one beyond doubt: 16 random bytes look like one
/// once in 2^74.
fn from_utf16(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (rest, is_big) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, false),
        [0xfe, 0xff, rest @ ..] => (rest, true),
        // Without a mark, as some programs write it.
        [first, 0, ..] if *first != 0 && bytes.len() >= 8 => (bytes, false),
        _ => return None,
    };
    let (units, []) = rest.as_chunks::<2>() else { return None };
    let mut text = Zeroizing::new(Vec::with_capacity(units.len()));
    for [one, other] in units {
        let (high, low) = if is_big { (*one, *other) } else { (*other, *one) };
        let is_text = high == 0 && (low.is_ascii_graphic() || low.is_ascii_whitespace());
        text.push(is_text.then_some(low)?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> Vec<u8> {
        as_plain_text(Zeroizing::new(bytes.to_vec())).to_vec()
    }

    #[test]
    fn text_is_read_without_its_byte_order_mark() {
        let utf16 = |text: &str, write: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(write).collect()
        };
        assert_eq!(plain(b"\xef\xbb\xbfs3cr3t"), b"s3cr3t");
        assert_eq!(plain(&utf16("\u{feff}s3cr3t\r\n", u16::to_le_bytes)), b"s3cr3t\r\n");
        assert_eq!(plain(&utf16("\u{feff}s3cr3t", u16::to_be_bytes)), b"s3cr3t");
        assert_eq!(plain(&utf16("s3cr3t", u16::to_le_bytes)), b"s3cr3t");
    }

    #[test]
    fn bytes_that_may_be_a_key_stay_as_they_are() {
        for bytes in [
            &b"s3cr3t"[..],
            b"\xef\xbb\xbf\xff\x01",
            b"\xff\xfe\x01\x02\x03\x04",
            b"\xff\xfea\0b",
            b"\xfe\xff\0a\0\x07",
            b"a\0b\0",
            b"",
        ] {
            assert_eq!(plain(bytes), bytes);
        }
    }
}
