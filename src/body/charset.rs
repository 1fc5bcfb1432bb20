//! Text that is not UTF-8, in the charset that its sender names.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

/// The charset that the content type of `text` names, else its own first line, where it is XML.
pub(super) fn of(content_type: &str, text: &[u8]) -> Option<&'static Encoding> {
    named(content_type).or_else(|| declared(text))
}

/// No declaration is longer.
const DECLARATION_BYTES_MAX: usize = 200;

/// That of `<?xml version="1.0" encoding="ISO-8859-1"?>`.
fn declared(text: &[u8]) -> Option<&'static Encoding> {
    let text = text.trim_ascii_start().strip_prefix(b"<?xml")?;
    let start = text.get(..DECLARATION_BYTES_MAX.min(text.len()))?;
    let start = String::from_utf8_lossy(start);
    let (declaration, _) = start.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    known(value.split(['"', '\'']).nth(1)?.as_bytes())
}

/// The charset that a content type names; `None` = it names none that is known, or UTF-8.
pub(super) fn named(content_type: &str) -> Option<&'static Encoding> {
    let mut parameters = content_type.split(';').skip(1);
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    });
    known(value?.as_bytes())
}

/// The charset of this name.
pub(super) fn known(label: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label(label).filter(|encoding| *encoding != encoding_rs::UTF_8)
}

/// `text` as UTF-8. What is UTF-8 stays so whatever is said of it: wrong labels are more frequent
/// than texts that fit two charsets by chance.
pub(super) fn to_utf8<'t>(
    text: Cow<'t, [u8]>,
    charset: Option<&'static Encoding>,
) -> Cow<'t, [u8]> {
    let marked = Encoding::for_bom(&text).map(|(encoding, _)| encoding).filter(|one| is_wide(one));
    let wide = marked.or(charset.filter(|one| is_wide(one))).or_else(|| unmarked(&text));
    if let Some(encoding) = wide.filter(|_| text.len().is_multiple_of(2) && text.contains(&0)) {
        return Cow::Owned(encoding.decode(&text).0.into_owned().into_bytes());
    }
    match charset.filter(|one| !is_wide(one)) {
        Some(encoding) if std::str::from_utf8(&text).is_err() => {
            let (decoded, _) = encoding.decode_without_bom_handling(&text);
            Cow::Owned(decoded.into_owned().into_bytes())
        }
        Some(_) | None => text,
    }
}

/// UTF-16 that nothing names: JSON and XML begin with ASCII, and hold no zero otherwise (RFC 4627, 3).
fn unmarked(text: &[u8]) -> Option<&'static Encoding> {
    match text.first_chunk()? {
        [b'{' | b'[' | b'<', 0] => Some(UTF_16LE),
        [0, b'{' | b'[' | b'<'] => Some(UTF_16BE),
        [_, _] => None,
    }
}

/// A text; what no character is becomes U+FFFD.
pub(super) fn text(bytes: &[u8], charset: Option<&'static Encoding>) -> String {
    String::from_utf8_lossy(&to_utf8(Cow::Borrowed(bytes), charset)).into_owned()
}

fn is_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, bytes: &[u8], expected: &str) {
        assert_eq!(text(bytes, named(content_type)), expected, "{content_type}");
    }

    #[test]
    fn named_charset_is_read() {
        check("text/plain; charset=ISO-8859-1", b"Zo\xeb \x80", "Zoë €");
        check("a/b; q=1; Charset=\"windows-1251\"", b"\xcf\xf0", "Пр");
        check("a/b;charset=shift_jis", b"\x93\xfa", "日");
        check("a/b; charset=utf-16", b"\xff\xfe{\0}\0", "{}");
        check("a/b; charset=utf-16be", b"\0{\0}", "{}");
        check("application/json", b"\xfe\xff\0{\0}", "{}");
    }

    #[test]
    fn charset_of_an_xml_declaration_is_read() {
        let check = |content_type: &str, declaration: &str, expected: &str| {
            let xml = [declaration.as_bytes(), b"<a>Zo\xeb</a>"].concat();
            let shown = text(&xml, of(content_type, &xml));
            assert_eq!(shown, format!("{declaration}<a>{expected}</a>"), "{content_type}");
        };
        let latin = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>";
        check("text/xml", latin, "Zoë");
        check("text/xml", "\r\n<?xml version='1.0' encoding = 'windows-1252' ?>", "Zoë");
        // What the request says goes before.
        check("text/xml; charset=koi8-r", latin, "ZoК");
        check("text/xml", "<?xml version=\"1.0\"?>", "Zo\u{fffd}");
        check("text/xml", "<b encoding=\"ISO-8859-1\"/>", "Zo\u{fffd}");
    }

    #[test]
    fn utf_16_that_nothing_names_is_read() {
        check("application/json", b"{\0}\0", "{}");
        check("text/xml", b"\0<\0a\0/\0>", "<a/>");
        check("application/json", b"{\0}", "{\0}");
        check("text/plain", b"a\0b\0", "a\0b\0");
    }

    #[test]
    fn what_is_utf_8_stays_so_whatever_is_said_of_it() {
        check("a/b; charset=iso-8859-1", "Zoë".as_bytes(), "Zoë");
        check("a/b; charset=utf-16", b"{}", "{}");
        check("a/b; charset=nonsense", b"Zo\xeb", "Zo\u{fffd}");
        check("a/b; charset=utf-8", b"Zo\xeb", "Zo\u{fffd}");
        check("a/b", b"\xff\xfe{", "\u{fffd}\u{fffd}{");
    }
}
