//! What to write in place of an unknown key.

use toml::Spanned;
use toml::de::DeValue;

use super::path::join;
use super::{Table, nearest, renamed};

/// How the help for a key begins of which nothing is known but what else its table takes.
pub const KNOWN_HERE: &str = "known here: ";

/// What other programs call some of our keys.
const SYNONYMS: &[(&str, &str)] = &[
    ("args", "run"),
    ("attachments", "attach_body"),
    ("body", "text"),
    ("channel", "topic"),
    ("cmd", "run"),
    ("command", "run"),
    ("condition", "when"),
    ("delay", "min"),
    ("dir", "cwd"),
    ("endpoint", "url"),
    ("environment", "env"),
    ("events", "on"),
    ("exec", "run"),
    ("filter", "when"),
    ("if", "when"),
    ("initial_backoff", "min"),
    ("max_attempts", "attempts"),
    ("max_backoff", "max"),
    ("max_elapsed", "total"),
    ("message", "text"),
    ("program", "run"),
    ("recipients", "to"),
    ("retries", "retry"),
    ("script", "run"),
    ("secret", "secrets"),
    ("size", "max"),
    ("template", "text"),
    ("token", "secret"),
    ("version_column", "newer_by"),
    ("webhook", "url"),
    ("webhook_url", "url"),
    ("working_dir", "cwd"),
    ("working_directory", "cwd"),
    ("workdir", "cwd"),
];

impl Table<'_> {
    /// What to write in place of the key `name`, which was not taken.
    pub(super) fn help_for_unknown(&self, name: &str) -> String {
        if let Some(new) = renamed::new_name(&join(&self.pattern, name)) {
            return format!("`{name}` is now `{new}`");
        }
        let known = || self.asked.iter().map(String::as_str);
        let other = self.synonym(name).or_else(|| self.nearest_key(name));
        match (other, self.home_of(name)) {
            (_, Some(home)) if self.synonym(name).is_none() => {
                format!("`{name}` stands in `[{home}]`")
            }
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, _) if let Some((near, home)) = self.near_outside(name) => {
                format!("did you mean `{near}`, which stands in `[{home}]`?")
            }
            (None, _) if self.asked.is_empty() => String::new(),
            (None, _) => format!("{KNOWN_HERE}{}", known().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The key here that other programs call `name`.
    fn synonym(&self, name: &str) -> Option<&str> {
        let is_asked = |ours: &&str| self.asked.contains(*ours);
        let found = SYNONYMS.iter().find(|(theirs, ours)| *theirs == name && is_asked(ours));
        found.map(|(_, ours)| *ours)
    }

    /// A key of the table around this one that is nearly called so, and that table.
    fn near_outside(&self, name: &str) -> Option<(String, String)> {
        let keys = self.diagnostics.keys.borrow();
        let (outer, _) = self.pattern.rsplit_once('.')?;
        let (home, _) = self.path.rsplit_once('.')?;
        let below = format!("{outer}.");
        let known = keys.keys().filter_map(|key| key.strip_prefix(&below));
        let is_key = |key: &&str| *key != "NAME" && !key.contains(['.', '[']);
        let known: Vec<&str> = known.filter(is_key).collect();
        let near = nearest(name, known.iter().copied())?;
        Some((near.to_owned(), home.to_owned()))
    }

    /// The table around this one, or in it, that has a key called `name`.
    fn home_of(&self, name: &str) -> Option<String> {
        let keys = self.diagnostics.keys.borrow();
        let (outer, _) = self.pattern.rsplit_once('.')?;
        if keys.contains_key(&join(outer, name)) {
            return self.path.rsplit_once('.').map(|(outer, _)| outer.to_owned());
        }
        let is_inner = |(key, value): &(&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let inner = join(&self.pattern, AsRef::<str>::as_ref(key.get_ref()));
            value.get_ref().is_table() && keys.contains_key(&join(&inner, name))
        };
        let inner = self.entries.iter().filter(is_inner);
        // A word such as `type` may stand in several of them.
        let homes: Vec<_> = inner.map(|(key, _)| join(&self.path, key.get_ref())).collect();
        (!homes.is_empty()).then(|| homes.join("]` or `["))
    }
}
