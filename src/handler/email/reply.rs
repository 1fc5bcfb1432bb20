//! What a mail server answers, read as servers write it: texts that are not UTF-8 (older servers write Latin-1)
//! and codes without a text (RFC 5321, 4.2.1) count by their code. What is not understood after the mail's end
//! is a mail that was accepted and is sent again.

use std::io;

use encoding_rs::WINDOWS_1252;
use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use lettre::transport::smtp;

/// The longest reply, with all of its lines, in bytes.
const REPLY_BYTES_MAX: usize = 100_000;
/// How much of a line is kept, in bytes.
const LINE_BYTES_KEPT: usize = 1_000;
/// How much is shown of what is no reply, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A reply that is no refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SmtpReply {
    pub(super) code: u16,
    /// The text of each line.
    pub(super) lines: Vec<String>,
}

/// Why a mail server is not asked further on this connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    /// The server says no: 4yz for now, 5yz for good.
    #[error("{} error ({code}): {text}", severity(*.code))]
    Refused {
        /// Of three digits.
        code: u16,
        /// The server's words.
        text: String,
    },
    /// It says what is no SMTP, or ended the connection.
    #[error("response error: {0}")]
    Unclear(String),
    /// It does not offer what the settings ask for.
    #[error("{0}")]
    Unoffered(&'static str),
    /// The connection failed.
    #[error("network error: {0}")]
    Network(#[from] io::Error),
    /// Connecting, TLS or the log-in failed.
    #[error(transparent)]
    Lettre(#[from] smtp::Error),
}

fn severity(code: u16) -> &'static str {
    if code < 500 { "transient" } else { "permanent" }
}

impl SmtpError {
    /// The code of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the server refused for good.
    pub(super) fn is_permanent(&self) -> bool {
        self.status().is_some_and(|code| code >= 500)
    }

    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::Network(err) => err.kind() == io::ErrorKind::TimedOut,
            Self::Lettre(err) => err.is_timeout(),
            Self::Refused { .. } | Self::Unclear(_) | Self::Unoffered(_) => false,
        }
    }

    /// Whether the connection failed, and not what was wanted of it.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Network(_) | Self::Unclear(_) => true,
            Self::Lettre(err) => !err.is_client(),
            Self::Refused { .. } | Self::Unoffered(_) => false,
        }
    }
}

impl SmtpReply {
    /// Reads the next one; a refusal is an error.
    pub(super) async fn read<R: AsyncBufRead + Unpin>(from: &mut R) -> Result<Self, SmtpError> {
        let mut lines = Vec::new();
        let mut n_left = REPLY_BYTES_MAX;
        loop {
            let line = read_line(from, &mut n_left).await?;
            let Some((code, has_more, text)) = split(&line) else {
                let shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
                return Err(SmtpError::Unclear(format!("`{shown}` is no reply of a mail server")));
            };
            lines.push(text.to_owned());
            if has_more {
                continue;
            }
            if code >= 400 {
                return Err(SmtpError::Refused { code, text: joined(code, &lines) });
            }
            return Ok(Self { code, lines });
        }
    }
}

/// One line without its end.
async fn read_line<R: AsyncBufRead + Unpin>(
    from: &mut R,
    n_left: &mut usize,
) -> Result<String, SmtpError> {
    let mut line = Vec::new();
    loop {
        let bytes = from.fill_buf().await?;
        // A last line whose end the server forgot says what it says.
        if bytes.is_empty() && line.is_empty() {
            return Err(SmtpError::Unclear("the server ended the connection".to_owned()));
        }
        let end = memchr::memchr(b'\n', bytes);
        let n_read = end.map_or(bytes.len(), |end| end + 1);
        let n_kept = n_read.min(LINE_BYTES_KEPT.saturating_sub(line.len()));
        line.extend_from_slice(bytes.get(..n_kept).unwrap_or_default());
        from.consume_unpin(n_read);
        *n_left = n_left
            .checked_sub(n_read)
            .ok_or_else(|| SmtpError::Unclear("the server's reply has no end".to_owned()))?;
        if end.is_some() || n_read == 0 {
            return Ok(decoded(line.trim_ascii_end()));
        }
    }
}

fn decoded(line: &[u8]) -> String {
    match std::str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        // No server says which charset it is; this one knows Latin-1's letters and any byte.
        Err(_) => WINDOWS_1252.decode_without_bom_handling(line).0.into_owned(),
    }
}

/// A line's code, whether others follow it, and its text.
fn split(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code = code.parse().ok().filter(|code| (200..600).contains(code))?;
    match rest.strip_prefix('-') {
        Some(text) => Some((code, true, text)),
        None if rest.is_empty() => Some((code, false, "")),
        None => rest.strip_prefix([' ', '\t']).map(|text| (code, false, text)),
    }
}

/// The lines of a refusal in one, with the enhanced status code that each begins with (RFC 2034, 4) once.
fn joined(code: u16, lines: &[String]) -> String {
    let Some((first, others)) = lines.split_first() else { return String::new() };
    let status = first.split(' ').next().filter(|status| {
        status.starts_with(&format!("{}.", code / 100)) && status.matches('.').count() == 2
    });
    let mut text = first.clone();
    for line in others {
        let rest = status.and_then(|status| line.strip_prefix(status)?.strip_prefix(' '));
        text.push(' ');
        text.push_str(rest.map_or(line.as_str(), str::trim_start));
    }
    text
}

#[cfg(test)]
mod tests {
    use futures_util::io::{BufReader, Cursor};

    use super::*;

    async fn read(bytes: impl AsRef<[u8]> + Unpin) -> Result<SmtpReply, SmtpError> {
        // In pieces, as the network has them.
        SmtpReply::read(&mut BufReader::with_capacity(7, Cursor::new(bytes))).await
    }

    #[tokio::test]
    async fn reply_counts_by_its_code_however_its_text_is_written() {
        let check = async |bytes: &[u8], code, lines: &[&str]| {
            let expected =
                SmtpReply { code, lines: lines.iter().map(ToString::to_string).collect() };
            assert_eq!(read(bytes).await.unwrap(), expected);
        };
        check(b"250 2.0.0 Ok: queued as 4F\r\n", 250, &["2.0.0 Ok: queued as 4F"]).await;
        check(b"250\r\n", 250, &[""]).await;
        check(b"250 \r\n", 250, &[""]).await;
        check(b"250 Nachricht \xfcbernommen\r\n", 250, &["Nachricht \u{fc}bernommen"]).await;
        check("250 übernommen\r\n".as_bytes(), 250, &["übernommen"]).await;
        check(
            b"250-mx.example\r\n250-\r\n250-SIZE 1\r\n250 HELP\r\n",
            250,
            &["mx.example", "", "SIZE 1", "HELP"],
        )
        .await;
        check(b"354\tgo on\n", 354, &["go on"]).await;
        check(b"250 ok", 250, &["ok"]).await;
        check(b"290 ok\r\n", 290, &["ok"]).await;
        let long = "x".repeat(5_000);
        let kept = "x".repeat(LINE_BYTES_KEPT - 4);
        check(format!("250 {long}\r\n").as_bytes(), 250, &[&kept]).await;
    }

    #[tokio::test]
    async fn refusal_has_its_code_and_words() {
        let check = async |bytes: &[u8], expected: &str| {
            assert_eq!(read(bytes).await.unwrap_err().to_string(), expected);
        };
        check(b"550\r\n", "permanent error (550): ").await;
        check(b"451 sp\xe4ter\r\n", "transient error (451): sp\u{e4}ter").await;
        check(b"571 not allowed\r\n", "permanent error (571): not allowed").await;
        check(
            b"550-5.7.1 no\r\n550-5.7.1  relaying\r\n550 here\r\n",
            "permanent error (550): 5.7.1 no relaying here",
        )
        .await;
    }

    #[tokio::test]
    async fn what_is_no_reply_is_told() {
        for (bytes, words) in [
            (&b""[..], "the server ended the connection"),
            (b"250-mx.example\r\n", "the server ended the connection"),
            (b"HTTP/1.1 400 Bad Request\r\n", "`HTTP/1.1 400 Bad Request` is no reply"),
            (b"2500\r\n", "`2500` is no reply"),
            (b"25\r\n", "`25` is no reply"),
            (b"+25 ok\r\n", "`+25 ok` is no reply"),
            (b"150 wait\r\n", "`150 wait` is no reply"),
        ] {
            let told = read(bytes).await.unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
        for endless in
            ["250-x\r\n".repeat(REPLY_BYTES_MAX / 7 + 1), "2".repeat(REPLY_BYTES_MAX + 1)]
        {
            let told = read(endless).await.unwrap_err().to_string();
            assert!(told.contains("has no end"), "{told}");
        }
    }
}
