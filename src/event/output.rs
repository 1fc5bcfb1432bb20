//! What the other side of a try said, as far as it is kept with the try.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde::{Deserialize, Deserializer};

use super::EventId;
use crate::text;

/// Where an excerpt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// What a program wrote to its standard output: the end of it.
    Stdout,
    /// What a program wrote to its standard error: the end of it.
    Stderr,
    /// An HTTP answer's status line and headers, and behind an empty line the beginning of the body
    /// where it was no success.
    Response,
}

impl Stream {
    /// Its name for people and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Response => "response",
        }
    }
}

/// A piece of text that the other side said: bounded, and without anything that could steer a
/// terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub stream: Stream,
    text: String,
}

impl Excerpt {
    /// How much of the end of a program's output is kept, in bytes.
    pub const TAIL_BYTES: usize = 4096;
    /// How much of an answer's head is kept, in bytes.
    pub const HEAD_BYTES: usize = 1024;
    /// How much of an answer's body is kept, in bytes.
    pub const BODY_BYTES: usize = 1024;

    /// The end of what a program wrote.
    pub fn tail(stream: Stream, bytes: &[u8]) -> Self {
        let mut text = scrub(String::from_utf8_lossy(bytes));
        let surplus = text.len().saturating_sub(Self::TAIL_BYTES);
        drop(text.drain(..text.ceil_char_boundary(surplus)));
        Self { stream, text }
    }

    /// The beginning of what was answered.
    pub fn head<'a>(stream: Stream, text: impl Into<Cow<'a, str>>) -> Self {
        let mut text = scrub(text.into());
        text.truncate(text.floor_char_boundary(Self::HEAD_BYTES));
        Self { stream, text }
    }

    /// The same with the beginning of the body, where there is one.
    pub fn answer(head: String, body: &str) -> Self {
        let Self { stream, mut text } = Self::head(Stream::Response, head);
        let body = scrub(body.into());
        if !body.is_empty() {
            text.push_str("\n\n");
            text.push_str(body.get(..body.floor_char_boundary(Self::BODY_BYTES)).unwrap_or(&body));
        }
        Self { stream, text }
    }

    /// The text of an excerpt that was kept.
    pub(crate) fn kept(stream: Stream, text: &str) -> Self {
        Self { stream, text: text.to_owned() }
    }

    /// The text; its lines end with `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `text` without escape sequences of a terminal, with `U+FFFD` in place of other characters that
/// could deceive, and with plain line ends.
fn scrub(text: Cow<'_, str>) -> String {
    // As most answers are.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        let mut plain = text.into_owned();
        plain.truncate(plain.trim_end().len());
        return plain;
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // A colour, or a move of the cursor: it ends with a letter.
                while chars.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                chars.next();
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => plain.push('\n'),
            '\n' | '\t' => plain.push(c),
            c if text::is_deceptive(c) => plain.push('\u{fffd}'),
            c => plain.push(c),
        }
    }
    plain
}

/// What is kept of all that the other side said in one try. Cheap to clone: the tries of a batch
/// share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(Option<Arc<OutputParts>>);

#[derive(Debug, Default, PartialEq, Eq)]
struct OutputParts {
    excerpts: Vec<Excerpt>,
    skipped: Option<&'static str>,
    /// The same of single events of a batch.
    skipped_of: Vec<(EventId, &'static str)>,
}

impl Output {
    /// The excerpts that are not empty.
    pub fn new(excerpts: impl IntoIterator<Item = Excerpt>) -> Self {
        let mut excerpts =
            excerpts.into_iter().filter(|excerpt| !excerpt.text.is_empty()).peekable();
        let has_some = excerpts.peek().is_some();
        let parts = || OutputParts { excerpts: excerpts.collect(), ..OutputParts::default() };
        Self(has_some.then(|| Arc::new(parts())))
    }

    /// Of a try in which the event had nothing for the handler, and why.
    pub fn skipped(why: &'static str) -> Self {
        Self(Some(Arc::new(OutputParts { skipped: Some(why), ..OutputParts::default() })))
    }

    /// Of a try in which these of its events had nothing for the handler, each with why.
    pub fn skipped_of(events: Vec<(EventId, &'static str)>) -> Self {
        let parts = OutputParts { skipped_of: events, ..OutputParts::default() };
        Self((!parts.skipped_of.is_empty()).then(|| Arc::new(parts)))
    }

    /// Why nothing was done with this event; `None` = the handler has it.
    pub fn why_skipped(&self, event: EventId) -> Option<&'static str> {
        let parts = self.0.as_ref()?;
        let own = parts.skipped_of.iter().find(|(id, _)| *id == event);
        own.map(|(_, why)| *why).or(parts.skipped)
    }

    /// What it says of events that were skipped, and nothing else.
    #[must_use]
    pub fn without_excerpts(&self) -> Self {
        let Some(parts) = self.0.as_ref() else { return Self::default() };
        let (skipped, skipped_of) = (parts.skipped, parts.skipped_of.clone());
        let says_more = skipped.is_some() || !skipped_of.is_empty();
        let parts = || OutputParts { excerpts: Vec::new(), skipped, skipped_of };
        Self(says_more.then(|| Arc::new(parts())))
    }

    pub fn is_empty(&self) -> bool {
        self.excerpts().is_empty()
    }

    pub fn excerpts(&self) -> &[Excerpt] {
        self.0.as_ref().map_or(&[], |parts| &parts.excerpts)
    }

    pub fn n_bytes(&self) -> usize {
        self.excerpts().iter().map(|excerpt| excerpt.text.len()).sum()
    }
}

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.excerpts().len()))?;
        for excerpt in self.excerpts() {
            map.serialize_entry(excerpt.stream.name(), excerpt.text())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let said = BTreeMap::<Stream, String>::deserialize(from)?;
        Ok(Self::new(said.into_iter().map(|(stream, text)| Excerpt { stream, text })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_the_last_bytes_from_a_characters_beginning() {
        let said = format!("{}é", "ä".repeat(4_000));
        let tail = Excerpt::tail(Stream::Stderr, said.as_bytes());
        assert_eq!((tail.text().len(), tail.text().ends_with("äé")), (4_096, true));
        let odd = Excerpt::tail(Stream::Stderr, format!("{said}x").as_bytes());
        assert_eq!(odd.text().len(), 4_095);
        assert_eq!(Excerpt::head(Stream::Response, said.as_str()).text().len(), 1_024);
    }

    #[test]
    fn excerpt_steers_no_terminal() {
        let said = b"\x1b[31mred\x1b[0m \x1b]0;title\x07 10%\r20%\r\nnext\xff\xe2\x80\xae\tend\n\n";
        let text = "red \u{fffd}]0;title\u{fffd} 10%\n20%\nnext\u{fffd}\u{fffd}\tend";
        assert_eq!(Excerpt::tail(Stream::Stdout, said).text(), text);
        assert_eq!(Excerpt::tail(Stream::Stdout, b"\x1b[").text(), "");
    }

    #[test]
    fn output_of_nothing_is_empty() {
        let nothing = Output::new([Excerpt::tail(Stream::Stdout, b" \n")]);
        assert!(nothing.is_empty());
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
        let some = Output::new([Excerpt::tail(Stream::Stderr, b"no\n")]);
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"{"stderr":"no"}"#);
    }
}
