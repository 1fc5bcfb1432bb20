//! `handlers try`.

use serde_json::json;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::verbs::{json, lines, send};

const HANDLERS: &str = r#"
[handler.lines]
on = ["hyvor:comment.*"]
when = 'data.comment.status == "published"'
[handler.lines.file]
path = "lines.jsonl"
[handler.app]
on = ["userecho:*"]
[handler.app.http]
url = "http://127.0.0.1:9/{{ event.type }}"
body = "{{ data.topic.header | upper }}"
[handler.broken]
[handler.broken.log]
message = "{{ data.comment + 1 }}"
"#;

#[test]
fn try_shows_the_plan_and_does_nothing() {
    let folder = Folder::new("", HANDLERS);
    let before: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    let arguments = ["handlers", "try", "lines", "--sample", "hyvor", "comment.create"];
    let shown = json(&folder, &arguments);
    assert_eq!((&shown["kind"], &shown["wanted"]), (&json!("file"), &json!("yes")));
    assert_eq!((&shown["sent"], &shown["plan"][0]["does"]), (&json!(false), &json!("append")));
    let text = printed(&run(&folder, &arguments), 0);
    assert!(text.contains("nothing was sent; `--send` does it once"), "{text}");
    assert!(text.contains(r#""type":"comment.create""#), "{text}");
    // Without a choice it is a sample that the handler wants.
    let first = json(&folder, &["handlers", "try", "app"]);
    assert_eq!(first["event"]["source"], "userecho");
    assert_eq!(first["plan"][0]["method"], "POST");
    let after = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(after.count(), before.len(), "nothing was made");
}

/// A sample without what the templates ask for would show a mail from nobody.
#[test]
fn try_without_an_event_takes_the_sample_that_the_handler_s_texts_fit() {
    let handlers = r#"
[handler.mail]
on = ["hyvor:comment.*"]
[handler.mail.log]
message = "{{ data.comment.user.name }}: {{ data.comment.body }}"
[handler.flags]
on = ["hyvor:comment.*"]
[handler.flags.log]
message = "{{ data.flag.reason }}"
[handler.updates]
on = ["hyvor:comment.*", "gatepost:*"]
when = 'event.type == "comment.update"'
[handler.updates.log]
message = "{{ data.reason | default('none') }}"
[handler.any]
on = ["hyvor:comment.*"]
[handler.any.file]
path = "lines.jsonl"
"#;
    let folder = Folder::new("", handlers);
    for (handler, expected) in [
        ("mail", "comment.create"),
        ("flags", "comment.flag.created"),
        ("updates", "comment.update"),
        ("any", "comment.create"),
    ] {
        let shown = json(&folder, &["handlers", "try", handler]);
        assert_eq!(shown["event"]["type"], expected, "{handler}");
    }
    let text = printed(&run(&folder, &["handlers", "try", "mail"]), 0);
    assert!(text.contains("Zoë Example: "), "{text}");
}

#[test]
fn try_takes_a_body_of_ones_own_and_says_what_is_not_wanted() {
    let folder = Folder::new("", HANDLERS);
    let body = r#"{"event":"comment.update","data":{"comment":{"status":"spam"}}}"#;
    std::fs::write(folder.path().join("body"), body).unwrap();
    let arguments = ["handlers", "try", "lines", "--body", "body", "--source", "hyvor"];
    let shown = json(&folder, &arguments);
    assert_eq!(shown["event"]["type"], "comment.update");
    assert_eq!((&shown["wanted"], &shown["reason"]), (&json!("no"), &json!("`when` is false")));
    std::fs::write(folder.path().join("body"), body.replace("status", "state")).unwrap();
    let shown = json(&folder, &arguments);
    let why = "`when` is false: missing or null is `data.comment.status`";
    assert_eq!((&shown["wanted"], &shown["reason"]), (&json!("no"), &json!(why)));
    let slip = run(&folder, &["handlers", "try", "lines", "--sample", "hyvor", "comment.creat"]);
    let told = String::from_utf8(slip.stderr).unwrap();
    let expected = "there is no sample of `comment.creat`, so its body is made up; did you mean \
                    `comment.create`?\n";
    assert_eq!(told, expected);
    let other = json(&folder, &["handlers", "try", "app", "--sample", "hyvor", "user.created"]);
    assert_eq!(other["reason"], "`on` does not name it");
    // What is not wanted is not sent either.
    let refused = run(&folder, &[&arguments[..], &["--send"]].concat());
    printed(&refused, 1);
    assert!(!folder.path().join("lines.jsonl").exists());
}

#[test]
fn try_sends_once_and_marks_it() {
    let folder = Folder::new("", HANDLERS);
    let arguments = ["handlers", "try", "lines", "--sample", "hyvor", "comment.create", "--send"];
    assert_eq!(json(&folder, &arguments)["sent"], true);
    let sent = lines(&folder, "lines.jsonl", 1);
    assert_eq!((sent.len(), &sent[0]["attempt"]), (1, &json!(0)));
    // Nobody listens there.
    let failed = run(&folder, &["handlers", "try", "app", "--send"]);
    printed(&failed, 1);
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(told.contains("it was tried and failed: no connection"), "{told}");
}

#[test]
fn try_with_a_retained_event_needs_no_server_to_stop() {
    let folder = Folder::new("", HANDLERS);
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let arguments = ["handlers", "try", "lines", "--event", &id];
    let with_server = json(&folder, &arguments);
    assert_eq!(with_server["event"]["id"], id.as_str());
    assert!(with_server["plan"][0]["line"].as_str().unwrap().contains(&id));
    assert_eq!(served.stop(), Some(0));
    assert_eq!(json(&folder, &arguments), with_server);
}

#[test]
fn own_events_have_samples_to_try_handlers_with() {
    let handlers = "[handler.alert]\non = ['gatepost:*']\n[handler.alert.log]\n\
                    message = '{{ event.type }}: {{ data.handler }}'\n";
    let folder = Folder::new("", handlers);
    let shown = |arguments: &[&str]| printed(&run(&folder, arguments), 0);
    let sample = ["handlers", "try", "alert", "--sample", "gatepost", "handler.down"];
    assert!(shown(&sample).contains("[try] handler.down: mail"));
    assert!(shown(&["handlers", "try", "alert"]).contains("(gatepost:dead_letter)"));
    let slip = run(&folder, &["handlers", "try", "alert", "--sample", "gatepost", "handler.dwon"]);
    let told = String::from_utf8_lossy(&slip.stderr).into_owned();
    assert!(told.contains("did you mean `handler.down`?"), "{told}");
}

#[test]
fn try_of_what_fails_or_is_not_there_says_so() {
    let folder = Folder::new("", HANDLERS);
    for (arguments, code, expected) in [
        (&["broken"][..], 1, "invalid operation"),
        (&["line"], 1, "handler `line` is not configured; did you mean `lines`?"),
        (&["lines", "--sample", "hyvr", "x"], 1, "did you mean `hyvor`?"),
        (&["lines", "--event", "x"], 2, "`x` is not an event's id"),
        (&["lines", "--body", "none", "--source", "hyvor"], 1, "`none` cannot be read"),
    ] {
        let output = run(&folder, &[&["handlers", "try"], arguments].concat());
        printed(&output, code);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(expected), "{told}");
    }
}

/// What `check` warns of in a handler is told where it is tried, and nothing of the others.
#[test]
fn try_repeats_what_check_warns_of() {
    let handlers = "[handler.app]\non = ['hyvor:comment.create']\n[handler.app.http]\n\
                    url = 'http://127.0.0.1:9/'\nbody = '{\"text\": \"{{ data.comment.body }}\"}'\n\
                    [handler.slip]\non = ['hyvor:comment.create']\n[handler.slip.log]\n\
                    message = '{{ data.coment }}{{ event.id }}'\n";
    let folder = Folder::new("", handlers);
    let told = |arguments: &[&str]| {
        let output = run(&folder, arguments);
        printed(&output, 0);
        String::from_utf8(output.stderr).unwrap()
    };
    let broken = "warning: this is not JSON as soon as a text has a quotation mark or two lines";
    let slip = "warning: no sample of hyvor:comment.create has `data.coment`";
    let checked = told(&["check"]);
    assert!(checked.contains(broken) && checked.contains(slip), "{checked}");
    let tried = told(&["handlers", "try", "app"]);
    assert!(tried.contains(broken) && !tried.contains(slip), "{tried}");
    assert!(tried.contains("= help: write `escape = \"json\"` beside it"), "{tried}");
    let shown = json(&folder, &["handlers", "try", "slip"]);
    assert_eq!(shown["warnings"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["warnings"][0]["path"], "handler.slip.log.message");
}

#[test]
fn check_shows_what_samples_say_beside_a_mistake_and_of_the_file_that_is_compared() {
    let slip = "[handler.slip]\non = ['hyvor:comment.create']\n[handler.slip.log]\n\
                message = '{{ data.coment }}{{ event.id }}'\n";
    let warning = "warning: no sample of hyvor:comment.create has `data.coment`";
    let told = |folder: &Folder, arguments: &[&str], code| {
        let output = run(folder, arguments);
        printed(&output, code);
        String::from_utf8(output.stderr).unwrap()
    };
    let mistake = format!("{slip}[handler.other.log]\nmesage = 'x'\n");
    let wrong = Folder::new("", &mistake);
    let told_of_both = told(&wrong, &["check"], 3);
    assert!(told_of_both.contains(warning), "{told_of_both}");
    assert!(told_of_both.contains("unknown key `mesage`"), "{told_of_both}");
    let folder =
        Folder::new("", "[handler.slip]\non = ['hyvor:comment.create']\n[handler.slip.log]\n");
    let served = Served::start(&folder);
    assert_eq!(served.stop(), Some(0));
    let old = std::fs::read_to_string(folder.config()).unwrap();
    folder.write_config("", slip);
    std::fs::rename(folder.config(), folder.path().join("new.toml")).unwrap();
    std::fs::write(folder.config(), &old).unwrap();
    let of_new = told(&folder, &["check", "--against", "7d", "new.toml"], 0);
    assert!(of_new.contains(warning) && of_new.contains("new.toml:"), "{of_new}");
}

#[test]
fn check_names_what_cannot_be_built_beside_a_mistake() {
    let http = "url = \"http://127.0.0.1/\"\nca = \"none.pem\"\n";
    let folder = Folder::new(
        "",
        &format!(
            "[handler.secret.http]\nurl = {{ file = \"none\" }}\n[handler.bad.http]\n{http}\
             [handler.lacks]\nretyr = 1\n[handler.lacks.http]\n{http}"
        ),
    );
    let output = run(&folder, &["check"]);
    printed(&output, 3);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("handler `bad` cannot be built: "), "{told}");
    // Of these an error is told already.
    assert!(told.contains("unknown key `retyr`") && told.contains("secret file `"), "{told}");
    assert!(!told.contains("`lacks` cannot") && !told.contains("`secret` cannot"), "{told}");
}
