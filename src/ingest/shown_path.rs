//! The path of a refused request, as the log and the rows of `status` show it.

use std::fmt::Write as _;

/// Behind it comes a source's name, and nothing else; also where an owner has it as `/Hooks/` or `/webhooks/`.
const HOOKS: &str = "hooks/";

/// Behind a source's name longer parts of a path are no words.
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
    let (front, behind) = path.split_at(end_of_name(path).unwrap_or(path.len()));
    let mut shown = String::with_capacity(path.len());
    for piece in front.split_inclusive(|c| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c| !is_of_word(c));
        let n_chars = word.chars().count();
        show(&mut shown, word, n_chars, is_random(word, n_chars));
        shown.push_str(piece.get(word.len()..).unwrap_or_default());
    }
    // A part as a whole: a password may have dots and escapes in it.
    for part in behind.split_inclusive('/') {
        let word = part.trim_end_matches('/');
        let n_chars = word.chars().count();
        show(&mut shown, word, n_chars, n_chars > PLAIN_CHARS_MAX);
        shown.push_str(part.get(word.len()..).unwrap_or_default());
    }
    shown
}

/// Where the name of a source ends in `path`.
fn end_of_name(path: &str) -> Option<usize> {
    let behind = path.to_ascii_lowercase().find(HOOKS)? + HOOKS.len();
    let name = path.get(behind..)?.trim_start_matches('/');
    let begin = path.len() - name.len();
    Some(begin + name.find(|c| !is_of_word(c))?)
}

fn show(shown: &mut String, word: &str, n_chars: usize, is_hidden: bool) {
    if is_hidden {
        shown.extend(word.chars().take(SHOWN_CHARS));
        // Writing to a string cannot fail.
        write!(shown, "…({n_chars} characters)").unwrap_or_default();
    } else {
        shown.push_str(word);
    }
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
            ("/hooks/x%3Fkey=hunter2", "/hooks/x%3Fk…(14 characters)"),
            ("/hooks/x;key=hunter2abc", "/hooks/x;key…(15 characters)"),
            ("/hooks/x/p%40ssw0rd%21x", "/hooks/x/p%40…(14 characters)"),
            ("/hooks/x/aB3dE5gH.kL9mN1pQ", "/hooks/x/aB3d…(17 characters)"),
            ("/Hooks/x/SECRETTOKEN", "/Hooks/x/SECR…(11 characters)"),
            ("/v1/webhooks/x/SECRETTOKEN", "/v1/webhooks/x/SECR…(11 characters)"),
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
