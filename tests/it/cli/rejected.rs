//! Rejected requests and secrets, as their owner sees them.

use gatepost::ingest::RejectedRing;
use serde_json::Value;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use crate::support::patience::wait_until;

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&printed(&run(folder, &arguments), 0)).unwrap()
}

fn post(served: &Served, source: &str, signature: &str, body: &[u8]) -> u16 {
    let headers = [("X-Signature", signature)];
    wire::post(served.public(), &format!("/hooks/{source}"), &headers, body).status
}

#[test]
fn rejected_requests_outlive_a_restart_and_are_shown_without_a_server() {
    let folder = Folder::new("", "");
    assert_eq!(json(&folder, &["rejected", "list"]), serde_json::json!([]));
    printed(&run(&folder, &["rejected", "explain", "last"]), 1);
    let served = Served::start(&folder);
    let body = br#"{"event":"comment.create"}"#;
    assert_eq!(post(&served, "hyvor", signature(body).get(1..).unwrap(), body), 401);
    assert_eq!(post(&served, "hyvor", &signature(b"\xff\x00"), b"\xff\x01"), 401);
    let listed = json(&folder, &["rejected", "list"]);
    assert_eq!(served.stop(), Some(0));

    assert_eq!(json(&folder, &["rejected", "list"]), listed);
    assert_eq!((&listed[0]["number"], &listed[1]["number"]), (&2.into(), &1.into()));
    assert_eq!(run(&folder, &["rejected", "show", "2", "--raw"]).stdout, b"\xff\x01");
    let text = printed(&run(&folder, &["rejected", "show", "1"]), 0);
    assert!(text.contains("the signature cannot be decoded") && text.contains("x-signature"));
    let why = printed(&run(&folder, &["rejected", "explain", "1"]), 0);
    assert!(why.contains("is not hexadecimal"), "{why}");
    for verb in ["show", "explain"] {
        let newest = json(&folder, &["rejected", verb, "2"]);
        assert_eq!(json(&folder, &["rejected", verb, "last"]), newest);
    }
    printed(&run(&folder, &["rejected", "show", "3"]), 1);
    printed(&run(&folder, &["rejected", "release", "1"]), 4);

    let served = Served::start(&folder);
    assert_eq!(json(&folder, &["rejected", "list"]), listed);
    assert_eq!(post(&served, "hyvor", "", body), 401);
    assert_eq!(json(&folder, &["rejected", "list"])[0]["number"], 3);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_rejected_request_of_an_earlier_run_is_released_after_the_fix() {
    let folder = Folder::new("", "");
    std::fs::write(folder.path().join("secret"), "copied wrongly").unwrap();
    let served = Served::start(&folder);
    assert_eq!(post(&served, "hyvor", &signature(b"{}"), b"{}"), 401);
    assert_eq!(served.stop(), Some(0));
    let secret = super::super::support::gateway::SECRET;
    std::fs::write(folder.path().join("secret"), secret).unwrap();
    let served = Served::start(&folder);
    let why = json(&folder, &["rejected", "explain", "1"]);
    assert_eq!(why["is_good_now"], true);
    let released = json(&folder, &["rejected", "release", "1"]);
    let id = released["id"].as_str().unwrap();
    assert_eq!(run(&folder, &["events", "show", id, "--raw"]).stdout, b"{}");
    assert_eq!(json(&folder, &["rejected", "list"]), serde_json::json!([]));
    assert_eq!(served.stop(), Some(0));
    assert_eq!(json(&folder, &["rejected", "list"]), serde_json::json!([]));
}

#[test]
fn send_that_is_refused_says_where_the_reason_is() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    std::fs::write(folder.path().join("secret"), "another one").unwrap();
    let url = format!("{}/hooks/hyvor", served.url);
    let sent = run(&folder, &["send", "hyvor", "comment.create", "--url", &url]);
    printed(&sent, 1);
    let told = String::from_utf8(sent.stderr).unwrap();
    let next = told.split_once("next: gatepost ").unwrap().1.trim();
    let why = printed(&run(&folder, &next.split(' ').collect::<Vec<_>>()), 0);
    assert!(why.contains("secret"), "{why}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_is_new_reaches_the_file_while_the_server_runs() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    assert_eq!(post(&served, "hyvor", "", b"{}"), 401);
    let path = folder.path().join("data/rejected");
    wait_until("the file has it", || !RejectedRing::open(path.clone()).is_empty());
    // A kill takes nothing that is in the file.
    served.kill();
    assert_eq!(json(&folder, &["rejected", "list"])[0]["number"], 1);
}

const TWO_SECRETS: &str = r#"
[source.shop]
provider = "hyvor-talk"
secrets = [{ file = "old" }, { file = "secret" }]
"#;

/// When each secret of the source was last matched.
fn matched(folder: &Folder, source: &str) -> Vec<(String, bool)> {
    let status = json(folder, &["status"]);
    let sources = status["sources"].as_array().unwrap().clone();
    let found = sources.into_iter().find(|known| known["name"] == source).unwrap();
    let secrets = found["secrets"].as_array().unwrap().iter();
    let shown = |secret: &Value| {
        let place = secret["place"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (place, secret["last_matched_at"].is_string())
    };
    secrets.map(shown).collect()
}

#[test]
fn status_says_which_secret_matched_last_and_when() {
    let folder = Folder::new("", TWO_SECRETS);
    std::fs::write(folder.path().join("old"), "an old one").unwrap();
    let served = Served::start(&folder);
    let expect = |expected: &[(&str, bool)]| {
        let expected: Vec<_> =
            expected.iter().map(|(place, is)| (format!("{place}`"), *is)).collect();
        assert_eq!(matched(&folder, "shop"), expected);
    };
    expect(&[("old", false), ("secret", false)]);
    assert_eq!(post(&served, "shop", &signature(b"{}"), b"{}"), 200);
    expect(&[("old", false), ("secret", true)]);
    let text = printed(&run(&folder, &["status"]), 0);
    let row = |name: &str| {
        let of_shop = |line: &&str| line.starts_with("shop ") && line.contains(name);
        text.lines().find(of_shop).unwrap_or_else(|| panic!("{text}"))
    };
    assert!(row("/old`").ends_with("never") && !row("/secret`").ends_with("never"), "{text}");
    assert!(!text.contains("an old one"));

    // A reload that changes the list takes each secret's time along.
    folder.write_config("", &TWO_SECRETS.replace("[{ file = \"old\" }, ", "[{ file = \"new\" }, "));
    std::fs::write(folder.path().join("new"), "a new one").unwrap();
    printed(&run(&folder, &["reload"]), 0);
    expect(&[("new", false), ("secret", true)]);
    let swapped =
        TWO_SECRETS.replace("\"secret\" }", "\"new\" }").replace("\"old\" }", "\"secret\" }");
    folder.write_config("", &swapped);
    printed(&run(&folder, &["reload"]), 0);
    expect(&[("secret", true), ("new", false)]);
    assert_eq!(served.stop(), Some(0));
}

/// What is printed is pasted as it stands: the file passes `check`, and the request is let in.
#[test]
fn table_that_explain_prints_is_pasted_and_takes_the_request() {
    let folder = Folder::new("", "");
    let served = Served::start(&folder);
    let body = br#"{"event":"comment.create"}"#;
    let sent = format!("v1={}", signature(body));
    let headers = [("X-Other-Signature", sent.as_str())];
    assert_eq!(wire::post(served.public(), "/hooks/hyvor", &headers, body).status, 401);
    let why = printed(&run(&folder, &["rejected", "explain", "1"]), 0);
    assert_eq!(served.stop(), Some(0));
    let (words, table) = why.split_once("\n\n").unwrap_or_else(|| panic!("{why}"));
    assert!(words.contains("take `provider` out of [source.hyvor]"), "{words}");
    assert!(table.starts_with("[source.hyvor.verify]\n"), "{table}");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let lines = config.lines().filter(|line| *line != "provider = \"hyvor-talk\"");
    let config = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(folder.config(), format!("{config}\n{table}")).unwrap();
    printed(&run(&folder, &["check"]), 0);
    let served = Served::start(&folder);
    let id = json(&folder, &["rejected", "release", "1"])["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&folder, &["events", "show", &id])["type"], "comment.create");
    assert_eq!(wire::post(served.public(), "/hooks/hyvor", &headers, body).status, 200);
    assert_eq!(served.stop(), Some(0));
}
