use super::*;
use crate::expr::{Escape, Expression, Template};

#[track_caller]
fn check(text: &str, words: &str, help: &str) {
    let err = Expression::compile(text).unwrap_err();
    assert_eq!(text.get(err.range.unwrap()), Some(words), "{text}");
    assert_eq!(err.help, help, "{text}");
}

#[test]
fn expression_with_braces_is_written_without() {
    let text = "{{ data.status == '}}' }}";
    check(text, text, "write it without `{{ }}`: `data.status == '}}'`");
    let help = "write names without `{{ }}`, texts in quotation marks, and `~` between them";
    check("{{ data.a }}-{{ data.b }}", "{{ data.a }}-{{ data.b }}", help);
    check("{% if data.a %}b{% endif %}", "{% if data.a %}b{% endif %}", help);
}

#[test]
fn words_of_other_languages_have_their_remedy() {
    check("data.a === '==='", "===", "write `==`");
    check("data.a !== 1", "!==", "write `!=`");
    check("data.a && data.b", "&&", "write `and`");
    check("data.a || data.b", "||", "write `or`");
    check("!data.a", "!", "write `not`");
    check("data.a == null", "null", "write `none`");
    check("data.a is undefined and data.b != nil", "nil", "write `none`");
    check("data.a ? 1 : 2", "?", "write `a if condition else b`");
    check("data.a = 'x'", "=", "compare with `==`");
    check("data?.a", "?.", "write `.`: what is missing has no fields, and is no error");
    check("data.a ?? 'x'", "??", "write `| default(…)`");
    check("data.a AND data.b", "AND", "write `and`");
    check("NOT data.a", "NOT", "write `not`");
    check("data.a eq 'x'", "eq", "write `==`");
    let no_patterns = "write `\"word\" in data.text`: there are no patterns";
    check("data.a =~ '^x'", "=~", no_patterns);
    check("data.a matches '^x'", "matches", no_patterns);
    check("data.a contains 'x'", "contains", "write `\"word\" in data.text`");
    check("data.a is 'x'", "is", "compare with `==`");
    check("data.a is not 'x'", "is", "compare with `!=`");
    let root = "leave it out: `data.…` and `payload.…` begin at the body's root";
    check("$.data.a", "$", root);
    check("{data.a}", "{data.a}", "write it without `{ }`: `data.a`");
    check("${data.a}", "${data.a}", "write it without `{ }`: `data.a`");
}

#[test]
fn names_that_stand_for_nothing_have_their_remedy() {
    check("data.a == TRUE", "TRUE", "write `true`");
    check("len(data.a) > 3", "len", "write `x | length`");
    check("now()", "now", "write `event.received_at`: when the event came");
    check("lower(data.a) == 'x'", "lower", "write `x | lower`");
    check("dta.a", "dta", "did you mean `data`?");
    check("data.a == published", "published", "a text stands in quotation marks: `\"published\"`");
    let fields = "fields of the body stand in `data` and `payload`, as in `data.comment`";
    check("comment.body", "comment", fields);
}

#[test]
fn fields_with_a_hyphen_have_their_remedy() {
    let path = "payload.first-name";
    check("payload.first-name == 'x'", path, "write `payload[\"first-name\"]`");
    let header = "event.headers.x-github-event";
    check(
        "'a' ~ event.headers.x-github-event",
        header,
        "write `event.headers[\"x-github-event\"]`",
    );
    let deep = "data.z-y.first-name.it";
    check("(data.z-y.first-name.it) | lower", deep, "write `data[\"z-y\"][\"first-name\"].it`");
    let text = "the name: {{ payload.first-name | upper }}";
    let err = Template::compile(text, Escape::None).unwrap_err();
    assert_eq!(err.message, "`-` is no part of a name: `payload.first-name` subtracts");
    assert_eq!(text.get(err.range.unwrap()), Some(path));
    // A difference of what is there is none of this.
    Expression::compile("payload.a-data.b").unwrap();
    check("3-x", "x", "a field of the body is `data.x`, and a text `\"x\"`");
}

#[test]
fn templates_have_the_same_remedies_in_their_code_only() {
    let compile = |text: &str| Template::compile(text, Escape::None);
    let err = compile("a && b {% if data.a && data.b %}x{% endif %}").unwrap_err();
    assert_eq!((err.range, err.help.as_str()), (Some(20..22), "write `and`"));
    compile("a && b === null {{ data.a | default('&&') }}").unwrap();
    let err = compile("{{ data.a }").unwrap_err();
    assert_eq!(err.help, "`{{` is closed by `}}`");
    let err = compile("{% if data.a %}").unwrap_err();
    assert!(err.help.contains("`{% endif %}`"), "{err:?}");
}

#[test]
fn all_unknown_filters_are_told_with_the_nearest() {
    let err = Template::compile("{{ data.a | uper | truncat(5) }}", Escape::None).unwrap_err();
    assert_eq!(err.message, "unknown filter: filter uper is unknown, and so is truncat");
    assert_eq!(err.help, "did you mean `upper`?");
}

#[test]
fn unknown_methods_have_their_remedy() {
    let help = |text: &str| Expression::compile(text).unwrap_err().help;
    assert_eq!(help("event.type.startsWith('x')"), "did you mean `startswith`?");
    assert_eq!(help("event.type.toUpperCase()"), "write `| upper`");
    assert!(help("event.type.flattenDeep()").starts_with("the methods are capitalize, "));
}

#[test]
fn good_texts_have_no_slips() {
    for text in [
        "data.a != 1",
        "data.a <= 2 or not data.b",
        "data.a.get('x', default=1)",
        "data.a is eq(1) and data.b is ne 2",
        "data.eq == data.matches",
        "{'a': data.b}.a",
    ] {
        Expression::compile(text).unwrap();
        assert_eq!(in_expression(text), None, "{text}");
    }
}

#[test]
fn page_of_handlers_names_every_filter_and_no_other() {
    let page = include_str!("../../../docs/handlers/index.md");
    let list = page.split("stand filters: ").nth(1).unwrap().split(". Most are").next().unwrap();
    let named: Vec<&str> = list.split([',', '\n', ' ']).filter(|word| !word.is_empty()).collect();
    assert_eq!(named, FILTERS);
}

#[test]
fn lists_of_names_are_those_that_there_are() {
    for filter in FILTERS {
        Expression::compile(&format!("data.a | {filter}")).map_or_else(
            |err| assert!(!err.message.contains("unknown"), "{filter}: {err}"),
            |_| (),
        );
    }
    for test in TESTS {
        Expression::compile(&format!("'{test}' is test")).unwrap();
        let is_known = Expression::compile(&format!("data.a is {test}"));
        assert!(is_known.is_ok_and(|_| true) || ["divisibleby", "in"].contains(&test), "{test}");
    }
    for method in METHODS {
        // Whatever it is given: a text, a list or a map has it.
        let is_known = ["'a'", "[1]", "{'a': 1}"].into_iter().any(|value| {
            let environment = crate::expr::environment(1000, Escape::None);
            let called = environment.compile_expression_owned(format!("{value}.{method}('a')"));
            match called.unwrap().eval(()) {
                Ok(_) => true,
                Err(err) => err.kind() != ErrorKind::UnknownMethod,
            }
        });
        assert!(is_known, "{method}");
    }
}

#[test]
fn statements_of_other_languages_have_their_remedy() {
    let help = |text: &str| Template::compile(text, Escape::None).unwrap_err().help;
    let elif = "write `{% elif … %}`";
    assert_eq!(help("{% if data.a %}a{% elseif data.b %}b{% endif %}"), elif);
    assert_eq!(help("{% if data.a %}a{% elsif data.b %}b{% endif %}"), elif);
    assert_eq!(help("{% if data.a %}a{% else if data.b %}b{% endif %}"), elif);
    assert_eq!(help("{% if data.a %}a{% end %}"), "write `{% endif %}` or `{% endfor %}`");
    assert_eq!(help("{{{ data.a }}}"), "two braces are enough: `{{ … }}`");
    assert!(help("{{#if data.a}}x{{/if}}").contains("`{% endif %}`"));
    assert!(help("{{#each data.a}}x{{/each}}").contains("`{% endfor %}`"));
    assert!(help("{{ .data.a }}").starts_with("leave the first `.` out"));
    for other in ["{% include 'a' %}", "{% import 'a' as b %}", "{% extends 'a' %}"] {
        assert!(help(other).starts_with("write its text here"), "{other}");
    }
    assert!(help("{{ lipsum() }}").contains("filter behind `|`"));
}

#[test]
fn filters_and_tests_of_other_languages_have_their_remedy() {
    let help = |text: &str| Expression::compile(text).unwrap_err().help;
    assert_eq!(help("data.a | upcase"), "write `| upper`");
    assert_eq!(help("data.a | json"), "write `| tojson`");
    assert_eq!(help("data.a | strftime('%Y')"), "write `| date(…)`");
    assert_eq!(help("data.a | trunc(5)"), "did you mean `truncate`?");
    assert_eq!(help("data.a is empty"), "write `not x`: what is empty counts as false");
    assert_eq!(help("data.a is nunber"), "did you mean `number`?");
    assert_eq!(help("['a'].upper()"), "write `x | upper`");
}

#[test]
fn placeholder_of_another_template_is_found_outside_of_ours() {
    let check = |text: &str, expected: Option<(&str, &str)>| {
        let found = foreign_placeholder(text);
        let expected = expected.map(|(written, ours)| (written.to_owned(), ours.to_owned()));
        assert_eq!(found, expected, "{text}");
    };
    check("New: {payload.msg}", Some(("{payload.msg}", "{{ payload.msg }}")));
    check("{{ event.type }} ${payload.x}!", Some(("${payload.x}", "{{ payload.x }}")));
    check("<%= payload.x %>", Some(("<%= payload.x %>", "{{ payload.x }}")));
    check("[[payload.y]]", Some(("[[payload.y]]", "{{ payload.y }}")));
    check("#{data.items[0].id}", Some(("#{data.items[0].id}", "{{ data.items[0].id }}")));
    check("{ event.type }", Some(("{ event.type }", "{{ event.type }}")));
    check("%{data['a']}", Some(("%{data['a']}", "{{ data['a'] }}")));
    for text in [
        "{{ payload.msg }}",
        "${{ payload.amount }}",
        "{\"a\": {{ data.x | tojson }}, \"b\": {\"data.x\": 1}}",
        "{% if data.x %}{data}{% endif %}",
        "{# {data.x} #}",
        "{datas.x} [data] {payload} {a.payload.x} {data.x: 1}",
        "[data.x]",
        "{data.x",
        "{{ data.x",
    ] {
        check(text, None);
    }
}
