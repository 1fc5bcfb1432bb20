//! Header lines whose text must not be taken for what it looks like.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{HeaderName, HeaderValue};

/// The most text in one encoded word: as base64, with what is around it and the header's name, less
/// than 76 bytes.
const ENCODED_BYTES_MAX: usize = 39;

/// A header line. A text that already looks like encoded words is encoded itself, or a mail program
/// would decode it and show what was not written.
pub(super) fn header(name: HeaderName, text: String) -> HeaderValue {
    if text.contains("=?") {
        let encoded = encoded_words(&text);
        HeaderValue::dangerous_new_pre_encoded(name, text, encoded)
    } else {
        HeaderValue::new(name, text)
    }
}

/// A header's text as encoded words (RFC 2047): for one that already looks like such words, which a
/// mail program would decode and show as another text.
fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = behind;
    }
    words.join("\r\n ")
}
