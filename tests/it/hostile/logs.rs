//! Text of strangers where people read it.

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{self, Served};
use super::super::support::wire;

#[test]
fn a_strangers_text_forges_no_line_of_the_log_and_no_row_on_the_terminal() {
    let rest = r#"
        [handler.said]
        start = "oldest"
        [handler.said.log]
        message = "{{ data.text }}"
    "#;
    for format in ["text", "json"] {
        let folder = Folder::new("", &format!("{rest}[log]\nformat = \"{format}\"\n"));
        let served = Served::start(&folder);
        let forged = "2026-11-22T12:00:00Z ERROR The queue is poisoned";
        let kinds = ["\n", "\r", "\r\n", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}"];
        let text = kinds.iter().map(|end| ["x", end, forged].concat()).collect::<String>();
        let text = text + "\u{202e}\u{2066}";
        let payload = serde_json::json!({
            "event": format!("comment.create\u{202e}\u{2028}x\u{2066}"),
            "data": { "text": text },
        });
        let body = payload.to_string().into_bytes();
        let signature = signature(&body);
        wire::post(served.public(), "/hooks/hyvor", &[("X-Signature", &signature)], &body).id();
        served.wait_until_delivered("said");
        let log = served.log();
        assert!(log.contains(forged), "{log}");
        let separators = |c: char| ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{85}';
        for line in log.split(['\n', '\r']).chain(log.split(separators)) {
            assert!(!line.trim_start().starts_with(forged), "{log}");
        }
        assert!(!log.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\u{2029}']), "{log}");
        let shown = program::printed(&program::run(&folder, &["events", "list"]), 0);
        assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{2028}']), "{shown}");
        assert_eq!(served.stop(), Some(0));
    }
}
