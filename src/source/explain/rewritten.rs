//! The ways in which a proxy or a framework writes a body anew.

use std::fmt::Write as _;

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::body::json::{self, Layout};

use super::case::WrittenAnew;
use super::repacked::{
    forms, forms_in_other_charsets, forms_in_other_orders, forms_of_json, in_other_charsets,
    json_of_form, undone, wrapped,
};

/// How much longer than the body what it was written from may be: each sign an escape.
const GROWTH_MAX: usize = 6;
/// The same for what is indented, and for what is short.
const GROWTH_BYTES: usize = 256 << 10;
/// As deep as most readers go.
const DEPTH_MAX: usize = 128;

type WriteAnew = fn(&[u8]) -> Vec<WrittenAnew>;

/// One kind after the other: no more is in memory than the bodies of one.
const KINDS: [WriteAnew; 9] = [
    with_other_ends,
    with_other_lines,
    wrapped,
    in_other_charsets,
    undone,
    forms,
    forms_in_other_orders,
    forms_in_other_charsets,
    forms_of_json,
];

/// Every other way of writing `body`, each with a word for people, one at a time.
pub(super) fn bodies(body: &[u8]) -> impl Iterator<Item = WrittenAnew> {
    let most = body.len() * GROWTH_MAX + GROWTH_BYTES;
    let value = || json::read(body).ok().map(|(value, _)| value);
    let anew = std::iter::once_with(value).flatten();
    let anew = anew.flat_map(move |value| normalised(value, most));
    let of_form = json_of_form(body).into_iter().flat_map(move |text| {
        let value = json::read(text.as_bytes()).ok().map(|(value, _)| value);
        value.into_iter().flat_map(move |value| normalised(value, most))
    });
    let of_form = of_form.map(|(_, body)| ("as the JSON that something made a form of", body));
    KINDS.into_iter().flat_map(|kind| kind(body)).chain(anew).chain(of_form)
}

fn with_other_ends(body: &[u8]) -> Vec<WrittenAnew> {
    vec![
        ("without the blanks at its end", body.trim_ascii_end().to_vec()),
        ("with a newline at its end", [body, b"\n"].concat()),
        ("with a newline at its end", [body, b"\r\n"].concat()),
    ]
}

fn with_other_lines(body: &[u8]) -> Vec<WrittenAnew> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let unix = text.replace("\r\n", "\n");
    let bare = text.trim_start_matches('\u{feff}');
    vec![
        ("with other line ends", unix.replace('\n', "\r\n").into_bytes()),
        ("with other line ends", unix.into_bytes()),
        ("with a byte order mark", format!("\u{feff}{text}").into_bytes()),
        ("without its byte order mark", bare.as_bytes().to_vec()),
    ]
}

/// What parsers of JSON make of `value`, as long as it is at most so many bytes.
fn normalised(value: Value, most: usize) -> impl Iterator<Item = WrittenAnew> {
    let plain = Style::ALL
        .map(|style| (style, "after JSON normalisation (something parsed it and wrote it anew)"));
    let indented = Style::INDENTED
        .map(|style| (style, "after JSON normalisation (something wrote it with indents)"));
    let styles = plain.into_iter().chain(indented);
    let styles = styles.flat_map(|(style, what)| [(style, what, false), (style, what, true)]);
    styles.filter_map(move |(style, what, is_sorted)| {
        let mut written = RewrittenBody { text: String::new(), is_sorted, most };
        style.write(&value, 0, &mut written)?;
        written.text.push_str(style.end);
        Some((what, written.text.into_bytes()))
    })
}

/// What was written so far.
struct RewrittenBody {
    text: String,
    /// The keys of every object come in order.
    is_sorted: bool,
    /// How long it may be.
    most: usize,
}

/// How a language's usual writer writes JSON. Numbers stay as they are written.
#[derive(Clone, Copy)]
struct Style {
    /// Behind `,` and `:`; Python has a blank there.
    comma: &'static str,
    colon: &'static str,
    /// One item a line, with so much before it for each level.
    indent: Option<&'static str>,
    /// How such a line ends.
    line_end: &'static str,
    /// What is written behind all of it.
    end: &'static str,
    /// How what is not ASCII is escaped.
    non_ascii: UnicodeEscape,
    /// How what could be markup is escaped.
    markup: UnicodeEscape,
    /// What counts as markup.
    markup_signs: &'static str,
    /// `\/`, as PHP does.
    escapes_slash: bool,
}

/// How a sign is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnicodeEscape {
    Plain,
    /// `\u00e9`
    Lower,
    /// `\u00E9`
    Upper,
}

/// As Go and Rails see markup.
const MARKUP: &str = "<>&\u{2028}\u{2029}";
/// As PHP and .NET do.
const MARKUP_AND_QUOTES: &str = "<>&'+\"";

impl Style {
    /// JavaScript, Ruby, Rust.
    const PLAIN: Self = Self {
        comma: ",",
        colon: ":",
        indent: None,
        line_end: "\n",
        end: "",
        non_ascii: UnicodeEscape::Plain,
        markup: UnicodeEscape::Plain,
        markup_signs: MARKUP,
        escapes_slash: false,
    };
    const ASCII: Self = Self { non_ascii: UnicodeEscape::Lower, ..Self::PLAIN };
    const SPACED: Self = Self { comma: ", ", colon: ": ", ..Self::PLAIN };
    const PHP_MARKUP: Self =
        Self { markup: UnicodeEscape::Upper, markup_signs: "<>&'", ..Self::ASCII };

    const GO: Self = Self { markup: UnicodeEscape::Lower, ..Self::PLAIN };
    const DOT_NET: Self = Self {
        non_ascii: UnicodeEscape::Upper,
        markup: UnicodeEscape::Upper,
        markup_signs: MARKUP_AND_QUOTES,
        ..Self::PLAIN
    };

    const ALL: [Self; 16] = [
        Self::PLAIN,
        // PHP, with and without its usual flags.
        Self { escapes_slash: true, ..Self::ASCII },
        Self::ASCII,
        Self { escapes_slash: true, ..Self::PLAIN },
        // Python.
        Self { non_ascii: UnicodeEscape::Lower, ..Self::SPACED },
        Self::SPACED,
        // Go; Rails; PHP with JSON_HEX_TAG, without and with its slashes.
        Self::GO,
        Self { markup: UnicodeEscape::Lower, ..Self::ASCII },
        // Go's encoder of a stream, Python's and JavaScript's printing.
        Self { end: "\n", ..Self::GO },
        Self { end: "\n", ..Self::PLAIN },
        // Gson, and PHP with all of its flags for markup.
        Self { markup_signs: "<>&='\u{2028}\u{2029}", ..Self::GO },
        Self { markup_signs: "<>&'\"", escapes_slash: true, ..Self::PHP_MARKUP },
        Self::PHP_MARKUP,
        Self { escapes_slash: true, ..Self::PHP_MARKUP },
        // .NET, and Java in its ASCII mode.
        Self::DOT_NET,
        Self { non_ascii: UnicodeEscape::Upper, ..Self::PLAIN },
    ];

    const TWO: Self = Self { indent: Some("  "), colon: ": ", ..Self::PLAIN };
    const FOUR: Self = Self { indent: Some("    "), ..Self::TWO };
    const FOUR_ASCII: Self = Self { non_ascii: UnicodeEscape::Lower, ..Self::FOUR };

    const INDENTED: [Self; 16] = [
        Self::TWO,
        Self::FOUR,
        Self { indent: Some("\t"), ..Self::TWO },
        Self { indent: Some(" "), ..Self::TWO },
        // Python, and its indents of other widths.
        Self { non_ascii: UnicodeEscape::Lower, ..Self::TWO },
        Self::FOUR_ASCII,
        Self { indent: Some("\t"), ..Self::FOUR_ASCII },
        Self { indent: Some(" "), ..Self::FOUR_ASCII },
        // PHP.
        Self { escapes_slash: true, ..Self::FOUR_ASCII },
        Self { escapes_slash: true, ..Self::FOUR },
        // Go, Gson, Jackson, .NET.
        Self { markup: UnicodeEscape::Lower, ..Self::TWO },
        Self { markup: UnicodeEscape::Lower, markup_signs: "<>&='\u{2028}\u{2029}", ..Self::TWO },
        Self { colon: " : ", ..Self::TWO },
        Self { end: "\n", ..Self::TWO },
        Self { indent: Some("  "), colon: ": ", line_end: "\r\n", ..Self::DOT_NET },
        Self { line_end: "\r\n", ..Self::TWO },
    ];

    /// `None` = it becomes too long, or is too deep.
    fn write(self, value: &Value, depth: usize, written: &mut RewrittenBody) -> Option<()> {
        if depth > DEPTH_MAX || written.text.len() > written.most {
            return None;
        }
        let is_map = value.kind() == ValueKind::Map;
        if !is_map && value.kind() != ValueKind::Seq {
            match value.as_str() {
                Some(text) => self.write_text(text, &mut written.text),
                None => written.text.push_str(&json::write(value, Layout::Compact).ok()?),
            }
            return Some(());
        }
        let mut items: Vec<Value> = value.try_iter().ok()?.collect();
        if is_map && written.is_sorted {
            items.sort_unstable_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
        written.text.push(if is_map { '{' } else { '[' });
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                written.text.push_str(if self.indent.is_some() { "," } else { self.comma });
            }
            self.break_line(depth + 1, &mut written.text);
            if is_map {
                self.write_text(item.as_str()?, &mut written.text);
                written.text.push_str(self.colon);
                self.write(&value.get_item(item).ok()?, depth + 1, written)?;
            } else {
                self.write(item, depth + 1, written)?;
            }
        }
        if !items.is_empty() {
            self.break_line(depth, &mut written.text);
        }
        written.text.push(if is_map { '}' } else { ']' });
        Some(())
    }

    fn break_line(self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push_str(self.line_end);
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }

    fn write_text(self, text: &str, out: &mut String) {
        let is_markup =
            |sign: char| self.markup != UnicodeEscape::Plain && self.markup_signs.contains(sign);
        let quoted = serde_json::Value::from(text).to_string();
        let mut signs = quoted.chars();
        while let Some(sign) = signs.next() {
            match sign {
                '\\' => match signs.next() {
                    Some('"') if is_markup('"') => self.markup.write('"', out),
                    // An escape goes on as it is.
                    next => out.extend([sign].into_iter().chain(next)),
                },
                '"' => out.push('"'),
                '/' if self.escapes_slash => out.push_str("\\/"),
                sign if is_markup(sign) => self.markup.write(sign, out),
                sign if !sign.is_ascii() => self.non_ascii.write(sign, out),
                sign => out.push(sign),
            }
        }
    }
}

impl UnicodeEscape {
    fn write(self, sign: char, out: &mut String) {
        for unit in sign.encode_utf16(&mut [0; 2]) {
            match self {
                Self::Plain => return out.push(sign),
                // Writing to a string cannot fail.
                Self::Lower => write!(out, "\\u{unit:04x}").unwrap_or_default(),
                Self::Upper => write!(out, "\\u{unit:04X}").unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
