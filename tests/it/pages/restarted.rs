//! What is known of handlers over a restart.

use gatepost::clock::Timestamp;
use serde_json::Value;

use crate::support::bad_server::{BadServer, status};
use crate::support::gateway::{Folder, Gateway, http_handler};
use crate::support::program::Served;

/// A handler whose first try fails, and whose next one is made when it is asked for.
fn config(receiver: &BadServer) -> String {
    http_handler("app", "retry = { min = \"1h\", max = \"1h\" }", receiver)
}

fn handler(gateway: &Gateway, name: &str) -> Value {
    gateway.ask("GET", &format!("/api/v1/handlers/{name}"), "").json()
}

#[test]
fn handler_fails_and_delivered_last_as_it_did_before_a_restart() {
    let receiver = BadServer::start([status(503)]);
    let gateway = Gateway::with("", &config(&receiver));
    gateway.send(b"{}").id();
    gateway.wait_for_outcomes("app", "retry", 1);
    gateway.wait_until_delivered("all", 1);
    let (app, all) = (handler(&gateway, "app"), handler(&gateway, "all"));
    let gateway = Gateway::serve(gateway.stop_and_keep());
    let after = handler(&gateway, "app");
    // A moment of the steady clock, told by the wall clock: between the two some time passes.
    let millis = |of: &Value| {
        let text = of["failing_since"].as_str().unwrap_or_else(|| panic!("{of}"));
        Timestamp::parse_rfc3339(text).unwrap().as_millis()
    };
    assert!(millis(&after).abs_diff(millis(&app)) < 1_000, "{app} {after}");
    assert_eq!(after["failures"], 1, "{after}");
    assert_eq!(after["last_error"], app["last_error"], "{after}");
    assert_eq!(handler(&gateway, "all")["last_success_at"], all["last_success_at"]);
    let page = gateway.ask("GET", "/", "").text();
    assert!(page.contains("app has been failing since") && page.contains("503"), "{page}");
    gateway.ask("POST", "/api/v1/handlers/app/retry", "");
    gateway.wait_until_delivered("app", 1);
    while !handler(&gateway, "app")["failing_since"].is_null() {}
    // And what has ended does not come back.
    let gateway = Gateway::serve(gateway.stop_and_keep());
    assert!(handler(&gateway, "app")["failing_since"].is_null());
}

#[test]
fn handler_fails_since_before_its_process_was_killed() {
    let receiver = BadServer::start([status(503)]);
    let folder = Folder::new("", &config(&receiver));
    let served = Served::start(&folder);
    let body = b"{}";
    let headers = [("X-Signature", &*crate::support::gateway::signature(body))];
    crate::support::wire::post(served.public(), "/hooks/hyvor", &headers, body).id();
    // It is written within seconds of the failure.
    while !std::fs::read_to_string(folder.path().join("data/handler-records"))
        .is_ok_and(|text| text.contains("\"n_failures\":1"))
    {
        std::thread::yield_now();
    }
    served.kill();
    let served = Served::start(&folder);
    let app = served.ask("GET", "/api/v1/handlers/app").json();
    assert!(app["failing_since"].is_string(), "{app}");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn what_a_handler_delivered_last_is_known_after_it_was_changed() {
    let gateway = Gateway::start();
    gateway.send(b"{}").id();
    gateway.wait_until_delivered("all", 1);
    let before = handler(&gateway, "all")["last_success_at"].clone();
    let text = std::fs::read_to_string(gateway.folder.config()).unwrap();
    let changed = text.replace("[handler.all.file]", "timeout = \"7s\"\n[handler.all.file]");
    std::fs::write(gateway.folder.config(), changed).unwrap();
    let reloaded = gateway.ask("POST", "/api/v1/reload", "");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(handler(&gateway, "all")["last_success_at"], before);
}
