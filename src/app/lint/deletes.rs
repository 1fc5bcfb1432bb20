//! `delete_on` and `delete_when`: rows that every event deletes, and patterns that none has.

use crate::event::Glob;

use super::{EventGlob, Lint};

/// What `on` stands for where it is left out.
const EVERYTHING: &str = "*:*";

impl Lint<'_> {
    pub(super) fn deletes(&mut self) {
        let exempt = self.settings.kind.exempt();
        let key = |name: &str| format!("handler.{}.{}.{name}", self.name, self.settings.kind_name);
        let (on_key, when_key) = (key("delete_on"), key("delete_when"));
        let every = "every event deletes its row: no row is ever written";
        if exempt.when.as_ref().is_some_and(|when| when.source().trim() == "true") {
            let help = "write what tells a deletion, as in `data.comment.status == \"deleted\"`";
            self.warn(&when_key, "", every.to_owned(), help.to_owned());
        }
        let globs = &self.settings.policy.on;
        let on: Vec<String> = match globs.as_slice() {
            [] => vec![EVERYTHING.to_owned()],
            globs => globs.iter().map(text_of).collect(),
        };
        let patterns = || exempt.on.iter();
        if !exempt.on.is_empty() && on.iter().all(|one| patterns().any(|glob| glob.matches(one))) {
            let help = "name the types of deletions only, as in `[\"hyvor:comment.delete\"]`";
            self.warn(&on_key, "", every.to_owned(), help.to_owned());
            return;
        }
        // One without a source was told already.
        let whole = patterns().map(Glob::as_str).filter(|pattern| pattern.contains(':'));
        for pattern in whole {
            if !on.iter().any(|one| may_meet(one, pattern)) {
                let message =
                    format!("`on` lets no event of `{pattern}` through: it deletes nothing");
                let help = format!("add \"{pattern}\" to `on`, or leave it out here");
                self.warn(&on_key, pattern, message, help);
            }
        }
    }
}

fn text_of(glob: &EventGlob) -> String {
    format!("{}:{}", glob.source.as_str(), glob.event_type.as_str())
}

/// Whether one name may match both patterns. In doubt it may.
fn may_meet(one: &str, other: &str) -> bool {
    match (one.contains('*'), other.contains('*')) {
        (true, true) => {
            let starts = |text: &str| text.split('*').next().unwrap_or_default().to_owned();
            let ends = |text: &str| text.rsplit('*').next().unwrap_or_default().to_owned();
            let is_both = |one: &str, other: &str, is_in: fn(&str, &str) -> bool| {
                is_in(one, other) || is_in(other, one)
            };
            is_both(&starts(one), &starts(other), |one, other| one.starts_with(other))
                && is_both(&ends(one), &ends(other), |one, other| one.ends_with(other))
        }
        (true, false) => Glob::new(one).matches(other),
        (false, true) => Glob::new(other).matches(one),
        (false, false) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_no_name_has_in_common_are_told_apart() {
        for (one, other, expected) in [
            ("a:b.*", "a:b.delete", true),
            ("a:b.create", "a:b.delete", false),
            ("a:*", "*:b.delete", true),
            ("a:b.*", "a:c.*", false),
            ("*:*", "a:c.*", true),
            ("a:*.create", "a:*.delete", false),
        ] {
            assert_eq!(may_meet(one, other), expected, "{one} {other}");
            assert_eq!(may_meet(other, one), expected, "{other} {one}");
        }
    }
}
