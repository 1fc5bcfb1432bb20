use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

mod secrets;
use crate::event::HandlerName;
use crate::secret::SecretRef;

/// Reads `text` and shows what is wrong with it as `line:column message (help)`.
fn check<T>(text: &str, reader: impl FnOnce(&mut Table<'_>) -> T) -> (T, Vec<String>) {
    let reading = read(text, Path::new("/etc/gatepost"), reader);
    let report = Report::new("config.toml", text, &reading);
    report.render(ReportStyle::Coloured);
    let lines = report.entries().into_iter().map(|entry| {
        let at = |number: Option<usize>| number.map_or("-".to_owned(), |n| n.to_string());
        let help = if entry.help.is_empty() { String::new() } else { format!(" ({})", entry.help) };
        format!("{}:{} {}{help}", at(entry.line), at(entry.column), entry.message)
    });
    let lines = lines.collect();
    (reading.value, lines)
}

#[test]
fn good_values_are_read() {
    let text = r#"
        text = "a"
        on = true
        count = 4
        hex = 0x10
        ratio = 1
        time = "1h30m"
        size = "1MiB"
        path = "data/x"
        absolute = "/x"
        many = ["a", "b"]
        one = "a"
        columns = { b = "1", a = "2" }
    "#;
    let ((), problems) = check(text, |table| {
        assert_eq!(table.take("text"), Some("a".to_owned()));
        assert_eq!(table.take("on"), Some(true));
        assert_eq!(table.take::<NonZeroU32>("count").unwrap().get(), 4);
        assert_eq!(table.take("hex"), Some(16_u16));
        assert_eq!(table.take("ratio"), Some(1.0));
        assert_eq!(table.take("time"), Some(Duration::from_mins(90)));
        assert_eq!(table.take("size"), Some(ByteSize(1 << 20)));
        assert_eq!(table.take("path"), Some(PathBuf::from("/etc/gatepost/data/x")));
        assert_eq!(table.take("absolute"), Some(PathBuf::from("/x")));
        assert_eq!(table.one_or_many::<String>("many").unwrap(), ["a", "b"]);
        assert_eq!(table.one_or_many::<String>("one").unwrap(), ["a"]);
        let columns: Vec<(String, String)> = table.take("columns").unwrap();
        assert_eq!(columns, [("b".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(table.take::<String>("absent"), None);
        assert_eq!(table.take_or("absent", 7_u64), 7);
    });
    assert_eq!(problems, [""; 0]);
}

#[test]
fn every_mistake_is_found_in_one_run() {
    let text = r#"
listen = 5
body_max = "1"
tiemout = "10s"
count = 0
names = ["a", 2, 3]

[handler]
mail = 3
"BAD" = {}
"#;
    let (_, problems) = check(text, |table| {
        table.take::<String>("listen");
        table.take::<ByteSize>("body_max");
        table.take::<Duration>("timeout");
        table.take::<NonZeroU32>("count");
        table.take::<Vec<String>>("names");
        table.require::<String>("path");
        table.tables("handler", HandlerName::parse).len()
    });
    insta::assert_snapshot!(problems.join("\n"), @r#"
-:- `path` is missing (write `path = "…"`)
2:10 expected a string, found an integer (write `listen = "5"`)
3:12 `1` is not a size: write a number with a unit (B, KiB, MiB, GiB) (for example `body_max = "1MiB"`)
4:1 unknown key `tiemout` (did you mean `timeout`?)
5:9 `0` is not a whole number from 1 to 4294967295 (for example `count = 1`)
6:15 expected a string, found an integer (write `"2"`)
6:18 expected a string, found an integer (write `"3"`)
9:8 expected a table, found an integer (each has a name: what is said of one stands below `[handler.my-name]`)
10:1 `BAD` is not a name: use 1 to 64 of a-z, 0-9, `-` and `_`, with a letter or digit first (for example `[handler.my-name]`)
"#);
}

#[test]
fn a_secret_is_a_reference_to_exactly_one_place() {
    let read_secret = |table: &mut Table<'_>| table.require::<SecretRef>("s");
    let good = [
        (r#"s = { env = "A" }"#, SecretRef::Env("A".into())),
        (r#"s = { credential = "a" }"#, SecretRef::Credential("a".into())),
        (
            r#"s = { file = "a", create = true }"#,
            SecretRef::File { path: "/etc/gatepost/a".into(), create: true },
        ),
    ];
    for (text, expected) in good {
        assert_eq!(check(text, read_secret), (Some(expected), vec![]), "{text}");
    }
    for bad in [
        r"s = {}",
        r#"s = { env = "A", file = "b" }"#,
        r#"s = { env = "A", create = true }"#,
        r#"s = { env = "" }"#,
        r#"s = { credential = "../x" }"#,
        r#"s = { file = "a", crate = true }"#,
        r"s = { file = 1 }",
        r#"s = "hunter2""#,
    ] {
        assert_eq!(check(bad, read_secret).1.len(), 1, "{bad}");
    }
}

#[test]
fn secret_that_was_written_in_place_of_where_it_is_kept_is_told_and_not_shown() {
    for itself in [
        "{ file = 'https://hooks.slack.com/services/T0/B0/hush' }",
        "{ file = 'whsec_hush1hush2hush3' }",
        "{ env = 'sk_live_hush1hush2hush3' }",
        "{ env = '123456:AAhushhushhushhushhushhushhushhush' }",
        "{ env = 'hush hush!' }",
        "{ env = '0hush1hush2hush3hush4' }",
        "{ credential = 'ghp_hush1hush2hush3hush4' }",
    ] {
        let text = format!("s = {itself}");
        let reading = read(&text, Path::new(""), |table| table.take::<SecretRef>("s"));
        assert_eq!(reading.value, None, "{text}");
        let shown = Report::new("config.toml", &text, &reading).render(ReportStyle::Plain);
        assert!(shown.contains("this is a secret itself") && !shown.contains("hush"), "{shown}");
    }
    let text = "s = { env = '${APP_KEY}' }";
    let (_, told) = check(text, |table| table.take::<SecretRef>("s"));
    assert!(told.concat().contains("(as in `{ env = \"APP_KEY\" }`)"), "{told:?}");
    for place in
        ["{ env = 'MY_SECRET_2' }", "{ file = 'data/secrets/sk_live_x' }", "{ env = 'my.app-key' }"]
    {
        let text = format!("s = {place}");
        let reading = read(&text, Path::new(""), |table| table.take::<SecretRef>("s"));
        assert!(reading.value.is_some(), "{text}: {:?}", reading.problems);
    }
}

#[test]
fn a_secret_that_stands_in_the_file_is_not_shown() {
    let text = "\n# ä\nsecrets = [\"hünter2\"]\nurl = \"x://u:hunter3@h\"\n";
    let reading = read(text, Path::new(""), |table| {
        table.take::<Vec<SecretRef>>("secrets");
        table.hide("url");
        table.problem("url", "wrong", "");
    });
    let shown = Report::new("config.toml", text, &reading).render(ReportStyle::Plain);
    assert!(!shown.contains("nter"), "{shown}");
    assert!(shown.contains("config.toml:3:12"), "{shown}");
}

#[test]
fn broken_toml_is_reported_with_everything_else() {
    let text = "listen = 127.0.0.1:8080\ncolour = 1\n[server\npath = \"x\"\n";
    let ((), problems) = check(text, |table| {
        table.take::<String>("listen");
        table.require::<String>("path");
    });
    insta::assert_snapshot!(problems.join("\n"), @r#"
1:15 invalid float (text stands in quotes: `key = "text"`)
2:1 unknown key `colour` (known here: listen, path)
3:8 unclosed table, expected `]` (the name of a table stands in brackets, in one line: `[handler.my-name]`)
"#);
}

#[test]
fn a_list_of_tables_is_told_that_each_has_a_name() {
    let text = "[[handler]]\nname = 'a'\n";
    let reading = read(text, Path::new(""), |table| {
        assert!(table.tables("handler", HandlerName::parse).is_empty());
    });
    let [problem] = &reading.problems[..] else { panic!("{:?}", reading.problems) };
    assert!(problem.help.contains("write `[handler.NAME]`"), "{problem:?}");
}

#[test]
fn the_keys_that_readers_ask_for_are_listed() {
    let text = "[handler.a]\non = []\nretry = { }\n[[x]]\n";
    let reading = read(text, Path::new(""), |table| {
        for (_, mut table) in table.tables("handler", HandlerName::parse) {
            table.take::<Vec<SecretRef>>("on");
            table.take::<u64>("absent");
            let mut retry = table.table("retry").unwrap();
            retry.take::<Duration>("min");
            retry.finish();
            table.finish();
        }
    });
    let keys: Vec<&str> = reading.keys.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "handler",
            "handler.NAME",
            "handler.NAME.absent",
            "handler.NAME.on",
            "handler.NAME.retry",
            "handler.NAME.retry.min"
        ]
    );
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
}

#[test]
fn a_report_shows_the_line_and_what_to_write() {
    let text = "[queue]\nretenton = \"7d\" # ä\n";
    let reading = read(text, Path::new(""), |table| {
        let mut queue = table.table("queue").unwrap();
        queue.take::<Duration>("retention");
        queue.warning("retenton", "odd", "");
        queue.finish();
    });
    let report = Report::new("config.toml", text, &reading);
    insta::assert_snapshot!(report.render(ReportStyle::Plain), @r#"
error: unknown key `retenton`
 --> config.toml:2:1
  |
2 | retenton = "7d" # ä
  | ^^^^^^^^
  |
  = help: did you mean `retention`?

warning: odd
 --> config.toml:2:12
  |
2 | retenton = "7d" # ä
  |            ^^^^
"#);
    assert_eq!(report.counts(), (1, 1));
    let json = serde_json::to_string(&report.entries()).unwrap();
    insta::assert_snapshot!(json, @r#"[{"severity":"error","file":"config.toml","line":2,"column":1,"path":"queue.retenton","message":"unknown key `retenton`","help":"did you mean `retention`?"},{"severity":"warning","file":"config.toml","line":2,"column":12,"path":"queue.retenton","message":"odd","help":""}]"#);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_or_reporting_panic(text in "(?s)[a\\[\\]\\{\\}=\\.\"'#\\n\\r\\t ,0-9\u{e4}\u{1f600}\u{0}]{0,80}") {
        check(&text, |table| {
            table.one_or_many::<SecretRef>("a");
            table.take::<f64>("aa");
            table.tables("a", HandlerName::parse).len()
        });
    }
}

#[test]
fn a_place_within_a_text_is_found_where_it_is_written() {
    for (text, expected) in [
        ("a = 'x yz'", "1:8"),
        ("a = \"x yz\"", "1:8"),
        ("a = \"\"\"\nx yz\"\"\"", "2:3"),
        ("a = \"\\u0078 yz\"", "1:5"),
    ] {
        let ((), problems) = check(text, |table| {
            table.take::<String>("a");
            table.problem_within("a", Some(2..4), "wrong", "");
        });
        assert_eq!(problems, [format!("{expected} wrong")], "{text}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_a_problem_at_its_reference() {
    let text = "s = [{ env = \"GATEPOST_TEST_NO_SUCH_VARIABLE\" }]";
    let reading = read_with(text, Path::new(""), Some(SecretRef::probe), |table| {
        table.take::<Vec<SecretRef>>("s")
    });
    let [problem] = reading.problems.as_slice() else { panic!("{:?}", reading.problems) };
    assert_eq!(problem.message, "environment variable `GATEPOST_TEST_NO_SUCH_VARIABLE` is not set");
    assert_eq!(problem.path, "s[0]");
}

#[test]
fn a_text_is_told_key_by_key_without_what_is_hidden() {
    let text = "url = 'x://u:pw@h'\n[a]\nb = { c = [1, 'x'] }\nd = {}\n";
    let reading = read(text, Path::new(""), |table| table.hide("url"));
    let shown: Vec<String> =
        reading.entries.0.iter().map(|(key, entry)| format!("{key} = {entry}")).collect();
    assert_eq!(shown, ["a.b.c = [1, \"x\"]", "a.d = {}", "url = (hidden)"]);
    let other = read("url = 'x://u:pw2@h'", Path::new(""), |table| table.hide("url"));
    assert_ne!(reading.entries.0["url"], other.entries.0["url"]);
}

#[test]
fn what_is_hardly_a_configuration_is_told_in_short() {
    let text = "x\n".repeat(1_000);
    let ((), problems) = check(&text, |_| ());
    assert_eq!(problems.len(), 201);
    assert_eq!(problems[200], "-:- and 800 problems more");
}

#[test]
fn what_is_a_secret_is_hidden_whatever_its_key_is_called() {
    let text = "a = 'https://hooks.slack.com/services/T/B/hush'\n\
                [h]\nenv = { KEY = 'hush' }\nheaders = { X-A = 'Bearer hush' }\n\
                url = 'https://me:hush@host/'\ntoken = ['hush']\n\
                columns = { at = { value = 'data.at' } }\nopen = 'https://host/a@b:c'\n\
                query = 'https://host/?token=hush'\nrun = ['x', '--password', 'hush']\n\
                file = ['x', '--password-file', 'x']\nlater = 'https://host/?token={{ data.a }}'\n";
    let reading = read(text, Path::new(""), |_| ());
    let shown: Vec<String> =
        reading.entries.0.iter().map(|(key, entry)| format!("{key} = {entry}")).collect();
    assert_eq!(
        shown,
        [
            "a = \"https://hooks.slack.com/(hidden)\"",
            "h.columns.at.value = \"data.at\"",
            "h.env.KEY = (hidden)",
            "h.file = [\"x\", \"--password-file\", \"x\"]",
            "h.headers.X-A = (hidden)",
            "h.later = \"https://host/?token={{ data.a }}\"",
            "h.open = \"https://host/a@b:c\"",
            "h.query = \"https://host/?token=(hidden)\"",
            "h.run = (hidden)",
            "h.token = (hidden)",
            "h.url = (hidden)",
        ]
    );
    let warned = reading.problems.iter().filter(|problem| problem.severity == Severity::Warning);
    let warned: Vec<&str> = warned.map(|problem| problem.path.as_str()).collect();
    assert_eq!(warned, ["a", "h.url", "h.query", "h.run"]);
}

#[test]
fn secret_is_known_by_its_form_and_by_the_header_that_it_is_in() {
    let text = "a = 'see eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodXNoIn0.hush'\nb = 'https://u:hush-hush@h/'\n\
                run = ['curl', '-u', 'me:hush', '-H', 'X-Auth-Key: hush', 'https://h/']\n\
                env = ['A_TOKEN=hush']\nurl = 'me:hush@host/db'\nsmtp = 'host:25'\n\
                server = 'host=h password=hush'\n\
                [h]\nrun = 'mysql -phush-hush'\n[headers]\nX-Auth = 'hush'\nOcp-Apim-Subscription-Key = 'hush'\nX-One = 'Token hush-hush-9'\n\
                X-Two = 'Token {{ data.a }}'\nX-Event-Key = 'repo:push'\n[server]\ncontact = 'mailto:me@host'\n";
    let text = text.replacen("server = 'host", "endpoint = 'host", 1);
    let reading = read(&text, Path::new(""), |_| ());
    let shown: Vec<String> =
        reading.entries.0.iter().map(|(key, entry)| format!("{key} = {entry}")).collect();
    assert!(shown.iter().all(|line| !line.contains("hush")), "{shown:#?}");
    for plain in [
        "headers.X-Event-Key = \"repo:push\"",
        "headers.X-Two = \"Token {{ data.a }}\"",
        "server.contact = \"mailto:me@host\"",
        "smtp = \"host:25\"",
    ] {
        assert!(shown.iter().any(|line| line == plain), "{shown:#?}");
    }
}

#[test]
fn what_is_a_secret_by_its_form_is_hidden_in_broken_text() {
    for text in [
        "url = 'https://h'\nurl = 'https://u:hush@h'\n",
        "run = ['x', 'sk_live_hushhushhush' 'y']\n",
        "url = https://u:hush@h\n",
    ] {
        let reading = read(text, Path::new(""), |_| ());
        let shown = Report::new("config.toml", text, &reading).render(ReportStyle::Plain);
        assert!(shown.contains("error: ") && !shown.contains("hush"), "{shown}");
    }
}

/// Parts of a text that is hidden are told nowhere: not in what to write instead of it either.
#[test]
fn no_part_of_a_hidden_text_is_told() {
    let text = "run = 'curl -u me:hush-one -H \"Authorization: Bearer hush-two\" https://u:hush-three@h/?key=hush-four'";
    let reading = read(text, Path::new(""), |table| {
        let parts = text.split_whitespace().collect::<Vec<_>>().join("|");
        table.problem("run", format_args!("no list: {parts}"), &parts);
    });
    let problem = reading.problems.iter().find(|problem| problem.message.starts_with("no list"));
    let Problem { message, help, .. } = problem.unwrap();
    for said in [message, help] {
        assert!(!said.contains("hush") && said.contains("curl|-u|…"), "{said}");
    }
}

#[test]
fn name_of_a_handler_or_source_is_no_reason_to_hide() {
    let text = "[handler.token.file]\npath = 'events.jsonl'\n[handler.token.http]\ntoken = 'hush'\n\
                [source.env]\nprovider = 'github'\nsecrets = [{ value = 'hush' }]\n";
    let reading = read(text, Path::new(""), |_| ());
    let shown: Vec<String> =
        reading.entries.0.iter().map(|(key, entry)| format!("{key} = {entry}")).collect();
    assert!(shown.contains(&"handler.token.file.path = \"events.jsonl\"".to_owned()), "{shown:?}");
    assert!(shown.contains(&"source.env.provider = \"github\"".to_owned()), "{shown:?}");
    assert!(shown.iter().all(|line| !line.contains("hush")), "{shown:?}");
}
