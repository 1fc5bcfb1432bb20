//! Passwords that come with requests: they are shown nowhere.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::super::support::gateway::{Folder, SECRET};
use super::super::support::program::{Served, printed, run};
use super::super::support::wire;

/// One way to send a password.
struct Way {
    name: &'static str,
    source: &'static str,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// Whether handlers get it with the body, which stays what it is.
    is_in_body: bool,
}

fn way(name: &'static str, source: &'static str) -> Way {
    let (query, headers, body) = (String::new(), Vec::new(), r#"{"n":1.10}"#.to_owned());
    Way { name, source, query, headers, body, is_in_body: false }
}

fn in_body(name: &'static str, source: &'static str, content_type: &str, body: &str) -> Way {
    let body = body.replace("SECRET", SECRET);
    let headers = vec![("Content-Type", content_type.to_owned())];
    Way { headers, body, is_in_body: true, ..way(name, source) }
}

fn in_header(name: &'static str, source: &'static str, header: &'static str, value: &str) -> Way {
    Way { headers: vec![(header, value.to_owned())], ..way(name, source) }
}

/// Every scheme whose credential stands in a header, the query or the body.
#[expect(clippy::too_many_lines, reason = "a table: a way a line")]
fn ways() -> Vec<Way> {
    let form = "application/x-www-form-urlencoded";
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nSECRET\r\n--b--\r\n";
    let batch = r#"[{"t":"SECRET","n":1},{"t":"SECRET","n":2}]"#;
    let basic = format!("Basic {}", BASE64_STANDARD.encode(SECRET));
    let constant = "verify = { algorithm = \"sha256\", header = \"X-Hash\", signed = \"{secret}\", \
                    allow_unsigned_body = true }";
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(SECRET));
    vec![
        in_header(
            "token",
            "verify = { algorithm = \"token\", header = \"X-Token\" }",
            "X-Token",
            SECRET,
        ),
        in_header(
            "bearer",
            "verify = { algorithm = \"token\", header = \"Authorization\", prefix = \"Bearer \" }",
            "Authorization",
            &format!("Bearer {SECRET}"),
        ),
        in_header("basic", "verify = { algorithm = \"basic\" }", "Authorization", &basic),
        in_header("constant", constant, "X-Hash", &hash),
        in_header("gitlab", "provider = \"gitlab\"", "X-Gitlab-Token", SECRET),
        Way {
            query: format!("?a=1&key={SECRET}"),
            ..way("query", "verify = { algorithm = \"token\", query = \"key\" }")
        },
        in_body(
            "json",
            "verify = { algorithm = \"token\", json = \"a.t\" }",
            "application/json",
            r#"{"n":1.10,"a":{"t":"SECRET"}}"#,
        ),
        in_body(
            "form",
            "verify = { algorithm = \"token\", form = \"t\" }",
            form,
            "n=1.10&t=SECRET",
        ),
        in_body(
            "multipart",
            "verify = { algorithm = \"token\", form = \"t\" }",
            "multipart/form-data; boundary=b",
            multipart,
        ),
        in_body(
            "inner",
            "verify = { algorithm = \"token\", json = \"t\" }",
            form,
            "data=%7B%22t%22%3A%22SECRET%22%7D",
        ),
        in_body(
            "split",
            "split = \"json-array\"\nverify = { algorithm = \"token\", json = \"0.t\" }",
            "application/json",
            batch,
        ),
        in_body(
            "each",
            "verify = { algorithm = \"token\", json = \"t\", each = \"\" }",
            "application/json",
            batch,
        ),
    ]
}

impl Way {
    fn post(
        &self,
        served: &Served,
        query: &str,
        body: &str,
        change: impl Fn(&str) -> String,
    ) -> u16 {
        let path = format!("/hooks/{}{query}", self.name);
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, change(value))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        wire::post(served.public(), &path, &headers, body.as_bytes()).status
    }

    /// What lets its reader in, in each form in which it is written.
    fn secrets(&self, secret: &str) -> Vec<String> {
        let mut all = vec![secret.to_owned(), BASE64_STANDARD.encode(secret)];
        all.extend(
            self.headers.iter().filter(|(name, _)| *name == "X-Hash").map(|(_, one)| one.clone()),
        );
        all
    }
}

fn start(ways: &[Way]) -> (Folder, Served) {
    let table = |way: &Way| {
        format!("[source.{}]\nsecrets = [{{ file = \"secret\" }}]\n{}\n", way.name, way.source)
    };
    let sources = ways.iter().map(table).collect::<Vec<_>>().concat();
    let receiver = "[handler.seen.file]\npath = \"data/seen.jsonl\"\n";
    let folder =
        Folder::new("failed_verification_limit = \"off\"", &format!("{sources}{receiver}"));
    let served = Served::start(&folder);
    (folder, served)
}

#[track_caller]
fn check_hidden(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{what}: {text}");
        // A body comes in base64, too.
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))) {
            let decoded = BASE64_STANDARD.decode(word).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&decoded).contains(secret.as_str()), "{what}: {text}");
        }
    }
}

#[test]
fn password_of_an_event_is_shown_in_no_view_and_reaches_handlers_in_the_body_only() {
    let ways = ways();
    let (folder, served) = start(&ways);
    for way in &ways {
        let status = way.post(&served, &way.query, &way.body, str::to_owned);
        assert_eq!(status, 200, "{}", way.name);
    }
    served.wait_until_delivered("seen");
    let lines = std::fs::read_to_string(folder.path().join("data/seen.jsonl")).unwrap();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let way = ways.iter().find(|way| line["source"] == way.name).unwrap();
        let headers = line["headers"].to_string();
        check_hidden(way.name, &headers, &way.secrets(SECRET));
        assert_eq!(
            line.to_string().contains(SECRET),
            way.is_in_body && way.name != "inner"
                || way.name == "inner" && line["payload"]["t"] == SECRET,
            "{}: {line}",
            way.name
        );
    }
    let ids = |way: &Way| -> Vec<String> {
        let listed = served.ask("GET", &format!("/api/v1/events?source={}", way.name)).json();
        let listed = listed.as_array().unwrap().iter();
        listed.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<(&Way, String)> =
        ways.iter().flat_map(|way| ids(way).into_iter().map(move |id| (way, id))).collect();
    assert_eq!(all.len(), ways.len() + 1, "one is two events");
    for (way, id) in &all {
        let secrets = way.secrets(SECRET);
        for path in [
            format!("/api/v1/events/{id}"),
            format!("/events/{id}"),
            format!("/events/{id}?body=raw"),
            format!("/events/{id}?body=hex"),
            "/events".to_owned(),
        ] {
            let answer = served.ask("GET", &path);
            assert_eq!(answer.status, 200, "{path}");
            check_hidden(&format!("{} {path}", way.name), &answer.text(), &secrets);
        }
    }
    let show = |arguments: &[&str]| {
        for (way, id) in &all {
            let text =
                printed(&run(&folder, &[&["events", "show", id][..], arguments].concat()), 0);
            check_hidden(&format!("{} {arguments:?}", way.name), &text, &way.secrets(SECRET));
            assert!(text.contains("(hidden)") || way.name == "query", "{}: {text}", way.name);
        }
    };
    show(&[]);
    // The body is what it is where it is asked for.
    let (way, id) = all.iter().find(|(way, _)| way.name == "json").unwrap();
    assert_eq!(run(&folder, &["events", "show", id, "--raw"]).stdout, way.body.as_bytes());
    assert_eq!(served.stop(), Some(0));
    // From the store itself.
    show(&["--json"]);
}

#[test]
fn password_of_a_rejected_request_is_shown_in_no_view() {
    const OTHER: &str = "an-older-secret-of-the-tests";
    let ways = ways();
    let (folder, served) = start(&ways);
    let to_other = |text: &str| {
        let basic = (BASE64_STANDARD.encode(SECRET), BASE64_STANDARD.encode(OTHER));
        let text = text.replace(SECRET, OTHER).replace(&basic.0, &basic.1);
        let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { hex::encode(<sha2::Sha256 as sha2::Digest>::digest(OTHER)) } else { text }
    };
    for way in &ways {
        let status = way.post(&served, &to_other(&way.query), &to_other(&way.body), to_other);
        assert_eq!(status, 401, "{}", way.name);
    }
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(OTHER));
    let secrets = [OTHER.to_owned(), BASE64_STANDARD.encode(OTHER), hash];
    for path in ["/api/v1/rejected", "/rejected", "/api/v1/status"] {
        check_hidden(path, &served.ask("GET", path).text(), &secrets);
    }
    let show = |what: &str| {
        check_hidden(what, &printed(&run(&folder, &["rejected", "list", "--json"]), 0), &secrets);
        for number in 1..=ways.len() {
            let number = number.to_string();
            for arguments in
                [&["rejected", "show", &number][..], &["rejected", "show", &number, "--raw"]]
            {
                let text = printed(&run(&folder, arguments), 0);
                check_hidden(&format!("{what} {arguments:?}"), &text, &secrets);
            }
        }
    };
    show("served");
    check_hidden("log", &served.log(), &secrets);
    assert_eq!(served.stop(), Some(0));
    show("from the file");
}

#[test]
fn source_of_basic_asks_for_the_password() {
    let source =
        "[source.b]\nsecrets = [{ file = \"secret\" }]\nverify = { algorithm = \"basic\" }";
    let folder = Folder::new("", source);
    let served = Served::start(&folder);
    let answer = wire::post(served.public(), "/hooks/b", &[], b"{}");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"gatepost\""));
    let signed = wire::post(served.public(), "/hooks/hyvor", &[], b"{}");
    assert_eq!((signed.status, signed.header("www-authenticate")), (401, None));
    assert_eq!(served.stop(), Some(0));
}
