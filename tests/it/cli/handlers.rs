//! Handlers that cannot be started, are down, are switched off or take long.

use serde_json::Value;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use super::verbs::{delivered, json, lines, send};
use crate::support::patience::wait_until;

/// Who hears of Gatepost's own events.
const OWN: &str = r#"
[handler.own]
on = ["gatepost:*"]
start = "oldest"
[handler.own.file]
path = "data/own.jsonl"
"#;

fn handler(folder: &Folder, name: &str) -> Value {
    let handlers = json(folder, &["handlers", "list"]);
    let found = handlers.as_array().unwrap().iter().find(|handler| handler["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {handlers}")).clone()
}

/// Waits until a handler stands like this.
fn until_state(folder: &Folder, name: &str, state: &str) -> Value {
    let stands = || handler(folder, name)["state"] == state;
    wait_until(format_args!("`{name}` is {state}"), stands);
    handler(folder, name)
}

/// A handler whose secret is no key.
const UNBUILT: &str = r#"
[handler.app]
[handler.app.http]
url = "http://127.0.0.1:1/"
secret = { file = "app-secret" }
"#;

#[test]
fn a_handler_that_cannot_be_built_keeps_back_nobody_and_misses_nothing() {
    let folder = Folder::new("", &format!("{UNBUILT}{OWN}"));
    let secret = |text: &str| std::fs::write(folder.path().join("app-secret"), text).unwrap();
    secret("not base64!");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    delivered(&folder, 1);

    let app = handler(&folder, "app");
    assert_eq!(app["state"], "failed");
    assert!(app["in_log"].as_u64().unwrap() >= 1, "it waits: {app}");
    let reason = app["reason"].as_str().unwrap();
    assert!(reason.starts_with("handler `app` cannot be built: "), "{reason}");
    assert!(!reason.contains("not base64!"), "{reason}");
    let ready = served.ask("GET", "/readyz");
    let problem = ready.json()["problems"][0].as_str().unwrap().to_owned();
    assert!(problem.starts_with(&format!("{reason}; ")), "{problem}");
    let told = &lines(&folder, "data/own.jsonl", 1)[0];
    assert_eq!(told["type"], "handler.failed");
    assert_eq!(told["payload"]["handler"], "app");
    assert_eq!(told["payload"]["reason"], reason);
    // Its place is held: what waits for it is not given up by a slip.
    printed(&run(&folder, &["handlers", "forget", "app"]), 1);

    // What fails already is no reason against a reload.
    printed(&run(&folder, &["reload"]), 0);
    assert_eq!(handler(&folder, "app")["state"], "failed");
    secret("b25lIHNlY3JldCBvZiB0aGUgaGFuZGxlciBvZiBhIHRlc3Q=");
    printed(&run(&folder, &["reload"]), 0);
    loop {
        let app = handler(&folder, "app");
        assert_ne!(app["state"], "failed");
        if app["last_error"] != Value::Null {
            break;
        }
    }
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn handler_whose_secret_is_not_there_keeps_back_nobody_until_it_comes() {
    let lacking = "[handler.bot]\n[handler.bot.chat]\ntext = 'x'\n\
                   telegram = { token = { env = 'GATEPOST_TEST_NONE' }, chat = '1' }\n";
    let folder = Folder::new("", &format!("{UNBUILT}{OWN}{lacking}"));
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    delivered(&folder, 1);
    for (name, why) in [("app", "secret file `"), ("bot", "`GATEPOST_TEST_NONE` is not set")] {
        let failed = handler(&folder, name);
        assert_eq!(failed["state"], "failed");
        let reason = failed["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
        assert!(served.log().contains(why), "{}", served.log());
    }
    // `check` says it before it fails at night.
    printed(&run(&folder, &["check"]), 3);
    folder.write_secret("app-secret", "b25lIHNlY3JldCBvZiB0aGUgaGFuZGxlciBvZiBhIHRlc3Q=");
    printed(&run(&folder, &["reload"]), 0);
    assert_ne!(handler(&folder, "app")["state"], "failed");
    // A source without its secret would turn its sender away: that is not started.
    assert_eq!(served.stop(), Some(0));
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    printed(&run(&folder, &["serve"]), 3);
}

#[test]
fn check_finds_what_cannot_be_built_and_makes_nothing() {
    let file = "\n[handler.more]\n[handler.more.file]\npath = \"PATH\"\n";
    let folder = Folder::new("", &format!("{UNBUILT}{}", file.replace("PATH", "new/more.jsonl")));
    folder.write_secret("app-secret", "not base64!");
    let told = |folder: &Folder| {
        let output = run(folder, &["check"]);
        printed(&output, 3);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = told(&folder);
    assert!(text.contains("error: handler `app` cannot be built: "), "{text}");
    // At the key, and what becomes of it.
    assert!(text.contains("config.toml:") && text.contains("app-secret"), "{text}");
    assert!(text.contains("= help: until that is mended its events wait"), "{text}");
    assert!(!text.contains("`more`") && !folder.path().join("new").exists(), "{text}");
    let output = run(&folder, &["check", "--json"]);
    let problems: Value = serde_json::from_str(&printed(&output, 3)).unwrap();
    assert_eq!(problems[0]["path"], "handler.app.http.secret");
    assert!(problems[0]["line"].as_u64().unwrap() > 1, "{problems}");
    // What is switched off needs nothing.
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let off = text.replace("[handler.app]", "[handler.app]\nenabled = false");
    std::fs::write(folder.config(), off).unwrap();
    std::fs::remove_file(folder.path().join("app-secret")).unwrap();
    printed(&run(&folder, &["check"]), 0);

    for (path, why) in [("data", "Is a directory"), ("secret/x", "Not a directory")] {
        let folder = Folder::new("", &file.replace("PATH", path));
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let text = told(&folder);
        assert!(text.contains("handler `more` cannot be built") && text.contains(why), "{text}");
        // That no server runs beside it is told, and is not what is wrong with the file.
        let output = run(&folder, &["check", "--diff"]);
        printed(&output, 3);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("no server is running"), "{text}");
    }
}

#[test]
fn people_are_told_of_a_handler_that_is_down_and_of_its_end() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let app = format!(
        "[handler.app]\non = [\"hyvor:*\"]\nretry = {{ min = \"10ms\", max = \"20ms\" }}\n\
         breaker = {{ failures = 5, probe_interval = \"100ms\" }}\n\
         [handler.app.http]\nurl = \"http://{address}/\"\n"
    );
    let folder = Folder::new("", &format!("{OWN}{app}"));
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    let told = &lines(&folder, "data/own.jsonl", 1)[0];
    assert_eq!(told["type"], "handler.down");
    assert_eq!(
        (&told["payload"]["handler"], &told["payload"]["kind"]),
        (&"app".into(), &"http".into())
    );
    assert!(told["payload"]["failures"].as_u64().unwrap() >= 2, "{told}");
    let error = told["payload"]["error"].as_str().unwrap();
    assert!(error.contains("no connection"), "{error}");
    assert_eq!(handler(&folder, "app")["state"], "down");

    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 8_192];
            let n_bytes = stream.read(&mut head).unwrap_or(0);
            assert!(n_bytes > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    });
    let told = &lines(&folder, "data/own.jsonl", 2)[1];
    assert_eq!(
        (&told["type"], &told["payload"]["handler"]),
        (&"handler.back".into(), &"app".into())
    );
    assert_ne!(told["payload"]["down_since"], Value::Null);
    assert_eq!(handler(&folder, "app")["state"], "running");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn handler_that_is_off_from_the_first_start_on_gets_what_came_in_meanwhile() {
    let extra = |enabled: &str| {
        format!("[handler.extra]\n{enabled}\n[handler.extra.file]\npath = \"data/extra.jsonl\"\n")
    };
    let folder = Folder::new("", &extra("enabled = false"));
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    delivered(&folder, 1);
    folder.write_config("", &extra(""));
    printed(&run(&folder, &["reload"]), 0);
    assert_eq!(lines(&folder, "data/extra.jsonl", 1)[0]["type"], "comment.create");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_handler_that_is_switched_off_gets_nothing_and_goes_on_where_it_was() {
    let extra = |enabled: &str| {
        format!(
            "[handler.extra]\nstart = \"oldest\"\n{enabled}\n\
             [handler.extra.file]\npath = \"data/extra.jsonl\"\n"
        )
    };
    let folder = Folder::new("", &extra(""));
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    lines(&folder, "data/extra.jsonl", 1);
    folder.write_config("", &extra("enabled = false"));
    printed(&run(&folder, &["reload"]), 0);
    assert_eq!(handler(&folder, "extra")["state"], "disabled");
    printed(&run(&folder, &["handlers", "resume", "extra"]), 1);
    send(&folder, &served, "userecho", "topic.created");
    delivered(&folder, 2);
    assert_eq!(lines(&folder, "data/extra.jsonl", 1).len(), 1);
    assert_eq!(handler(&folder, "extra")["in_log"], 1);
    assert_eq!(served.stop(), Some(0));

    let served = Served::start(&folder);
    assert_eq!(until_state(&folder, "extra", "disabled")["in_log"], 1);
    folder.write_config("", &extra("enabled = true"));
    printed(&run(&folder, &["reload"]), 0);
    let events = lines(&folder, "data/extra.jsonl", 2);
    assert_eq!(events[1]["type"], "topic.created");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_reload_lets_a_program_finish_and_keeps_back_nobody_meanwhile() {
    let slow = |concurrency: usize| {
        format!(
            "[handler.slow]\nstart = \"oldest\"\nconcurrency = {concurrency}\ntimeout = \"10m\"\n\
             [handler.slow.command]\n\
             run = [\"sh\", \"-c\", \"echo '\\\"start\\\"' >> said; read line < go; echo '\\\"end\\\"' >> said\"]\n"
        )
    };
    let folder = Folder::new("", &slow(1));
    let go = folder.path().join("go");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &go,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    assert_eq!(lines(&folder, "said", 1), ["start"]);
    folder.write_config("", &slow(2));
    let output = run(&folder, &["reload"]);
    let text = printed(&output, 0) + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("handler `slow` finishes its calls first"), "{text}");
    assert_eq!(handler(&folder, "slow")["state"], "finishing");
    // Everybody else goes on.
    send(&folder, &served, "userecho", "topic.created");
    delivered(&folder, 2);
    let end = || std::fs::write(&go, "\n").unwrap();
    end();
    assert_eq!(lines(&folder, "said", 3), ["start", "end", "start"]);
    end();
    assert_eq!(lines(&folder, "said", 4), ["start", "end", "start", "end"]);
    until_state(&folder, "slow", "running");
    assert_eq!(served.stop(), Some(0));
}

/// A handler that is about to go.
const GOING: &str =
    "[handler.going]\nstart = \"oldest\"\n[handler.going.file]\npath = \"g.jsonl\"\n";

#[test]
fn who_is_gone_from_the_configuration_is_told_everywhere_until_it_is_let_go() {
    let queue = |rest: &str| format!("{OWN}{rest}");
    let folder = Folder::new("body_max = \"2MiB\"", &queue(GOING));
    // The least that there can be: half of it are 32 events of 1 MiB.
    let narrow = |folder: &Folder, more: &str| {
        let text = std::fs::read_to_string(folder.config()).unwrap();
        let text = text.replace("[queue]", &format!("[queue]\ndisk_max = \"64MiB\"\n{more}"));
        std::fs::write(folder.config(), text).unwrap();
    };
    narrow(&folder, "");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    lines(&folder, "g.jsonl", 1);
    folder.write_config("body_max = \"2MiB\"", &queue(""));
    narrow(&folder, "");
    let gone = "handler `going` has a place in the queue and stands in no configuration";
    let text = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    for verb in ["check", "reload"] {
        let output = run(&folder, &[verb]);
        printed(&output, 0);
        assert!(text(&output).contains(gone), "{verb}: {}", text(&output));
    }
    assert_eq!(handler(&folder, "going")["state"], "unconfigured");
    let large = |n: u32| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    for body in (0..33).map(large) {
        let headers = [("X-Signature", &*signature(&body))];
        wire::post(served.public(), "/hooks/hyvor", &headers, &body).id();
    }
    assert_eq!(served.stop(), Some(0));

    let served = Served::start(&folder);
    assert!(served.log().contains(gone), "{}", served.log());
    assert!(served.log().contains("let go in 30d"), "{}", served.log());
    let told = &lines(&folder, "data/own.jsonl", 1)[0];
    assert_eq!(told["type"], "handler.orphaned");
    assert_eq!(told["payload"]["handlers"][0]["name"], "going");
    assert_eq!(served.stop(), Some(0));

    folder.write_config("body_max = \"2MiB\"", &queue(""));
    narrow(&folder, "orphan_retention = \"0s\"");
    let served = Served::start(&folder);
    let is_there = || {
        let handlers = json(&folder, &["handlers", "list"]);
        handlers.as_array().unwrap().iter().any(|handler| handler["name"] == "going")
    };
    while is_there() {}
    // `check` reads a list, which is written after that.
    wait_until("the handler is let go", || {
        served.log().contains("Let go of a handler that is gone")
    });
    assert_eq!(served.stop(), Some(0));
    let output = run(&folder, &["check"]);
    printed(&output, 0);
    assert!(!text(&output).contains(gone), "{}", text(&output));
}

#[test]
fn a_reload_tells_of_changes_without_what_may_be_secret() {
    let app = |token: &str| {
        format!(
            "[handler.app]\non = [\"userecho:*\"]\n[handler.app.http]\nurl = \"http://127.0.0.1:1/?token={token}\"\n\
             headers = {{ X-Api-Token = \"{token}\" }}\n\
             [handler.run]\non = [\"userecho:*\"]\n[handler.run.command]\n\
             run = [\"true\", \"--password={token}\"]\nenv = {{ STRIPE = \"{token}\" }}\n"
        )
    };
    let folder = Folder::new("", &app("hunter2-old"));
    let served = Served::start(&folder);
    folder.write_config("", &app("hunter2-new"));
    let output = run(&folder, &["reload"]);
    let text = printed(&output, 0);
    assert!(text.contains("handler.app.http.headers.X-Api-Token: (hidden), changed"), "{text}");
    assert!(text.contains("handler.run.command.env.STRIPE: (hidden), changed"), "{text}");
    assert!(text.contains("run.command.run: (hidden), changed"), "{text}");
    let url = "app.http.url: \"http://127.0.0.1:1/?token=(hidden)\", changed";
    assert!(text.contains(url), "{text}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &text;
    for key in
        ["app.http.url (line ", "app.http.headers.X-Api-Token (line ", "run.command.run (line "]
    {
        assert!(told.contains(&format!("! handler.{key}")), "{told}");
    }
    let sample = ["--sample", "userecho", "topic.created"];
    for handler in ["app", "run"] {
        let tried = run(&folder, &[&["handlers", "try", handler][..], &sample].concat());
        let tried = printed(&tried, 0);
        assert!(tried.contains("=(secret)") && !tried.contains("hunter2"), "{tried}");
    }
    assert!(!told.contains("hunter2") && !served.log().contains("hunter2"), "{told}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn message_that_is_empty_is_skipped_as_a_trial_says() {
    let folder = Folder::new(
        "",
        "[handler.phone]\non = [\"hyvor:*\"]\n[handler.phone.chat]\n\
         ntfy = { topic = \"a\", server = \"http://127.0.0.1:9\" }\n\
         text = \"{% if data.never %}x{% endif %}\"\n",
    );
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let said = loop {
        let shown = printed(&run(&folder, &["events", "show", &id]), 0);
        if !shown.contains("pending") {
            break shown;
        }
    };
    assert!(said.contains("skipped: the text is empty"), "{said}");
    assert!(!said.contains("no place in the log"), "{said}");
    let tried = printed(&run(&folder, &["handlers", "try", "phone", "--event", &id]), 0);
    assert!(tried.contains("skipped: the text is empty"), "{tried}");
    assert_eq!(served.stop(), Some(0));
}
