//! Keys as TOML writes them.

pub(super) fn join(path: &str, key: &str) -> String {
    let key = show_key(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A key as TOML writes it: bare where that is allowed.
pub(super) fn show_key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// A text as TOML writes it between quotation marks. What cannot be seen is written as a number.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut chars = text.escape_debug();
    while let Some(c) = chars.next() {
        if c != '\\' {
            quoted.push(c);
            continue;
        }
        match chars.next() {
            // Rust's alone.
            Some('\'') => quoted.push('\''),
            Some('0') => quoted.push_str("\\u0000"),
            Some('u') => {
                let digits: String =
                    chars.by_ref().take_while(|c| *c != '}').filter(|c| *c != '{').collect();
                let (letter, width) = if digits.len() > 4 { ('U', 8) } else { ('u', 4) };
                quoted.extend(['\\', letter]);
                quoted.extend(std::iter::repeat_n('0', width - digits.len()));
                quoted.push_str(&digits);
            }
            escaped => quoted.extend(['\\'].into_iter().chain(escaped)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_quotation_marks_is_read_back_by_toml() {
        for text in [
            "it's",
            "a \"word\" in C:\\dir",
            "tab\tand\nline\r",
            "nul\0",
            "zero\u{200b}width, \u{202e}mixed, \u{e0001}tag, \u{7f}",
            "e\u{301} Zoë Привет 👍",
            "\u{301} first",
        ] {
            let toml = format!("{} = {}", show_key(text), quoted(text));
            let table: toml::Table = toml.parse().unwrap_or_else(|err| panic!("{toml}: {err}"));
            assert_eq!(table.get(text).and_then(toml::Value::as_str), Some(text), "{toml}");
        }
        assert_eq!(quoted("echo 'it' \u{200b}"), "\"echo 'it' \\u200b\"");
    }
}
