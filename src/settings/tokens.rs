//! What grants access by itself, wherever it stands in a text: tokens of a well-known form, and passwords in
//! addresses.

use std::ops::Range;

/// How tokens begin, and how long they are behind that at least.
const TOKENS: [(&str, usize); 32] = [
    ("sk_live_", 8),
    ("sk_test_", 8),
    ("rk_live_", 8),
    ("rk_test_", 8),
    ("whsec_", 8),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxa-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xapp-", 8),
    ("shpat_", 16),
    ("shpss_", 16),
    ("npm_", 30),
    ("pypi-", 30),
    ("hf_", 30),
    ("dop_v1_", 30),
    ("sq0atp-", 16),
    ("sq0csp-", 16),
    ("sk-ant-", 16),
    ("sk-proj-", 16),
    ("ya29.", 20),
    ("AIza", 35),
    ("SG.", 40),
    ("eyJ", 30),
];
/// Amazon's key ids: so many capitals and digits behind it.
pub(super) const AMAZON: [&str; 2] = ["AKIA", "ASIA"];
const AMAZON_LENGTH: usize = 16;

/// The length of the token that `text` begins with.
pub(super) fn token_at(text: &str) -> Option<usize> {
    TokenFinder::new(text).at(0)
}

/// Looks at the places of a text, from its beginning on. Where a word ends is looked for once: a token may
/// begin at each part of a word, and to look anew from each of them takes too long in a text without blanks.
#[derive(Debug)]
pub struct TokenFinder<'t> {
    text: &'t str,
    /// Where the last word that was looked at ends, with the points behind it.
    until: usize,
    /// The same without them.
    end: usize,
    /// Before it stand two points of that word behind each place.
    two_points: usize,
}

impl<'t> TokenFinder<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, until: 0, end: 0, two_points: 0 }
    }

    /// The length of the token that begins at `at`, which is not before the place that was asked for last.
    pub fn at(&mut self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        if at >= self.until {
            let is_one = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let length = rest.find(|c| !is_one(c)).unwrap_or(rest.len());
            let word = rest.get(..length)?.trim_end_matches('.');
            self.until = at + length;
            self.end = at + word.len();
            let point = word.rmatch_indices('.').nth(1);
            self.two_points = point.map_or(0, |(point, _)| at + point);
        }
        let word = self.text.get(at..self.end)?;
        let is_token = TOKENS.iter().any(|(start, length)| {
            let rest = word.strip_prefix(start);
            rest.is_some_and(|rest| rest.len() >= *length)
        });
        // The head of a token is JSON in base64, between points.
        let is_jwt = !word.starts_with("eyJ") || at < self.two_points;
        let is_key = AMAZON.iter().any(|start| {
            let is_one = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
            word.strip_prefix(start)
                .is_some_and(|rest| rest.len() == AMAZON_LENGTH && rest.chars().all(is_one))
        });
        (is_token && is_jwt || is_key).then_some(word.len()).or_else(|| bot_token(rest))
    }
}

/// Telegram's, as in `123456:ABC-DEF…`. A text without `:` is not searched for one to its end.
fn bot_token(text: &str) -> Option<usize> {
    let digits = text.bytes().take(BOT_ID_MAX + 1).take_while(u8::is_ascii_digit).count();
    let is_id = (BOT_ID_MIN..=BOT_ID_MAX).contains(&digits);
    let rest = text.get(digits..)?.strip_prefix(':').filter(|_| is_id)?;
    let is_one = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let length = rest.find(|c| !is_one(c)).unwrap_or(rest.len());
    (length >= BOT_TOKEN_MIN).then_some(digits + 1 + length)
}

const BOT_ID_MIN: usize = 6;
const BOT_ID_MAX: usize = 12;
const BOT_TOKEN_MIN: usize = 30;

/// Where tokens stand.
pub(super) fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut finder = TokenFinder::new(text);
    let (mut end, mut is_within) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        let may_begin = at >= end && !is_within;
        is_within = byte.is_ascii_alphanumeric();
        if may_begin
            && is_within
            && let Some(length) = finder.at(at)
        {
            end = at + length;
            found.push(at..end);
        }
    }
    found
}

/// Where the passwords of addresses stand: of `postgres://user:password@host`.
pub(super) fn passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, sign)| password(text, at + sign.len()))
}

/// The same of an address that does not say how, at the start of a text: `user:password@host`.
pub(super) fn password_without_scheme(text: &str) -> Option<Range<usize>> {
    password(text, 0).filter(|_| !text.contains("://"))
}

fn password(text: &str, start: usize) -> Option<Range<usize>> {
    let is_end = |c: char| c.is_whitespace() || "/?#\"'`<>\\".contains(c);
    let authority = text.get(start..)?.split(is_end).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    let start = start + name.len() + 1;
    (!password.is_empty()).then_some(start..start + password.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("key sk_live_abcdefgh1, whsec_", &["sk_live_abcdefgh1"][..]),
            (
                "123456:AAabcdefghijklmnopqrstuvwxyz-_0123",
                &["123456:AAabcdefghijklmnopqrstuvwxyz-_0123"],
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
                &["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"],
            ),
            ("eyJhbGciOiJIUzI1NiJ9, task_live_abcdefgh, 12:30", &[]),
        ] {
            let found = tokens(text).into_iter().map(|place| text.get(place).unwrap());
            assert!(found.eq(expected.iter().copied()), "{text}");
        }
        for (text, expected) in [
            ("postgres://u:pa@ss@h/db http://v:w@x", &["pa@ss", "w"][..]),
            ("http://u@h/a:b@c http://h:80/a@b http://h?x=a:b@c", &[]),
        ] {
            let found = passwords(text).map(|place| text.get(place).unwrap());
            assert!(found.eq(expected.iter().copied()), "{text}");
        }
        let bare = |text| password_without_scheme(text).and_then(|place| str::get(text, place));
        assert_eq!(bare("me:pass@mail.example:465"), Some("pass"));
        assert_eq!((bare("mail.example:465"), bare("me@mail.example")), (None, None));
    }
}
