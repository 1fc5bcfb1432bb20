//! `import`: other programs' configurations, which then run here.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::super::support::wire;
use super::verbs::json;
use crate::support::patience::wait_until;

const HOOKS: &str = include_str!("../../fixtures/import/hooks.json");
const HOOKS_YAML: &str = include_str!("../../fixtures/import/hooks.yaml");
const QHOOK: &str = include_str!("../../fixtures/import/qhook.yaml");

/// What the imported configurations want to be in the environment.
const VARIABLES: [(&str, &str); 6] = [
    ("SIGNED_SECRET", "x"),
    ("API_TOKEN", "x"),
    ("SIGNING_SECRET", "c2VjcmV0IG9mIHFob29rJ3MgZGVsaXZlcmllcw=="),
    ("STRIPE_SECRET", "whsec_x"),
    ("APP_TOKEN", "x"),
    ("SLACK_URL", "http://127.0.0.1:1/slack"),
];

/// Imports `text` into the folder's configuration; gives it, and what was told.
pub(super) fn imported(folder: &Folder, kind: &str, text: &str) -> (String, String) {
    std::fs::write(folder.path().join("theirs"), text).unwrap();
    let output = run(folder, &["import", kind, "theirs", "--secrets"]);
    let config = printed(&output, 0);
    let ports = "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.config(), format!("{config}{ports}")).unwrap();
    (config, String::from_utf8(output.stderr).unwrap())
}

/// What `check` says of the folder's configuration, which must be good.
pub(super) fn checked(folder: &Folder) -> String {
    let output = command(folder, &["check"]).envs(VARIABLES).output().unwrap();
    printed(&output, 0);
    String::from_utf8(output.stderr).unwrap()
}

fn read(folder: &Folder, path: &str) -> String {
    std::fs::read_to_string(folder.path().join(path)).unwrap_or_default()
}

#[test]
fn hooks_of_webhook_become_sources_and_programs() {
    let folder = Folder::of_text("");
    let (config, told) = imported(&folder, "webhook", HOOKS);
    insta::assert_snapshot!("import_webhook", format!("{config}\n--- told ---\n{told}"));
    assert!(!config.contains("secret-of-deploy") && !told.contains("secret-of-deploy"));
    assert!(!config.contains("password-of-sensors") && !told.contains("password-of-sensors"));
    let secret = folder.path().join("data/secrets/deploy");
    assert_eq!(read(&folder, "data/secrets/deploy"), "secret-of-deploy\n");
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    checked(&folder);
    let (config, _) = imported(&folder, "webhook", HOOKS_YAML);
    assert!(config.contains("provider = \"gitlab\""), "{config}");
    assert_eq!(read(&folder, "data/secrets/build"), "token-of-gitlab\n");
    checked(&folder);
}

/// What the address shows its caller by is not kept with an event.
#[test]
fn password_in_the_address_is_no_argument_and_that_is_told() {
    let folder = Folder::of_text("");
    let parameter = |name: &str| serde_json::json!({"source": "url", "name": name});
    let hook = serde_json::json!([{
        "id": "build",
        "execute-command": "/bin/true",
        "pass-arguments-to-command": [parameter("token"), parameter("branch")],
        "trigger-rule": {"match": {"type": "value", "value": "s3cret", "parameter": parameter("token")}},
    }]);
    let (config, told) = imported(&folder, "webhook", &hook.to_string());
    assert!(config.contains(r#"'/bin/true' '' \"$ARGUMENT_1\""#), "{config}");
    assert!(told.contains("the argument from `url` `token` is empty"), "{told}");
}

/// Only a text of the hook's own may stand in it.
#[test]
fn variable_that_steers_programs_is_set_by_no_sender() {
    let folder = Folder::of_text("");
    let variable = |source: &str, name: &str| serde_json::json!({"source": source, "name": "/usr/bin", "envname": name});
    let hook = serde_json::json!([{
        "id": "build",
        "execute-command": "/bin/true",
        "pass-environment-to-command": [
            variable("payload", "LD_PRELOAD"),
            variable("string", "PATH"),
        ],
    }]);
    let (config, told) = imported(&folder, "webhook", &hook.to_string());
    assert!(config.contains("env = { PATH = \"/usr/bin\" }"), "{config}");
    assert!(!config.contains("LD_PRELOAD ="), "{config}");
    assert!(told.contains("`LD_PRELOAD`: the sender would say what programs do"), "{told}");
}

#[test]
fn imported_hook_runs_its_program_with_the_arguments_that_it_had() {
    let folder = Folder::of_text("");
    let program = folder.path().join("program");
    let script = "#!/bin/sh\nprintf '%s|' \"$@\" \"$REPOSITORY\" > got.new\n\
                  env | grep '^HOOK_pusher=' >> got.new\nmv got.new got\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let hooks: Vec<Value> = serde_json::from_str(HOOKS).unwrap();
    let hooks = Value::from(vec![hooks[0].clone()]).to_string();
    let hooks = hooks.replace("PROGRAM", program.to_str().unwrap());
    let hooks = hooks.replace("FOLDER", folder.path().to_str().unwrap());
    let (config, _) = imported(&folder, "webhook", &hooks);
    let ports = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.config(), format!("{config}{ports}")).unwrap();
    checked(&folder);
    let served = Served::start(&folder);
    let url = format!("{}/hooks/deploy?env=prod%20eu", served.url);
    let body = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    body("other.json", r#"{"ref": "refs/heads/other"}"#);
    body(
        "main.json",
        r#"{"ref": "refs/heads/main", "head_commit": {"id": "abc $(x) 'y'"},
            "commits": [{"author": {"name": "Zoë \"Z\""}}],
            "pusher": {"name": "ann"}, "repository": {"id": 17}}"#,
    );
    for file in ["other.json", "main.json"] {
        json(&folder, &["send", "deploy", "push", "--url", &url, "--body", file]);
    }
    wait_until("it is received", || !read(&folder, "got").is_empty());
    let expected = "abc $(x) 'y'|Zoë \"Z\"|it's fixed|push|prod eu|{\"id\":17}|HOOK_pusher={\"name\":\"ann\"}\n";
    assert_eq!(read(&folder, "got"), expected);
    served.wait_until_delivered("deploy");
    assert_eq!(json(&folder, &["dead", "list"]), serde_json::json!([]));
    let answer = wire::post(served.public(), "/hooks/deploy", &[], b"{}");
    assert_eq!(answer.status, 401, "nobody else");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn configuration_of_qhook_becomes_sources_and_handlers() {
    let folder = Folder::of_text("");
    let (config, told) = imported(&folder, "qhook", QHOOK);
    insta::assert_snapshot!("import_qhook", format!("{config}\n--- told ---\n{told}"));
    assert_eq!(read(&folder, "data/secrets/alerts-in"), "secret-of-pagerduty\n");
    checked(&folder);
    std::fs::write(
        folder.path().join("order.json"),
        r#"{"id": "o\"1", "customer": "Ann", "total": 4.50}"#,
    )
    .unwrap();
    let arguments =
        ["--json", "handlers", "try", "told", "--source", "app", "--body", "order.json"];
    let tried = command(&folder, &arguments).envs(VARIABLES).output().unwrap();
    let tried = printed(&tried, 0);
    let body = r#"{\"text\": \"Order o\\\"1 from Ann\", \"id\": \"o\\\"1\", \"total\": 4.50}"#;
    assert!(tried.contains(body), "{tried}");
}

/// A hook that a token in a header protects, which runs `program` with its first argument from `name`.
fn hook_with_argument(id: &str, program: &str, name: &str) -> Value {
    let matched = |value: &str, source: &str, name: &str| {
        serde_json::json!({ "match": { "type": "value", "value": value,
            "parameter": { "source": source, "name": name } } })
    };
    serde_json::json!({
        "id": id, "execute-command": program,
        "pass-arguments-to-command": [
            { "source": "string", "name": id }, { "source": "payload", "name": name },
        ],
        "pass-environment-to-command": [{ "source": "payload", "name": "sender.name" }],
        "trigger-rule": { "and": [
            matched("tok", "header", "X-Token"),
            { "not": matched("no", "payload", name) },
        ] },
    })
}

/// Forms, lists and numbers as they were sent; and never an empty argument for a body that has none.
#[test]
fn imported_hook_reads_every_body_and_runs_for_no_unreadable_one() {
    let folder = Folder::of_text("");
    let program = folder.path().join("program");
    std::fs::write(&program, "#!/bin/sh\necho \"[$1][$2]\" >> got\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let bodies = [
        ("form", "branch", "application/x-www-form-urlencoded", "branch=main", "[form][main]"),
        ("list", "root.0.x", "application/json", r#"[{"x":"one"}]"#, "[list][one]"),
        ("whole", "root", "application/json", "[1.50]", "[whole][[1.50]]"),
        (
            "number",
            "id",
            "application/json",
            r#"{"id":12345678901234567}"#,
            "[number][12345678901234567]",
        ),
        ("lacking", "id.no", "application/json", r#"{"id":{}}"#, "[lacking][]"),
        ("xml", "a.b", "application/xml", "<a><b>two</b></a>", ""),
        ("bad", "x", "application/json", "{not json", ""),
    ];
    let run_of = |(id, name): (&str, &str)| hook_with_argument(id, "./program", name);
    let hooks: Vec<Value> = bodies.iter().map(|(id, name, ..)| run_of((id, name))).collect();
    let (config, told) = imported(&folder, "webhook", &Value::from(hooks).to_string());
    assert!(!config.contains("jq") && !told.contains("jq"), "{config}");
    let ports = "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.config(), format!("{config}{ports}")).unwrap();
    checked(&folder);
    let served = Served::start(&folder);
    for (id, _, kind, body, _) in bodies {
        let headers = [("Content-Type", kind), ("X-Token", "tok")];
        let answer =
            wire::post(served.public(), &format!("/hooks/{id}"), &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{id}");
    }
    let mut wanted: Vec<&str> =
        bodies.iter().map(|one| one.4).filter(|line| !line.is_empty()).collect();
    let is_there = || {
        let n_dead = json(&folder, &["dead", "list"]).as_array().map_or(0, Vec::len);
        n_dead == 2 && read(&folder, "got").lines().count() >= wanted.len()
    };
    wait_until("it is there", is_there);
    let got = read(&folder, "got");
    let mut got: Vec<&str> = got.lines().collect();
    got.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(got, wanted);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn hook_that_is_called_by_get_takes_it_still() {
    let folder = Folder::of_text("");
    let hook = |place: &str, methods: Value| {
        serde_json::json!([{ "id": "redeploy", "execute-command": "/bin/true", "http-methods": methods,
            "trigger-rule": { "match": { "type": "value", "value": "42",
                "parameter": { "source": place, "name": "token" } } } }])
    };
    let all = "methods = [\"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"GET\"]\n";
    for (place, methods, line) in [
        ("url", serde_json::json!([]), all),
        ("header", serde_json::json!([]), all),
        ("url", serde_json::json!(["GET"]), "methods = [\"GET\"]\n"),
        ("payload", serde_json::json!(["get ", "POST"]), "methods = [\"GET\", \"POST\"]\n"),
    ] {
        let (config, told) = imported(&folder, "webhook", &hook(place, methods).to_string());
        assert!(config.contains(line) && !told.contains("GET"), "{config}{told}");
        checked(&folder);
    }
    let (config, told) = imported(&folder, "webhook", &hook("payload", Value::Null).to_string());
    assert!(!config.contains("\nmethods = "), "{config}");
    assert!(told.contains("where it is called so, add `methods = [\"GET\", \"POST\"]`"), "{told}");
    // A preset's senders post; whoever else calls it is named.
    let hub = serde_json::json!([{ "id": "hub", "execute-command": "/bin/true", "http-methods": ["GET"],
        "trigger-rule": { "match": { "type": "payload-hmac-sha256", "secret": "s",
            "parameter": { "source": "header", "name": "X-Hub-Signature-256" } } } }]);
    let (config, _) = imported(&folder, "webhook", &hub.to_string());
    assert!(config.contains("methods = [\"GET\"]"), "{config}");
    checked(&folder);
}

#[test]
fn hook_whose_program_would_lack_something_is_switched_off() {
    let folder = Folder::of_text("");
    let file = serde_json::json!([{ "id": "f", "execute-command": "/bin/true",
        "pass-file-to-command": [{ "source": "payload", "name": "binary", "base64decode": true }] }]);
    let (config, told) = imported(&folder, "webhook", &file.to_string());
    assert!(config.contains("enabled = false"), "{config}");
    assert!(told.contains("handler `f`: `pass-file-to-command`"), "{told}");

    // GitHub's form is opened here; another one's field is not.
    let parsed = |kind: &str, header: &str| {
        let mut hook = hook_with_argument("gh", "/bin/true", "payload.head_commit.id");
        hook["parse-parameters-as-json"] =
            serde_json::json!([{ "source": "payload", "name": "payload" }]);
        hook["trigger-rule"]["and"][0]["match"] = serde_json::json!({ "type": kind, "secret": "s",
            "value": "s", "parameter": { "source": "header", "name": header } });
        Value::from(vec![hook]).to_string()
    };
    let (config, told) =
        imported(&folder, "webhook", &parsed("payload-hmac-sha1", "X-Hub-Signature"));
    assert!(config.contains("((payload.head_commit.id | string) == \\\"no\\\")"), "{config}");
    assert!(config.contains("ARGUMENT_1 = \"payload.head_commit.id\""), "{config}");
    assert!(!config.contains("enabled") && !told.contains("parse-parameters"), "{config}");
    let (config, told) = imported(&folder, "webhook", &parsed("value", "X-Token"));
    assert!(config.contains("enabled = false") && told.contains("write `from_json`"), "{told}");
    checked(&folder);
}

/// Whoever was kept out stays out: a source is open only where its hook was.
#[test]
fn hook_whose_rule_cannot_be_carried_over_takes_nothing_until_its_owner_decides() {
    let folder = Folder::of_text("");
    let matched = |kind: &str, value: &str, name: &str| {
        serde_json::json!({ "match": { "type": kind, "secret": value, "value": value,
            "parameter": { "source": "header", "name": name } } })
    };
    let (signature, token) = (
        matched("payload-hmac-sha256", "s3cret-1", "X-Hub-Signature-256"),
        matched("value", "s3cret-2", "X-Token"),
    );
    let push = matched("value", "push", "X-GitHub-Event");
    let hook = |id: &str, rule: Value| serde_json::json!({ "id": id, "execute-command": "/bin/true", "trigger-rule": rule });
    let hooks = Value::from(vec![
        hook("either", serde_json::json!({ "or": [signature, token] })),
        hook("anyone", push),
    ]);
    let (config, told) = imported(&folder, "webhook", &hooks.to_string());
    for line in ["# [source.either]", "# algorithm = \"\"", "# [handler.either]"] {
        assert!(config.lines().any(|one| one == line), "{line}\n{config}");
    }
    assert!(!config.lines().any(|line| line.starts_with("[source.either")), "{config}");
    let of = |name: &str| told.lines().filter(|line| line.contains(name)).collect::<String>();
    assert!(of("source `either`").contains("nothing is taken for it"), "{told}");
    assert!(!of("`either`").contains("as before"), "{told}");
    assert!(of("source `anyone`").contains("nobody is checked"), "{told}");
    assert!(config.contains("[source.anyone.verify]\nalgorithm = \"none\""), "{config}");
    checked(&folder);
    // Without its comments it is refused until it says how.
    let opened = config.replace("# [", "[").replace("# algo", "algo").replace("# secr", "secr");
    std::fs::write(folder.config(), opened).unwrap();
    printed(&run(&folder, &["check"]), 3);

    let sources = "sources:\n  a: { secret: 12345678901234567890, type: webhook }\n  \
                   b: { type: webhook, allowed_ips: [\"10.0.0.0/8\"] }\n";
    let (config, told) = imported(&folder, "qhook", sources);
    assert!(config.contains("[source.a.verify]\nalgorithm = \"hmac-sha256\""), "{config}");
    assert!(told.contains("everybody in the networks of `allow`"), "{told}");

    let times = "sources:\n  b: { type: webhook, secret: x }\nhandlers:\n  h: { source: b, url: \
                 \"http://127.0.0.1/x\", timeout: soon, retry: { max: 3, interval: 5x } }\n";
    let (config, told) = imported(&folder, "qhook", times);
    assert!(config.contains("retry = { attempts = 3, min = \"30s\" }"), "{config}");
    assert!(told.contains("`interval: 5x` is no time"), "{told}");
    assert!(told.contains("`timeout: soon`"), "{told}");
    // What is wrong in it yet stands there, with what is to be mended.
    std::fs::write(folder.path().join("theirs"), times.replace("http://127.0.0.1/x", "no"))
        .unwrap();
    let output = run(&folder, &["import", "qhook", "theirs"]);
    assert!(printed(&output, 3).contains("[handler.h.http]"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--> the imported configuration:"));

    let defaults = "server: { port: \"${PORT:-9999}\" }\nsources:\n  pd: { type: webhook, verify: \
                    pagerduty, secret: \"${PD_SECRET:-demo-secret}\" }\nhandlers:\n  h: { source: pd, \
                    url: \"http://127.0.0.1/x\", headers: { X-A: \"${K:-v}\" } }\n";
    let (_, told) = imported(&folder, "qhook", defaults);
    for line in ["its port is `${PORT:-9999}`", "the default of `PD_SECRET`", "the default of `K`"]
    {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!told.contains("demo-secret"), "{told}");
}

#[test]
fn template_of_webhook_is_read_with_its_variables() {
    let folder = Folder::of_text("");
    let hooks = r#"[{"id": "deploy", "execute-command": "${HOME}/deploy.sh",
      "trigger-rule": {"match": {"type": "value", "value": "{{ getenv "API_TOKEN" | js }}",
        "parameter": {"source": "header", "name": "X-Webhook-Token"}}}}]"#;
    let (config, told) = imported(&folder, "webhook", hooks);
    assert!(config.contains("secrets = [{ env = \"API_TOKEN\" }]"), "{config}");
    assert!(told.contains("`${HOME}/deploy.sh` stands as it is"), "{told}");
    assert!(
        config.contains("methods = [\"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"GET\"]"),
        "{config}"
    );
    checked(&folder);
    let hooks = hooks.replace("{{ getenv \"API_TOKEN\" | js }}", "{{ credential \"x\" }}");
    std::fs::write(folder.path().join("theirs"), hooks).unwrap();
    let refused = run(&folder, &["import", "webhook", "theirs"]);
    printed(&refused, 1);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("it looks like a template"), "{told}");
}

#[test]
fn what_is_no_configuration_of_the_other_program_is_said() {
    let folder = Folder::of_text("");
    for (kind, text, said) in [
        ("webhook", "a: [", "is neither JSON nor YAML"),
        ("webhook", "5", "expected a list of hooks"),
        ("qhook", "[]", "expected a table with `sources` and `handlers`"),
        ("webhook", "{}", "nothing in it can be carried over"),
        ("webhook", "[]", "nothing in it can be carried over"),
        ("qhook", "{}", "nothing in it can be carried over"),
    ] {
        std::fs::write(folder.path().join("theirs"), text).unwrap();
        let output = run(&folder, &["import", kind, "theirs"]);
        printed(&output, 1);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(said), "{told}");
    }
    let output = run(&folder, &["import", "webhook", "missing"]);
    printed(&output, 1);
    // Rules within rules, aliases of aliases: it ends, and says something.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    std::fs::write(folder.path().join("theirs"), deep).unwrap();
    printed(&run(&folder, &["import", "webhook", "theirs"]), 1);
}
