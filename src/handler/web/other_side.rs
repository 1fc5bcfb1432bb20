//! What it looks like where one side speaks TLS and the other does not.

use reqwest::StatusCode;

use crate::handler::trust;

/// Why there was no answer, and what to write where it is `https://` on a port without TLS or the other
/// way round.
pub(super) fn advised(why: String, is_tls: bool) -> String {
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    match is_tls {
        true if trust::is_without_tls(&why) => format!(
            "{why}: the other side speaks no TLS on this port: write `http://`, or the port of `https://`"
        ),
        true if has(&["handshake eof"]) => {
            format!("{why}: if the other side speaks no TLS on this port, write `http://`")
        }
        // A TLS server answers a plain request by an alert, or not at all.
        false if has(&["invalid HTTP version", "Connection reset by peer"]) => {
            format!("{why}: if the other side speaks TLS on this port, write `https://`")
        }
        _ => trust::advised(why),
    }
}

/// Whether the answer is that of a web server to a plain request on its port for TLS: in the words of
/// nginx, Go and Apache.
pub(super) fn wants_tls(status: StatusCode, body: &[u8]) -> bool {
    const WORDS: [&str; 3] = [
        "plain HTTP request was sent to HTTPS port",
        "HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    let start = body.get(..2_048).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    status == StatusCode::BAD_REQUEST && WORDS.iter().any(|words| text.contains(words))
}
