//! Bodies that are forms, and queries: their fields are there for filters and templates.

use super::super::support::gateway::Folder;
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;
use super::verbs::{json, lines};
use crate::support::patience::wait_until;

const SENDERS: &str = r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[source.form.verify]
algorithm = "token"
header = "X-Token"
type = { form = "kind" }
[source.form]
secrets = [{ file = "secret" }]
[source.twilio]
provider = "twilio"
url = "https://example.com/hooks/twilio"
secrets = [{ file = "secret" }]
[handler.texts]
when = "payload.Body"
[handler.texts.file]
path = "texts.jsonl"
[handler.mail]
enabled = false
[handler.mail.email]
smtp = "smtp://127.0.0.1:9"
from = "gatepost@example.com"
to = ["owner@example.com"]
subject = "SMS from {{ payload.From }}"
text = "{{ payload.Body }}{% for tag in payload.tag %} #{{ tag }}{% endfor %}"
"#;

/// What a slash command, a mail route or a text message looks like: `+` and `%` are no letters, and
/// a field may come twice.
const PLAIN: &str = "kind=sms&From=%2B4915112345678&Body=Caf%C3%A9+%26+Kuchen&tag=a&tag=b";
const PARTS: &str = "--cut\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nsms\r\n\
    --cut\r\nContent-Disposition: form-data; name=\"From\"\r\n\r\n+4915112345678\r\n\
    --cut\r\nContent-Disposition: form-data; name=\"Body\"\r\n\r\nCafé & Kuchen\r\n\
    --cut\r\nContent-Disposition: form-data; name=\"tag\"\r\n\r\na\r\n\
    --cut\r\nContent-Disposition: form-data; name=\"tag\"\r\n\r\nb\r\n--cut--\r\n";

fn post(served: &Served, secret: &str, content_type: &str, body: &str) -> String {
    let headers = [("X-Token", secret), ("Content-Type", content_type)];
    wire::post(served.public(), "/hooks/form", &headers, body.as_bytes()).id()
}

#[test]
fn form_fields_reach_filter_mail_and_file() {
    let folder = Folder::of_text(SENDERS);
    let secret = std::fs::read_to_string(folder.path().join("secret")).unwrap();
    let served = Served::start(&folder);
    let sent = [
        post(&served, secret.trim(), "application/x-www-form-urlencoded", PLAIN),
        post(&served, secret.trim(), "application/x-www-form-urlencoded; charset=UTF-8", PLAIN),
        post(&served, secret.trim(), "multipart/form-data; boundary=cut", PARTS),
    ];
    let stored = lines(&folder, "texts.jsonl", sent.len());
    for (id, stored) in sent.iter().zip(&stored) {
        assert_eq!(stored["id"], id.as_str());
        assert_eq!(stored["type"], "sms");
        assert_eq!(stored["payload"]["Body"], "Café & Kuchen");
        let shown = printed(&run(&folder, &["events", "show", id]), 0);
        assert!(shown.contains("of body, as it is read:"), "{shown}");
        assert!(shown.contains("\"Body\": \"Café & Kuchen\""), "{shown}");
        let page = served.ask("GET", &format!("/events/{id}")).text();
        assert!(page.contains("Café &amp; Kuchen"), "{page}");
        let kinds = [", application/x-www-form-urlencoded", ", multipart/form-data"];
        assert!(kinds.iter().any(|kind| page.contains(kind)), "{page}");
        let plan = json(&folder, &["handlers", "try", "mail", "--event", id]);
        let mail = &plan["plan"][0];
        assert_eq!(mail["subject"], "[try] SMS from +4915112345678", "{plan:#}");
        assert_eq!(mail["text"], "Café & Kuchen #a #b", "{plan:#}");
    }
    // A preset's own sample is a form, too; its sender wants an empty answer, which names no id.
    let url = format!("{}/hooks/twilio", served.url);
    let told = printed(&run(&folder, &["send", "twilio", "delivered", "--url", &url]), 0);
    assert_eq!(told, "stored\nnext: gatepost events list --source twilio\n");
    let stored = lines(&folder, "texts.jsonl", sent.len() + 1);
    assert_eq!(stored.last().unwrap()["payload"]["Body"], "Hello & welcome");
    let listed = json(&folder, &["events", "list", "--source", "twilio"]);
    assert_eq!(listed[0]["id"], stored.last().unwrap()["id"]);
    assert_eq!(served.stop(), Some(0));
}

const QUERY: &str = r#"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[source.own]
secrets = [{ file = "secret" }]
[source.own.verify]
algorithm = "token"
query = "key"
type = { query = "kind" }
[handler.texts]
when = 'event.query.env == "prod" and payload.status'
[handler.texts.file]
path = "texts.jsonl"
[handler.program.command]
run = ["sh", "-c", "echo $GATEPOST_QUERY_order/$GATEPOST_QUERY_key > order"]
[handler.mail]
enabled = false
[handler.mail.email]
smtp = "smtp://127.0.0.1:9"
from = "gatepost@example.com"
to = ["owner@example.com"]
subject = "Order {{ event.query.order }}"
text = "{{ payload.status }}"
"#;

/// What its owner wrote into the address of a callback is kept with the event, and no password.
#[test]
fn query_of_the_address_reaches_filter_mail_program_and_export() {
    let folder = Folder::of_text(QUERY);
    let secret = std::fs::read_to_string(folder.path().join("secret")).unwrap();
    let secret = secret.trim();
    let served = Served::start(&folder);
    let send = |env: &str| {
        let path =
            format!("/hooks/own?order=4%202&env={env}&key={secret}&kind=paid&to=ann%40site.com");
        let json = [("Content-Type", "application/json")];
        wire::post(served.public(), &path, &json, br#"{"status":"delivered"}"#).id()
    };
    let (test, id) = (send("test"), send("prod"));
    let stored = lines(&folder, "texts.jsonl", 1);
    assert_eq!((&stored[0]["id"], &stored[0]["type"]), (&id.as_str().into(), &"paid".into()));
    let expected =
        serde_json::json!({ "order": "4 2", "env": "prod", "kind": "paid", "to": "ann@site.com" });
    assert_eq!(stored[0]["query"], expected);
    served.wait_until_delivered("program");
    let order = || std::fs::read_to_string(folder.path().join("order")).unwrap_or_default();
    wait_until("the order is written", || order() == "4 2/\n");
    let plan = json(&folder, &["handlers", "try", "mail", "--event", &id]);
    assert_eq!(plan["plan"][0]["subject"], "[try] Order 4 2", "{plan:#}");
    let why = json(&folder, &["handlers", "try", "texts", "--event", &test]);
    assert_eq!(why["wanted"], "no", "{why:#}");
    let saved = json(&folder, &["events", "save", &id]);
    let saved = std::fs::read_to_string(saved["file"].as_str().unwrap()).unwrap();
    assert!(saved.contains("\"order=4+2&env=prod&kind=paid&to=person%40example.com\""), "{saved}");
    assert_eq!(served.stop(), Some(0));

    printed(&run(&folder, &["test", "--update"]), 0);
    printed(&run(&folder, &["test"]), 0);

    // Over a restart, and into another queue.
    let shown = printed(&run(&folder, &["events", "show", &id]), 0);
    assert!(shown.contains("order=4%202&env=prod&kind=paid&to=ann%40site.com"), "{shown}");
    assert!(!shown.contains(secret), "{shown}");
    let exported = printed(&run(&folder, &["queue", "export"]), 0);
    assert!(exported.contains("\"query\":\"order=4%202&env=prod&"), "{exported}");
    assert!(!exported.contains(secret), "{exported}");
    let other = Folder::of_text(QUERY);
    std::fs::write(other.path().join("events"), &exported).unwrap();
    printed(&run(&other, &["queue", "import", "events"]), 0);
    let shown = printed(&run(&other, &["events", "show", &id]), 0);
    assert!(shown.contains("order=4%202&env=prod"), "{shown}");
    // What is a password today is hidden in what came before.
    let password = QUERY.replace("query = \"key\"", "query = \"order\"");
    std::fs::write(other.config(), password).unwrap();
    let shown = printed(&run(&other, &["events", "show", &id]), 0);
    assert!(shown.contains("env=prod") && !shown.contains("4%202"), "{shown}");
}

/// A trigger by GET at a source that takes POST: answered as a look, and its owner can find out.
#[test]
fn good_get_that_is_not_stored_is_told() {
    let folder = Folder::of_text(QUERY);
    let secret = std::fs::read_to_string(folder.path().join("secret")).unwrap();
    let served = Served::start(&folder);
    let get = |query: &str| {
        wire::request(served.public(), "GET", &format!("/hooks/own{query}"), &[], b"").status
    };
    assert_eq!(get(""), 200);
    let told = || printed(&run(&folder, &["status"]), 0);
    assert!(!told().contains("a good GET"), "a look without the password is none");
    assert_eq!(get(&format!("?key={}", secret.trim())), 200);
    let told = told();
    assert!(told.contains("a good GET or HEAD, answered and not stored"), "{told}");
    assert!(!told.contains(secret.trim()), "{told}");
    assert_eq!(served.stop(), Some(0));
}

/// What a variable's name cannot have is `_` there; of those with one name the first counts.
#[test]
fn parameters_of_any_name_reach_a_program() {
    let run = "echo $GATEPOST_QUERY_order_id/$GATEPOST_QUERY_a_b_ > order";
    let text = QUERY.replace("echo $GATEPOST_QUERY_order/$GATEPOST_QUERY_key > order", run);
    let folder = Folder::of_text(&text);
    let secret = std::fs::read_to_string(folder.path().join("secret")).unwrap();
    let served = Served::start(&folder);
    let path = format!("/hooks/own?order-id=5&a%5Bb%5D=1&a-b-=2&kind=paid&key={}", secret.trim());
    wire::post(served.public(), &path, &[("Content-Type", "application/json")], b"{}").id();
    served.wait_until_delivered("program");
    assert_eq!(std::fs::read_to_string(folder.path().join("order")).unwrap(), "5/1\n");
    assert_eq!(served.stop(), Some(0));
}
