//! What strangers write is only text, and no page grows with it.

use crate::support::bad_server::{Answer as Scripted, BadServer};
use crate::support::gateway::{Gateway, SECRET};
use crate::support::wire::Answer;

/// The longest page.
const PAGE_MAX: usize = 60 << 10;

const MARKUP: &str = "</pre></td><script>alert(1)</script><img src=x onerror=alert(1)>'\\\"";
const BIDI: &str = "a\u{202e}gpj.exe\u{2066}\u{200f}";

fn source() -> String {
    let verify = r#"
[source.custom]
secrets = [{ file = "secret" }]
dedupe = "off"
[source.custom.verify]
algorithm = "token"
header = "X-Token"
type = { json = "type" }
[handler.app]
start = "oldest"
retry = { attempts = 1 }
"#;
    verify.to_owned()
}

fn pages(gateway: &Gateway, ids: &[String]) -> Vec<(String, Answer)> {
    let mut paths: Vec<String> = [
        "/",
        "/events",
        "/events?q=%3Cscript%3E",
        "/dead",
        "/dead?handler=app",
        "/rejected",
        "/rejected/1",
        "/rejected/1?body=raw",
        "/rejected/1?body=hex",
        "/handlers",
        "/handlers/app",
        "/handlers/all",
        "/sources",
        "/sources/custom",
        "/config",
        "/log",
        "/events?type=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/dead?handler=app&like=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/events?state=%3Cscript%3E",
        "/log?target=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/log?action=%3Cscript%3E",
        "/login?next=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/events?replay=1",
        "/events?replay=1&type=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ]
    .map(str::to_owned)
    .to_vec();
    for id in ids {
        paths.extend(
            ["", "?body=raw", "?body=hex", "?body=edit", "?handler=app", "?handler=all"]
                .map(|form| format!("/events/{id}{form}")),
        );
    }
    paths.into_iter().map(|path| (path.clone(), gateway.ask("GET", &path, ""))).collect()
}

#[test]
fn strangers_text_is_only_text_on_every_page_and_no_page_is_long() {
    let long = "x".repeat(1_000_000);
    let answer = format!("{MARKUP}{BIDI}");
    let refusals = (0..9).map(|_| Scripted::Status(400, Vec::new(), answer.clone()));
    let receiver = BadServer::start(refusals);
    let rest = format!("{}[handler.app.http]\nurl = \"{}\"\n", source(), receiver.url("/"));
    let gateway = Gateway::with("body_max = \"4MiB\"", &rest);
    let bodies = [
        format!(r#"{{"type":"{}","title":"{BIDI}"}}"#, MARKUP.replace("\\\"", "\\\\\\\"")),
        format!(r#"{{"type":"{BIDI}","title":"</script><script>alert(1)</script>"}}"#),
        format!(r#"{{"type":"{long}","{long}":"{BIDI}"}}"#),
        format!("<script>alert(1)</script>{BIDI}\u{0}"),
        "[".repeat(100_000),
    ];
    let header = format!("<script>alert(1)</script>{}", "y".repeat(4_000));
    let ids: Vec<String> = bodies
        .iter()
        .map(|body| {
            let headers = [("X-Token", SECRET), ("X-Evil", header.as_str())];
            gateway.post("custom", &headers, body.as_bytes()).id()
        })
        .collect();
    gateway.wait_for_outcomes("app", "dead", 5);
    let names: Vec<String> = (0..60).map(|n| format!("X-Evil-{n}")).collect();
    let evil = format!("<script>alert(1)</script>{}", "<".repeat(380));
    let mut wrong = vec![("X-Token", "<script>alert(1)</script>")];
    wrong.extend(names.iter().map(|name| (name.as_str(), evil.as_str())));
    gateway.post("custom", &wrong, bodies[3].repeat(2_000).as_bytes());
    gateway.post("<script>alert(1)</script>", &[], b"{}");
    let reason = format!("{MARKUP}{BIDI}{}", "x".repeat(10_000));
    let pause = serde_json::json!({ "reason": reason }).to_string();
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/all/pause", &pause).status, 200);
    let rollout = gateway.ask("POST", "/api/v1/rollouts", r#"{"handler":"app"}"#);
    assert_eq!(rollout.status, 200, "{}", rollout.text());
    let like = serde_json::json!({ "handler": "app", "like": "<".repeat(180) }).to_string();
    for _ in 0..50 {
        assert_eq!(gateway.ask("POST", "/api/v1/dead/redrive", &like).status, 200);
    }
    let pages = pages(&gateway, &ids);
    assert!(pages.len() > 25);
    for (path, page) in pages {
        let text = page.text();
        assert!([200, 400].contains(&page.status), "{path} {}", page.status);
        assert!(text.len() <= PAGE_MAX, "{path} has {} bytes", text.len());
        let scripts = text.matches("<script").count();
        assert_eq!(scripts, 1, "{path} has our own script only");
        assert!(!text.contains("<img"), "{path}");
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200f}']), "{path}");
        assert!(!text.contains("style=\""), "{path}");
    }
}

#[test]
fn no_parameter_makes_a_page_long_or_a_list_endless() {
    let gateway = Gateway::start();
    for n in 0..60 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    for query in
        ["limit=100000000", "before=99999999999999999999", "before=1", "after=-1", "done=1"]
    {
        for path in ["/events", "/dead", "/log", "/"] {
            let page = gateway.ask("GET", &format!("{path}?{query}"), "");
            // What these lists do not know is told, on a page as short as the others.
            let is_told = ["/events", "/dead", "/log"].contains(&path) && page.status == 400;
            assert!(page.status == 200 || is_told, "{path}?{query}: {}", page.status);
            assert!(page.body.len() <= PAGE_MAX, "{path}?{query} has {}", page.body.len());
        }
    }
    let page = gateway.ask("GET", "/events", "").text();
    assert_eq!(page.matches("/events/0").count(), 30);
    assert!(page.contains(">Older<"), "{page}");
}
