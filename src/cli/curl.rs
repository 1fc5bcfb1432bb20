//! A signed request as a `curl` command, to be pasted into a shell.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::CliError;
use crate::text::{is_deceptive, shell_word};

/// The longest body: Linux takes 128 KiB in one argument, and Base64 makes a third more of it.
const BODY_MAX: usize = 90 << 10;

/// The command that posts `body` with `headers` to `url`. `is_insecure`: the certificate is our own.
pub(super) fn command(
    url: &str,
    headers: &[(String, String)],
    body: &[u8],
    is_insecure: bool,
) -> Result<String, CliError> {
    if body.len() > BODY_MAX {
        return Err(CliError::Failed(format!(
            "a body of {} bytes is too long for a command line, which takes {BODY_MAX}: `gatepost send` posts it",
            body.len()
        )));
    }
    let mut command = String::new();
    // `curl` takes what begins with `@` for the name of a file, no shell takes a zero byte, and what a terminal
    // does not show as it is would be copied from it as something else.
    let is_hidden = |c: char| c != '\n' && (c.is_control() || is_deceptive(c));
    let text = std::str::from_utf8(body).ok();
    let text = text.filter(|text| !text.starts_with('@') && !text.contains(is_hidden));
    if text.is_none() {
        command = format!("printf %s {} | base64 -d | ", STANDARD.encode(body));
    }
    let data = text.map_or_else(|| "@-".to_owned(), shell_word);
    // Without `-g` brackets in an address are a pattern.
    command.push_str("curl -sSg");
    if is_insecure {
        command.push_str(" --insecure");
    }
    for (name, value) in headers {
        // `name: ` would take the header out.
        let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        command.extend([" -H ", &shell_word(&header)]);
    }
    command.extend([" --data-binary ", &data, " ", &shell_word(url)]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_body_is_no_shell_reads_it() {
        let headers = [("x-signature".to_owned(), "it's".to_owned())];
        for (body, expected) in [
            (
                &br#"{"a": "it's $HOME"}"#[..],
                r#"curl -sSg -H 'x-signature: it'\''s' --data-binary '{"a": "it'\''s $HOME"}' 'http://h/?a=b&c'"#,
            ),
            (
                b"@/etc/passwd",
                r"printf %s QC9ldGMvcGFzc3dk | base64 -d | curl -sSg -H 'x-signature: it'\''s' --data-binary @- 'http://h/?a=b&c'",
            ),
            (
                b"\x1b[2J\r\n",
                r"printf %s G1sySg0K | base64 -d | curl -sSg -H 'x-signature: it'\''s' --data-binary @- 'http://h/?a=b&c'",
            ),
            (
                b"\xff\x00",
                r"printf %s /wA= | base64 -d | curl -sSg -H 'x-signature: it'\''s' --data-binary @- 'http://h/?a=b&c'",
            ),
        ] {
            let command = command("http://h/?a=b&c", &headers, body, false).unwrap();
            assert_eq!(command, expected);
        }
        let empty = [("x-empty".to_owned(), String::new())];
        assert!(command("http://h/", &empty, b"", false).unwrap().contains(" -H 'x-empty;' "));
        let long = vec![b'x'; BODY_MAX + 1];
        let err = command("http://h/", &[], &long, false).unwrap_err();
        assert!(err.to_string().contains("too long for a command line"), "{err}");
        assert!(command("https://h/", &[], b"", true).unwrap().contains(" --insecure "));
    }
}
