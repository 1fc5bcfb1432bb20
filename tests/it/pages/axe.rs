//! Every page, judged by axe-core (WCAG 2.2 A and AA, and its best practices) in both themes.

use std::path::Path;

use serde_json::Value;

use crate::support::bad_server::{BadServer, status};
use crate::support::browser::Browser;
use crate::support::gateway::Gateway;
use crate::support::servers::skip;

/// The script, where `./test` has installed it.
fn axe() -> Option<String> {
    let path = "target/dashboard/node_modules/axe-core/axe.min.js";
    let script = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok();
    if script.is_none() {
        skip("`axe-core` is not installed (./test does it)");
    }
    script
}

/// What axe finds on the present page, one line each.
fn violations(browser: &mut Browser, script: &str) -> Vec<String> {
    browser.eval(&format!("{script}; 0"));
    let found = browser.eval(
        "axe.run(document, { resultTypes: ['violations'] }).then(result => \
         result.violations.flatMap(one => one.nodes.map(node => \
         `${one.id}: ${node.target.join(' ')}: ${node.failureSummary}`)))",
    );
    let lines = found.as_array().unwrap().iter();
    lines.map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned)).collect()
}

#[test]
fn pages_have_no_violations_in_either_theme() {
    let (Some(script), Some(mut browser)) = (axe(), Browser::start()) else { return };
    let receiver =
        BadServer::start((0..3).map(|_| status(422)).chain((0..900).map(|_| status(503))));
    let rest = format!(
        "[handler.app]\nstart = \"oldest\"\nconcurrency = 1\n[handler.app.http]\nurl = \"{}\"\n\
         [handler.premium]\nwhen = \"data.comment.is_premium\"\n[handler.premium.log]\n",
        receiver.url("/")
    );
    let gateway = Gateway::with("", &rest);
    let empty = Gateway::start();
    let id = gateway.send(br#"{"event":"comment.create","data":{"n":1}}"#).id();
    for n in 2..5 {
        gateway.send(format!(r#"{{"event":"comment.create","data":{{"n":{n}}}}}"#).as_bytes()).id();
    }
    gateway.wait_for_outcomes("app", "dead", 3);
    gateway.wait_for_outcomes("app", "retry", 1);
    gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    gateway.post("nobody", &[], b"{}");
    super::owner::send_no_request(&gateway);
    let begun = gateway.ask("POST", "/api/v1/rollouts", r#"{"handler":"app"}"#);
    assert_eq!(begun.status, 200, "{}", begun.text());
    let groups: Value = gateway.ask("GET", "/api/v1/dead?group=reason", "").json();
    let mut wrong = Vec::new();
    for theme in ["light", "dark"] {
        browser.theme(theme);
        for (gateway, paths) in [
            (&empty, vec!["/login".to_owned(), "/".to_owned(), "/events".to_owned()]),
            (
                &gateway,
                vec![
                    "/".to_owned(),
                    "/events".to_owned(),
                    "/events?source=hyvor&replay=1".to_owned(),
                    format!("/events/{id}"),
                    format!("/events/{id}?body=hex"),
                    format!("/events/{id}?body=edit"),
                    "/dead".to_owned(),
                    "/dead?handler=app".to_owned(),
                    "/rejected".to_owned(),
                    "/rejected/1".to_owned(),
                    "/handlers".to_owned(),
                    "/handlers/app".to_owned(),
                    "/sources".to_owned(),
                    "/sources/hyvor".to_owned(),
                    "/config".to_owned(),
                    "/log".to_owned(),
                    "/log?action=rollout".to_owned(),
                    "/nothing".to_owned(),
                ],
            ),
        ] {
            for path in paths {
                super::browser::visit(&mut browser, gateway, &path);
                for violation in violations(&mut browser, &script) {
                    wrong.push(format!("{theme} {path}: {violation}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{groups}", wrong.join("\n"));
}
