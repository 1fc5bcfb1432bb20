//! What the pages say of sources from which nothing comes in.

use super::page;
use crate::support::gateway::Gateway;
use crate::support::patience::wait_until;

const BODY: &str = r#"{"event":"comment.create"}"#;

/// A wrong secret is the usual first mistake.
#[test]
fn source_whose_requests_are_all_rejected_is_named_and_one_probe_is_no_trouble() {
    let gateway = Gateway::start();
    let rejected = || gateway.post("hyvor", &[("X-Signature", "00")], b"{}");
    assert_eq!(rejected().status, 401);
    for path in ["/", "/sources/hyvor"] {
        let text = page(&gateway, path);
        assert!(!text.contains("All well"), "{path}: {text}");
        assert!(text.contains("<a href=\"/rejected?source=hyvor\">"), "{path}: {text}");
    }
    let text = page(&gateway, "/");
    assert!(text.contains("<strong>Nothing gets in from hyvor since <time"), "{text}");
    assert!(text.contains("the only request that came was rejected, and none was"), "{text}");
    let text = page(&gateway, "/sources/hyvor");
    assert!(text.contains("Nothing gets in since <time"), "{text}");
    let text = page(&gateway, "/sources");
    assert!(text.contains("nothing gets in</span>"), "{text}");
    let text = page(&gateway, "/rejected");
    assert!(text.contains("The signature "), "a heading has a capital: {text}");
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    assert_eq!(rejected().status, 401);
    for path in ["/", "/sources/hyvor"] {
        let text = page(&gateway, path);
        assert!(!text.contains("Nothing gets in"), "{path}: {text}");
    }
    assert!(page(&gateway, "/").contains("<strong>All well:</strong>"));
    assert_eq!([rejected().status, rejected().status], [401, 401]);
    let text = page(&gateway, "/");
    assert!(text.contains("3 requests were rejected, and none was accepted."), "{text}");
}

#[test]
fn source_that_is_silent_for_longer_than_its_owner_expects_is_named() {
    let rest = "[source.shop]\nsecrets = [{ file = 'secret' }]\nexpect_every = '1s'\n\
                verify = { algorithm = 'hmac-sha256', header = 'X-S' }\n";
    let gateway = Gateway::with("", rest);
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    wait_until("it is told", || page(&gateway, "/").contains("shop has been silent since"));
    let text = page(&gateway, "/");
    assert!(text.contains("one event is expected every 1 s (<code>expect_every</code>)"), "{text}");
    assert!(text.contains("<a href=\"/sources/shop\">Its page</a>"), "{text}");
    let text = page(&gateway, "/sources/shop");
    assert!(text.contains("one event is expected every 1 s"), "{text}");
    assert!(page(&gateway, "/sources").contains("silent</span>"));
    assert!(!page(&gateway, "/sources/hyvor").contains("is expected every"));
}

#[test]
fn number_of_accepted_events_leads_to_those_since_the_start() {
    let gateway = Gateway::start();
    gateway.send(BODY.as_bytes()).id();
    gateway.wait_until_delivered("all", 1);
    let gateway = Gateway::serve(gateway.stop_and_keep());
    gateway.send(br#"{"event":"comment.create","n":2}"#).id();
    gateway.wait_until_delivered("all", 1);
    for path in ["/", "/sources", "/sources/hyvor"] {
        let text = page(&gateway, path);
        let link = text.split("<a href=\"/events?source=hyvor&amp;since=").nth(1).unwrap();
        let (since, number) = link.split_once("\">").unwrap();
        assert!(number.starts_with("1<"), "{path}: {number}");
        let list = gateway.ask("GET", &format!("/api/v1/events?source=hyvor&since={since}"), "");
        assert_eq!(list.json().as_array().unwrap().len(), 1, "{path}: {since}");
    }
}

#[test]
fn table_of_sources_has_the_last_event_of_one_that_checks_nothing() {
    let gateway = Gateway::with("", "[source.open]\nverify = { algorithm = 'none' }\n");
    let last = || {
        let text = page(&gateway, "/sources");
        let row = text.split("<a href=\"/sources/open\">").nth(1).unwrap();
        let cell = row.split("data-l=\"Last event\">").nth(1).unwrap();
        cell.split("</td>").next().unwrap().to_owned()
    };
    assert!(!last().contains("<time"), "{}", last());
    gateway.post("open", &[], BODY.as_bytes()).id();
    assert!(last().contains("<time"), "{}", last());
}
