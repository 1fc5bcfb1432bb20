use std::path::Path;

use crate::event::FailureKind;
use crate::handler::testing::{context, delivery, handler, settings, try_settings};
use crate::handler::{Plan, Step};

/// A program that writes each of its arguments, and what ends it.
fn printer(arguments: &str) -> String {
    format!("run = ['sh', '-c', '--', 'printf \"%s|\" \"$@\" > out', 'sh', {arguments}]")
}

/// What a plan says of the arguments behind the first five.
fn planned(plan: &Plan) -> String {
    let [Step::Run { run, .. }] = &plan.steps[..] else { panic!("{plan:?}") };
    run[5..].join("|") + "|"
}

#[tokio::test]
async fn element_of_run_is_one_argument_made_of_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let text = printer(
        "'--', '{{ payload.a }}', 'id={{ payload.n }}', '{% if payload.b %}--yes{% else %}--no{% endif %}', \
         '{{ payload.none.x }}', '{{ payload.list }}', '{% raw %}{{.Names}}{% endraw %}', '${#x}', 'end'",
    );
    let (program, settings) =
        (handler("command", &text, folder.path()), settings("command", &text, folder.path()));
    for (body, expected) in [
        (
            r#"{"a":"two words; $(id) 'x' \"*\"\nline","n":12345678901234567.50,"list":[1,{"b":null}]}"#,
            "--|two words; $(id) 'x' \"*\"\nline|id=12345678901234567.50|--no||[1,{\"b\":null}]|{{.Names}}|${#x}|end|",
        ),
        (r#"{"a":"-rf","b":true}"#, "--|-rf|id=|--yes|||{{.Names}}|${#x}|end|"),
        ("{}", "--||id=|--no|||{{.Names}}|${#x}|end|"),
    ] {
        let deliveries = [delivery(body)];
        program.handle(&deliveries).await.unwrap();
        let out = std::fs::read_to_string(folder.path().join("out")).unwrap();
        assert_eq!(out, expected, "{body}");
        let plan = settings.plan(&context(folder.path()), &deliveries).unwrap();
        assert_eq!(planned(&plan), expected, "{body}");
    }
    let keys: Vec<_> = settings.texts().into_iter().map(|text| text.key).collect();
    assert_eq!(keys, ["run"; 5]);
}

/// The event is a dead letter with these words, in a plan and in a run alike, and nothing was run.
async fn refused(arguments: &str, body: &str, said: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("run = ['sh', 'script', {arguments}]");
    std::fs::write(folder.path().join("script"), "echo > out").unwrap();
    let deliveries = [delivery(body)];
    let failure = handler("command", &text, folder.path()).handle(&deliveries).await.unwrap_err();
    let planned = settings("command", &text, folder.path());
    let planned = planned.plan(&context(folder.path()), &deliveries).unwrap_err();
    assert_eq!(failure, planned);
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    let told = failure.text.as_str();
    assert!(said.iter().all(|said| told.contains(said)), "{told}");
    assert!(!told.contains("hunter2"), "no content of an event: {told}");
    assert!(!folder.path().join("out").exists(), "it was run");
}

#[tokio::test]
async fn argument_that_an_event_makes_an_option_is_never_run() {
    let words = &[
        "the program would take an argument for an option",
        "write `\"--\"` right before it",
        "{% if … %}--yes{% else %}",
    ];
    for (argument, body) in [
        ("'{{ payload.a }}'", r#"{"a":"--hunter2"}"#),
        ("'{{ payload.a | safe }}'", r#"{"a":"-"}"#),
        ("'{{ payload.none }}{{ payload.a }}'", r#"{"a":"-x"}"#),
        // What is missing must not make an option of the words behind it.
        ("'{{ payload.a }}-suffix'", "{}"),
        ("'{% set x %}{{ payload.a }}{% endset %}{{ x }}'", r#"{"a":"-x"}"#),
        // An owner's dashes do not say which option it is.
        ("'{% if payload.a %}--{{ payload.a }}{% endif %}'", r#"{"a":"hunter2"}"#),
        ("'{% if true %}-{% endif %}{{ payload.a }}'", r#"{"a":"x"}"#),
        ("'-{% if payload.a %}{{ payload.a }}{% endif %}'", r#"{"a":"x"}"#),
        ("'-{% for c in payload.a %}{{ c }}{% endfor %}'", r#"{"a":["x"]}"#),
        ("'{% if true %}--{% endif %}{{ payload.none }}x'", "{}"),
        ("'{% filter replace(\"x\", payload.a) %}x{% endfilter %}'", r#"{"a":"-x"}"#),
        ("'{{ \"--yes\" if payload.a else \"--no\" }}'", "{}"),
        // It has to stand before.
        ("'{{ payload.a }}', '--'", r#"{"a":"-1"}"#),
        ("'{{ payload.b }}', '{{ payload.a }}'", r#"{"a":"-1","b":"--"}"#),
        // Behind a text it may be another program's.
        ("'--', 'ls', '{{ payload.a }}'", r#"{"a":"-rf"}"#),
        ("'--', 'x', '{{ payload.b }}', '{{ payload.a }}'", r#"{"a":"-rf","b":"1"}"#),
    ] {
        refused(argument, body, words).await;
    }
}

#[test]
fn end_of_options_of_another_program_does_not_count() {
    let plan = |run: &str| {
        let text = format!("run = [{run}, '{{{{ payload.a }}}}']");
        let settings = settings("command", &text, Path::new("."));
        settings.plan(&context(Path::new(".")), &[delivery(r#"{"a":"-rf"}"#)])
    };
    for run in [
        "'env', '--', 'ls'",
        "'sh', '-c', '--', 'ls \"$1\"', 'sh'",
        "'kubectl', 'exec', 'pod', '--', 'cmd'",
        "'grep', '--', 'pattern'",
    ] {
        let failure = plan(run).unwrap_err();
        assert!(failure.text.as_str().contains("for an option"), "{run}: {failure}");
    }
    for run in ["'git', 'log', '--'", "'env', '--', 'ls', '--'", "'x', '--', '{{ payload.b }}'"] {
        plan(run).unwrap();
    }
}

#[tokio::test]
async fn argument_that_no_program_can_be_given_is_a_dead_letter() {
    let nul = r#"{"a":"hunter2\u0000"}"#;
    refused("'x{{ payload.a }}'", nul, &["a NUL character", "(at `x{{ payload.a }}`)"]).await;
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(131_072));
    let words = &["an argument of 131072 bytes", "less than 131072", "standard input"];
    refused("'{{ payload.a }}'", &long, words).await;
    refused("'{{ payload.a }}'", "{not json", &["`run`: "]).await;

    // The longest that is let through, and too many of them.
    let folder = tempfile::tempdir().unwrap();
    let longest = format!(r#"{{"a":"{}"}}"#, "x".repeat(131_071));
    let program = handler("command", &printer("'{{ payload.a }}'"), folder.path());
    program.handle(&[delivery(&longest)]).await.unwrap();
    let many = printer(&"'{{ payload.a }}', ".repeat(60));
    let program = handler("command", &many, folder.path());
    let failure = program.handle(&[delivery(&longest)]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
    assert!(failure.text.as_str().contains("Argument list too long"), "{failure}");
}

#[test]
fn mistakes_in_templates_of_arguments_are_named() {
    let check = |text: &str, expected: &str| {
        let (_, problems) = try_settings("command", text, Path::new("."));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    check("run = ['{{ payload.program }}', 'x']", "its name is no template");
    check("run = ['bin/{% if payload.a %}a{% endif %}']", "its name is no template");
    check("run = ['x', '{{ payload.a | nope }}']", "nope");
    check("run = ['x', '{{ body.a }}']", "body");
    check("run = ['x', '{{ payload.a']", "expected end of variable block");
    check("run = ['x', '{{ payload.a }}']\nmode = 'worker'", "a worker runs for many events");
    check("run = ['sh', '-c', 'echo {{ payload.a }}']", "`sh` would run what an event says");
    check("run = ['x', '-{{ payload.a }}']", "which option this is");
    check("run = ['x', '${data.id}']", "nothing is put in for `${data.id}`");
}

/// What to write instead is nothing that is refused then.
#[test]
fn what_other_templates_put_in_is_told_with_what_the_mode_takes() {
    let worker = "each line on its standard input says what is in an event";
    for (text, help) in [
        ("run = ['x', '${data.id}']", "write `{{ data.id }}`"),
        ("run = ['sh', '-c', 'echo ${data.id}']", "from a variable: `fields = "),
        ("run = ['x', '${data.id}']\nmode = 'worker'", worker),
        ("run = ['sh', '-c', 'echo ${data.id}']\nmode = 'worker'", worker),
        ("run = ['x']\nenv = { ID = '{{ data.id }}' }", "`fields` puts more there"),
        ("run = ['x']\nenv = { ID = '{{ data.id }}' }\nmode = 'worker'", worker),
    ] {
        let read = crate::handler::kind("command").unwrap().read;
        let problems = crate::settings::read(text, Path::new("."), read).problems;
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].help.contains(help), "{text}: {problems:?}");
        let is_worker = text.contains("worker");
        assert!(!is_worker || !problems[0].help.contains("{{"), "{text}: {problems:?}");
    }
}

/// Braces that only a program reads are no template: code and workers may have them.
#[tokio::test]
async fn text_without_an_expression_is_a_plain_argument() {
    let raw = "{% raw %}{{.Names}}{% endraw %}";
    for text in [
        format!("run = ['sh', '-c', 'docker ps --format {raw}']"),
        format!("run = ['docker', 'ps', '--format', '{raw}']\nmode = 'worker'"),
    ] {
        let (settings, problems) = try_settings("command", &text, Path::new("."));
        assert!(problems.is_empty(), "{problems:?}");
        assert!(settings.unwrap().texts().is_empty());
    }
    let folder = tempfile::tempdir().unwrap();
    let text = format!("run = ['sh', '-c', 'printf \"%s\" \"{raw}\" > out']");
    handler("command", &text, folder.path()).handle(&[delivery("1")]).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "{{.Names}}");
}
