//! What an owner meets on a machine where not all is as it should be: what is said, what is refused, and
//! that nothing is left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, command, printed, run};
use super::super::support::servers::skip;
use super::verbs::{json, send};

/// What was told of a verb that ended so.
#[track_caller]
fn told(folder: &Folder, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    printed(&output, code);
    String::from_utf8(output.stderr).unwrap()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn list_of_a_handlers_events_has_what_it_was_given_and_what_its_when_skipped() {
    let rest = "[handler.app]\non = [\"hyvor:*\"]\nstart = \"oldest\"\n\
                when = \"event.type != 'comment.delete'\"\n[handler.app.file]\npath = \"data/app\"\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    for (source, event_type) in [
        ("userecho", "topic.created"),
        ("hyvor", "comment.create"),
        ("hyvor", "comment.delete"),
        ("userecho", "topic.created"),
    ] {
        send(&folder, &served, source, event_type);
    }
    served.wait_until_delivered("app");
    served.wait_until_delivered("all");
    let list = |more: &[&str]| {
        let found = json(&folder, &[&["events", "list"][..], more].concat());
        let types = found.as_array().unwrap().iter().rev();
        types.map(|one| one["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let given = ["comment.create", "comment.delete"];
    assert_eq!(list(&["--handler", "app"]), given);
    assert_eq!(list(&["--search", "handler:app"]), given);
    assert_eq!(list(&["--handler", "app", "--state", "skipped"]), given[1..]);
    assert_eq!(list(&["--handler", "app", "--state", "delivered"]), given[..1]);
    assert_eq!(list(&["--handler", "all"]).len(), 4);
    assert_eq!(list(&["--search", "-source:userecho"]), given);
    let events = served.ask("GET", "/events?handler=app").text();
    assert!(!events.contains("topic.created</a>"), "{events}");
    assert_eq!(served.stop(), Some(0));
    assert_eq!(list(&["--handler", "app"]), given, "the store says the same");
}

#[test]
fn overview_counts_what_its_link_lists() {
    let rest = "[handler.app]\nstart = \"oldest\"\n[handler.app.http]\nurl = \"http://127.0.0.1:1/\"\n\
                [handler.broken.http]\nurl = \"http://127.0.0.1:1/\"\nsecret = { file = \"none\" }\n";
    let folder = Folder::new("", rest);
    let served = Served::start(&folder);
    for _ in 0..3 {
        send(&folder, &served, "userecho", "topic.created");
    }
    // Gatepost tells of the handler that cannot be built by an event of its own.
    while json(&folder, &["events", "list", "--source", "gatepost"]).as_array().unwrap().is_empty()
    {
        std::thread::yield_now();
    }
    let overview = served.ask("GET", "/").text();
    let (_, rest) = overview.split_once("<dt>New since the start</dt><dd>").unwrap();
    let link = rest.split('"').nth(1).unwrap().replace("&amp;", "&");
    let counted = rest.split('>').nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(counted, "3", "{rest}");
    let listed = served.ask("GET", &link).text();
    assert!(listed.contains("3 events") && !listed.contains("gatepost:"), "{link}\n{listed}");
    assert!(served.log().contains("WARN") && served.log().contains("handler.failed"));
    let warned = served.log().lines().any(|l| l.contains("WARN") && l.contains("handler.failed"));
    assert!(warned, "{}", served.log());
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn refused_server_has_made_no_secret() {
    let rest = "[source.new]\nprovider = \"github\"\n\
                secrets = [{ file = \"data/secrets/new\", create = true }]\n[standby]\n";
    let folder = Folder::new("", rest);
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("queue")).unwrap();
    std::fs::write(data.join("queue/FORMAT"), "standby 2\n").unwrap();
    let refused = told(&folder, &["serve"], 1);
    assert!(refused.contains("holds a standby's copy"), "{refused}");
    let names = std::fs::read_dir(&data).unwrap().map(|one| one.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["queue"]);
    // A copy that is a gateway's already.
    std::fs::write(data.join("queue/FORMAT"), "2\n").unwrap();
    let again = told(&folder, &["standby", "promote", "--data", "data"], 1);
    assert!(again.contains("is a gateway's already"), "{again}");
}

#[test]
fn check_names_paths_whole_and_says_what_is_wrong_with_files_and_folders() {
    let rest = "[source.token]\nsecrets = [{ file = \"data/secrets/token\", create = true }]\n\
                [source.token.verify]\nalgorithm = \"token\"\nquery = \"token\"\n";
    let folder = Folder::new("", rest);
    let secrets = folder.path().join("data/secrets");
    std::fs::create_dir_all(folder.path().join("data/queue")).unwrap();
    std::fs::create_dir(&secrets).unwrap();
    for path in [folder.path().join("data"), secrets.clone(), folder.path().join("data/queue")] {
        chmod(&path, 0o700);
    }
    let path = secrets.join("token");
    let good = told(&folder, &["check"], 0);
    assert!(good.contains(&format!("secret file `{}` is not there", path.display())), "{good}");
    assert!(good.contains(" 0 warnings"), "{good}");
    for name in ["data", "data/secrets", "data/queue"] {
        chmod(&folder.path().join(name), 0o777);
    }
    let open = told(&folder, &["check"], 0);
    for name in ["data", "data/secrets", "data/queue"] {
        let folder = folder.path().join(name);
        assert!(open.contains(&format!("write to the folder `{}`", folder.display())), "{open}");
    }
    assert!(open.contains(" 3 warnings"), "{open}");
    std::fs::write(&path, "").unwrap();
    chmod(&path, 0o600);
    let empty = told(&folder, &["check"], 3);
    assert!(empty.contains("or remove it: a random one is made then"), "{empty}");
    assert!(!empty.contains("or add `create = true`"), "{empty}");
}

#[test]
fn messages_say_where_a_key_belongs_which_address_is_taken_and_which_file_it_is() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::new("", "");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let with = |text: &str| std::fs::write(folder.config(), text).unwrap();
    let ports = |key: &str| {
        let (before, behind) = config.split_once(key).unwrap();
        format!("{before}{key}{}", behind.replacen("127.0.0.1:0", &address.to_string(), 1))
    };
    for (table, key) in [("[server]", "`[server] listen`"), ("[admin]", "`[admin] listen`")] {
        with(&ports(table));
        let refused = told(&folder, &["serve"], 1);
        let expected = format!("cannot listen on {address} ({key}): ");
        assert!(refused.contains(&expected) && refused.contains("`ss -ltnp`"), "{refused}");
    }
    with(&format!("{config}[handler.x.command]\nrun = [\"true\"]\ntimout = \"5s\"\n"));
    let checked = told(&folder, &["check"], 3);
    let expected = "did you mean `timeout`, which stands in `[handler.x]`?";
    assert!(checked.contains(expected), "{checked}");
    let with_tls =
        config.replacen("[queue]", "[server.tls]\ncert = \"c\"\nkey = \"k\"\n[queue]", 1);
    with(&with_tls);
    std::fs::write(folder.path().join("c"), "").unwrap();
    folder.write_secret("k", "x");
    let checked = told(&folder, &["check"], 3);
    assert!(checked.contains("certificate file `") && checked.contains("is empty"), "{checked}");
    assert!(!checked.contains("secret file"), "{checked}");
}

#[test]
fn online_check_says_what_it_reached_and_why_a_database_cannot_be() {
    let app = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = app.local_addr().unwrap();
    let rest = "[handler.rows.sql]\nurl = \"postgres://site@127.0.0.1:1/site\"\ntable = \"t\"\n\
                key = \"id\"\n[handler.rows.sql.columns]\nid = \"event.id\"\n";
    let app = format!("[handler.app.http]\nurl = \"http://{place}/hooks?key=k3y\"\n");
    let folder = Folder::new("", &format!("{rest}{app}"));
    let checked = told(&folder, &["check", "--online"], 1);
    assert!(checked.contains("Connection refused"), "{checked}");
    assert!(checked.contains(&format!("handler `app`: `{place}` is there\n")), "{checked}");
    assert!(!checked.contains("handler `rows`: database"), "{checked}");
}

#[test]
fn exit_codes_are_the_same_for_the_same_slip() {
    let rest = "[source.late]\nprovider = \"github\"\nsecrets = [{ file = \"late\" }]\n";
    let folder = Folder::new("", rest);
    folder.write_secret("late", "x");
    for slip in [
        &["init", "--yes", "--source", "nosuch"][..],
        &["init", "--yes", "--source", "nosuch", "--force"],
    ] {
        let said = told(&folder, slip, 2);
        assert!(said.contains("nosuch"), "{said}");
    }
    let served = Served::start(&folder);
    for slip in ["events list --source nosuch", "events list --handler nosuch", "send nosuch x"] {
        let slip: Vec<&str> = slip.split(' ').collect();
        told(&folder, &slip, 1);
    }
    for verb in ["pause", "resume", "retry", "try", "forget"] {
        told(&folder, &["handlers", verb, "nosuch"], 1);
    }
    printed(&run(&folder, &["handlers", "pause", "all", "--for", "15m"]), 0);
    printed(&run(&folder, &["handlers", "pause", "all", "--for", "15min"]), 0);
    std::fs::remove_file(folder.path().join("late")).unwrap();
    let refused = told(&folder, &["reload"], 3);
    assert!(refused.contains("late"), "{refused}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn export_is_read_into_a_folder_that_has_no_store_yet() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    served.wait_until_delivered("all");
    let lines = printed(&run(&folder, &["queue", "export"]), 0);
    assert_eq!(served.stop(), Some(0));
    let other = Folder::new("", "");
    std::fs::write(other.path().join("events.jsonl"), lines).unwrap();
    let said = printed(&run(&other, &["queue", "import", "events.jsonl"]), 0);
    assert!(said.contains("1 of them new"), "{said}");
    let served = Served::start(&other);
    served.wait_until_delivered("all");
    assert_eq!(json(&other, &["events", "list"]).as_array().unwrap().len(), 1);
    let delivered = std::fs::read_to_string(other.path().join("data/events.jsonl"));
    assert_eq!(delivered.unwrap_or_default(), "", "it was delivered before");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn page_says_what_of_its_address_it_does_not_know() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    for (path, status, said) in [
        ("/events?cursor=abc", 400, "There is no `cursor` here"),
        ("/events?before=abc", 400, "is a number"),
        ("/events?q=has:nothing", 400, "is no state"),
        ("/events?q=foo:bar", 200, "is looked for as a field of the body, and as a text"),
        ("/events/foo", 404, "no page is at this address"),
    ] {
        let page = served.ask("GET", path);
        let text = page.text().replace("&#96;", "`").replace("<code>", "`").replace("</code>", "`");
        assert_eq!(page.status, status, "{path}: {text}");
        assert!(text.starts_with("<!doctype html>") && text.contains(said), "{path}: {text}");
    }
    assert_eq!(served.stop(), Some(0));
    // What is suggested next is the same.
    let fresh = Folder::of_text("");
    let init = ["init", "--yes", "--force", "--listen", "127.0.0.1:0"];
    let next = printed(&run(&fresh, &init), 0);
    let sample = next.lines().find_map(|line| line.strip_prefix("then: ")).unwrap().to_owned();
    let text = std::fs::read_to_string(fresh.config()).unwrap();
    let admin = if text.contains("[admin]") { "" } else { "\n[admin]\nlisten = \"127.0.0.1:0\"\n" };
    std::fs::write(fresh.config(), format!("{text}{admin}")).unwrap();
    let mut serve = command(&fresh, &["serve"]);
    let mut child = serve.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let found = lines.map(Result::unwrap).find(|line| line.trim().starts_with("try ")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(found.trim().trim_start_matches("try").trim(), sample);
}

#[test]
fn check_names_what_is_in_the_way_of_queue_and_socket_and_no_file_is_replaced() {
    let folder = Folder::new("", "");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    std::os::unix::fs::symlink("/no/such/place", folder.path().join("link")).unwrap();
    // A program's, which answers; and a file where the socket is made before it is moved to its place.
    let _other = std::os::unix::net::UnixListener::bind(folder.path().join("other.sock")).unwrap();
    std::fs::write(folder.path().join("own.new"), "mine").unwrap();
    let check = |table: &str, line: &str, (expected, at_start): (&str, &str)| {
        let changed = config.replacen(table, &format!("{table}\n{line}"), 1);
        let is_there = config.contains(table);
        let changed = if is_there { changed } else { format!("{config}\n{table}\n{line}\n") };
        std::fs::write(folder.config(), changed).unwrap();
        if !expected.is_empty() {
            let said = told(&folder, &["check"], 3);
            assert!(said.contains(expected), "{said}");
        }
        let said = told(&folder, &["serve"], 1);
        assert!(said.contains(at_start), "{said}");
        for mine in ["notes", "own.new"] {
            assert_eq!(std::fs::read_to_string(folder.path().join(mine)).unwrap(), "mine");
        }
    };
    let of_socket = "cannot listen on";
    check("[queue]", "path = \"notes\"", ("notes` is no folder", "notes"));
    check("[queue]", "path = \"notes/queue\"", ("notes` is no folder", "notes"));
    check("[queue]", "path = \"link/queue\"", ("link` is a link to no folder", "link"));
    check(
        "[admin]",
        "socket = \"notes\"",
        ("notes` is no socket", "notes` is there and is no socket"),
    );
    check("[admin]", "socket = \"notes/a.sock\"", ("notes` is no folder", of_socket));
    check(
        "[admin]",
        "socket = \"data\"",
        ("data` is no socket", "data` is there and is no socket"),
    );
    check(
        "[admin]",
        "socket = \"own\"",
        ("own.new` is no socket", "own.new` is there and is no socket"),
    );
    for (table, key) in
        [("[admin]", "token"), ("[admin]", "read_only_token"), ("[standby]", "token")]
    {
        let said = (" is no folder", "token");
        check(table, &format!("{key} = \"notes/token\""), said);
        check(table, &format!("{key} = \"data\""), ("data` is a folder", "token"));
    }
    let source = "provider = \"github\"\nsecrets = [{ file = \"notes/a\", create = true }]\n";
    let made = format!("[source.hyvor]\n{source}[source.other]");
    std::fs::write(folder.config(), config.replacen("[source.hyvor]", &made, 1)).unwrap();
    assert!(told(&folder, &["check"], 3).contains("notes` is no folder"));
    assert!(told(&folder, &["serve"], 3).contains("notes` is no folder"));
    // Its own program is the one that answers, as far as `check` knows.
    check("[admin]", "socket = \"other.sock\"", ("", "another program answers there"));
}

#[test]
fn check_warns_of_an_address_that_this_machine_does_not_have() {
    let folder = Folder::new("", "");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let changed = config.replacen("listen = \"127.0.0.1:0\"", "listen = \"192.0.2.1:0\"", 1);
    assert_ne!(changed, config, "{config}");
    std::fs::write(folder.config(), changed).unwrap();
    let said = told(&folder, &["check"], 0);
    assert!(said.contains("192.0.2.1 is no address of this machine"), "{said}");
    let said = told(&folder, &["serve"], 1);
    assert!(said.contains("192.0.2.1:0"), "{said}");
}

#[test]
fn check_by_root_tells_of_secrets_that_the_service_cannot_read() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root is asked for what the service cannot read");
    }
    let folder = Folder::new("", "");
    let queue = folder.path().join("data/queue");
    std::fs::create_dir_all(&queue).unwrap();
    chmod(&folder.path().join("secret"), 0o600);
    assert!(!told(&folder, &["check"], 0).contains("cannot read"), "the queue is root's");
    std::os::unix::fs::chown(&queue, Some(61_299), Some(61_299)).unwrap();
    let warned = told(&folder, &["check"], 0);
    assert!(warned.contains("the user 61299, whose the queue is, cannot read `"), "{warned}");
    assert!(warned.contains("chown --reference='"), "{warned}");
    chmod(&folder.path().join("secret"), 0o644);
    assert!(!told(&folder, &["check"], 0).contains("cannot read"), "everybody may read it");
}
