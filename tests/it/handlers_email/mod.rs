//! `email` against mail servers: one of our own that misbehaves on purpose, and `aiosmtpd`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::ManualClock;
use gatepost::event::{Delivery, EventId, Failure, FailureClass, FailureKind, Output};
use gatepost::handler::{BuildContext, Handler};
use mail_parser::MessageParser;
use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::Gateway;
use crate::support::kinds::{
    NOW, assert_permanent, assert_transient, build, context, context_with, delivery, settings,
    until_taken,
};
use crate::support::program::{printed, run};
use crate::support::proxy::{Direction, Proxy, Upstream};
use crate::support::servers::skip;
use crate::support::smtp::{PASSWORD, Quirk, SmtpServer, Stored, Tls, USER};

mod aiosmtpd;
mod dialog;
mod quota;
mod recipients;

const WORDS: &str = r#"
from = "Gatepost <gatepost@example.com>"
to = ["owner@example.com", "second@example.com"]
subject = "Comment {{ data.id }}"
text = "{{ data.body }}"
html = "<p>{{ data.body }}</p>"
"#;

fn comment(number: u64) -> Delivery {
    delivery(number, "comment.create", &json!({"id": number, "body": "Grüße <b>\n.\nend"}))
}

/// The folder with the server's certificate and the password in it, and a handler.
fn handler(server: &SmtpServer, url: &str, more: &str) -> (TempDir, Box<dyn Handler>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), &server.ca_pem).unwrap();
    std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let built = build("email", &format!("smtp = \"{url}\"\n{WORDS}{more}"), folder.path());
    (folder, built)
}

fn plain_url(server: &SmtpServer) -> String {
    format!("smtp://{}", server.address)
}

fn log_in_url(scheme: &str, server: &SmtpServer, query: &str) -> String {
    let user = USER.replace('@', "%40");
    format!("{scheme}://{user}@localhost:{}{query}", server.address.port())
}

const LOG_IN: &str = "ca = \"ca.pem\"\npassword = { file = \"password\" }";

fn message_id(stored: &Stored) -> String {
    let parsed = MessageParser::new().parse(&stored.bytes).unwrap();
    parsed.message_id().unwrap().to_owned()
}

fn transients(failure: &Failure) -> Vec<(EventId, FailureKind)> {
    failure.each.iter().map(|(id, failure)| (*id, failure.kind)).collect()
}

#[track_caller]
fn assert_put_off(failure: &Failure, wait: Duration, done: &[u64]) {
    assert_eq!(failure.kind, FailureKind::Deferred, "{failure}");
    assert_eq!(failure.retry_after, Some(wait));
    let done: Vec<EventId> = done.iter().map(|number| comment(*number).event.id).collect();
    assert_eq!(failure.done, done);
}

fn subjects(server: &SmtpServer) -> Vec<String> {
    let subject = |mail: &Stored| {
        MessageParser::new().parse(&mail.bytes).unwrap().subject().unwrap().to_owned()
    };
    server.stored().iter().map(subject).collect()
}

/// Each event says its recipient.
fn handler_to_each(
    server: &SmtpServer,
    more: &str,
) -> (Arc<ManualClock>, TempDir, Box<dyn Handler>) {
    let folder = tempfile::tempdir().unwrap();
    let words = WORDS.replace("[\"owner@example.com\", \"second@example.com\"]", "\"data.to\"");
    let text = format!("smtp = \"{}\"\n{words}{more}", plain_url(server));
    let clock = Arc::new(ManualClock::new(NOW));
    let context = context_with(folder.path(), Arc::<ManualClock>::clone(&clock));
    let mail = settings("email", &text, folder.path()).build(&context).unwrap();
    (clock, folder, mail)
}

fn to(number: u64, to: &str) -> Delivery {
    delivery(number, "x", &json!({"id": number, "to": to}))
}

/// Begins a call and drops it once the server has come to the last thing it was told to do.
async fn drop_in_mid_way(server: &SmtpServer, mail: &dyn Handler, deliveries: &[Delivery]) {
    let has_come = async {
        while server.has_quirks() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        result = mail.handle(deliveries) => panic!("the call ended: {result:?}"),
        () = has_come => {}
    }
}
