//! Answers that are always the same.

use super::*;

// Cisco Meraki opens the address by GET and wants its validator.
#[test]
fn question_by_get_alone_needs_no_signature_for_an_answer_that_is_always_the_same() {
    let get = "methods = [\"GET\"]\nanswer = \"validator\"";
    for path_and_query in ["/hooks/s", "/hooks/s?a=1"] {
        assert_eq!(body(ask_custom(get, "GET", path_and_query, &[], "")), "validator");
        assert_eq!(ask_custom(get, "POST", path_and_query, &[], "{}"), None);
    }
    let signed = format!("{get}\nsigned = true");
    assert_eq!(ask_custom(&signed, "GET", "/hooks/s", &[], ""), None);
    let reflects = "methods = [\"GET\"]\nanswer = \"{{ query.a }}\"";
    assert_eq!(ask_custom(reflects, "GET", "/hooks/s?a=1", &[], ""), None);
    // What is hashed, or may come with a body, is for who signs.
    let hashed = "methods = [\"GET\"]\nanswer = \"{{ hash }}\"\n\
                  hash = { algorithm = \"sha256\", signed = \"{query:a}{secret}\" }";
    assert_eq!(ask_custom(hashed, "GET", "/hooks/s?a=1", &[], ""), None);
}
