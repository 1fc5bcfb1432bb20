//! `multipart/form-data` (RFC 7578): the fields of a form that may carry files.

use std::borrow::Cow;

use super::form::unescaped;
use super::transfer_encoding::TransferEncoding;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Given for a file.
    pub(crate) filename: Option<Cow<'a, str>>,
    pub(crate) content_type: Option<Cow<'a, str>>,
    /// As it came.
    pub(crate) content: &'a [u8],
    encoding: Option<TransferEncoding>,
}

impl<'a> Part<'a> {
    /// The content without its `Content-Transfer-Encoding`.
    pub(crate) fn decoded(&self) -> Cow<'a, [u8]> {
        match self.encoding {
            Some(encoding) => encoding.decode(self.content),
            None => self.content.into(),
        }
    }

    /// How long that is.
    pub(crate) fn decoded_len(&self) -> usize {
        self.encoding.map_or(self.content.len(), |encoding| encoding.decoded_len(self.content))
    }
}

/// What is wrong with a multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    #[error("its content type names no boundary")]
    NoBoundary,
    #[error("its boundary does not stand in it")]
    NoPart,
    #[error("a part of it has no end")]
    Unended,
    #[error("it has more than {PARTS_MAX} parts")]
    TooMany,
}

/// The most parts that are read; a mail with every field and attachment has some fifty.
const PARTS_MAX: usize = 1_000;

/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// The parts of `body`, in the order they came.
pub(crate) fn parts<'a>(
    content_type: &str,
    body: &'a [u8],
) -> Result<Vec<Part<'a>>, MultipartError> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
    let boundary = boundary.or_else(|| first_line(body));
    let first = format!("--{}", boundary.ok_or(MultipartError::NoBoundary)?);
    let line_end = line_end(body, first.as_bytes());
    let (delimiter, head_end) = (format!("{line_end}{first}"), line_end.repeat(2));
    let (first, delimiter) = (first.as_bytes(), delimiter.as_bytes());
    let (line_end, head_end) = (line_end.as_bytes(), head_end.as_bytes());
    // The first delimiter may stand at the very beginning, without a line end before it.
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => split(body, delimiter).ok_or(MultipartError::NoPart)?.1,
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() >= PARTS_MAX {
            return Err(MultipartError::TooMany);
        }
        // Behind the delimiter white space may stand; in front of the head a line ends.
        let (_, part) = split(rest, line_end).ok_or(MultipartError::Unended)?;
        // A part without any header begins with the empty line.
        let (head, content) = match part.strip_prefix(line_end) {
            Some(content) => (&b""[..], content),
            None => split(part, head_end).ok_or(MultipartError::Unended)?,
        };
        let (content, behind) = if content.starts_with(first) {
            (&b""[..], content.get(first.len()..).unwrap_or_default())
        } else {
            split(content, delimiter).ok_or(MultipartError::Unended)?
        };
        parts.push(part_of(head, content));
        rest = behind;
    }
    Ok(parts)
}

/// The boundary where the content type names none, as programs send that set it by hand: the body
/// begins with it.
fn first_line(body: &[u8]) -> Option<String> {
    let line = body.strip_prefix(b"--")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8(line.trim_ascii_end().to_vec()).ok()?;
    (!line.is_empty() && line.len() <= BOUNDARY_BYTES_MAX).then_some(line)
}

/// What ends the lines behind the delimiter `first`: shell scripts write their bodies with LF alone.
fn line_end(body: &[u8], first: &[u8]) -> &'static str {
    let behind = split(body, first).map(|(_, behind)| behind).unwrap_or_default();
    let line = behind.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_ended = line.len() < behind.len();
    if is_ended && !line.ends_with(b"\r") { "\n" } else { "\r\n" }
}

/// A part without a name has an empty one: the others are read all the same.
fn part_of<'a>(head: &'a [u8], content: &'a [u8]) -> Part<'a> {
    let (mut disposition, mut content_type, mut encoding) = (None, None, None);
    for line in unfolded(head) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value);
        } else if name.trim().eq_ignore_ascii_case("content-type") {
            content_type = Some(value.into());
        } else if name.trim().eq_ignore_ascii_case("content-transfer-encoding") {
            encoding = TransferEncoding::of(&value);
        }
    }
    let disposition = disposition.unwrap_or_default();
    let name = parameter(&disposition, "name").unwrap_or_default();
    let filename = parameter(&disposition, "filename").or_else(|| {
        // `UTF-8''Z%C3%B6.txt` (RFC 8187).
        let text = parameter(&disposition, "filename*")?;
        let (_, name) = text.rsplit_once('\'')?;
        Some(String::from_utf8_lossy(&unescaped(name.as_bytes())).into_owned())
    });
    Part { name: name.into(), filename: filename.map(Cow::Owned), content_type, content, encoding }
}

/// The lines of a head. One that begins with white space goes on with the one before it.
fn unfolded(head: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        match lines.last_mut() {
            Some(last) if text.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(text.trim());
            }
            _ => lines.push(text.trim().to_owned()),
        }
    }
    lines
}

/// The parameter `name` of a header such as `form-data; name="a"; filename="b.txt"`.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (key, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (value, behind) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, behind) = value.split_once(';').unwrap_or((value, ""));
            (value.trim_end().to_owned(), behind)
        };
        if key.trim().trim_start_matches(';').trim_start().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
}

/// The text up to the closing quote, and what is behind it. Browsers write a quote as `%22`, older
/// programs as `\"`.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' if chars.as_str().starts_with(['"', '\\']) => text.extend(chars.next()),
            other => text.push(other),
        }
    }
    (text.replace("%22", "\""), chars.as_str())
}

/// What is before and behind the first `separator`.
fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let first = *separator.first()?;
    let mut from = 0;
    loop {
        let found = bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        let at = from.checked_add(found)?;
        let (before, rest) = bytes.split_at_checked(at)?;
        if let Some(behind) = rest.strip_prefix(separator) {
            return Some((before, behind));
        }
        from = at.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"b n\"";

    fn body(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    #[test]
    fn fields_and_files_are_told_apart() {
        let body = body(
            "preamble\n--b n\nContent-Disposition: form-data; name=\"a\"\n\n1\n2\n--b n \n\
             content-disposition: form-data; filename=\"x\\\"; y.txt\"; name=f\n\
             Content-Type: text/plain\n\n\n--b n\nContent-Disposition: form-data; name=\"e\"\n\n\
             \n--b n--\nepilogue",
        );
        let parts = parts(TYPE, &body).unwrap();
        let shown: Vec<_> = parts
            .iter()
            .map(|part| (&*part.name, part.filename.as_deref(), part.content_type.as_deref()))
            .collect();
        let file = ("f", Some("x\"; y.txt"), Some("text/plain"));
        assert_eq!(shown, [("a", None, None), file, ("e", None, None)]);
        assert_eq!(parts[0].content, b"1\r\n2");
        assert!(parts[1].content.is_empty() && parts[2].content.is_empty());
    }

    #[test]
    fn boundary_may_begin_the_body_and_end_it() {
        let plain = "multipart/form-data; boundary=x";
        let text = body("--x\nContent-Disposition: form-data; name=a\n\n1\n--x--");
        assert_eq!(parts(plain, &text).unwrap().len(), 1);
        assert_eq!(parts(plain, b"--x--\r\n").unwrap().len(), 0);
    }

    #[test]
    fn parts_without_a_name_do_not_hide_the_others() {
        let plain = "multipart/form-data; boundary=x";
        let names = |text: &str| {
            let body = body(text);
            let parts = parts(plain, &body).unwrap();
            parts.iter().map(|part| part.name.clone().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("--x\n\n1\n--x--"), [""]);
        let folded = "--x\nContent-Disposition: form-data;\n\tname=a\n\n1\n";
        assert_eq!(names(&format!("--x\nContent-Type: a/b\n\n1\n{folded}--x--")), ["", "a"]);
    }

    #[test]
    fn lines_that_end_by_lf_alone_are_read() {
        let text = "--x\nContent-Disposition: form-data; name=a\n\n1\r\n2\n--x \n\
                    Content-Disposition: attachment; filename*=UTF-8''Z%C3%B6+.txt\n\n\n--x--\n";
        let parts = parts("multipart/form-data; boundary=x", text.as_bytes()).unwrap();
        assert_eq!((&*parts[0].name, parts[0].content), ("a", &b"1\r\n2"[..]));
        assert_eq!(parts[1].filename.as_deref(), Some("Zö+.txt"));
        assert!(parts[1].content.is_empty());
    }

    #[test]
    fn boundary_that_nothing_names_begins_the_body() {
        let text = body("--b n\nContent-Disposition: form-data; name=a\n\n1\n--b n--\n");
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=\"\""] {
            assert_eq!(parts(content_type, &text).unwrap()[0].content, b"1");
        }
    }

    #[test]
    fn broken_multipart_says_what_is_wrong() {
        let plain = "multipart/form-data; boundary=x";
        let check = |content_type: &str, text: &str, expected| {
            assert_eq!(parts(content_type, &body(text)), Err(expected), "{text}");
        };
        check("multipart/form-data", "x--", MultipartError::NoBoundary);
        check("multipart/form-data", "--\n", MultipartError::NoBoundary);
        check("multipart/form-data; boundary=", "x", MultipartError::NoBoundary);
        check("multipart/form-data", &format!("--{}", "x".repeat(71)), MultipartError::NoBoundary);
        check(plain, "a=1", MultipartError::NoPart);
        let part = "--x\nContent-Disposition: form-data; name=a\n\n1\n";
        check(plain, part, MultipartError::Unended);
        check(plain, &part.repeat(PARTS_MAX + 1), MultipartError::TooMany);
    }
}
