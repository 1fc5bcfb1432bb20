//! Patterns over names: `*` stands for any run of characters, everything else for itself.

use std::fmt;

/// A pattern such as `comment.*`.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    shape: Shape,
}

/// What most patterns are: known once, so that a look is one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `*`.
    All,
    /// No `*` at all.
    Exact,
    /// One `*`, at the end.
    Prefix,
    /// Anything else.
    Pieces,
}

impl Glob {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        let shape = match text.find('*') {
            None => Shape::Exact,
            Some(0) if text.len() == 1 => Shape::All,
            Some(star) if star.saturating_add(1) == text.len() => Shape::Prefix,
            Some(_) => Shape::Pieces,
        };
        Self { text: text.into(), shape }
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        match self.shape {
            Shape::All => true,
            Shape::Exact => *self.text == *text,
            Shape::Prefix => {
                self.text.strip_suffix('*').is_some_and(|prefix| text.starts_with(prefix))
            }
            Shape::Pieces => fits(&self.text, text),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// The first piece is where the text begins, the last where it ends, and each one between them
/// stands as early as it can: no way back is ever needed.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, fitting: &[&str], others: &[&str]) {
        let glob = Glob::new(pattern);
        for text in fitting {
            assert!(glob.matches(text), "{pattern} {text}");
        }
        for text in others {
            assert!(!glob.matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "a.b"], &[]);
        check("a.b", &["a.b"], &["a.bc", "xa.b", ""]);
        check("a.*", &["a.", "a.b", "a.b.c"], &["a", "b.a."]);
        check("*.b", &[".b", "a.b", "a.b.b"], &["b", "a.bc"]);
        check("a*b*c", &["abc", "axbxc", "abbc", "abcbc"], &["ac", "acb", "abcx"]);
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("**", &["", "ab"], &[]);
        check("é*ü", &["éü", "é ü"], &["é"]);
    }

    /// The plain definition, slow and surely right.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|from| naive(rest, &text[from..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_plain_definition(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let expected = naive(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), expected);
        }
    }
}
