//! What is told beside a mistake is what to write.

use super::*;

#[test]
fn word_in_place_of_the_verify_table_is_told_what_to_write() {
    let problems = bad(&format!("{SECRETS}verify = \"none\""));
    assert!(problems.contains("write `verify = { algorithm = \"none\" }`"), "{problems}");
    let problems = bad(&format!("{SECRETS}verify = \"hmac-sha256\""));
    let help = "write `verify = { algorithm = \"hmac-sha256\", header = \"X-Signature\" }`";
    assert!(problems.contains(help), "{problems}");
    // Nothing else is told of it.
    assert_eq!(problems.lines().count(), 1, "{problems}");
}

#[test]
fn empty_list_of_networks_is_refused() {
    let problems = bad(&format!("{SECRETS}provider = \"github\"\nallow = []"));
    assert!(problems.contains("error source.s.allow: a list without an address"), "{problems}");
    assert!(problems.contains("leave it out where everybody may send"), "{problems}");
}

#[test]
fn address_that_is_not_whole_is_named_with_what_to_write() {
    for (url, expected) in [
        ("site.example/hooks/x", "https://site.example/hooks/x"),
        ("//site.example/hooks/x", "https://site.example/hooks/x"),
        ("htps://site.example/hooks/x", "https://site.example/hooks/x"),
    ] {
        let verify =
            "verify = { algorithm = \"hmac-sha256\", header = \"X-S\", signed = \"{url}{body}\"";
        for table in [
            format!("{SECRETS}provider = \"twilio\"\nurl = \"{url}\""),
            format!("{SECRETS}{verify}, url = \"{url}\" }}"),
        ] {
            let problems = bad(&table);
            assert!(problems.contains("an address begins with https://"), "{problems}");
            assert!(problems.contains(&format!("`url = \"{expected}\"`")), "{problems}");
        }
    }
    good(&format!("{SECRETS}provider = \"twilio\"\nurl = \"HTTPS://site.example/hooks/x\""));
}

#[test]
fn question_by_an_unknown_name_is_hashed_under_a_signature_alone() {
    let table = |name: &str, more: &str| {
        format!(
            "{SECRETS}verify = {{ {SIGNED} }}\n\
             handshake = {{ hash = {{ query = \"{name}\" }}{more} }}"
        )
    };
    let signing = |text: &str| good(text).profile.handshakes.pop().map(|one| one.signing);
    assert_eq!(signing(&table("t", "")), Some(crate::source::Signing::Signed));
    assert!(bad(&table("t", ", signed = false")).contains("hashed with the secret"));
    for name in ["challenge_code", "crc_token", "challengeCode"] {
        if name == "challenge_code" {
            let said = bad(&table(name, ""));
            assert!(said.contains("a stranger's question is hashed with"), "{said}");
        } else {
            good(&table(name, ""));
        }
        let known = format!("verify_token = {{ env = \"B\" }}\n{}", table(name, ""));
        assert_eq!(signing(&known), Some(crate::source::Signing::Open), "{name}");
    }
}

#[test]
fn hash_for_strangers_with_what_signs_events_is_warned_of() {
    let said = |token: &str, more: &str| {
        let hash = "{ algorithm = \"hmac-sha256\", signed = \"{query:crc_token}\" }";
        let text = format!(
            "{SECRETS}verify_token = {{ env = \"{token}\" }}\nverify = {{ {SIGNED} }}\n\
             handshake = {{ when = {{ query = \"crc_token\" }}, hash = {hash}, \
             answer = '{{\"a\": {{{{ hash }}}} }}'{more} }}"
        );
        read(&text).1
    };
    let told = "they may have events of their own signed";
    assert!(said("A", "").contains(told), "{}", said("A", ""));
    assert!(!said("B", "").contains(told) && !said("A", ", signed = true").contains(told));
}

#[test]
fn nothing_that_is_checked_stands_beside_none() {
    let none = |more: &str| format!("verify = {{ algorithm = \"none\"{more} }}");
    for key in ["header = \"X-S\"", "timestamp = { header = \"X-T\" }", "encoding = \"hex\""] {
        let said = bad(&none(&format!(", {key}")));
        assert!(said.contains("`algorithm = \"none\"` checks nothing"), "{said}");
    }
    let said = bad(&format!("{SECRETS}{}", none("")));
    assert!(said.contains("nothing is checked by them"), "{said}");
    good(&none(", id = { header = \"X-Id\" }, type = { json = \"event\" }"));
}

#[test]
fn path_of_another_language_is_refused_wherever_one_stands() {
    let scheme = |more: &str| {
        bad(&format!("{SECRETS}verify = {{ algorithm = \"hmac-sha256\", header = \"X\"{more} }}"))
    };
    let said = scheme(", type = { json = \"$.event\" }");
    assert!(
        said.contains("write names and places with `.` between them: `json = \"event\"`"),
        "{said}"
    );
    let said = scheme(", id = { json = \"data[0].id\" }");
    assert!(said.contains("`json = \"data.0.id\"`"), "{said}");
    let split = "split = \"json-array\"\nsplit_at = \"value[]\"\n";
    let said = bad(&format!("{split}{SECRETS}verify = {{ {SIGNED} }}"));
    assert!(said.contains("`split_at = \"value\"`"), "{said}");
}
