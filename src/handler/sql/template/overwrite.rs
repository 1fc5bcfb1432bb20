//! Whether a statement that is tried again undoes what a newer event wrote meanwhile.

use super::beside::is_word;
use super::scan::SqlToken;

/// Whether it writes what an event says over what is there, and compares nothing that could tell an older event
/// from a newer one (`at < {{ … }}`, `paid_at IS NULL`). A counter (`n = n + {{ … }}`) counts in any order.
pub(super) fn overwrites(tokens: &[&SqlToken]) -> bool {
    let compares = tokens.iter().any(|token| matches!(token, SqlToken::Sign('<' | '>')))
        || has_pair(tokens, "is", "null");
    // `REPLACE INTO`, `INSERT OR REPLACE INTO`.
    !compares && (has_pair(tokens, "replace", "into") || assigns(tokens))
}

/// Whether the one word stands behind the other.
fn has_pair(tokens: &[&SqlToken], first: &str, second: &str) -> bool {
    let is_pair = |pair: &[&SqlToken]| {
        is_word(pair.first().copied(), &[first]) && is_word(pair.last().copied(), &[second])
    };
    tokens.windows(2).any(is_pair)
}

/// `UPDATE t SET a = {{ … }}`, `DO UPDATE SET a = excluded.a`, `ON DUPLICATE KEY UPDATE a = VALUES(a)`.
fn assigns(tokens: &[&SqlToken]) -> bool {
    let (mut is_set, mut before) = (false, None);
    for token in tokens.iter().copied() {
        if is_word(Some(token), &["set"])
            || is_word(before, &["key"]) && is_word(Some(token), &["update"])
        {
            is_set = true;
        } else if is_word(Some(token), &["where", "from", "returning"]) {
            is_set = false;
        }
        let is_of_event =
            *token == SqlToken::Value || is_word(Some(token), &["excluded", "values"]);
        if is_set && is_of_event && before == Some(&SqlToken::Sign('=')) {
            return true;
        }
        before = Some(token);
    }
    false
}
