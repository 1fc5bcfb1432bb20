//! A configuration in the making, with what could not be carried over.

use serde_json::Value;

use crate::secret::Secret;
use crate::text::{is_field_name, is_variable_name, put};

/// What is said of a source without a signature, where there was none before.
pub(super) const fn unchecked(has_allow: bool) -> &'static str {
    if has_allow {
        "no signature is checked: everybody in the networks of `allow` can send (as before)"
    } else {
        "nobody is checked: everybody who knows the address can send (as before)"
    }
}

/// What became of another program's configuration.
#[derive(Debug, Default)]
pub(super) struct ImportedConfig {
    pub(super) sections: Vec<ImportedSection>,
    /// The files of secrets, below the configuration's folder.
    pub(super) secrets: Vec<(String, Secret)>,
}

/// A source, a handler or another table, with all of its tables.
#[derive(Debug)]
pub(super) struct ImportedSection {
    /// What it was there.
    pub(super) name: String,
    /// TOML.
    pub(super) text: String,
    /// What of it could not be carried over.
    pub(super) notes: Vec<String>,
}

impl ImportedConfig {
    pub(super) fn add(&mut self, name: &str, text: String, notes: Vec<String>) {
        self.sections.push(ImportedSection { name: name.to_owned(), text, notes });
    }

    /// Where the secret `text` of `name` is to be, as TOML.
    pub(super) fn secret(&mut self, name: &str, text: &str) -> String {
        if let Some(variable) = variable(text) {
            return format!("{{ env = {} }}", quoted(variable));
        }
        let file = format!("data/secrets/{name}");
        self.secrets.push((file.clone(), Secret::new(text)));
        // Until it is there the one that is made is unknown.
        format!("{{ file = {}, create = true }}", quoted(&file))
    }

    /// Whether anything was carried over, were it as comments.
    pub(super) fn has_any(&self) -> bool {
        self.sections.iter().any(|section| !section.text.is_empty())
    }

    /// All of it as TOML.
    pub(super) fn render(&self) -> String {
        let mut text = String::from(
            "# Imported by `gatepost import`. What is marked `!` was not carried over: look at it.\n",
        );
        for section in &self.sections {
            text.push('\n');
            for note in &section.notes {
                // One line each, whatever is in it.
                put(&mut text, format_args!("# ! {}\n", one_line(note)));
            }
            text.push_str(&section.text);
        }
        text
    }

    /// What was not carried over, one line each.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = self.sections.iter().flat_map(|section| {
            section.notes.iter().map(move |note| format!("{}: {}", section.name, one_line(note)))
        });
        notes.collect()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `value` as TOML, or our expressions, write a string.
pub(super) fn quoted(value: &str) -> String {
    // JSON's escapes are TOML's and MiniJinja's.
    Value::from(value).to_string()
}

/// TOML as comments: it takes nothing until its owner has decided.
pub(super) fn commented(text: &str) -> String {
    text.lines().fold(String::new(), |mut commented, line| {
        put(&mut commented, format_args!("# {line}\n"));
        commented
    })
}

/// Strings as a TOML list.
pub(super) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.into_iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

/// The variable in `${NAME}`, `${NAME:-default}` or `{{ getenv "NAME" }}`, where the text is
/// nothing else.
pub(super) fn variable(text: &str) -> Option<&str> {
    let text = text.trim();
    let name = if let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
    {
        inner.split(":-").next().unwrap_or(inner)
    } else {
        let inner = text.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        inner.strip_prefix("getenv")?.trim_start().strip_prefix('"')?.split('"').next()?
    };
    is_variable_name(name.as_bytes()).then_some(name)
}

/// Notes that a variable has a default there, which ours have not.
pub(super) fn note_default(text: &str, what: &str, notes: &mut Vec<String>) {
    if let Some(name) = variable(text).filter(|_| text.contains(":-")) {
        notes.push(format!("the default of `{name}` ({what}) was left out: set the variable"));
    }
}

/// `name` as Gatepost takes names; a note where it had to be changed.
pub(super) fn name_of(name: &str, notes: &mut Vec<String>) -> String {
    let lower = name.to_ascii_lowercase();
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let mut plain: String = lower.chars().map(|c| if is_good(c) { c } else { '-' }).collect();
    if !plain.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        plain.insert(0, 'x');
    }
    plain.truncate(NAME_MAX);
    if plain != name {
        notes.push(format!("the name `{name}` became `{plain}`"));
    }
    plain
}

/// Longer names are cut.
const NAME_MAX: usize = 48;

/// A field of the payload: `payload.commits[0].id` out of `commits.0.id`.
pub(super) fn payload_field(path: &str) -> String {
    let mut field = "payload".to_owned();
    for step in path.split('.') {
        if step.parse::<u32>().is_ok() {
            put(&mut field, format_args!("[{step}]"));
        } else if is_field_name(step) {
            put(&mut field, format_args!(".{step}"));
        } else {
            put(&mut field, format_args!("[{}]", quoted(step)));
        }
    }
    field
}

/// A field of the payload as adnanh/webhook names it: a list stands under `root` there, and is the payload here.
pub(super) fn hook_field(path: &str) -> String {
    let is_index =
        |rest: &&str| rest.split('.').next().is_some_and(|step| step.parse::<u32>().is_ok());
    match path.strip_prefix("root.").filter(is_index) {
        Some(rest) => payload_field(rest),
        None if path == "root" => "(payload.root if payload is mapping else payload)".to_owned(),
        None => payload_field(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_both_forms() {
        for (text, name) in [
            ("${SECRET}", Some("SECRET")),
            ("${SECRET:-x}", Some("SECRET")),
            ("{{ getenv \"SECRET\" | js }}", Some("SECRET")),
            ("a${SECRET}", None),
            ("${}", None),
            ("secret", None),
        ] {
            assert_eq!(variable(text), name, "{text}");
        }
    }

    #[test]
    fn names_and_paths_become_ours() {
        let mut notes = Vec::new();
        assert_eq!(name_of("deploy_1", &mut notes), "deploy_1");
        assert!(notes.is_empty());
        assert_eq!(name_of("Deploy Site", &mut notes), "deploy-site");
        assert_eq!(notes, ["the name `Deploy Site` became `deploy-site`"]);
        assert_eq!(payload_field("commits.0.a-b.id"), "payload.commits[0][\"a-b\"].id");
        assert_eq!(hook_field("root.0.type"), "payload[0].type");
        assert_eq!(hook_field("root.type"), "payload.root.type");
    }
}
