//! What to write in place of a key that its table does not have: where a key of that name stands, or what
//! other programs mean by it.

use std::collections::BTreeSet;

use super::{other_words, schema};
use crate::settings::{KNOWN_HERE, Problem, Report};

/// More tables with a key of one name say nothing of which was meant.
const HOMES_MAX: usize = 2;

/// Adds to the help for unknown keys what is probably meant.
pub(super) fn name_homes(report: &mut Report) {
    let unknown = report.problems.iter_mut().filter(|problem| problem.help.starts_with(KNOWN_HERE));
    let unknown: Vec<&mut Problem> = unknown.collect();
    if unknown.is_empty() {
        return;
    }
    let keys = schema::keys();
    for problem in unknown {
        if let Some(advice) = other_words::advice(&problem.path) {
            problem.help = advice;
            continue;
        }
        let (table, name) = problem.path.rsplit_once('.').unwrap_or(("", &problem.path));
        let mut homes: BTreeSet<String> = keys
            .iter()
            .filter(|(_, key)| schema::is_taken(key))
            .filter_map(|(path, _)| path.rsplit_once('.'))
            .filter(|(_, its_name)| *its_name == name)
            .map(|(home, _)| named_as_in(table, home))
            .filter(|home| is_near(table, home))
            .collect();
        // What is meant for the same source or handler stands in one of its own tables.
        if homes.iter().any(|home| is_same_owner(table, home)) {
            homes.retain(|home| is_same_owner(table, home));
        }
        if (1..=HOMES_MAX).contains(&homes.len()) {
            let homes = homes.into_iter().collect::<Vec<_>>().join("]` or `[");
            problem.help = format!("`{name}` stands in `[{homes}]`; {}", problem.help);
        }
    }
}

/// Whether a key of `table` may have been meant for `home`: a section's own table, or one of the same section; of
/// a source's or handler's inner tables only those that stand in the same one.
fn is_near(table: &str, home: &str) -> bool {
    let steps = |path: &str| path.split('.').count();
    steps(home) <= 2
        || is_same_owner(table, home)
            && (steps(table) <= 2 || table.split('.').nth(2) == home.split('.').nth(2))
}

/// Whether both are tables of one source or handler.
fn is_same_owner(table: &str, home: &str) -> bool {
    table.contains('.') && table.split('.').take(2).eq(home.split('.').take(2))
}

/// The table `home` with the owner's own name in it, where `table` is one of the same name.
fn named_as_in(table: &str, home: &str) -> String {
    let mut steps = table.split('.');
    let (kind, name) = (steps.next().unwrap_or_default(), steps.next());
    match (home.strip_prefix(kind).and_then(|rest| rest.strip_prefix(".NAME")), name) {
        (Some(rest), Some(name)) => format!("{kind}.{name}{rest}"),
        _ => home.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::check_text;
    use crate::config::other_words::ADVICE;
    use crate::settings::ReportStyle;

    #[test]
    fn key_in_a_wrong_table_is_sent_home() {
        for (text, home) in [
            ("[server]\nretention = \"7d\"\n", "`retention` stands in `[queue]`"),
            ("[queue]\nlisten = \"127.0.0.1:1\"\n", "stands in `[admin]` or `[server]`"),
            (
                "[handler.x]\npath = \"a\"\n[handler.x.log]\n",
                "`path` stands in `[handler.x.file]`;",
            ),
            ("[handler.x]\nattempts = 5\n[handler.x.log]\n", "stands in `[handler.x.retry]`;"),
            ("[source.a]\nprovider = \"svix\"\nretry = \"1h\"\n", "stands in `[handler.NAME]`"),
            ("retention = \"7d\"\n", "`retention` stands in `[queue]`"),
            // A column's `value` is nothing that a secret has.
            (
                "[source.a]\nprovider = \"svix\"\nsecrets = [{ value = \"x\" }]\n",
                "= help: known here: ",
            ),
            (
                "[handler.x.command]\nrun = [\"true\"]\nenv = { K = { value = \"x\" } }\n",
                "= help: known here: ",
            ),
        ] {
            let report = check_text(text, "config.toml", Path::new("/"), None).report;
            let said = report.render(ReportStyle::Plain);
            assert!(said.contains(home), "{text}{said}");
        }
    }

    /// Each word is tried where it stands, so none is one that the table has.
    #[test]
    fn words_of_other_programs_lead_to_ours() {
        let report = |text: &str| check_text(text, "config.toml", Path::new("/"), None).report;
        for (table, heading) in [
            ("", ""),
            ("server", "[server]\n"),
            ("queue", "[queue]\n"),
            ("admin", "[admin]\n"),
            ("log", "[log]\n"),
            ("source", "[source.own]\nprovider = \"svix\"\n"),
            ("handler", "[handler.own.log]\n[handler.own]\n"),
            ("email", "[handler.own.email]\n"),
            ("http", "[handler.own.http]\n"),
        ] {
            let advice = ADVICE.iter().filter(|(of_table, ..)| *of_table == table);
            let words =
                advice.flat_map(|(_, words, advice)| words.iter().map(move |word| (word, advice)));
            let words: Vec<_> = words.collect();
            let keys: Vec<_> = words.iter().map(|(word, _)| format!("{word} = 1\n")).collect();
            let problems = report(&format!("{heading}{}", keys.concat())).problems;
            for (word, advice) in words {
                let message = format!("unknown key `{word}`");
                let help = problems.iter().find(|problem| problem.message == message);
                let help = help.map(|problem| problem.help.as_str()).unwrap_or_default();
                assert!(help == advice.replace("{name}", "own"), "{table}: {word}: {help:?}");
            }
        }
        let inner = "[source.own]\nprovider = \"svix\"\n[source.own.answer]\npath = \"x\"\n";
        let said = report(inner).render(ReportStyle::Plain);
        assert!(said.contains("known here: ") && !said.contains("/hooks/own"), "{said}");
    }
}
