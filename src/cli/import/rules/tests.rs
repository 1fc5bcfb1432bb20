//! What is carried over of a rule.

use super::*;

#[test]
fn rules_that_may_keep_strangers_out_are_told_from_conditions_on_the_event() {
    let value = |source: &str, name: &str| {
        serde_json::json!({ "match": { "type": "value", "value": "v",
            "parameter": { "source": source, "name": name } } })
    };
    let any = |rules: &[Value]| serde_json::json!({ "or": rules });
    let (event, body) = (value("header", "X-GitHub-Event"), value("payload", "ref"));
    let hmac = serde_json::json!({ "match": { "type": "payload-hmac-sha256", "secret": "s",
        "parameter": { "source": "header", "name": "X-Signature" } } });
    let other = serde_json::json!({ "match": { "type": "scalr-signature", "secret": "s" } });
    let network =
        serde_json::json!({ "match": { "type": "ip-whitelist", "ip-range": "10.0.0.0/8" } });
    for (rule, expected) in [
        (event.clone(), false),
        (any(&[event.clone(), body.clone()]), false),
        (serde_json::json!({ "not": body }), false),
        (hmac.clone(), false),
        (network.clone(), false),
        (any(&[hmac.clone(), value("url", "token")]), true),
        (any(&[value("header", "X-Token"), value("header", "X-Token")]), false),
        (any(&[value("header", "X-Token"), value("header", "X-Key")]), true),
        (any(&[network, event.clone()]), true),
        (serde_json::json!({ "not": hmac.clone() }), true),
        (serde_json::json!({ "and": [hmac, any(&[other.clone(), event])] }), false),
        (other, true),
        (value("query", "site"), false),
        (any(&[value("query", "site"), value("header", "X-Site")]), true),
        (serde_json::json!({}), true),
        (serde_json::json!({ "or": [] }), true),
    ] {
        assert_eq!(TriggerRule::read(&rule).keeps_out_no_more(), expected, "{rule}");
    }
}

#[test]
fn what_all_must_hold_of_a_header_and_the_address_is_carried_over() {
    let value = |source: &str, name: &str, value: &str| {
        serde_json::json!({ "match": { "type": "value", "value": value,
            "parameter": { "source": source, "name": name } } })
    };
    let (token, event) = (value("header", "X-Token", "one"), value("header", "X-Event", "push"));
    let (password, site) = (value("url", "token", "two"), value("url", "site", "three"));
    let event_is = "(event.headers[\"x-event\"] | string) == \"push\"";
    for (rules, (place, secret), expected) in [
        ([&token, &password], ("X-Token", "one"), "(event.query[\"token\"] | string) == \"two\""),
        ([&event, &site], ("site", "three"), event_is),
        ([&password, &event], ("token", "two"), event_is),
        ([&site, &token], ("X-Token", "one"), "(event.query[\"site\"] | string) == \"three\""),
    ] {
        let read = TriggerRule::read(&serde_json::json!({ "and": rules }));
        assert!(read.lost.is_empty() && !read.keeps_out_no_more(), "{rules:?}: {read:?}");
        let caller = read.caller.unwrap();
        assert_eq!((caller.place().name.as_str(), caller.secrets()[0].as_str()), (place, secret));
        assert_eq!(read.conditions, [expected], "{rules:?}");
    }
}

#[test]
fn several_secrets_at_one_place_are_one_way_to_show_who_it_is() {
    let hmac = |header: &str, kind: &str, secret: &str| {
        serde_json::json!({ "match": { "type": kind, "secret": secret,
            "parameter": { "source": "header", "name": header } } })
    };
    let (sha512, sha1) = ("payload-hash-sha512", "payload-hash-sha1");
    let secrets = |rules: &[Value]| {
        let read = TriggerRule::read(&serde_json::json!({ "or": rules }));
        read.caller.map(|caller| caller.secrets().to_vec())
    };
    let (one, two) = (hmac("X-S", sha512, "one"), hmac("X-S", sha512, "two"));
    let both = ["one", "two"].map(str::to_owned).to_vec();
    assert_eq!(secrets(&[one.clone(), two, one.clone()]), Some(both));
    assert_eq!(secrets(&[one.clone(), hmac("X-T", sha512, "two")]), None);
    assert_eq!(secrets(&[one, hmac("X-S", sha1, "two")]), None);
}

#[test]
fn regular_expressions_that_are_texts_become_comparisons() {
    for (regex, expected) in [
        ("^refs/heads/main$", "(payload.ref | string) == \"refs/heads/main\""),
        ("^refs/tags/", "(payload.ref | string) is startingwith(\"refs/tags/\")"),
        ("^refs/tags/.*$", "(payload.ref | string) is startingwith(\"refs/tags/\")"),
        ("\\.txt$", "(payload.ref | string) is endingwith(\".txt\")"),
        ("wip", "\"wip\" in (payload.ref | string)"),
        (".*", "\"\" in (payload.ref | string)"),
    ] {
        assert_eq!(pattern("payload.ref", regex).as_deref(), Ok(expected), "{regex}");
    }
    for regex in ["^v[0-9]+$", "a|b", "\\d", "(?i)x", "a.b"] {
        assert!(pattern("payload.ref", regex).is_err(), "{regex}");
    }
}

#[test]
fn networks_that_must_hold_together_are_not_added_up() {
    let network =
        |range: &str| serde_json::json!({ "match": { "type": "ip-whitelist", "ip-range": range } });
    let (a, b, c) =
        (network("10.0.0.0/8 10.1.0.0/16"), network("192.168.0.0/16"), network("127.0.0.1"));
    let any = serde_json::json!({ "or": [a.clone(), b] });
    let hmac = serde_json::json!({ "match": { "type": "payload-hmac-sha256", "secret": "s",
        "parameter": { "source": "header", "name": "X-Signature" } } });
    for (parts, n_allowed, n_lost, is_open) in [
        (vec![any.clone()], 3, 0, false),
        (vec![any.clone(), c.clone()], 3, 1, true),
        (vec![a, c.clone()], 2, 1, true),
        (vec![hmac, any, c], 3, 1, false),
    ] {
        let read = TriggerRule::read(&serde_json::json!({ "and": parts }));
        assert_eq!((read.allow.len(), read.lost.len()), (n_allowed, n_lost), "{read:?}");
        assert_eq!(read.keeps_out_no_more(), is_open, "{read:?}");
    }
}
