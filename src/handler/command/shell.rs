//! `run`, and what in it only a shell would read.

use std::path::Path;

use super::code::SHELLS;
use super::{Mode, WORKER_HELP};
use crate::expr::{foreign_placeholder, placeholder};
use crate::settings::{Table, Value, unexpanded, without_secret_arguments};
use crate::text::{can_be_variable, shell_word};

/// How a program learns of the event.
const TEMPLATE_HELP: &str = "the event comes on standard input and in the environment, as `GATEPOST_EVENT_TYPE`; `fields` \
     puts more there";

/// What makes the text look as if something of an event were put into it.
fn template_signs(text: &str) -> Option<String> {
    if text.contains("{{") {
        return Some("{{ }}".to_owned());
    }
    foreign_placeholder(text).map(|(written, _)| written)
}

/// Whether a variable can have the name.
pub(super) fn read_name(name: &str, value: &Value<'_>) -> bool {
    let is_good = can_be_variable(name);
    if !is_good {
        let message = "this is not a name that you can give to a variable";
        value.problem(message, "give it another name, without `=` and `GATEPOST_`");
    }
    is_good
}

/// `text` as a variable's: none can have a NUL in it.
pub(super) fn variable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Tells where a variable's text is taken for a template.
pub(super) fn warn_of_template(text: &str, value: &Value<'_>, mode: Mode) {
    if template_signs(text).is_some() {
        // The text itself is not shown: it may hold a secret beside.
        let message = "a variable has the text that stands here, braces and all";
        let help = match mode {
            Mode::Once => TEMPLATE_HELP,
            Mode::Worker => WORKER_HELP,
        };
        value.warning(message, help);
    }
}

/// Whether `run` is a text, which is refused with the list that is meant.
pub(super) fn is_one_text(table: &mut Table<'_>) -> bool {
    let Some(text) = table.text_of("run") else { return false };
    let parts = words(text);
    let instead = if parts.iter().any(|part| is_sign(part)) {
        in_shell(text)
    } else {
        as_list(&without_secret_arguments(&parts, "…"))
    };
    table.reject(
        "run",
        "the program and its arguments are a list: there is no shell that would split a text",
        format_args!("write `run = {instead}`"),
    );
    true
}

/// Tells what only a shell would read.
pub(super) fn warn(table: &Table<'_>, run: &[&str]) {
    if let Some((message, help)) = run.first().and_then(|program| unexpanded(program)) {
        table.warning("run", message, help);
    }
    if let [program] = run
        && let parts = words(program)
        && let [first, _, ..] = parts.as_slice()
    {
        let has_sign = parts.iter().any(|part| is_sign(part));
        if has_sign || !first.contains('/') {
            let instead = if has_sign {
                in_shell(program)
            } else {
                as_list(&without_secret_arguments(&parts, "…"))
            };
            let message = "no shell splits this text: it is the name of one program";
            table.warning("run", message, format_args!("write `run = {instead}`"));
        }
    } else if let Some(sign) = run.iter().skip(1).find(|part| is_sign(part))
        && !is_shell(run)
    {
        let words: Vec<String> = run.iter().map(|part| word(part)).collect();
        table.warning(
            "run",
            format_args!("no shell reads `{sign}`: the program gets it as an argument"),
            format_args!("write `run = {}`", in_shell(&words.join(" "))),
        );
    } else if let Some((message, _)) = run.iter().skip(1).find_map(|part| for_a_shell(part))
        && !is_shell(run)
    {
        let words: Vec<String> = run.iter().map(|part| word(part)).collect();
        let shell = in_shell(&words.join(" "));
        let help = format!("write what it stands for, or let a shell read it: `run = {shell}`");
        table.warning("run", message, help);
    }
}

/// What is said of an argument in which a shell would put something in. Of several words it is a program's own
/// text: `{print $NF}` of awk.
fn for_a_shell(part: &str) -> Option<(String, String)> {
    let is_one_word = !part.contains(char::is_whitespace) && !part.contains("{{");
    is_one_word.then(|| unexpanded(part))?
}

/// Whether it is a pipe, a redirection or a list of commands to a shell. A `;` alone ends `find -exec`.
fn is_sign(part: &str) -> bool {
    let redirection = part.trim_start_matches(|c: char| c.is_ascii_digit());
    ["|", "||", "&&", "|&", "&", "<<<"].contains(&part)
        || (redirection.starts_with(['>', '<']) && !redirection.contains([' ', '=']))
        || part.starts_with("&>")
}

fn is_shell(run: &[&str]) -> bool {
    let mut names = run.iter().map(|part| Path::new(part).file_name().unwrap_or_default());
    names.any(|name| SHELLS.iter().any(|shell| name == *shell))
}

/// The arguments that a shell would make of it. What stands in quotation marks or in `{{ }}` is of one, and a
/// mark that is not closed (`it's`) is a sign like any other.
fn words(text: &str) -> Vec<String> {
    quoted_words(text).unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

/// The same; `None` = a quotation mark is not closed.
fn quoted_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let value = if rest.starts_with("{{") { placeholder(rest) } else { None };
        let is_escape = c == '\\' && quote != Some('\'');
        let length = match value {
            Some((_, length)) => length,
            None if is_escape => rest.chars().take(2).map(char::len_utf8).sum(),
            None => c.len_utf8(),
        };
        let (part, behind) = rest.split_at(length);
        rest = behind;
        if value.is_some() {
            word.get_or_insert_default().push_str(part);
        } else if is_escape {
            word.get_or_insert_default().extend(part.chars().skip(1));
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
            // `''` is an argument as well.
            word.get_or_insert_default();
        } else if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().push_str(part);
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn as_list(parts: &[String]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
    format!("[{}]", parts.join(", "))
}

fn in_shell(text: &str) -> String {
    as_list(&["/bin/sh", "-c", text.trim()].map(str::to_owned))
}

/// An argument as a shell is told it; what is meant for the shell stays as it is.
fn word(part: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,$".contains(c);
    let is_for_it = || for_a_shell(part).is_some() && !part.contains(['\'', '"', ';', '&', '|']);
    if is_sign(part) || (!part.is_empty() && part.chars().all(is_plain)) || is_for_it() {
        part.to_owned()
    } else {
        shell_word(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(run: &str) -> String {
        let text = format!("run = {run}");
        let reading = crate::settings::read(&text, Path::new(""), |table| {
            let run = table.take::<Vec<String>>("run").unwrap();
            warn(table, &run.iter().map(String::as_str).collect::<Vec<_>>());
        });
        let told = reading.problems.iter().map(|one| format!("{}: {}", one.message, one.help));
        told.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn argument_that_a_shell_would_put_something_in_for_is_told() {
        for (run, instead) in [
            ("['/bin/echo', '$HOME']", "/bin/echo $HOME"),
            ("['/bin/echo', '--to=${OUT}', 'a b']", "/bin/echo --to=${OUT} 'a b'"),
            ("['/bin/cat', '~/x']", "/bin/cat ~/x"),
        ] {
            let told = warned(run);
            let told_instead = format!("`run = [\"/bin/sh\", \"-c\", \"{instead}\"]`");
            assert!(told.contains(&told_instead), "{run}: {told}");
        }
        for run in [
            "['/bin/sh', '-c', 'echo $HOME']",
            "['/bin/sh', '-c', 'echo', '$HOME']",
            "['/usr/bin/awk', '{print $NF}']",
            "['/bin/echo', '$5', 'a$b', '{{ data.$HOME }}']",
        ] {
            assert_eq!(warned(run), "", "{run}");
        }
    }

    #[test]
    fn text_becomes_the_arguments_that_a_shell_makes_of_it() {
        for (text, expected) in [
            ("php a.php  --x", &["php", "a.php", "--x"][..]),
            ("a 'b c' \"d 'e\" f\"\"g ''", &["a", "b c", "d 'e", "fg", ""]),
            (
                "a {{ data.x ~ ' b' }} --n={{ data.y }}z",
                &["a", "{{ data.x ~ ' b' }}", "--n={{ data.y }}z"],
            ),
            ("a \"{{ data['x'] }} b\"", &["a", "{{ data['x'] }} b"]),
            (r"a\ b \' 'c\'", &["a b", "'", r"c\"]),
            ("echo it's done", &["echo", "it's", "done"]),
            ("a {{ b", &["a", "{{", "b"]),
            (r"a \", &["a", ""]),
            ("", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
