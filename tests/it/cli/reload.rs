//! Reloads that leave alone what did not change.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::super::support::servers::skip;
use super::super::support::tls::Pair;
use super::socket::{assert_delivered, load};
use super::verbs::{json, send};

/// A handler that cannot reach anybody, and so has a newest failure since its start.
const DOWN: &str = r#"
[handler.down]
start = "oldest"
CHANGED
[handler.down.http]
url = "http://127.0.0.1:1/"
secret = { file = "down-secret" }
"#;

#[test]
fn a_reload_restarts_the_handlers_that_changed_and_no_other() {
    let folder = Folder::new("", &DOWN.replace("CHANGED", "retry = { min = \"1h\" }"));
    let secret = |text: &str| std::fs::write(folder.path().join("down-secret"), text).unwrap();
    secret("b25lIHNlY3JldCBvZiB0aGUgaGFuZGxlciBvZiBhIHRlc3Q=");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    let handler = |name: &str| {
        let handlers = json(&folder, &["handlers", "list"]);
        let mut handlers = handlers.as_array().unwrap().iter();
        handlers.find(|handler| handler["name"] == name).unwrap().clone()
    };
    let has_failed = || handler("down")["last_error"] != Value::Null;
    while !has_failed() || handler("all")["last_success_at"] == Value::Null {
        thread::yield_now();
    }
    let reload = || drop(printed(&run(&folder, &["reload"]), 0));

    reload();
    assert!(has_failed(), "nothing changed");
    folder.write_config("", &DOWN.replace("CHANGED", "concurrency = 3\nretry = { min = \"1h\" }"));
    reload();
    assert!(!has_failed(), "it was started anew");
    assert_ne!(handler("all")["last_success_at"], Value::Null, "and the other was not");
    send(&folder, &served, "hyvor", "comment.create");
    send(&folder, &served, "userecho", "topic.created");
    while !has_failed() {
        thread::yield_now();
    }
    secret("YW5vdGhlciBzZWNyZXQgb2YgdGhlIGhhbmRsZXIgb2YgYSB0ZXN0");
    std::fs::write(folder.path().join("secret"), "another secret of the senders").unwrap();
    let changes = json(&folder, &["check", "--diff"]);
    let place = folder.path().canonicalize().unwrap().join("secret");
    let of_source = |name: &str| {
        format!("~ source.{name}.secrets: another one is in the secret file `{}`", place.display())
    };
    let of_handler = "~ handler.down: another secret is where it is kept".to_owned();
    assert_eq!(
        changes["changes"],
        serde_json::json!([of_source("hyvor"), of_source("userecho"), of_handler])
    );
    reload();
    assert_eq!(json(&folder, &["check", "--diff"])["changes"], serde_json::json!([]));
    assert!(!has_failed(), "a new secret in the same file is a change");
    assert_ne!(handler("all")["last_success_at"], Value::Null);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn server_is_looked_at_and_steered_while_its_configuration_has_mistakes() {
    let folder = Folder::new("", "");
    let good = std::fs::read_to_string(folder.config()).unwrap();
    let served = Served::start(&folder);
    let mistakes = ["\n[handler.new]\non = [\"hyvor:*\"]\n", "\n[handler.new\n"];
    for mistake in mistakes {
        std::fs::write(folder.config(), format!("{good}{mistake}")).unwrap();
        for verb in [&["status", "--ready"][..], &["events", "list"], &["handlers", "pause", "all"]]
        {
            let output = run(&folder, verb);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(told.contains("which `gatepost check` names"), "{told}");
            printed(&output, 0);
        }
        printed(&run(&folder, &["reload"]), 3);
    }
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["status"]), 3);
}

/// Connections while it reloads, and how often it does.
const N_CONNECTIONS: usize = 64;
const N_RELOADS: usize = 10;

#[test]
fn reload_under_64_connections_refuses_and_loses_nothing() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let is_over = AtomicBool::new(false);
    let address = served.public();
    let ids = thread::scope(|scope| {
        let is_over = &is_over;
        let clients: Vec<_> = (0..N_CONNECTIONS)
            .map(|client| scope.spawn(move || load(address, client, is_over)))
            .collect();
        for number in 0..N_RELOADS {
            // Sources, limits and a handler: what a reload replaces.
            let limits = format!("body_max = \"{}KiB\"", 100 + number);
            let rest = format!(
                "[source.new{number}]\nprovider = \"hyvor-talk\"\nsecrets = [{{ file = \"secret\" }}]\n\
                 [handler.some]\nconcurrency = {}\n[handler.some.log]\n",
                number + 1
            );
            folder.write_config(&limits, &rest);
            let diff = printed(&run(&folder, &["check", "--diff"]), 0);
            assert!(diff.contains(&format!("+ source.new{number}")), "{diff}");
            printed(&run(&folder, &["reload"]), 0);
        }
        is_over.store(true, Ordering::Relaxed);
        let ids = clients.into_iter().flat_map(|client| client.join().unwrap());
        ids.collect::<Vec<String>>()
    });
    assert!(ids.len() >= N_CONNECTIONS, "{} requests", ids.len());
    served.wait_until_delivered("all");
    assert_delivered(&folder, &ids);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn reload_that_a_shut_in_process_cannot_do_is_refused_and_check_says_so() {
    let folder = Folder::new("", "");
    let output = run(&folder, &["check"]);
    let told = String::from_utf8(output.stderr).unwrap();
    if told.contains("there is no landlock") {
        return skip("this kernel has no landlock");
    }
    assert!(told.contains("the process is shut in: starts no programs, writes in"), "{told}");
    let served = Served::start(&folder);
    folder.write_config("", "[handler.run]\n[handler.run.command]\nrun = [\"/bin/true\"]\n");
    for command in [&["check", "--diff"][..], &["reload"]] {
        let output = run(&folder, command);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            told.contains("handler `run` runs a program, and the running process has shut"),
            "{told}"
        );
        assert_eq!(output.status.success(), command.len() == 2, "{told}");
    }
    // What runs goes on as it was.
    send(&folder, &served, "hyvor", "comment.create");
    served.wait_until_delivered("all");
    assert_eq!(served.stop(), Some(0));
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    served.wait_until_delivered("run");
    assert_eq!(served.stop(), Some(0));
}

/// systemd 252 passes credentials on to the service, and its `ExecReload=` may not read them.
#[test]
fn commands_beside_a_server_need_no_credentials_of_its_own() {
    let folder = Folder::new(
        "",
        "[source.shop]\nprovider = \"hyvor-talk\"\nsecrets = [{ credential = \"shop\" }]\n",
    );
    folder.write_secret("shop", "a-secret-that-systemd-passes-on");
    let credentials = folder.path().to_str().unwrap().to_owned();
    let served = Served::start_in(&folder, &[("CREDENTIALS_DIRECTORY", &credentials)]);
    for command in [&["reload"][..], &["status"], &["handlers", "list"]] {
        printed(&run(&folder, command), 0);
    }
    send(&folder, &served, "hyvor", "comment.create");
    // Who signs must have it; who checks is told that it was not looked at.
    for (command, code, line) in [
        (&["send", "shop", "comment.create"][..], 1, "the source's page on the dashboard sends"),
        (&["check"], 0, "systemd credential `shop` is there for the service alone"),
        (&["check", "--diff"], 0, "a reload would change nothing"),
    ] {
        let output = run(&folder, command);
        let told = format!("{}{}", printed(&output, code), String::from_utf8_lossy(&output.stderr));
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// A listener is opened once, at the start.
#[test]
fn send_finds_the_server_where_it_listens_after_a_reload_of_another_listen() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!(
        "[server]\nlisten = \"{}\"\ntls = {{ cert = \"cert.pem\", key = \"key.pem\" }}",
        taken.local_addr().unwrap()
    );
    let text = text.replacen("[server]\nlisten = \"127.0.0.1:0\"", &other, 1);
    assert!(text.contains("cert.pem"), "{text}");
    std::fs::write(folder.config(), text).unwrap();
    Pair::until(2200).write(folder.path());
    printed(&run(&folder, &["reload"]), 0);
    let sent = json(&folder, &["send", "hyvor", "comment.create"]);
    assert_eq!(sent["url"], format!("{}/hooks/hyvor", served.url), "{sent}");
    let around = served.ask("GET", "/api/v1/config").json();
    assert_eq!(around["address"], served.url.as_str());
    assert_eq!(served.stop(), Some(0));
}

/// systemd passes them on when it starts the service.
#[test]
fn reload_says_of_a_certificate_of_credentials_that_has_ended_that_it_stays_as_it_is() {
    for (cert, key, is_told) in [
        ("{ credential = \"cert.pem\" }", "{ credential = \"key.pem\" }", true),
        ("\"FOLDER/cert.pem\"", "\"FOLDER/key.pem\"", true),
        ("\"cert-of-a-file.pem\"", "\"key-of-a-file.pem\"", false),
    ] {
        let passed = tempfile::tempdir().unwrap();
        let credentials = passed.path().to_str().unwrap();
        let tls = format!("tls = {{ cert = {cert}, key = {key} }}");
        let folder = Folder::new(&tls.replace("FOLDER", credentials), "");
        let pair = Pair::until(2020);
        pair.write(folder.path());
        pair.write(passed.path());
        for name in ["cert", "key"] {
            let to = folder.path().join(format!("{name}-of-a-file.pem"));
            std::fs::copy(folder.path().join(format!("{name}.pem")), to).unwrap();
        }
        let served = Served::start_in(&folder, &[("CREDENTIALS_DIRECTORY", credentials)]);
        let output = run(&folder, &["reload"]);
        let told = format!("{}{}", printed(&output, 0), String::from_utf8_lossy(&output.stderr));
        let words = "so a renewed one wants `systemctl restart gatepost`";
        assert_eq!(told.contains(words), is_told, "{cert}: {told}");
        // What has changed all the same is taken over, and is no reason to restart.
        Pair::until(2201).write(passed.path());
        let output = run(&folder, &["reload"]);
        let told = format!("{}{}", printed(&output, 0), String::from_utf8_lossy(&output.stderr));
        assert!(!told.contains(words), "{told}");
        // One that is good may stay.
        let output = run(&folder, &["reload"]);
        let told = format!("{}{}", printed(&output, 0), String::from_utf8_lossy(&output.stderr));
        assert!(!told.contains(words), "{told}");
        assert_eq!(served.stop(), Some(0));
    }
}

#[test]
fn a_file_that_was_cut_short_is_not_taken_over() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let path = folder.path().join("config.toml");
    let whole = std::fs::read_to_string(&path).unwrap();
    let to_sources = whole.split("[source.").next().unwrap();
    for cut in ["", to_sources] {
        std::fs::write(&path, cut).unwrap();
        let output = run(&folder, &["reload"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("the file has no source any more"), "{said}");
    }
    std::fs::write(&path, &whole).unwrap();
    send(&folder, &served, "hyvor", "comment.create");
}

/// The configuration names a folder of its own, and a link in it leads elsewhere by then.
#[test]
fn process_that_has_shut_itself_in_writes_nowhere_else() {
    let told = String::from_utf8(run(&Folder::new("", ""), &["check"]).stderr).unwrap();
    if told.contains("there is no landlock") {
        return skip("this kernel has no landlock");
    }
    for is_shut_in in [true, false] {
        let elsewhere = tempfile::tempdir().unwrap();
        let lines = format!("landlock = {is_shut_in}");
        let folder = Folder::new(&lines, "");
        // Its folder for temporary files is its own as well: not that of this test.
        let own = folder.path().join("tmp");
        std::fs::create_dir(&own).unwrap();
        let served = Served::start_in(&folder, &[("TMPDIR", own.to_str().unwrap())]);
        let link = folder.path().join("data/out");
        std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
        folder.write_config(
            &lines,
            "[handler.out]\n[handler.out.file]\npath = \"data/out/events\"\n",
        );
        let output = run(&folder, &["reload"]);
        let told = String::from_utf8(output.stderr).unwrap();
        // As the kernel says: Gatepost sees nothing wrong with that path.
        assert_eq!(told.contains("Permission denied"), is_shut_in, "{told}");
        assert_eq!(output.status.success(), !is_shut_in, "{told}");
        send(&folder, &served, "hyvor", "comment.create");
        served.wait_until_delivered("all");
        if !is_shut_in {
            served.wait_until_delivered("out");
        }
        let has_written = elsewhere.path().join("events").exists();
        assert_eq!(has_written, !is_shut_in);
        assert_eq!(served.stop(), Some(0));
    }
}

#[test]
fn check_diff_of_another_file_compares_it_with_the_one_that_the_server_reads() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let text = std::fs::read_to_string(folder.config()).unwrap();
    let other = folder.path().join("other.toml");
    std::fs::write(&other, &text).unwrap();
    let told = |code: i32| {
        let output = run(&folder, &["check", "other.toml", "--diff"]);
        (printed(&output, code), String::from_utf8(output.stderr).unwrap())
    };
    let (changes, said) = told(0);
    assert!(changes.is_empty() && said.contains("nothing differs from `/"), "{changes}{said}");
    std::fs::write(&other, format!("{text}\n[handler.more.log]\n")).unwrap();
    let (changes, said) = told(0);
    assert!(changes.contains("handler.more"), "{changes}");
    assert!(said.contains("config.toml`, which the server reads"), "{said}");
    // The file that it reads is as it was.
    let output = run(&folder, &["check", "--diff"]);
    assert!(printed(&output, 0).is_empty());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn tail_without_a_server_says_so_and_lets_one_start() {
    let folder = Folder::new("", "");
    // There is a queue by now.
    assert_eq!(Served::start(&folder).stop(), Some(0));
    let mut tail = command(&folder, &["events", "tail"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(tail.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains("no server is running; waiting for one"), "{line}");
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let mut shown = BufReader::new(tail.stdout.take().unwrap());
    line.clear();
    shown.read_line(&mut line).unwrap();
    assert!(line.contains(&id), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(served.stop(), Some(0));
}
