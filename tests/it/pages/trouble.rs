//! Pages in trouble in a browser: they fit in every width, and it complains of nothing.

use super::browser::{check_width, pictures, visit};
use crate::support::browser::Browser;
use crate::support::gateway::Gateway;

const REST: &str = "[source.shop]\nsecrets = [{ file = 'secret' }]\nexpect_every = '1s'\n\
                    verify = { algorithm = 'hmac-sha256', header = 'X-S' }\n\
                    [handler.slow]\non = ['hyvor:page.*']\nstart = 'oldest'\n[handler.slow.log]\n";

#[test]
fn pages_in_trouble_fit_in_every_width_and_an_edited_copy_is_looked_at_before_it_is_sent() {
    let Some(mut browser) = Browser::start() else { return };
    let gateway = Gateway::with("", REST);
    let pause = r#"{"for":"1h","reason":"the disk of the other machine is full"}"#;
    assert_eq!(gateway.ask("POST", "/api/v1/handlers/slow/pause", pause).status, 200);
    let id = gateway.send(br#"{"event":"comment.create","data":{"n":1}}"#).id();
    gateway.wait_until_delivered("all", 1);
    gateway.post("userecho", &[("X-Signature", "00")], b"{}");
    visit(&mut browser, &gateway, "/");
    let mut paths: Vec<(&str, String)> = [
        ("trouble", "/"),
        ("source-rejects", "/sources/userecho"),
        ("source-silent", "/sources/shop"),
        ("handler-paused", "/handlers/slow"),
        ("rejected-of-source", "/rejected?source=userecho"),
    ]
    .map(|(name, path)| (name, path.to_owned()))
    .to_vec();
    paths.push(("event-unasked", format!("/events/{id}?list=source%3Dhyvor")));
    check_width(&mut browser, &gateway, &paths);
    pictures(&mut browser, &gateway, &paths);
    assert_eq!(browser.complaints, Vec::<String>::new());
    // A page that is answered with 400 is one that the console tells of.
    pictures(&mut browser, &gateway, &[("wrong-address", "/dead?handler=nope".to_owned())]);
    browser.complaints.clear();
    visit(&mut browser, &gateway, &format!("/events/{id}?body=edit"));
    browser.fill("#text", r#"{"event":"comment.create""#);
    browser.click("Show what would happen");
    let shown = browser.text();
    assert!(shown.contains("The body was JSON and is none now:"), "{shown}");
    #[expect(clippy::disallowed_methods, reason = "people say where pictures go")]
    if let Ok(folder) = std::env::var("GATEPOST_PICTURES") {
        for (width, height) in [(1280, 900), (390, 844)] {
            browser.size(width, height);
            let name = format!("edit-preview-{width}.png");
            browser.picture(&std::path::Path::new(&folder).join(name));
        }
    }
    browser.size(1280, 900);
    browser.eval("document.querySelector('[name=confirm]').checked = true");
    browser.click("Send an edited copy");
    assert!(browser.text().contains("which is no JSON any more"), "{}", browser.text());
    assert_eq!(browser.complaints, Vec::<String>::new());
}
