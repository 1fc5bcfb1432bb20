//! The dashboard, as browsers and programs see it.

mod access;
mod action_log;
mod addresses;
mod api;
mod axe;
mod browser;
mod by_hand;
mod details;
mod edited;
mod fields;
mod hostile;
mod lists;
mod live;
mod many;
mod owner;
mod pauses;
mod refusals;
mod rejected_one;
mod restarted;
mod schemathesis;
mod sources;
mod steer;
mod told;
mod trouble;
mod unasked;
mod waits;
mod wide;

use serde_json::Value;

use crate::support::gateway::Gateway;

/// What the API answers at `path`.
fn ask(gateway: &Gateway, path: &str) -> Value {
    gateway.ask("GET", &format!("/api/v1/{path}"), "").json()
}

fn page(gateway: &Gateway, path: &str) -> String {
    let page = gateway.ask("GET", path, "");
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    page.text()
}
