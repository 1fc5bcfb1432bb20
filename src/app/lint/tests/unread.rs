//! Handlers whose kind has a mistake.

use std::path::Path;

use super::SOURCES;
use crate::config::{self, Checked};

/// All that is said of a configuration that cannot be used.
fn told(handlers: &str) -> String {
    let text = format!("{SOURCES}{handlers}");
    let Checked { partial, mut report, .. } =
        config::check_text(&text, "x.toml", Path::new("/"), None);
    assert!(report.counts().0 > 0, "{report}");
    super::super::lint_partial(&partial.unwrap(), &mut report);
    report.to_string()
}

#[test]
fn field_slips_of_a_handler_are_told_beside_its_other_mistakes() {
    for kind in [
        "[handler.a.log]\nmessage = '{{ data.coment.id }}'\nlevel = 'loud'",
        "[handler.a.email]\nto = 'data.coment.mail'\nsubject = 'x'\nsmtp = 5",
        "[handler.a.http]\nheaders = { x-a = '{{ data.coment.id }}' }",
        "[handler.a.sql]\nurl = 'sqlite://x.db'\nkey = 'id'\ncolumns = { id = 'data.coment.id' }",
        "[handler.a.sql]\nurl = 'sqlite://x.db'\ntable = 5\nstatements = 'DELETE FROM t WHERE id = {{ data.coment.id }}'",
        "[handler.a.command]\nrun = ['true', '{{ data.coment.id }}']\ncwd = 5",
    ] {
        let all = told(&format!("[handler.a]\non = ['hyvor:comment.create']\n{kind}\n"));
        let slip = "no sample of hyvor:comment.create has `data.coment`";
        assert!(all.contains(slip), "{kind}: {all}");
        assert!(all.contains("did you mean `data.comment`?"), "{kind}: {all}");
    }
    // Also where nothing says what it does.
    let all = told("[handler.a]\non = ['hyvor:comment.create']\nwhen = 'data.coment.id == 5'\n");
    assert!(all.contains("has `data.coment`") && all.contains("this handler has no kind"), "{all}");
}
