//! `events save` and `test`.

use serde_json::json;

use super::super::support::gateway::{Folder, signature};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use super::verbs::{json, send};

const HANDLERS: &str = r#"
[handler.mail]
on = ["hyvor:comment.create"]
[handler.mail.email]
smtp = "smtp://localhost:25"
from = "gate@example.com"
to = ["owner@example.com"]
subject = "New on {{ data.comment.page.title }}"
text = "{{ data.comment.user.name }}"
[handler.app]
on = ["userecho:*"]
[handler.app.http]
url = "http://127.0.0.1:9/"
"#;

/// A folder in which an event was recorded, and its file.
fn recorded() -> (Folder, String) {
    let folder = Folder::new("", HANDLERS);
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let saved = json(&folder, &["events", "save", &id]);
    assert_eq!(served.stop(), Some(0));
    assert_eq!(saved["id"], id.as_str());
    (folder, saved["file"].as_str().unwrap().to_owned())
}

#[test]
fn saved_event_is_masked_and_keeps_what_handlers_need() {
    let (folder, file) = recorded();
    let text = std::fs::read_to_string(&file).unwrap();
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&event["source"], &event["type"]), (&json!("hyvor"), &json!("comment.create")));
    assert!(!text.contains(super::super::support::gateway::SECRET));
    let headers = event["headers"].as_array().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find(|header| header[0] == name);
        found.map(|header| header[1]["text"].as_str().unwrap().to_owned())
    };
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("x-signature").as_deref(), Some("masked"), "{headers:?}");
    let body: serde_json::Value =
        serde_json::from_str(event["body"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(body["data"]["comment"]["user"]["name"], "Someone");
    assert!(body["data"]["comment"]["page"]["title"].is_string());
    drop(folder);
}

#[test]
fn test_compares_plans_with_what_is_expected_and_needs_no_secret() {
    let (folder, file) = recorded();
    std::fs::remove_file(folder.path().join("secret")).unwrap();
    // Nothing is expected yet.
    assert!(printed(&run(&folder, &["test"]), 1).contains("write that with `--update`"));
    printed(&run(&folder, &["test", "--update"]), 0);
    printed(&run(&folder, &["test"]), 0);
    let plan = std::fs::read_to_string(file.replace(".event.json", ".plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    // Only what wants the event, and no path of this machine.
    assert_eq!(plan["mail"][0]["text"], "Someone");
    assert_eq!(plan["app"], json!(null));
    assert_eq!(plan["all"][0]["file"], "data/events.jsonl");

    folder.write_config("", &HANDLERS.replace("New on", "Something on"));
    let told = printed(&run(&folder, &["test"]), 1);
    assert!(told.contains("~ mail[0].subject: \"New on "), "{told}");
    folder.write_config("", &HANDLERS.replace("comment.create", "comment.update"));
    let results = run(&folder, &["test", "--json"]);
    let results: serde_json::Value = serde_json::from_str(&printed(&results, 1)).unwrap();
    assert!(results[0]["differences"][0].as_str().unwrap().starts_with("- mail: "), "{results}");
    // Elsewhere there is nothing to compare.
    std::fs::create_dir(folder.path().join("none")).unwrap();
    printed(&run(&folder, &["test", "none"]), 1);
}

#[test]
fn file_that_is_no_event_leaves_the_others_to_be_compared() {
    let (folder, file) = recorded();
    printed(&run(&folder, &["test", "--update"]), 0);
    let cut = std::path::Path::new(&file).with_file_name("cut.event.json");
    std::fs::write(cut, "{").unwrap();
    let told = printed(&run(&folder, &["test"]), 1);
    assert!(told.contains("cut.event.json`: EOF while"), "{told}");
    assert!(told.contains("ok    hyvor-comment-create-"), "{told}");
}

#[test]
fn own_events_are_saved_and_tested_like_all_others() {
    let handlers = "[handler.broken]\non = ['hyvor:*']\n[handler.broken.command]\n\
                    run = ['sh', '-c', 'exit 65']\n[handler.alert]\non = ['gatepost:*']\n\
                    [handler.alert.log]\nmessage = '{{ event.type }} of {{ data.handler }}'\n";
    let folder = Folder::new("", handlers);
    let served = Served::start(&folder);
    send(&folder, &served, "hyvor", "comment.create");
    served.wait_until_delivered("broken");
    served.wait_until_delivered("alert");
    let events = json(&folder, &["events", "list", "--source", "gatepost"]);
    let id = events[0]["id"].as_str().unwrap().to_owned();
    let saved = json(&folder, &["events", "save", &id]);
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["test", "--update"]), 0);
    printed(&run(&folder, &["test"]), 0);
    let file = saved["file"].as_str().unwrap();
    let plan = std::fs::read_to_string(file.replace(".event.json", ".plan.json")).unwrap();
    assert!(plan.contains("dead_letter of broken"), "{plan}");
    // A type that Gatepost never makes is a slip.
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("\"dead_letter\"", "\"dead.letter\"")).unwrap();
    let told = printed(&run(&folder, &["test"]), 1);
    assert!(told.contains("Gatepost makes no event of type `dead.letter`"), "{told}");
}

#[test]
fn test_lets_the_source_judge_the_event_again() {
    let (folder, file) = recorded();
    printed(&run(&folder, &["test", "--update"]), 0);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"type\": \"comment.create\"", "\"type\": \"other\""))
        .unwrap();
    let told = printed(&run(&folder, &["test"]), 1);
    assert!(told.contains("its type would be `comment.create` in place of `other`"), "{told}");
    std::fs::write(&file, text.replace("\"source\": \"hyvor\"", "\"source\": \"gone\"")).unwrap();
    let told = printed(&run(&folder, &["test"]), 1);
    assert!(told.contains("source `gone` is not configured"), "{told}");
}

#[test]
fn test_finds_a_header_that_the_source_reads_no_more() {
    let source = |header: &str, token: &str| {
        format!(
            "[source.own]\nsecrets = [{{ file = \"secret\" }}]\n[source.own.verify]\nalgorithm = \
             \"hmac-sha256\"\nheader = \"{header}\"\n[source.pass]\nsecrets = [{{ file = \"secret\" \
             }}]\n[source.pass.verify]\nalgorithm = \"token\"\nheader = \"{token}\"\n"
        )
    };
    let folder = Folder::new("", &source("X-Sig", "X-Token"));
    let served = Served::start(&folder);
    let body = br#"{"type":"a"}"#;
    std::fs::write(folder.path().join("body"), r#"{"type":"b"}"#).unwrap();
    let password = super::super::support::gateway::SECRET.to_owned();
    for (path, name, value) in
        [("/hooks/own", "X-Sig", signature(body)), ("/hooks/pass", "X-Token", password)]
    {
        let id = wire::post(served.public(), path, &[(name, &value)], body).id();
        json(&folder, &["events", "edit", &id, "--body", "body"]);
        for id in [&*id, "last"] {
            printed(&run(&folder, &["events", "save", id]), 0);
        }
    }
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["test", "--update"]), 0);
    printed(&run(&folder, &["test"]), 0);
    folder.write_config("", &source("X-Nother", "X-Key"));
    let told = printed(&run(&folder, &["test"]), 1);
    let hmac = "it reads the signature in `x-nother`, and the event came without it";
    assert!(told.contains(hmac), "{told}");
    let token = "it reads the password in `x-key`, and the event came with `x-token`";
    assert!(told.contains(token), "{told}");
    // The edited copies have no signature.
    assert_eq!(told.matches("the source would refuse it").count(), 2, "{told}");
}

#[test]
fn any_body_is_saved_masked_as_far_as_it_can_be_and_tested() {
    let source = "[source.any]\nsecrets = [{ file = \"secret\" }]\n[source.any.verify]\n\
                  algorithm = \"hmac-sha256\"\nheader = \"X-Signature\"\n";
    let folder = Folder::new("", source);
    let served = Served::start(&folder);
    let utf_16 = |text: &str| -> Vec<u8> {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nann@site.com\r\n\
                     --B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nHello\r\n--B--\r\n";
    let json = r#"{"email":"ann@site.com","title":"Hello"}"#;
    for (content_type, body, note) in [
        ("application/json", json.as_bytes().to_vec(), ""),
        ("application/json; charset=utf-16", utf_16(json), ""),
        ("application/json", [b"\xef\xbb\xbf", json.as_bytes()].concat(), ""),
        ("application/json", json.replace("Hello", "Hello \\ud83d").into_bytes(), ""),
        ("text/xml", b"<a><email>ann@site.com</email><title>Hello</title></a>".to_vec(), "text"),
        ("text/plain", b"Hello,\nyours ann@site.com".to_vec(), "text"),
        ("text/plain; charset=iso-8859-1", b"Hello Zo\xeb <ann@site.com>".to_vec(), "text"),
        ("multipart/form-data; boundary=B", multipart.as_bytes().to_vec(), "files"),
        ("application/octet-stream", b"Hello \xff\x00\xfe".to_vec(), "no text"),
        ("image/png", b"\x89PNG\r\n\x1a\n\x00Hello".to_vec(), "no text"),
        ("text/plain", Vec::new(), ""),
    ] {
        let headers =
            [("X-Signature", signature(&body)), ("Content-Type", content_type.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let id = wire::post(served.public(), "/hooks/any", &headers, &body).id();
        let saved = super::verbs::json(&folder, &["events", "save", &id]);
        let told = saved["not_masked"].as_str().unwrap_or_default();
        assert!(told.contains(note), "{content_type}: {told}");
        assert_eq!(told.is_empty(), note.is_empty(), "{content_type}: {told}");
        let text = std::fs::read_to_string(saved["file"].as_str().unwrap()).unwrap();
        assert!(!text.contains("ann@site.com"), "{content_type}: {text}");
        let is_text = !body.is_empty() && note != "no text";
        assert_eq!(text.contains("Hello"), is_text, "{content_type}: {text}");
        let is_masked = text.contains("person@example.com");
        assert_eq!(is_masked, is_text, "{content_type}: {text}");
    }
    assert_eq!(served.stop(), Some(0));
    printed(&run(&folder, &["test", "--update"]), 0);
    printed(&run(&folder, &["test"]), 0);
}

#[test]
fn page_and_api_give_the_test_case_that_the_command_saves() {
    let folder = Folder::new("", HANDLERS);
    let served = Served::start(&folder);
    let id = send(&folder, &served, "hyvor", "comment.create");
    let saved = json(&folder, &["events", "save", &id]);
    let file = saved["file"].as_str().unwrap();
    let token = std::fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let get = |path: &str| {
        let headers = [("Authorization", bearer.as_str())];
        wire::request(served.admin(), "GET", path, &headers, b"")
    };
    let name = file.rsplit('/').next().unwrap();
    let kept = get(&format!("/events/{id}?save=fixture"));
    assert_eq!(kept.status, 200, "{}", kept.text());
    let disposition = format!("attachment; filename=\"{name}\"");
    assert_eq!(kept.header("content-disposition"), Some(disposition.as_str()));
    assert!(kept.text().ends_with("}\n") && !kept.text().contains("zoe@example.com"));
    // How deliveries stand is asked anew each time.
    let plain = |text: &str| {
        let mut event: serde_json::Value = serde_json::from_str(text).unwrap();
        event["deliveries"] = json!(null);
        event
    };
    assert_eq!(plain(&kept.text()), plain(&std::fs::read_to_string(file).unwrap()));
    let told = get(&format!("/api/v1/events/{id}/fixture")).json();
    assert_eq!(told["name"], json!(name));
    assert_eq!(plain(&told["event"].to_string()), plain(&kept.text()));
    assert_eq!(told["not_masked"], json!(null));
    let page = get(&format!("/events/{id}")).text();
    assert!(page.contains(&format!("href=\"/events/{id}?save=fixture\" download")), "{page}");
    let nothing = get("/api/v1/events/0199c3f6-5b5e-7000-8000-000000000001/fixture");
    assert_eq!(nothing.status, 404);
    assert_eq!(served.stop(), Some(0));
}
