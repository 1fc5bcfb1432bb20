//! Keys under their old names.

use super::*;
use crate::settings::RENAMED;

/// A configuration in which the key at `pattern` is, with its line.
fn with_key(pattern: &str) -> (String, usize) {
    let (table, key) = pattern.rsplit_once('.').unwrap();
    let text = format!("{SMALL}[{}]\n{key} = 1\n", table.replace("NAME", "owned"));
    let line = text.lines().count();
    (text, line)
}

#[test]
fn renamed_key_is_told_its_new_name_where_it_stands() {
    for (old, new) in RENAMED {
        let (text, line) = with_key(old);
        let name = old.rsplit('.').next().unwrap();
        let told = check(&text).report.render(ReportStyle::Plain);
        let about = told.split("\n\n").find(|problem| problem.contains("unknown key"));
        let about = about.unwrap_or_else(|| panic!("{old} is taken: {told}"));
        assert!(about.contains(&format!("config.toml:{line}:1")), "{old}: {about}");
        assert!(about.contains(&format!("= help: `{name}` is now `{new}`")), "{old}: {about}");
    }
}

#[test]
fn renamed_key_is_taken_under_its_new_name_only() {
    let keys = settings::read(&with_every_option(), Path::new(""), read).keys;
    for (old, new) in RENAMED {
        let (table, _) = old.rsplit_once('.').unwrap();
        assert!(keys.contains_key(&format!("{table}.{new}")), "{table}.{new}");
        assert!(!keys.contains_key(*old), "{old}");
    }
}
