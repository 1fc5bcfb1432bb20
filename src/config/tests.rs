use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::settings::ReportStyle;

mod addresses;
mod proxies;
mod queue;
mod renamed;
mod retry;
mod schema_keys;
mod secrets;

/// The least that is a configuration without warnings.
const SMALL: &str = r#"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ env = "A" }]

[handler.seen.log]
"#;

fn check(text: &str) -> Checked {
    check_text(text, "config.toml", Path::new("/srv/gatepost"), None)
}

/// The configuration, which must have no errors.
#[track_caller]
fn good(text: &str) -> Config {
    let checked = check(text);
    assert_eq!(checked.report.counts().0, 0, "{}", checked.report);
    checked.config.unwrap()
}

/// `text` without the list of all kinds: a new kind changes no test here.
fn without_kinds(text: &str) -> String {
    let names: Vec<&str> = crate::handler::KINDS.iter().map(|kind| kind.name).collect();
    text.replace(&names.join(", "), "[all kinds]")
}

/// What is wrong with [`SMALL`] and `more`, as `message (help)`.
fn problems(more: &str) -> Vec<String> {
    let text = format!("{SMALL}{more}");
    let checked = check(&text);
    let show = |problem: &Problem| match problem.help.as_str() {
        "" => problem.message.clone(),
        help => format!("{} ({})", problem.message, without_kinds(help)),
    };
    checked.report.problems.iter().map(show).collect()
}

#[test]
fn number_that_stands_in_place_of_a_table_is_in_its_advice() {
    for batch in ["10", "'10'"] {
        let told = problems(&format!("[handler.a]\nbatch = {batch}\n[handler.a.file]\npath = 'x'"));
        assert!(told.iter().any(|one| one.contains("{ max = 10 }")), "{told:?}");
    }
}

#[test]
fn the_shipped_configuration_is_good_as_it_is() {
    let checked = check(DEFAULT);
    assert_eq!(checked.report.problems, [], "{}", checked.report);
    let config = checked.config.unwrap();
    let names: Vec<&str> = config.sources.keys().map(SourceName::as_str).collect();
    assert_eq!(names, ["hyvor", "userecho"]);
    let kinds: Vec<&str> = config.handlers.values().map(|handler| handler.kind_name).collect();
    assert_eq!(kinds, ["file", "log"]);
}

#[test]
fn shipped_configuration_is_short_and_its_commented_handlers_are_good() {
    assert!(DEFAULT.lines().count() <= 60, "the rest is for the reference");
    let open = |line: &str| match line.strip_prefix('#') {
        Some(option) if !option.starts_with(' ') => option.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    let checked = check(&DEFAULT.lines().map(open).collect::<Vec<_>>().join("\n"));
    assert_eq!(checked.report.problems, [], "{}", checked.report);
    let config = checked.config.unwrap();
    let kinds: Vec<&str> = config.handlers.values().map(|handler| handler.kind_name).collect();
    assert_eq!(kinds, ["file", "sql", "email", "log"]);
}

#[test]
fn every_option_of_the_reference_is_one() {
    let mut checked = check(&with_every_option());
    // Examples for every kind stand beside `log`, whose failures have no statuses.
    checked.report.problems.retain(|one| !one.message.contains("`log` has the status"));
    assert_eq!(checked.report.problems, [], "{}", checked.report);
}

#[test]
fn reference_says_of_every_key_what_it_is_for_and_shows_one() {
    let keys = schema::keys();
    let texts = schema::texts(&keys);
    let is_told = |key: &str| {
        let Some(text) = texts.get(key) else { return false };
        !text.text.is_empty() && (text.example.is_some() || text.is_table)
    };
    let is_table = |key: &str| {
        let below = format!("{key}.");
        keys.keys().any(|other| other.starts_with(&below))
    };
    let has_text = |key: &str| texts.get(key).is_some_and(|text| !text.text.is_empty());
    // The forms of a list's items are told by the list.
    let is_other = |key: &str| {
        key.contains("[]")
            || schema::is_secret_part(&keys, key)
            || key.rsplit('.').next() == Some("NAME")
            || ["source", "handler"].contains(&key)
    };
    let is_told = |key: &str| is_told(key) || is_table(key) && has_text(key);
    let untold: Vec<&String> = keys.keys().filter(|key| !is_other(key) && !is_told(key)).collect();
    assert_eq!(untold, [""; 0]);
}

/// What a configuration comes to, without where it says so.
fn settings_of(config: &Config) -> String {
    let Config { server, queue, admin, standby, log, traces, sources, handlers, .. } = config;
    let around = format!("{server:#?}{queue:#?}{admin:#?}{standby:#?}{log:#?}{traces:#?}");
    let all = format!("{around}{sources:#?}{handlers:#?}");
    // Whether a handler's time is written counts by itself: what stands before `start` is left out.
    let mut parts = all.split("own_timeout: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once("start: ").unwrap().1)
}

#[test]
fn defaults_of_the_reference_are_what_holds_where_they_are_left_out() {
    let text = with_every_option();
    let all = settings_of(&good(&text));
    let texts = schema::texts(&schema::keys());
    let mut table = String::new();
    let mut n_compared = 0;
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
            continue;
        }
        let Some((key, _)) = line.split_once(" = ") else { continue };
        if line.starts_with('#') {
            continue;
        }
        let is_of = |pattern: &str| {
            let mut parts = pattern.split('.');
            let path = format!("{table}.{key}");
            path.split('.').all(|part| parts.next().is_some_and(|one| one == part || one == "NAME"))
                && parts.next().is_none()
        };
        let is_default = |text: &reference::KeyText| text.absent == reference::Absent::Shown;
        if !texts.iter().any(|(pattern, text)| is_of(pattern) && is_default(text)) {
            continue;
        }
        let others = text.lines().enumerate().filter(|(at, _)| *at != number);
        let without: Vec<&str> = others.map(|(_, line)| line).collect();
        let checked = check(&without.join("\n"));
        let config = checked.config.unwrap_or_else(|| panic!("{line}: {}", checked.report));
        assert_eq!(settings_of(&config), all, "[{table}] {line}");
        n_compared += 1;
    }
    assert!(n_compared > 30, "{n_compared}");
}

/// Defaults that the texts say in words, as in `Left out: 1s`: with them all is as without the key.
#[test]
fn defaults_that_are_said_in_words_are_what_holds_where_they_are_left_out() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let text = with_every_option();
    let (mut at, mut n_compared) = (&schema, 0);
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            at = name.split('.').fold(&schema, |at, step| {
                at["properties"].get(step).unwrap_or(&at["additionalProperties"])
            });
            continue;
        }
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let of_key = &at["properties"][key];
        let is_said = of_key["description"].as_str().is_some_and(|text| text.contains("eft out"));
        let Some(default) = of_key.get("default").filter(|_| is_said) else { continue };
        // `None`: another key, as `max_files` beside `rotate`, makes no sense then.
        let with = |line: Option<&str>| {
            let lines = text.lines().enumerate();
            let lines =
                lines.filter_map(|(at, other)| if at == number { line } else { Some(other) });
            check(&lines.collect::<Vec<_>>().join("\n")).config.as_ref().map(settings_of)
        };
        let (Some(with), Some(without)) = (with(Some(&format!("{key} = {default}"))), with(None))
        else {
            continue;
        };
        assert_eq!(with, without, "{line}: without it is not as with {default}");
        n_compared += 1;
    }
    assert!(n_compared > 5, "{n_compared}");
}

#[test]
fn page_of_all_keys_is_what_the_program_reads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/configuration.md is old: cargo run -- schema --markdown > docs/configuration.md"
    );
}

#[test]
fn relative_paths_start_from_the_files_folder() {
    let config = good(&format!("{SMALL}[queue]\npath = 'q'\n[admin]\nsocket = '/run/x.sock'"));
    let moved = good(&format!("{SMALL}[admin]\ntoken = '/var/lib/gatepost/token'"));
    assert_eq!(moved.admin.token, Path::new("/var/lib/gatepost/token"));
    assert_eq!(moved.admin.paused(), Path::new("/var/lib/gatepost/paused"));
    assert_eq!(config.queue.path, Path::new("/srv/gatepost/q"));
    assert_eq!(config.admin.socket, Path::new("/run/x.sock"));
    assert_eq!(config.admin.token, Path::new("/srv/gatepost/data/admin-token"));
    assert_eq!(config.admin.paused(), Path::new("/srv/gatepost/data/paused"));
}

#[test]
fn all_mistakes_of_a_file_are_shown_in_one_run() {
    let text = r#"
[server]
listen = 8080
body_max = "2GiB"
[server.tls]
cert = "c"
[queue]
retenton = "7d"
ack = "engine"

[source.hyvor]
provider = "hyvor-talk"
secrets = [{ env = "GATEPOST_TEST_NO_SUCH_VARIABLE" }]

[source.bare]
provider = "userecho"

[handler.mail]
on = ["hivor:comment.*", "hyvor"]
when = 'data.status == '
tiemout = "5s"
[handler.mail.emial]
to = "me"

[handler.both]
batch = { max = 5 }
[handler.both.log]
[handler.both.file]
path = "x"

[handler.none]
"#;
    let checked =
        check_text(text, "config.toml", Path::new("/srv/gatepost"), Some(SecretRef::probe));
    assert!(checked.config.is_none());
    insta::assert_snapshot!(without_kinds(&checked.report.render(ReportStyle::Plain)));
}

#[test]
fn what_only_holds_between_the_parts_is_checked() {
    let told = [
        problems("[handler.a]\non = []\n[handler.a.log]"),
        problems("[handler.a]\non = ['gatepost:*', 'h*:x']\n[handler.a.log]"),
        problems("[handler.a]\non = 'disqus:*'\n[handler.a.log]"),
        problems("[handler.a]\nbatch = { max = 5 }\n[handler.a.log]"),
        problems("[handler.a]\nbatch = { max = 50000 }\n[handler.a.file]\npath = 'x'"),
        problems("[handler.a]\nbatch = { max = 5 }\n[handler.a.http]\nurl = 'http://a/'"),
        problems("[handler.a]\nbatch = { max = 5 }\n[handler.a.command]\nrun = ['x']"),
        problems("[handler.a]\nbatch = { max = 5, at = '25:00' }\n[handler.a.file]\npath = 'x'"),
        problems(
            "[handler.a]\nbatch = { max = 5, at = '7:00', wait = '5s' }\n[handler.a.file]\npath = 'x'",
        ),
        problems("[handler.a]\nbatch = { wait = '5s' }\n[handler.a.file]\npath = 'x'"),
        problems("[handler.a]\nretry = { min = '1h', max = '5m' }\n[handler.a.log]"),
        problems("[handler.a]\nretry = { min = '0s', attempts = 0 }\n[handler.a.log]"),
        problems("[handler.a]\nretry = { attempts = 5, total = '72h' }\n[handler.a.log]"),
        problems("[handler.a]\nretry = { attempts = 12, total = '24h' }\n[handler.a.log]"),
        problems(
            "[handler.a]\nretry_on = [404, '9xx', 'timeout']\ndead_on = ['400-399', 404, true]\n\
             [handler.a.log]",
        ),
        problems("[handler.a]\nretry_on = 404\ndead_on = [404, '4xx']\n[handler.a.log]"),
        problems("[handler.a]\nbreaker = { failures = 0, probe_interval = '0s' }\n[handler.a.log]"),
        problems("[handler.a]\non_dead_letter = 'hold'\n[handler.a.log]"),
        problems("[handler.a]\nconcurrency = 5000\ntimeout = '0s'\n[handler.a.log]"),
        problems("[handler.a.log]\nlevel = 'inof'"),
        problems("[handler.a.retyr]"),
        problems("[handler.A.log]"),
        problems("[source.gatepost]\nprovider = 'userecho'\nsecrets = [{ env = 'A' }]"),
        problems("[admin]\nlisten = '127.0.0.1:8080'"),
        problems("[admin]\nlisten = '0.0.0.0:8081'"),
        problems("[server]\nlisten = []\nrequest_timeout = '0s'\nbody_max = '0B'"),
        problems("[queue]\ndisk_max = '1KiB'"),
        problems("[handler.a]\nwhen = 'dta.x'\n[handler.a.log]"),
        problems("[colour]"),
    ];
    insta::assert_debug_snapshot!(told);
    let empty = check("").report;
    assert_eq!(empty.counts(), (0, 2));
    assert!(empty.to_string().contains("--> config.toml\n"), "{empty}");
}

#[test]
fn a_reload_is_told_line_by_line() {
    let old = good(&format!(
        "{SMALL}[handler.seen]\ntimeout = '5s'\n[handler.gone.log]\n[server]\nlisten = '127.0.0.1:1'"
    ));
    let new = good(&format!(
        "{SMALL}[handler.seen]\ntimeout = '6s'\nretry.attempts = 3\n\
         [handler.new]\nstart = 'oldest'\n[handler.new.log]\n[server]\nlisten = '127.0.0.1:2'"
    ));
    let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
- handler.gone  (its place is kept for `orphan_retention`, or until `gatepost handlers forget`)
+ handler.new  (begins at its `start`, or goes on where it has a place)
+ handler.seen.retry.attempts = 3
~ handler.seen.timeout: "5s" → "6s"
~ server.listen: "127.0.0.1:1" → "127.0.0.1:2"  (from the next start on)
"#);
    assert_eq!(diff(&old, &old), []);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let shown = |path: &Path| load(path).unwrap_err().problems[0].message.clone();
    assert!(shown(&path).contains("cannot be read"), "{}", shown(&path));
    std::fs::write(&path, b"a\n\xff").unwrap();
    assert!(shown(&path).ends_with("the first wrong byte is in line 2"), "{}", shown(&path));
    std::fs::write(&path, vec![b'\n'; 5 << 20]).unwrap();
    assert!(shown(&path).ends_with("is too large"), "{}", shown(&path));
    std::fs::write(&path, DEFAULT).unwrap();
    let (config, report) = load(&path).unwrap();
    assert_eq!(config.folder, folder.path());
    assert_eq!(report.counts(), (0, 0));
}

/// Changes that turn a good file into one that is nearly good.
fn mutated() -> impl Strategy<Value = String> {
    let lines: Vec<String> = with_every_option().lines().map(ToOwned::to_owned).collect();
    let values = prop_oneof![
        Just("\"\""),
        Just("0"),
        Just("-1"),
        Just("99999999999999999999"),
        Just("nan"),
        Just("[]"),
        Just("{}"),
        Just("true"),
        Just("[[[]]]"),
        Just("\"*\""),
        Just("\"ä{{\""),
        Just("'::'"),
        Just("{ a = 1 }"),
        Just("1979-05-27"),
        Just("\"1d1d\""),
        Just("\"\"\""),
        Just(""),
    ];
    let n_lines = lines.len();
    prop::collection::vec((0..n_lines, 0..4_u8, values), 1..6).prop_map(move |changes| {
        let mut lines = lines.clone();
        for (at, how, value) in changes {
            let line = lines[at].clone();
            lines[at] = match (how, line.split_once('=')) {
                (0, Some((key, _))) => format!("{key}= {value}"),
                (1, _) => format!("{line}\n{line}"),
                (2, _) => line.chars().rev().collect(),
                _ => format!("{value}{}", line.chars().take(5).collect::<String>()),
            };
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn no_text_makes_checking_panic(text in "\\PC{0,200}") {
        check(&text).report.render(ReportStyle::Coloured);
    }

    #[test]
    fn no_nearly_good_configuration_makes_checking_panic(text in mutated()) {
        let checked = check(&text);
        checked.report.render(ReportStyle::Plain);
        prop_assert_eq!(checked.config.is_none(), checked.report.counts().0 > 0);
    }
}
