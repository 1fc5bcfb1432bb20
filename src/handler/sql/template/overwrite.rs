//! Whether a statement that is tried again undoes what a newer event wrote meanwhile.

use super::beside::is_word;
use super::scan::SqlToken;

/// Whether it writes what an event says over what is there, and compares nothing that could tell an older event
/// from a newer one (`at < {{ … }}`, `paid_at IS NULL`). A counter (`n = n + {{ … }}`) counts in any order.
pub(super) fn overwrites(tokens: &[&SqlToken]) -> bool {
    // `REPLACE INTO`, `INSERT OR REPLACE INTO`, and MySQL's `REPLACE t`.
    let replaces =
        has_pair(tokens, "replace", "into") || is_word(tokens.first().copied(), &["replace"]);
    !compares(tokens) && (replaces || assigns(tokens))
}

/// `<` and `>`, but not those of `<>`, `->`, `#>` and `@>`; and `IS NULL`.
fn compares(tokens: &[&SqlToken]) -> bool {
    let sign = |at: Option<usize>| match at.and_then(|at| tokens.get(at)) {
        Some(SqlToken::Sign(sign)) => Some(*sign),
        Some(_) | None => None,
    };
    let is_order = |at: usize| match sign(Some(at)) {
        Some('<') => !matches!(sign(at.checked_add(1)), Some('>' | '@')),
        Some('>') => !matches!(sign(at.checked_sub(1)), Some('-' | '>' | '<' | '#' | '@')),
        Some(_) | None => false,
    };
    (0..tokens.len()).any(is_order) || has_pair(tokens, "is", "null")
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
