//! JSON as people read it, out of the raw text: what is between two commas stays as it came,
//! numbers and escapes included.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::text;

/// The most bytes of HTML that are made of a text.
const HTML_MAX: usize = 20_000;
/// How deep lines are indented at most.
const INDENT_MAX: usize = 24;

/// JSON in lines, coloured and escaped.
#[derive(Debug, Default)]
pub(super) struct PrettyJson {
    html: String,
    /// Whether all of it is shown.
    pub(super) is_whole: bool,
}

/// What one piece of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Text,
    Key,
    Value,
}

impl PrettyJson {
    /// Any text as it is.
    pub(super) fn plain(text: &str) -> Self {
        let mut html = String::new();
        let is_whole = escape(&mut html, text, HTML_MAX);
        Self { html, is_whole }
    }

    /// `json` is JSON by the letter; of anything else it makes what it can.
    pub(super) fn new(json: &str) -> Self {
        let mut writer = Writer::default();
        let mut rest = json;
        while let Some(first) = rest.chars().next() {
            if writer.html.len() > HTML_MAX {
                return Self { html: writer.html, is_whole: false };
            }
            let n_bytes = writer.token(rest, first);
            rest = rest.get(n_bytes..).unwrap_or_default();
        }
        Self { html: writer.html, is_whole: !writer.is_cut }
    }
}

impl fmt::Display for PrettyJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.html)
    }
}

impl HtmlSafe for PrettyJson {}

#[derive(Default)]
struct Writer {
    html: String,
    depth: usize,
    /// A line is to be begun before the next piece.
    is_line_due: bool,
    is_cut: bool,
}

impl Writer {
    /// Writes the token that `rest` begins with; gives its length in bytes.
    fn token(&mut self, rest: &str, first: char) -> usize {
        match first {
            '{' | '[' => {
                self.begin_line();
                self.sign(first);
                self.depth += 1;
                self.is_line_due = true;
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                // `{}` stays on its line.
                if !self.is_line_due {
                    self.new_line();
                }
                self.is_line_due = false;
                self.sign(first);
            }
            ',' => {
                self.sign(first);
                self.is_line_due = true;
            }
            ':' => self.plain(": "),
            first if first.is_ascii_whitespace() => {}
            '"' => return self.text(rest),
            _ => return self.value(rest),
        }
        first.len_utf8()
    }

    fn text(&mut self, rest: &str) -> usize {
        let mut is_escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = *c == '"' && !is_escaped;
            is_escaped = *c == '\\' && !is_escaped;
            is_end
        });
        let n_bytes = end.map_or(rest.len(), |(at, _)| at + 1);
        let piece = rest.get(..n_bytes).unwrap_or_default();
        let behind = rest.get(n_bytes..).unwrap_or_default().trim_start();
        self.begin_line();
        self.piece(piece, if behind.starts_with(':') { Piece::Key } else { Piece::Text });
        n_bytes
    }

    fn value(&mut self, rest: &str) -> usize {
        let ends = |c: char| c.is_ascii_whitespace() || ",:{}[]\"".contains(c);
        let n_bytes = rest.find(ends).unwrap_or(rest.len()).max(1);
        self.begin_line();
        self.piece(rest.get(..n_bytes).unwrap_or_default(), Piece::Value);
        n_bytes
    }

    fn piece(&mut self, piece: &str, what: Piece) {
        let class = match what {
            Piece::Text => "s",
            Piece::Key => "k",
            Piece::Value => "v",
        };
        for part in ["<span class=\"", class, "\">"] {
            self.plain(part);
        }
        let is_whole = escape(&mut self.html, piece, HTML_MAX);
        self.is_cut |= !is_whole;
        self.plain(if is_whole { "</span>" } else { "…</span>" });
    }

    fn sign(&mut self, sign: char) {
        self.html.push(sign);
    }

    fn plain(&mut self, text: &str) {
        self.html.push_str(text);
    }

    fn begin_line(&mut self) {
        if std::mem::take(&mut self.is_line_due) {
            self.new_line();
        }
    }

    fn new_line(&mut self) {
        self.html.push('\n');
        let indent = 2 * self.depth.min(INDENT_MAX);
        self.html.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Text of a stranger as HTML, with nothing in it that could deceive, until there are so many
/// bytes. `false` = something is left out.
fn escape(html: &mut String, text: &str, bytes_max: usize) -> bool {
    for c in text.chars() {
        if html.len() > bytes_max {
            return false;
        }
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(c),
            c if text::is_deceptive(c) => html.push(char::REPLACEMENT_CHARACTER),
            c => html.push(c),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(json: &str) -> String {
        let mut text = PrettyJson::new(json).to_string();
        while let (Some(from), Some(to)) = (text.find('<'), text.find('>')) {
            text.replace_range(from..=to, "");
        }
        text
    }

    #[test]
    fn json_is_laid_out_and_its_pieces_stay_as_they_came() {
        let json = r#"{"a":12345678901234567890,"b":[1.00,{}],"c":"x\/\u00e9 \" }","d":[]}"#;
        let expected = "{\n  &quot;a&quot;: 12345678901234567890,\n  &quot;b&quot;: [\n    1.00,\n    {}\n  ],\n  \
                        &quot;c&quot;: &quot;x\\/\\u00e9 \\&quot; }&quot;,\n  &quot;d&quot;: []\n}";
        assert_eq!(plain(json), expected);
    }

    #[test]
    fn markup_and_deception_are_only_text() {
        let html = PrettyJson::new("{\"<script>\":\"</pre>\u{202e}'\"}").to_string();
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;/pre&gt;\u{fffd}&#39;"));
    }

    #[test]
    fn long_and_deep_texts_end() {
        let long = PrettyJson::new(&format!("[\"{}\"]", "x".repeat(1 << 20)));
        assert!(!long.is_whole && long.html.len() < 21_000, "{}", long.html.len());
        let deep = PrettyJson::new(&"[".repeat(1 << 20));
        assert!(!deep.is_whole && deep.html.len() < 21_000, "{}", deep.html.len());
        let many = PrettyJson::new(&"\"\",".repeat(1 << 16));
        assert!(!many.is_whole && many.html.len() < 21_000, "{}", many.html.len());
        assert!(!PrettyJson::plain(&"\"".repeat(1 << 16)).is_whole);
        assert!(PrettyJson::new("").is_whole);
    }
}
