use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::settings::Look;

/// The least that is a configuration without warnings.
const SMALL: &str = r#"
[source.hyvor]
provider = "hyvor-talk"
secrets = [{ env = "A" }]

[handler.seen.log]
"#;

/// [`DEFAULT`] with every option in it: the `#` without a space behind it taken away.
fn full() -> String {
    let open = |line: &str| match line.strip_prefix('#') {
        Some(option) if !option.is_empty() && !option.starts_with(' ') => format!("{option}\n"),
        _ => format!("{line}\n"),
    };
    DEFAULT.lines().map(open).collect()
}

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

/// What is wrong with [`SMALL`] and `more`, as `message (help)`.
fn problems(more: &str) -> Vec<String> {
    let text = format!("{SMALL}{more}");
    let checked = check(&text);
    let show = |problem: &settings::Problem| match problem.help.as_str() {
        "" => problem.message.clone(),
        help => format!("{} ({help})", problem.message),
    };
    checked.report.problems.iter().map(show).collect()
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
fn relative_paths_start_from_the_files_folder() {
    let config = good(&format!("{SMALL}[queue]\npath = 'q'\n[admin]\nsocket = '/run/x.sock'"));
    assert_eq!(config.queue.path, Path::new("/srv/gatepost/q"));
    assert_eq!(config.admin.socket, Path::new("/run/x.sock"));
    assert_eq!(config.admin.token, Path::new("/srv/gatepost/data/admin-token"));
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
backend = "nats"

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
    insta::assert_snapshot!(checked.report.render(Look::Plain), @r#"
error: expected an address with a port, found an integer
 --> config.toml:3:10
  |
3 | listen = 8080
  |          ^^^^
  |
  = help: for example `listen = "127.0.0.1:8080"`

error: a body is held in memory: at most 64MiB are possible
 --> config.toml:4:12
  |
4 | body_max = "2GiB"
  |            ^^^^^^

error: `[server.tls]` is not available in this version
 --> config.toml:5:9
  |
5 | [server.tls]
  |         ^^^
  |
  = help: let a reverse proxy (Caddy, nginx) end TLS, and name its address in `trusted_proxies`

error: unknown key `retenton`
 --> config.toml:8:1
  |
8 | retenton = "7d"
  | ^^^^^^^^
  |
  = help: did you mean `retention`?

error: the `nats` backend is not available in this version
 --> config.toml:9:11
  |
9 | backend = "nats"
  |           ^^^^^^
  |
  = help: leave it out: `sled`, the embedded queue, is the default

error: environment variable `GATEPOST_TEST_NO_SUCH_VARIABLE` is not set
  --> config.toml:13:12
   |
13 | secrets = [{ env = "GATEPOST_TEST_NO_SUCH_VARIABLE" }]
   |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: set `GATEPOST_TEST_NO_SUCH_VARIABLE` for the service, or use a file

error: `secrets` is missing in `source.bare`
  --> config.toml:15:9
   |
15 | [source.bare]
   |         ^^^^
   |
   = help: write `secrets = [{ file = "data/secrets/…" }]`

error: no source is called `hivor`
  --> config.toml:19:7
   |
19 | on = ["hivor:comment.*", "hyvor"]
   |       ^^^^^^^^^^^^^^^^^
   |
   = help: did you mean `hyvor:comment.*`?

error: `hyvor` is not a pattern `source:type`
  --> config.toml:19:26
   |
19 | on = ["hivor:comment.*", "hyvor"]
   |                          ^^^^^^^
   |
   = help: write `"hyvor:comment.*"`; `*` stands for any characters

error: syntax error: unexpected end of input, expected expression (at `==`)
  --> config.toml:20:21
   |
20 | when = 'data.status == '
   |                     ^^

error: unknown key `tiemout`
  --> config.toml:21:1
   |
21 | tiemout = "5s"
   | ^^^^^^^
   |
   = help: did you mean `timeout`?

error: unknown kind `emial`
  --> config.toml:22:15
   |
22 | [handler.mail.emial]
   |               ^^^^^
   |
   = help: the kinds are: log, file

error: this handler has several kinds: `log` and `file`
  --> config.toml:28:15
   |
28 | [handler.both.file]
   |               ^^^^
   |
   = help: make a handler of its own for each: each has its own place in the queue

error: this handler has no kind: nothing says what it does
  --> config.toml:31:10
   |
31 | [handler.none]
   |          ^^^^
   |
   = help: add one of the tables `[handler.none.KIND]`: log, file
"#);
}

#[test]
fn what_only_holds_between_the_parts_is_checked() {
    insta::assert_debug_snapshot!([
        problems("[handler.a]\non = []\n[handler.a.log]"),
        problems("[handler.a]\non = ['gatepost:*', 'h*:x']\n[handler.a.log]"),
        problems("[handler.a]\non = 'disqus:*'\n[handler.a.log]"),
        problems("[handler.a]\nbatch = { max = 5 }\n[handler.a.log]"),
        problems("[handler.a]\nbatch = { max = 50000 }\n[handler.a.file]\npath = 'x'"),
        problems("[handler.a]\nbatch = { wait = '5s' }\n[handler.a.file]\npath = 'x'"),
        problems("[handler.a]\nretry = { min = '1h', max = '5m' }\n[handler.a.log]"),
        problems("[handler.a]\nretry = { min = '0s', attempts = 0 }\n[handler.a.log]"),
        problems("[handler.a]\non_dead = 'hold'\n[handler.a.log]"),
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
    ], @r#"
[
    [
        "an empty list matches no event (leave `on` out for everything but `gatepost:*`)",
    ],
    [],
    [
        "no source is called `disqus` (there are: hyvor, gatepost)",
    ],
    [
        "the kind `log` takes one event at a time (leave `batch` out)",
    ],
    [
        "the kind `file` takes at most 4096 events (write `max = 4096` or less)",
    ],
    [
        "`max` is missing in `handler.a.batch` (write `max = 1`)",
    ],
    [
        "`max` is less than `min` (the wait grows from `min` to `max`)",
    ],
    [
        "without a wait the other side is hammered (write `min = \"1s\"`)",
        "`0` is not a whole number from 1 to 4294967295",
    ],
    [
        "without `order_by` there is nothing to hold (add `order_by`)",
    ],
    [
        "at most 1024 deliveries are made at once",
        "no delivery would be in time",
    ],
    [
        "`inof` is not known here (did you mean \"info\"? It takes one of: \"debug\" | \"info\" | \"warn\" | \"error\")",
    ],
    [
        "unknown kind `retyr` (the kinds are: log, file)",
    ],
    [
        "`A` is not a name: use 1 to 64 of a-z, 0-9, `-` and `_`, with a letter or digit first",
    ],
    [
        "`gatepost` is the built-in source of Gatepost's own events (give this source another name)",
    ],
    [
        "this is the public listener's address (take another port)",
    ],
    [
        "the dashboard can be reached from other machines, without TLS (listen on 127.0.0.1 and come by an SSH tunnel or a reverse proxy with TLS)",
    ],
    [
        "there is no address (write `listen = \"127.0.0.1:8080\"`)",
        "no request would be in time",
        "no body would be let in",
    ],
    [
        "the queue needs at least 1MiB",
    ],
    [
        "`dta` is not in scope: use `event`, `payload`, `data` or `events`",
    ],
    [
        "unknown key `colour` (known here: admin, handler, log, queue, server, source)",
    ],
]
"#);
    assert_eq!(check("").report.counts(), (0, 2));
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
- handler.gone  (its place is kept until `gatepost handlers forget`)
+ handler.new  (begins at its `start`)
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
    let lines: Vec<String> = full().lines().map(ToOwned::to_owned).collect();
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
        check(&text).report.render(Look::Coloured);
    }

    #[test]
    fn no_nearly_good_configuration_makes_checking_panic(text in mutated()) {
        let checked = check(&text);
        checked.report.render(Look::Plain);
        prop_assert_eq!(checked.config.is_none(), checked.report.counts().0 > 0);
    }
}
