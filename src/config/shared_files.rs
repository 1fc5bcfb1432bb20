//! Files that several handlers write.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::event::HandlerName;
use crate::settings::Report;

use super::Config;

/// Warns of each handler that writes the file of an earlier one.
pub(super) fn warn(config: &Config, report: &mut Report) {
    let mut writers: BTreeMap<PathBuf, &HandlerName> = BTreeMap::new();
    // Several handlers may well share a database.
    for (name, handler) in config.handlers.iter().filter(|(_, one)| one.kind_name == "file") {
        for path in handler.kind.writes() {
            let path = without_dots(&path);
            let Some(first) = writers.get(&path) else {
                writers.insert(path, name);
                continue;
            };
            let key = format!("handler.{name}.file.path");
            let message = format!(
                "handler `{first}` writes this file as well: each would rotate it and mend its end while the \
                 other one writes"
            );
            let help = "give each its own file, or let one handler have the events of both";
            report.warn(&key, config.place_of(&key), "", message, help.to_owned());
        }
    }
}

/// `a/./b` is the file `a/b`; `..` may lead elsewhere, through a link.
fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn second_handler_that_writes_a_file_is_told() {
        let file = |name: &str, path: &str| format!("[handler.{name}.file]\npath = '{path}'\n");
        let found = |text: &str| {
            let report = crate::config::check_text(text, "x.toml", Path::new("/x"), None).report;
            let told = report.problems.iter().filter(|one| one.message.contains("as well"));
            told.map(|one| one.path.clone()).collect::<Vec<_>>()
        };
        let same = file("a", "data/x.jsonl") + &file("b", "/x/data/./x.jsonl");
        assert_eq!(found(&same), ["handler.b.file.path"]);
        let other = file("a", "data/x.jsonl") + &file("b", "data/y.jsonl");
        assert_eq!(found(&other), [""; 0]);
        let sql = |name: &str| {
            format!(
                "[handler.{name}.sql]\nurl = 'sqlite:a.db'\ncreate_table = true\ntable = '{name}'\n\
                 columns = {{ id = 'event.id' }}\n"
            )
        };
        assert_eq!(found(&(sql("a") + &sql("b"))), [""; 0]);
    }
}
