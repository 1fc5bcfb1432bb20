//! Bodies of templates of which parts are not written for each event.

use super::*;

#[tokio::test]
async fn commas_of_parts_that_are_not_written_are_left_out() {
    let parts = "{ {% if data.a %}\"a\": 1,{% endif %} {% if data.b %}\"b\": \", }\"{% endif %} }";
    let called = "headers = { Content-Type = 'application/json; charset=utf-8' }";
    for (more, expected) in [
        (format!("body = '{parts}'"), "{ \"a\": 1  }"),
        (format!("body = '{parts}'\nescape = 'json'"), "{ \"a\": 1  }"),
        (format!("body = '{{% if true %}}{parts}{{% endif %}}'\n{called}"), "{ \"a\": 1  }"),
        ("body = '[{% for n in data.l %}{{ n }},{% endfor %}]'".to_owned(), "[1,2]"),
        // What is no JSON is its owner's.
        ("body = '{{ data.a }}, }'".to_owned(), "1, }"),
        (
            "headers = { Content-Type = 'application/json5' }\nbody = '{\"a\": 1, }'".to_owned(),
            "{\"a\": 1, }",
        ),
    ] {
        let request = sent(&more, delivery(br#"{"data":{"a":1,"l":[1,2]}}"#)).await;
        assert_eq!(String::from_utf8(request.body).unwrap(), expected, "{more}");
    }
}
