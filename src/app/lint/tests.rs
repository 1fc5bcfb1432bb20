use std::path::Path;

use super::lint;
use crate::config::{self, Checked};

mod fields;
mod patterns;
mod unread;

const SOURCES: &str = "
[source.hyvor]
provider = 'hyvor-talk'
secrets = [{ file = 'none' }]
[source.git]
provider = 'github'
secrets = [{ file = 'none' }]
[source.ue]
provider = 'userecho'
secrets = [{ file = 'none' }]
[source.own]
secrets = [{ file = 'none' }]
verify = { algorithm = 'hmac-sha256', header = 'x-sign', signed = '{body}', encoding = 'hex' }
";

/// What is found about handlers: message and help of each.
#[track_caller]
fn found(handlers: &str) -> Vec<String> {
    let text = format!("{SOURCES}{handlers}");
    let Checked { config, mut report, .. } =
        config::check_text(&text, "x.toml", Path::new("/"), None);
    let Some(config) = config else { panic!("{report}") };
    let n_before = report.problems.len();
    assert_eq!(n_before, 0, "{report}");
    lint(&config, &mut report);
    let shown = report.entries().into_iter().map(|entry| {
        assert!(entry.line.is_some(), "{entry:?}");
        format!("{} | {}", entry.message, entry.help)
    });
    shown.collect()
}

#[track_caller]
fn check(handlers: &str, expected: &[&str]) {
    assert_eq!(found(handlers), expected, "{handlers}");
}

#[test]
fn field_that_no_sample_has_is_found_where_it_stands() {
    let log = |on: &str, message: &str| {
        format!("[handler.a]\non = ['{on}']\n[handler.a.log]\nmessage = '{message}'")
    };
    let on = "hyvor:comment.create";
    let no = |field: &str| format!("no sample of {on} has `{field}` | did you mean ");
    check(
        &log(on, "{{ data.coment.body }}{{ data.comment.id }}"),
        &[&(no("data.coment") + "`data.comment`?")],
    );
    let in_loop =
        "{% for e in events %}{{ e.data.comment.boddy }}{{ e.data.comment.id }}{% endfor %}";
    check(&log(on, in_loop), &[&(no("data.comment.boddy") + "`data.comment.body`?")]);
    check(
        &log(on, "{{ event.tpye }}{{ event.headers.x }}{{ event.id }}"),
        &["there is no `event.tpye` | did you mean `event.type`?"],
    );
    // Also of a sender that there is no sample of.
    let [wrong] = &found(&log("own:*", "{{ event.payload }}{{ event.id }}"))[..] else {
        panic!("one warning")
    };
    assert!(wrong.starts_with("there is no `event.payload`"), "{wrong}");
    // Told once, where the loop's variable gets it.
    let of_loop = log(on, "{% for t in data.comment.tagz %}{{ t }}{{ t.a }}{% endfor %}");
    let [of_loop] = &found(&of_loop)[..] else { panic!("{of_loop}") };
    assert!(
        of_loop.starts_with(&format!("no sample of {on} has `data.comment.tagz`")),
        "{of_loop}"
    );
    // What may be missing by the text's own words, and what only real events have.
    check(&log(on, "{{ data.nick or data.comment.id }}"), &[]);
    check(&log("git:push", "{{ data.something_else }}{{ event.id }}"), &[]);
    let [unseen] = &found(&log("own:*", "{{ data.coment }}"))[..] else { panic!("one note") };
    assert!(unseen.starts_with("there is no sample of own:*: "), "{unseen}");
    // In UserEcho's events it is a text, which has no fields.
    let of_two =
        log("hyvor:comment.*', 'ue:comment.*", "{{ data.comment.boddy }}{{ data.comment.id }}");
    let found_in_two = found(&of_two);
    assert!(found_in_two[0].ends_with("did you mean `data.comment.body`?"), "{found_in_two:?}");
    let text = "[handler.a]\non = ['hyvor:comment.*']\nwhen = 'data.coment.status'\n\
                order_by = 'data.comment.idd'\n[handler.a.sql]\nurl = 'sqlite:a'\ncreate_table = true\ntable = 'a'\n\
                columns = { a = 'data.comment.boddy', b = { value = 'data.comments', type = 'json' } }";
    let found = found(text);
    let fields = ["data.coment`", "data.comment.idd`", "data.comment.boddy`", "data.comments`"];
    assert_eq!(found.len(), fields.len(), "{found:?}");
    for (found, field) in found.iter().zip(fields) {
        assert!(found.contains(field) && found.contains("did you mean"), "{found}");
    }
}

/// Their fields are not looked at, which is said.
#[test]
fn events_without_a_sample_are_told_once_with_what_to_do() {
    let log = |on: &str, message: &str| {
        format!("[handler.a]\n{on}\n[handler.a.log]\nmessage = '{message}'")
    };
    let note = |of: &str, source: &str, event_type: &str| {
        format!(
            "there is no sample of {of}: whether its events have the fields that this handler asks for is not \
             looked at | try it with a body of the sender's: `gatepost handlers try a --body FILE --source \
             {source}`, or send that with `gatepost send {source} {event_type} --body FILE`; an event that came \
             is tried with `--event ID`"
        )
    };
    let twice = "{{ data.x }}{{ payload.y }}";
    check(&log("on = ['git:release']", twice), &[&note("git:release", "git", "release")]);
    check(&log("on = ['own:a', 'own:b']", twice), &[&note("own:a, own:b", "own", "a")]);
    check(&log("", "{{ data.x }}{{ event.id }}"), &[&note("own:*", "own", "TYPE")]);
    // It asks for nothing that a body has; or its pattern is about others, of which there are samples.
    check(&log("on = ['git:release']", "{{ event.id }}"), &[]);
    check(&log("on = ['git:*', '*:push']", "{{ data.ref }}"), &[&note("own:push", "own", "push")]);
    check(&log("on = ['git:*', 'hyvor:comment.*']", "{{ data.ref or data.comment.id }}"), &[]);
    let sql = "[handler.a]\non = ['own:*']\n[handler.a.sql]\nurl = 'sqlite:a'\ntable = 'a'\n\
               create_table = true\ncolumns = { a = 'data.a' }";
    let [told] = &found(sql)[..] else { panic!("{:?}", found(sql)) };
    assert!(
        told.contains("is not looked at, and the columns that it makes are text where "),
        "{told}"
    );
    // What is found by looking is said as a warning, beside it.
    let text = format!("{SOURCES}{}", log("on = ['git:release', 'hyvor:comment.creat']", twice));
    let Checked { config, mut report, .. } =
        config::check_text(&text, "x.toml", Path::new("/"), None);
    lint(&config.unwrap(), &mut report);
    let severities: Vec<_> = report.entries().iter().map(|one| one.severity).collect();
    assert_eq!(severities, ["note", "warning"], "{report}");
    assert_eq!(report.counts(), (0, 1));
}

/// A mistake elsewhere in the file hides nothing of what samples show.
#[test]
fn handlers_that_can_be_read_are_looked_at_beside_a_mistake() {
    let slip = "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.log]\n\
                message = '{{ data.coment.id }}'\n";
    let beside = |mistake: &str, sources: &str| {
        let text = format!("{sources}{slip}{mistake}");
        let Checked { config, partial, mut report } =
            config::check_text(&text, "x.toml", Path::new("/"), None);
        assert!(config.is_none() && report.counts().0 > 0, "{report}");
        if let Some(partial) = partial {
            super::lint_partial(&partial, &mut report);
        }
        report.problems.iter().any(|one| one.message.contains("has `data.coment`"))
    };
    for mistake in [
        "[handler.b]\n[handler.b.log]\nmesage = 'x'\n",
        "[handler.b]\nwhen = 'data. ='\n[handler.b.log]\n",
        "[handler.b]\n[handler.b.email]\nsmtp = 'localhost'\n",
        "[source.other]\nprovider = 'unheard-of'\n",
    ] {
        assert!(beside(mistake, SOURCES), "{mistake}");
    }
    // Its own source is not known: nothing is sure of its fields. Nor is it of broken TOML.
    let unknown = SOURCES.replacen("hyvor-talk", "unheard-of", 1);
    assert!(!beside("", &unknown));
    assert!(!beside("[handler.b\n", SOURCES));
}

#[test]
fn field_in_a_header_is_found_whatever_its_name_is_written_like() {
    for name in ["x-a", "X-B", "X_c"] {
        let text = format!(
            "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.http]\nurl = 'http://a/'\n\
             headers = {{ {name} = '{{{{ data.comment.foo }}}}' }}"
        );
        let expected = "no sample of hyvor:comment.create has `data.comment.foo`";
        assert!(found(&text)[0].starts_with(expected), "{name}");
    }
}

#[test]
fn type_that_the_sender_never_sends_is_found() {
    let on = |on: &str| format!("[handler.a]\non = ['{on}']\n[handler.a.log]");
    check(
        &on("hyvor:comment.created"),
        &[
            "this version knows no event of type `comment.created` of `hyvor-talk` | did you mean `hyvor:comment.create`?",
        ],
    );
    let found = found(&on("hyvor:order.*"));
    assert!(
        found[0].contains("no event of type `order.*` of `hyvor-talk` | it sends "),
        "{found:?}"
    );
    check(&on("hyvor:comment.*"), &[]);
    check(&on("git:release"), &[]);
    check(&on("own:anything"), &[]);
}

#[test]
fn handlers_of_own_events_are_looked_at_as_all_others() {
    let own = |on: &str, message: &str| {
        format!("[handler.a]\non = ['{on}']\n[handler.a.log]\nmessage = '{message}'")
    };
    check(
        &own("gatepost:handler.dwon", "x"),
        &[
            "Gatepost itself sends no event of type `handler.dwon` | did you mean `gatepost:handler.down`?",
        ],
    );
    check(
        &own("gatepost:handler.down", "{{ data.handlr }} {{ data.error }}"),
        &["no sample of gatepost:handler.down has `data.handlr` | did you mean `data.handler`?"],
    );
    check(&own("gatepost:*", "{{ data.handler }}: {{ data.reason or data.error }}"), &[]);
}

#[test]
fn program_that_is_not_there_is_a_warning() {
    let command = |more: &str| format!("[handler.a]\n[handler.a.command]\n{more}");
    let help = "each call fails until that is mended, and is tried again";
    check(
        &command("run = ['/no/such/program']"),
        &[&format!("`/no/such/program` is not an executable file | {help}")],
    );
    check(
        &command("run = ['sh']\ncwd = '/no/such'"),
        &[&format!("there is no folder `/no/such` | {help}")],
    );
    check(&command("run = ['sh', '-c', 'exit 0']"), &[]);
}

#[test]
fn pattern_for_several_sources_need_not_be_about_each() {
    let on = |on: &str| format!("[handler.a]\non = ['{on}']\n[handler.a.log]");
    check(&on("*:push"), &[]);
    check(&on("*:comment.*"), &[]);
}

#[test]
fn handler_that_fails_with_a_sample_is_found() {
    let text = "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.log]\n\
                message = 'a {{ data.comment + 1 }}'";
    let found = found(text);
    let [found] = &found[..] else { panic!("{found:?}") };
    assert!(
        found.starts_with("with the sample of hyvor:comment.create this handler fails: invalid")
    );
    let guarded = text.replace("[handler.a.log]", "when = 'data.x'\n[handler.a.log]");
    let guarded = guarded.replace("data.x", "data.comment.status == \"none\"");
    assert_eq!(super::tests::found(&guarded).len(), 1, "it fails with all of them");
}

#[test]
fn template_that_says_nothing_is_found() {
    let chat = |text: &str| {
        format!(
            "[handler.a]\non = ['git:push']\n[handler.a.chat]\nslack = {{ url = {{ file = 'n' }} }}\ntext = '{text}'"
        )
    };
    for empty in ["{{ data.nothing_at_all }} ", "{% if data.nothing_at_all %}x{% endif %}"] {
        check(
            &chat(empty),
            &[
                "this comes out empty with every sample of git:push | see it with `gatepost handlers try`",
            ],
        );
    }
    check(&chat("{% if data.forced %}forced {{ data.ref }}{% endif %}x"), &[]);
}

#[test]
fn json_template_that_a_text_breaks_is_found() {
    let http = |more: &str| {
        format!(
            "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.http]\nurl = 'http://a/'\n{more}"
        )
    };
    let expected = "this is not JSON as soon as a text has a quotation mark or two lines | write \
                    `escape = \"json\"` beside it, and `{{ … }}` without quotation marks around it";
    let body = "body = '{\"text\": \"{{ data.comment.body }}\"}'";
    check(&http(body), &[expected]);
    let quoted = found(&http(&format!("{body}\nescape = 'json'")));
    let of = "with the sample of hyvor:comment.create this is not JSON: ";
    assert!(quoted[0].starts_with(of) && quoted[0].contains("` without quotation"), "{quoted:?}");
    let around = "body = '{\"text\": \"New: {{ data.comment.body }}\"}'\nescape = 'json'";
    let around = found(&http(around));
    assert!(around[0].contains("`{{ \"New: \" ~ data.title }}`"), "{around:?}");
    let good = "body = '{\"text\": {{ data.comment.body }}}'\nescape = 'json'";
    check(&http(good), &[]);
    check(&http("body = '{{ data.comment.body }}'"), &[]);
    // What decides is the body that comes out, and what it is called.
    let branch = "'{% if data.comment.id %}{\"a\": \"{{ data.comment.body }}\"}{% endif %}'";
    check(&http(&format!("body = {branch}")), &[expected]);
    let called =
        "headers = { Content-Type = 'application/json' }\nbody = 'a {{ data.comment.id }}'";
    assert!(found(&http(called))[0].starts_with(&format!("{of}expected value")));
    check(&http("body = '[Gatepost] {{ data.comment.body }}'"), &[]);
    let colon = "body = '{\"a\" {{ data.comment.body }}}'\nescape = 'json'";
    let colon = found(&http(colon));
    let [colon] = &colon[..] else { panic!("{colon:?}") };
    assert!(colon.starts_with(&format!("{of}expected `:` at line 1")), "{colon}");
    assert!(colon.ends_with(" | see it with `gatepost handlers try`"), "{colon}");
    // Of its commas too many none is sent.
    let comma = "body = '{\"a\": {{ data.comment.id }}, {% if data.x %}\"b\": 1{% endif %} }'";
    check(&http(comma), &[]);
}

#[test]
fn values_within_quotes_are_found_without_samples() {
    let body = |more: &str| {
        let handler = "[handler.a]\non = ['own:*']";
        let found = found(&format!("{handler}\n[handler.a.http]\nurl = 'http://a/'\n{more}"));
        found.into_iter().filter(|one| one.contains("quotation marks")).collect::<Vec<_>>()
    };
    let quoted = "body = '{\"text\": \"{{ payload.x }}\"}'";
    assert_eq!(
        body(&format!("{quoted}\nescape = 'json'")),
        [
            "`{{ payload.x }}` has quotation marks twice where it is a text: `escape = \"json\"` brings its own | \
             write it without quotation marks around it"
        ],
    );
    assert_eq!(body(quoted).len(), 1);
    assert_eq!(body("body = '{\"text\": {{ payload.x }}}'\nescape = 'json'"), Vec::<String>::new());
}

/// By the type itself, not by its letters: several documents one behind the other are no JSON.
#[test]
fn a_body_is_json_where_its_content_type_says_so() {
    let found = |content_type: &str, body: &str| {
        let headers = format!("headers = {{ Content-Type = '{content_type}' }}");
        let handler = "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.http]";
        found(&format!("{handler}\nurl = 'http://a/'\n{headers}\nbody = '{body}'"))
    };
    let no_json = "with the sample of hyvor:comment.create this is not JSON: ";
    let broken = "a {{ data.comment.id }}";
    for json in [
        "application/json",
        "Application/JSON; Charset=UTF-8",
        "TEXT/JSON;charset=utf-8",
        "application/json charset=utf-8",
        "application/problem+JSON ; q=1",
        "application/cloudevents+json",
    ] {
        let found = found(json, broken);
        assert!(found.len() == 1 && found[0].starts_with(no_json), "{json}: {found:?}");
    }
    let two = "{\"id\": {{ data.comment.id }}}\\n{\"id\": {{ data.comment.id }}}\\n";
    for other in [
        "application/x-ndjson",
        "application/ndjson; charset=utf-8",
        "Application/JSONL",
        "application/jsonlines",
        "application/json-seq",
        "application/geo+json-seq",
        "application/stream+json",
        "application/json5",
        "application/xml; from=json",
    ] {
        for body in [broken, &two.replace("\\n", "{{ \"\\n\" }}")] {
            assert_eq!(found(other, body), [""; 0], "{other}: {body}");
        }
    }
    // What is called plain text, or nothing, is what it looks like.
    let broken = "{\"id\": {{ data.comment.id }}, }";
    assert!(found("text/plain; charset=utf-8", broken)[0].starts_with(no_json));
}

#[test]
fn configuration_that_comes_with_gatepost_has_nothing_to_find() {
    let text = config::DEFAULT;
    let Checked { config, mut report, .. } =
        config::check_text(text, "x.toml", Path::new("/"), None);
    lint(&config.unwrap(), &mut report);
    assert!(report.problems.is_empty(), "{report}");
}

/// What a column cannot take is shown at the column, not at the first key of its table.
#[test]
fn value_that_no_column_takes_is_shown_at_its_column() {
    let sql = |columns: &str| {
        let handler = "[handler.a]\non = ['hyvor:comment.create']\n[handler.a.sql]\nurl = 'sqlite:a'\ncreate_table = true\n\
                       table = 'a'\n";
        let text = format!("{SOURCES}{handler}{columns}");
        let Checked { config, mut report, .. } =
            config::check_text(&text, "x.toml", Path::new("/"), None);
        let Some(config) = config else { panic!("{report}") };
        lint(&config, &mut report);
        let [problem] = &report.problems[..] else { panic!("{report}") };
        let shown = problem.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
        (problem.path.clone(), shown.to_owned())
    };
    let one = "columns = { id = 'data.comment.id', n = { type = 'integer', value = 'data.comment.body' } }";
    assert_eq!(sql(one), ("handler.a.sql.columns.n".to_owned(), "'integer'".to_owned()));
    let key = "key = ['id']\nnewer_by = 'event.received_at'\n\
               columns = { id = 'data.comment.parent', t = 'data.comment.body' }";
    let expected = ("handler.a.sql.columns.id".to_owned(), "'data.comment.parent'".to_owned());
    assert_eq!(sql(key), expected);
    let newer = "key = ['id']\nnewer_by = 'data.comment.page'\n\
                 columns = { id = 'data.comment.id', t = 'data.comment.body' }";
    assert_eq!(sql(newer).0, "handler.a.sql.newer_by");
}
