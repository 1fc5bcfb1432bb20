use minijinja::ErrorKind;

use super::*;
use crate::expr::{Escape, ExprError, Expression, Template};

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
    check("data.a LIKE '%x%'", "LIKE", no_patterns);
    check("data.a CONTAINS 'x'", "CONTAINS", "write `\"word\" in data.text`");
    check("data.a BETWEEN 1 and 5", "BETWEEN", "write `data.number >= 1 and data.number <= 5`");
    check("data.a IS none", "IS", "write `is`");
    check("data.a IN ['x']", "IN", "write `in`");
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
    check("headers['x-a'] == 'b'", "headers", "write `event.headers`");
    check("body.a", "body", "write `payload`");
    let of_event = "write `event.type`, or `data.type` for a field of the body";
    check("type == 'push'", "type", of_event);
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
    assert_eq!(err.help, "did you mean `upper`?; `truncat`: did you mean `truncate`?");
    let text = "{{ data.a | markdown | uper | wordcount }}";
    let help = Template::compile(text, Escape::None).unwrap_err().help;
    assert_eq!(help.matches("the filters are").count(), 1, "{help}");
}

#[test]
fn unknown_methods_have_their_remedy() {
    let help = |text: &str| Expression::compile(text).unwrap_err().help;
    assert_eq!(help("event.type.startsWith('x')"), "did you mean `startswith`?");
    assert_eq!(help("event.type.toUpperCase()"), "write `| upper`");
    assert!(help("event.type.flattenDeep()").starts_with("the methods are capitalize, "));
}

#[test]
fn methods_that_are_told_too_little_have_their_remedy() {
    let count =
        "how many there are is `x | length`; how often one of them is there is `x.count(\"a\")`";
    check("payload.commits.count() > 3", "count()", count);
    check("data.a and data.name.startswith( )", "startswith( )", "as in `x.startswith(\"a\")`");
    check("data.a.replace('a,b') == ''", "replace('a,b')", "as in `x.replace(\"a\", \"b\")`");
    let err = Template::compile("{% if data.a %}{{ data.list.count() }}{% endif %}", Escape::None);
    assert_eq!(err.unwrap_err().help, count);
    for text in [
        "data.a.count('a') > 1",
        "data.a.replace((1, 2)[0], 'b')",
        "data.a.replace(*data.pair)",
        "data.a.split()",
    ] {
        assert!(Expression::compile(text).is_ok(), "{text}");
    }
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

const AT_END: &str = "something is missing at its end";
const JOIN: &str = "join conditions by `and` or `or`, texts by `~`";
const VALUE: &str = "a value is missing there, such as `data.name`";
const NAME: &str =
    "a name stands there; a field of another name stands in brackets: `data[\"first name\"]`";
const CLOSED: &str = "every `{{` is closed by `}}`";

fn untold(compiled: Result<(), ExprError>, text: &str, expected: &str) -> Option<String> {
    match compiled {
        Err(err) if err.help.starts_with(expected) => None,
        other => Some(format!("{text}: {other:?}")),
    }
}

/// No text that does not compile leaves its owner without a word of what to write.
#[test]
fn every_expression_that_does_not_compile_is_told_what_to_write() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("data.a ==", AT_END),
        ("data.a |", AT_END),
        ("data.", AT_END),
        ("data.a is", AT_END),
        ("(data.a", "close the bracket: `)`"),
        ("data.a and", AT_END),
        ("data[0", "close the bracket: `]`"),
        ("", AT_END),
        ("data.a data.b", JOIN),
        ("data.a == 5 6", JOIN),
        ("lambda x: x", JOIN),
        ("data.a likewise", JOIN),
        ("data.a)", "leave it out: it closes no bracket"),
        ("data.a, data.b", "write one value, or a list in `[…]`"),
        ("(data.a data.b)", "close the bracket: `)`"),
        ("data[0 1]", "close the bracket: `]`"),
        ("[data.a data.b]", "write `,` between two values, or close the bracket"),
        ("{'a' 1}.a", "a map is written `{\"name\": data.name}`"),
        ("data.a == == 5", VALUE),
        ("and data.a", JOIN),
        ("data..a", NAME),
        ("data.'a b'", NAME),
        ("data.a | 5", NAME),
        ("data.a == 'x", "close the text by the quotation mark that it begins with"),
        ("data.a == “x”", "write straight quotation marks: `\"text\"`"),
        ("@data.a", "it means nothing here; a text stands in quotation marks"),
        ("data.a;", "it means nothing here; a text stands in quotation marks"),
        ("1_", "write the number without `_` at its end"),
        (
            "99999999999999999999999999999999999999999999",
            "write so long a number as a text in quotation marks",
        ),
        (
            "data.a | truncate(end='…', 5)",
            "what has no name stands first, as in `truncate(80, end=\"…\")`",
        ),
        ("data.a | date(data.x ~ 'DD')", "as in `date("),
    ] {
        wrong.extend(untold(Expression::compile(text).map(drop), text, expected));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_template_that_does_not_compile_is_told_what_to_write() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("{{ }}", VALUE),
        ("{{ data.a data.b }}", "join texts by `~`, or write each value in `{{ … }}` of its own"),
        ("{{ if data.a %}a{% endif %}", "write `{% if … %}`"),
        ("{{- elif data.a }}", "write `{% elif … %}`"),
        ("{% if data.a %}a{{ endif }}", "write `{% endif %}`"),
        ("{{ data.a } }", "`{{` is closed by `}}`"),
        ("{{ data.a", "`{{` is closed by `}}`"),
        ("{% if data.a", CLOSED),
        ("{% if %}a{% endif %}", VALUE),
        ("{% if data.a data.b %}a{% endif %}", JOIN),
        ("{% for x data.list %}a{% endfor %}", "a loop is written `{% for x in data.list %}`"),
        ("{% for x in data.list %}a", CLOSED),
        ("{% for 5 in data.list %}a{% endfor %}", NAME),
        ("{% set x data.a %}", "write `{% set x = data.name %}`"),
        ("{% set none = 1 %}", "give it another name"),
        ("{% else %}", "it belongs behind `{% if … %}`, before `{% endif %}`"),
        ("a{% endif %}", "leave it out, or write `{% if … %}` before it"),
        ("{% fro x in data.list %}a{% endfor %}", "did you mean `{% for … %}`?"),
        ("{% payload.a %}", "a value stands in `{{ … }}`; statements are "),
        ("{% 5 %}", "behind `{%` stands a statement such as `if`; a value stands in `{{ … }}`"),
        ("{# a", "`{#` is closed by `#}`"),
        ("{% raw %}a", "`{% raw %}` is closed by `{% endraw %}`"),
        (
            "{% block a %}{% endblock %}{% block a %}{% endblock %}",
            "leave it out: there are no other",
        ),
        ("{% call data.a %}x{% endcall %}", "write `{% call name(…) %}`"),
    ] {
        wrong.extend(untold(Template::compile(text, Escape::None).map(drop), text, expected));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What no list has.
    for text in [
        "{% do data.a %}",
        "{% break %}",
        "{% autoescape 'x' %}a{% endautoescape %}",
        "{{ super() }}",
        "{{ loop() }}",
    ] {
        let help =
            Template::compile(text, Escape::None).map_or_else(|err| err.help, |_| "-".into());
        assert!(!help.is_empty(), "{text}");
    }
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
