use std::path::Path;
use std::time::Duration;

use super::super::testing::{context, delivery, handler, id, settings, try_settings};
use super::*;
use crate::event::{Delivery, Failure, FailureKind, Output, Stream};

/// `run` for a shell script: the tests' own way to write a program.
pub(super) fn sh(script: &str) -> String {
    format!("run = ['sh', '-c', '''{script}''']")
}

async fn once(script: &str, delivery: Delivery) -> Result<Output, Failure> {
    let folder = tempfile::tempdir().unwrap();
    handler("command", &sh(script), folder.path()).handle(&[delivery]).await
}

#[tokio::test]
async fn the_body_comes_on_stdin_and_the_fields_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cat > body; env | grep -v ^PWD= | grep -v ^SHLVL= | grep -v ^_= | sort > env";
    let text = format!("{}\nenv = {{ GREETING = 'hello', KEY = {{ file = 'key' }} }}", sh(script));
    std::fs::write(folder.path().join("key"), "s3cret\n").unwrap();
    let body = b"{\"a\":\"\\/\\u00e9\xff\"}\n";
    handler("command", &text, folder.path()).handle(&[delivery(body)]).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("body")).unwrap(), body);
    let env = std::fs::read_to_string(folder.path().join("env")).unwrap();
    let is_kept = |line: &&str| KEPT.iter().any(|name| line.starts_with(&format!("{name}=")));
    let env: Vec<_> = env.lines().filter(|line| !is_kept(line)).collect();
    assert_eq!(
        env,
        [
            "GATEPOST_ATTEMPT=1".to_owned(),
            format!("GATEPOST_EVENT_ID={}", id(1)),
            "GATEPOST_EVENT_RECEIVED_AT=2026-11-22T12:00:00.000Z".to_owned(),
            "GATEPOST_EVENT_SOURCE=hyvor".to_owned(),
            "GATEPOST_EVENT_TYPE=comment.create".to_owned(),
            "GATEPOST_HANDLER=test".to_owned(),
            "GREETING=hello".to_owned(),
            "KEY=s3cret".to_owned(),
        ]
    );
}

#[tokio::test]
async fn fields_of_the_event_are_variables_whatever_the_body_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = "printf '%s|' \"$A\" \"${B-none}\" \"${C-none}\" > out";
    let fields = "fields = { A = 'payload.a', B = 'payload.b', C = 'payload.c' }";
    let text = format!("{}\n{fields}", sh(script));
    let program = handler("command", &text, folder.path());
    for (body, expected) in [
        (r#"{"a":12345678901234567,"b":1.50}"#, "12345678901234567|1.50|none|"),
        (
            r#"{"a":{"x":[1790000000000000000]},"b":null,"c":""}"#,
            r#"{"x":[1790000000000000000]}|none||"#,
        ),
        (r#"{"a":"$(id) 'x'\u0000","b":true,"c":"c"}"#, "$(id) 'x'\u{fffd}|true|c|"),
    ] {
        program.handle(&[delivery(body)]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), expected, "{body}");
    }
    std::fs::remove_file(&out).unwrap();
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    for (body, said) in [
        ("{not json", "`fields.A`: "),
        (r#""text""#, "the body is text, which has no fields"),
        (long.as_str(), "Argument list too long"),
    ] {
        let failure = program.handle(&[delivery(body)]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent, "{failure}");
        assert!(failure.text.as_str().contains(said), "{failure}");
    }
    assert!(!out.exists(), "it was not run");
}

#[test]
fn fields_that_cannot_be_are_told() {
    let check = |text: &str, expected: &str| {
        let (_, problems) =
            try_settings("command", &format!("{}\n{text}", sh("x")), Path::new("."));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
    };
    check("mode = 'worker'\nfields = { A = 'payload.a' }", "a worker runs for many events");
    check("env = { A = 'x' }\nfields = { A = 'payload.a' }", "`A` is in `env` too");
    check("fields = { GATEPOST_A = 'payload.a' }", "this is not a name");
    check("fields = { A = 'body.a' }", "body");
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_it() {
    once("exit 0", delivery("1")).await.unwrap();
    for (code, kind) in [
        (1, FailureKind::Transient),
        (65, FailureKind::Permanent),
        (75, FailureKind::Transient),
        (127, FailureKind::Transient),
    ] {
        let failure = once(&format!("exit {code}"), delivery("1")).await.unwrap_err();
        assert_eq!((failure.kind, failure.status), (kind, Some(code)));
        assert_eq!(failure.text.as_str(), format!("exit code {code}"));
    }
    let failure = once("kill -9 $$", delivery("1")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(failure.text.as_str().contains("signal"), "{failure}");
}

#[tokio::test]
async fn the_last_line_of_stderr_is_the_reason() {
    let script = "echo first >&2; echo 'no such user' >&2; echo >&2; exit 65";
    let failure = once(script, delivery("1")).await.unwrap_err();
    assert_eq!(failure.text.as_str(), "exit code 65: no such user");
    // However much it says.
    let failure = once("yes long | head -c 3000000 >&2; exit 1", delivery("1")).await.unwrap_err();
    assert_eq!(failure.text.as_str(), "exit code 1: long");
}

/// What is kept of a stream.
fn said(output: &Output, stream: Stream) -> &str {
    let mut excerpts = output.excerpts().iter();
    excerpts.find(|excerpt| excerpt.stream == stream).map_or("", |excerpt| excerpt.text())
}

#[tokio::test]
async fn output_of_a_program_is_kept_with_the_try_however_it_ends() {
    let output = once("echo out; echo err >&2", delivery("1")).await.unwrap();
    let both = |output: &Output| {
        (said(output, Stream::Stdout).to_owned(), said(output, Stream::Stderr).to_owned())
    };
    assert_eq!(both(&output), ("out".to_owned(), "err".to_owned()));
    assert!(once("exit 0", delivery("1")).await.unwrap().is_empty());

    let script = "printf '\\033[31mred\\033[0m\\033]0;x\\007\\n'; \
                  yes long | head -c 3000000; echo last; yes wide | head -c 3000000 >&2; echo end >&2; exit 1";
    let failure = once(script, delivery("1")).await.unwrap_err();
    let (stdout, stderr) = both(&failure.output);
    for (said, end) in [(stdout, "long\nlast"), (stderr, "wide\nend")] {
        assert!(said.len() <= 4_096 && said.len() > 4_000, "{}", said.len());
        assert!(said.ends_with(end), "{said}");
    }
    let failure = once("printf 'a\\033[31mb\\007c'; exit 65", delivery("1")).await.unwrap_err();
    assert_eq!(said(&failure.output, Stream::Stdout), "ab\u{fffd}c");
}

#[tokio::test]
async fn output_of_a_program_that_had_its_time_is_kept_too() {
    let folder = tempfile::tempdir().unwrap();
    let context = BuildContext { timeout: Duration::from_secs(3), ..context(folder.path()) };
    let script = "echo step 1; exec sleep 1000";
    let handler = settings("command", &sh(script), folder.path()).build(&context).unwrap();
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(said(&failure.output, Stream::Stdout), "step 1");
    // What it says when it is asked to end, too.
    let context = BuildContext { timeout: Duration::from_secs(10), ..context };
    let script =
        "trap 'echo at step 2; echo trace >&2; exit 3' TERM; echo step 1; sleep 1000 & wait";
    let handler = settings("command", &sh(script), folder.path()).build(&context).unwrap();
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(said(&failure.output, Stream::Stdout), "step 1\nat step 2");
    assert_eq!(said(&failure.output, Stream::Stderr), "trace");
}

#[tokio::test]
async fn secrets_of_a_program_are_not_kept_of_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "s3cret-value\n").unwrap();
    let script = "echo \"key $KEY\"; echo \"token $API_TOKEN of $GREETING\" >&2; exit 1";
    let env = "env = { KEY = { file = 'key' }, API_TOKEN = 'tok-en-1', GREETING = 'hello' }";
    let (built, _) = try_settings("command", &format!("{}\n{env}", sh(script)), folder.path());
    let handler = built.unwrap().build(&context(folder.path())).unwrap();
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(failure.text.as_str(), format!("exit code 1: token {SECRET} of hello"));
    assert_eq!(said(&failure.output, Stream::Stdout), format!("key {SECRET}"));
    assert_eq!(said(&failure.output, Stream::Stderr), format!("token {SECRET} of hello"));
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let body = "x".repeat(1_000_000);
    once("exit 0", delivery(&body)).await.unwrap();
    once("exec <&-; exit 0", delivery(&body)).await.unwrap();
    let failure = once("exit 65", delivery(&body)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    // Somebody it leaves behind may hold the pipes.
    once("sleep 1 & exit 0", delivery(&body)).await.unwrap();
}

/// Whether a process of this group lives.
fn lives(group: i32) -> bool {
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::test_kill_process_group(group).is_ok()
}

/// Waits until the group is gone: killing is asynchronous.
pub(super) async fn wait_until_gone(group: i32) {
    for _ in 0..6_000 {
        if !lives(group) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("process group {group} still lives");
}

pub(super) async fn read_number(path: &Path) -> i32 {
    for _ in 0..6_000 {
        if let Ok(text) = std::fs::read_to_string(path)
            && let Some(line) = text.strip_suffix('\n')
        {
            return line.parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing in {}", path.display());
}

#[tokio::test]
async fn after_its_time_the_whole_process_group_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let context = BuildContext { timeout: Duration::from_secs(3), ..context(folder.path()) };
    let script = "echo $$ > pid; trap : TERM; sleep 1000 & sleep 1000; sleep 1000";
    let handler = settings("command", &sh(script), folder.path()).build(&context).unwrap();
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert_eq!(
        failure.text.as_str(),
        "not done after 2s700ms of its 3s, ended: the rest is for ending it"
    );
    wait_until_gone(read_number(&folder.path().join("pid")).await).await;
}

#[tokio::test]
async fn a_program_may_tidy_up_when_its_time_is_over_or_gatepost_ends() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo > tidy; exit 1' TERM; echo $$ > pid; sleep 1000 & wait";
    let build = |timeout| {
        let context = BuildContext { timeout, ..context(folder.path()) };
        settings("command", &sh(script), folder.path()).build(&context).unwrap()
    };
    let (tidy, pid) = (folder.path().join("tidy"), folder.path().join("pid"));
    let handler = build(Duration::from_secs(10));
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(
        failure.text.as_str(),
        "not done after 9s of its 10s, ended: the rest is for ending it"
    );
    assert!(tidy.exists(), "the call waits for a moment");

    std::fs::remove_file(&tidy).unwrap();
    std::fs::remove_file(&pid).unwrap();
    let handler = build(Duration::from_mins(10));
    let deliveries = [delivery("1")];
    tokio::select! {
        result = handler.handle(&deliveries) => panic!("{result:?}"),
        _ = read_number(&pid) => {}
    }
    handler.close().await;
    assert!(tidy.exists(), "the end waits for it");
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo $$ > pid; sleep 1000 & sleep 1000";
    let handler = handler("command", &sh(script), folder.path());
    let (deliveries, pid) = ([delivery("1")], folder.path().join("pid"));
    let group = tokio::select! {
        result = handler.handle(&deliveries) => panic!("{result:?}"),
        group = read_number(&pid) => group,
    };
    wait_until_gone(group).await;
}

#[tokio::test]
async fn a_missing_program_may_still_come() {
    let folder = tempfile::tempdir().unwrap();
    let text = "run = ['./no-such-program']";
    let failure =
        handler("command", text, folder.path()).handle(&[delivery("1")]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Transient);
    assert!(failure.text.as_str().contains("cannot be run: No such file"), "{failure}");
    let online = settings("command", text, folder.path());
    let err = online.check_online(&context(folder.path())).await.unwrap_err();
    assert!(err.to_string().contains("not an executable file"), "{err}");
    let online = settings("command", "run = ['sh']", folder.path());
    online.check_online(&context(folder.path())).await.unwrap();
}

#[test]
fn mistakes_in_the_settings_are_named() {
    let check = |text: &str, expected: &str| {
        let (_, problems) = try_settings("command", text, Path::new("."));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
    };
    check("", "`run` is missing");
    check("run = []", "names no program");
    check("run = ['']", "names no program");
    check("run = [\"a\\u0000b\", 'x']", "no program's name has a NUL character");
    check("run = ['x', \"a\\u0000b\"]", "no program can be given a NUL character");
    check("run = ['x', \"\\u0000{{ data.id }}\"]", "no program can be given a NUL character");
    check("run = ['x']\nmode = 'twice'", "`twice` is not known");
    check("run = ['x']\nworkers = 2", "for workers only");
    check("run = ['x']\nmode = 'worker'\nworkers = 65", "the most is 64");
    check("run = ['x']\nenv = { 'A=B' = 'c' }", "not a name");
    check("run = ['x']\nenv = { GATEPOST_EVENT_ID = 'c' }", "not a name");
    for name in ["PATH", "LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "GIT_SSH_COMMAND"] {
        let fields = format!("run = ['x']\nfields = {{ {name} = 'payload.a' }}");
        check(&fields, "says what programs do, and a sender would set it");
    }
}

/// What stands in the configuration as it is may be read in a plan; what may be a secret may not.
#[test]
fn plain_variables_are_shown_in_a_plan_and_no_secrets() {
    let text = "run = ['true']\n\
                env = { MODE = 'live', URL = 'http://a/?token=hunter2&x=1', DB = 'postgres://u:hunter2@h/d', \
                STRIPE_KEY = 'hunter2', STRIPE = 'hunter2-new', DIR = '/srv/a1/data', FILE = { file = 'key' } }";
    let folder = tempfile::tempdir().unwrap();
    let plan = settings("command", text, folder.path())
        .plan(&context(folder.path()), &[delivery("1")])
        .unwrap();
    let shown = plan.to_string();
    for line in [
        "MODE: live",
        "URL: http://a/?token=(secret)&x=1",
        "DB: (secret)",
        "STRIPE_KEY: (secret)",
        "STRIPE: (secret)",
        "DIR: /srv/a1/data",
    ] {
        assert!(shown.contains(&format!("\n  {line}\n")), "{shown}");
    }
    assert!(shown.contains("FILE: (secret)") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn script_that_may_not_be_run_is_told_with_what_helps() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("run.sh");
    std::fs::write(&script, "echo done\n").unwrap();
    let settings = settings("command", "run = ['./run.sh']", folder.path());
    let doubts = settings.doubts(&context(folder.path()));
    let [(key, what)] = &doubts[..] else { panic!("{doubts:?}") };
    assert!(*key == "run" && what.contains("may not be run: `chmod +x "), "{what}");
    let handler = handler("command", "run = ['./run.sh']", folder.path());
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert!(failure.text.as_str().contains("`chmod +x`"), "{failure}");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(settings.doubts(&context(folder.path())).len(), 0);
    let failure = handler.handle(&[delivery("1")]).await.unwrap_err();
    assert!(failure.text.as_str().contains("`#!/bin/sh`"), "{failure}");
}

#[test]
fn what_no_template_and_no_shell_reads_is_told() {
    let check = |text: &str, expected: &[&str]| {
        let (_, problems) = try_settings("command", text, Path::new("."));
        assert_eq!(problems, expected, "{text}");
    };
    let run = "run = ['/bin/sh', 'x']\n";
    let env = |value: &str| format!("{run}env = {{ ID = '{value}' }}");
    let braces = "a variable has the text that stands here, braces and all";
    check(&env("{{ payload.id }}"), &[braces]);
    check(&env("${data.id}"), &[braces]);
    check(&env("${HOME}/x"), &[]);
    check(
        "run = ['/bin/echo', '<%= payload.id %>']",
        &["nothing is put in for `<%= payload.id %>`: it stays as it is"],
    );
    let home = "`~` stands for no home here: it is the name of a folder";
    check("run = ['~/bin/notify']", &[home]);
    check(&format!("{run}cwd = '~'"), &[home]);
    check(&format!("{run}env = {{ A = {{ file = '~ann/key' }} }}"), &[home]);
    check(&format!("{run}cwd = './~/x'"), &[]);
}
