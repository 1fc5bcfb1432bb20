//! The path of a refused request, as the log and the rows of `status` show it.

use std::fmt::Write as _;

/// Where sources are: a name follows, and nothing else.
const HOOKS: &str = "/hooks/";

/// Behind a source's name longer words are no words.
const PLAIN_CHARS_MAX: usize = 8;
/// Shorter words are never taken for random text.
const RANDOM_CHARS_MIN: usize = 16;
/// Longer ones without `-` and `_` always are.
const WORD_CHARS_MAX: usize = 24;
/// How often letters and digits change places, or small letters and large ones, in random text.
const RANDOM_CHANGES_MIN: usize = 5;
/// So much of a password is shown: its owner knows it by that.
const SHOWN_CHARS: usize = 4;

/// `path` without what may be a password in it. Senders that cannot sign have theirs in the address, and an address
/// that is entered wrong leads to no source whose configuration would say where.
pub(super) fn shown_path(path: &str) -> String {
    let name = path.find(HOOKS).map(|at| at + HOOKS.len());
    let behind_name = name.and_then(|name| Some(name + path.get(name..)?.find('/')?));
    let mut shown = String::with_capacity(path.len());
    let mut at = 0;
    for piece in path.split_inclusive(|c| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c| !is_of_word(c));
        let n_chars = word.chars().count();
        let is_behind = behind_name.is_some_and(|end| at > end);
        if is_behind && n_chars > PLAIN_CHARS_MAX || is_random(word, n_chars) {
            shown.extend(word.chars().take(SHOWN_CHARS));
            // Writing to a string cannot fail.
            write!(shown, "…({n_chars} characters)").unwrap_or_default();
        } else {
            shown.push_str(word);
        }
        shown.push_str(piece.get(word.len()..).unwrap_or_default());
        at += piece.len();
    }
    shown
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// Whether a word is rather drawn at random than thought of: a UUID, hex, base64.
fn is_random(word: &str, n_chars: usize) -> bool {
    let parts = word.split(['-', '_']);
    if n_chars < RANDOM_CHARS_MIN {
        return false;
    }
    let is_change = |pair: &[u8]| match pair {
        [left, right] => {
            left.is_ascii_digit() != right.is_ascii_digit()
                || left.is_ascii_lowercase() && right.is_ascii_uppercase()
        }
        _ => false,
    };
    let n_changes = |part: &str| part.as_bytes().windows(2).filter(|pair| is_change(pair)).count();
    parts.clone().map(n_changes).sum::<usize>() >= RANDOM_CHANGES_MIN
        || parts.map(str::len).max() >= Some(WORD_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_in_a_path_is_cut_and_a_name_is_not() {
        for (path, expected) in [
            ("/hooks/hyvor2", "/hooks/hyvor2"),
            ("/hooks/github-enterprise-server-2024", "/hooks/github-enterprise-server-2024"),
            ("/hooks/MyCompanyGitHub_v2/", "/hooks/MyCompanyGitHub_v2/"),
            ("/hooks/github/callback/", "/hooks/github/callback/"),
            ("/wp-content/plugins/woocommerce", "/wp-content/plugins/woocommerce"),
            ("/hooks/x/SECRETTOKEN", "/hooks/x/SECR…(11 characters)"),
            ("/hooks/x%3Fkey=hunter2hunter2hunter2", "/hooks/x%3Fkey=hunt…(21 characters)"),
            ("/hooks//x/a.b/SECRETTOKEN/", "/hooks//x/a.b/SECR…(11 characters)/"),
            ("/hooks/550e8400-e29b-41d4-a716-446655440000", "/hooks/550e…(36 characters)"),
            ("/webhook/d41d8cd98f00b204e9800998ecf8427e", "/webhook/d41d…(32 characters)"),
            (
                "/services/T024BE7LD/B024BE7LD/Xq7rT0pWkZ3mN8vB",
                "/services/T024BE7LD/B024BE7LD/Xq7r…(16 characters)",
            ),
            ("/hooks/whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "/hooks/whse…(38 characters)"),
            ("/qzxkvbnwmtrplkjhgfdsaqwe", "/qzxk…(24 characters)"),
            ("", ""),
        ] {
            assert_eq!(shown_path(path), expected);
        }
    }
}
