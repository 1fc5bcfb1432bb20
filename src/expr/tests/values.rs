//! What is missing, and numbers.

use super::*;

/// What each expression makes of a missing field and of `null`.
#[track_caller]
fn check_nothing(expression: &str, expected: &str) {
    for nothing in ["data.missing", "data.none", "data.missing.deeper"] {
        check(&expression.replace('?', nothing), expected);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a filter a line")]
fn nothing_stays_nothing_through_every_filter() {
    for filter in [
        "lower",
        "upper",
        "title",
        "capitalize",
        "trim",
        "replace('a', 'b')",
        "escape",
        "e",
        "indent(2)",
        "split(',')",
        "lines",
        "urlencode",
        "string",
        "round",
        "abs",
        "int",
        "float",
        "min",
        "max",
        "sort",
        "unique",
        "items",
        "reverse",
        "first",
        "last",
        "list",
        "join(', ')",
        "batch(2)",
        "map('upper')",
        "map(attribute='name') | list",
        "select",
        "select('odd') | list",
        "selectattr('name')",
        "reject",
        "rejectattr('name') | list",
        "zip([1]) | list",
        "groupby('name')",
        "groupby('name') | list",
        "chain(data.missing)",
        "dictsort",
        "slice(2)",
        "attr('a')",
        "pprint",
        "safe",
        "truncate(5)",
        "date",
        "money('EUR')",
        "from_json",
        "striptags | default('')",
        "upper | trim | truncate(3)",
    ] {
        let text = format!("(? | {filter}) or 'nothing'");
        check_nothing(&text, "nothing");
        let template = format!("[{{{{ data.none | {filter} }}}}{{{{ data.missing | {filter} }}}}]");
        check_template(&template, Escape::None, "[]");
    }
    check_nothing("? | default('Guest')", "Guest");
    check_nothing("? | d('Guest')", "Guest");
    check_nothing("? | lower | default('Guest')", "Guest");
    check_nothing("? | length", "0");
    check_nothing("? | sum", "0");
    check_nothing("'%s!' | format(?)", "!");
    check("0 | default(5)", "0");
    check("0 | default(5, true)", "5");
    check("0 | default(5, boolean=true)", "5");
}

#[test]
fn nothing_stays_nothing_through_operators_slices_and_methods() {
    check_nothing("? ~ '!'", "!");
    check_nothing("'a' ~ ? ~ 'b'", "ab");
    check("'a' ~ none ~ 'b' ~ None", "ab");
    check("1 ~ 'x' ~ true ~ 1.5", "1xtrue1.5");
    check_nothing("(?[:100]) or 'nothing'", "nothing");
    check_nothing("?[1:] | default('none given')", "none given");
    check_nothing("'a' in ?", "false");
    check_nothing("'a' not in ?", "true");
    check_nothing("? in 'None is a word'", "false");
    check_nothing("'ab' in 'a' ~ ? ~ 'b' and 'x' not in 'a' ~ ?", "true");
    check_nothing("'b' in ['a'] + ['b'] and 'c' not in (['a'] + ['b'])", "true");
    check_nothing("?.upper().strip() or 'nothing'", "nothing");
    check_nothing("?.split(',') | length", "0");
    check("data.none is none and data.none == none", "true");
    check("data.missing is defined", "false");
    check_template("{{ data.tags ~ data.none }}", Escape::None, r#"["a","b"]"#);
    check_template("{{ data.user }} {{ [data.none] }}", Escape::None, r#"{"name":"Ann"} [null]"#);
}

#[test]
fn nothing_compares_with_nothing() {
    for operator in ["<", "<=", ">", ">="] {
        for other in ["3", "-3", "0", "'a'", "''", "true", "data.tags", "data.user", "none", "?"] {
            check_nothing(&format!("? {operator} {other}"), "false");
            check_nothing(&format!("{other} {operator} ?"), "false");
            check_nothing(&format!("not (? {operator} {other})"), "true");
            check_nothing(&format!("not ? {operator} {other}"), "true");
            check_nothing(
                &format!("? is {operator}({other})")
                    .replace("is <=(", "is le(")
                    .replace("is >=(", "is ge(")
                    .replace("is <(", "is lt(")
                    .replace("is >(", "is gt("),
                "false",
            );
        }
    }
    check_nothing("1 < ? < 3", "false");
    check_nothing("? | length < 3", "true");
    check_nothing("(? or 0) < 3 and (? | default(5)) > 3", "true");
    check_nothing("[1, ?, 5] | select('lt', 3) | list", "[1]");
    check_nothing(
        "[{'n': 1}, {'n': ?}, {}] | selectattr('n', 'le', 3) | map(attribute='n') | list",
        "[1]",
    );
    // What is missing is what is null, and nothing else.
    check_nothing("? == none and none == ? and not ? != none", "true");
    check_nothing("? == data.missing and data.none == ?", "true");
    check_nothing("? is none and ? is eq(none) and ? in [1, none]", "true");
    check_nothing("? == 0 or ? == '' or ? == false or ? == []", "false");
    check_nothing("? != 0 and ? != 'x' and ? is ne(1)", "true");
    check_nothing("? is odd or ? is even or ? is number or ? is string", "false");
}

#[test]
fn calculating_with_nothing_fails_by_the_names_that_were_written() {
    for (text, told) in [
        ("data.missing * 2", "undefined and number (at `data.missing * 2`)"),
        ("1 + payload.data.none", "number and none"),
        ("data.qty < data.missing + 1", "undefined and number (at `data.missing + 1`)"),
        ("data.missing / 2", "undefined and number (at `data.missing / 2`)"),
        ("data.missing ** 2", "`data.missing` is undefined"),
    ] {
        let err = Expression::compile(text).unwrap().eval(&Scope::of(&event(BODY))).unwrap_err();
        let told_at = err.message.contains(told) && !err.message.contains("_fields");
        assert!(told_at, "{text}: {}", err.message);
    }
}

#[test]
fn values_compare_with_their_like() {
    for (comparison, expected) in [
        ("'19.99' > 100", "false"),
        ("'19.99' < 100", "true"),
        ("100 > ' 19.99 '", "true"),
        ("'abc' > 3 or 'abc' < 3 or 'abc' >= 3 or '' <= 0", "false"),
        ("'a' < 'b' and 'b' >= 'b' and not 'a' > 'b'", "true"),
        ("'2024-01-02T00:00:00Z' < '2024-01-10T00:00:00Z'", "true"),
        ("data.tags > 1 or data.user < 1 or data.user > 'a'", "false"),
        ("[1, 2] < [1, 3]", "true"),
        ("1 < 2 < 3 and not 1 < 3 < 2", "true"),
        ("1 + 1 < 1 * 3 and 'a' ~ 'b' < 'a' ~ 'c'", "true"),
        ("(2 > 1) == true and 1 < 3 == 3 and not 1 < 3 == 2", "true"),
        ("3 if 2 > 1 else 4", "3"),
        ("[2 > 1, 2<1]", "[true,false]"),
        ("{'a': 2 > 1}.a", "true"),
        ("[5, 1] | select('gt', 2) | first >= 5", "true"),
    ] {
        check(comparison, expected);
    }
    check_template("{% if data.none < 3 %}a{% elif 3>=2 %}b{% endif %}", Escape::None, "b");
    check_template("{% for n in [1, 2, 3] if n > 1 %}{{ n }}{% endfor %}", Escape::None, "23");
    check_template("{% set few = data.missing < 3 %}{{ few }}", Escape::None, "false");
}

#[test]
fn empty_texts_are_no_numbers_and_no_mistake() {
    for filter in
        ["money('EUR')", "int", "float", "round", "abs", "date", "b64decode | default(none, true)"]
    {
        check(&format!("('' | {filter}) or 'nothing'"), "nothing");
        check(&format!("(' ' | {filter}) or 'nothing'"), "nothing");
    }
    check("'%s|%d|%05.1f|%d%%' | format(data.missing, data.none, data.none, 3)", "|||3%");
    check("'%s %d' | format('a', '5')", "a 5");
    let people = "[{'a': 1}, {'a': none}, {}, none, {'a': '2.5'}]";
    check(&format!("{people} | sum(attribute='a')"), "3.5");
    check(&format!("{people} | sum('a', 10)"), "13.5");
    check("data.missing | sum(attribute='a')", "0");
}

/// As Jinja has it: what is no number becomes the default, and so does what is missing.
#[test]
fn int_and_float_give_their_default_for_what_is_missing() {
    for nothing in ["data.missing", "data.none", "none", "''", "' '", "'abc'"] {
        check(&format!("{nothing} | int(0)"), "0");
        check(&format!("{nothing} | int(default=-1) + 1"), "0");
        check(&format!("{nothing} | float(0.5)"), "0.5");
        check(&format!("({nothing} | float(0.0)) == 0"), "true");
    }
    check("data.missing | int(data.none) | default('x')", "x");
    check("'7' | int(0)", "7");
    check("'ff' | int(0, 16)", "255");
}

#[test]
fn numbers_are_texts_to_methods_and_slices() {
    check("data.id.upper() ~ (1234.5)[:3]", "7123");
    check("(12345)[-2:] ~ data.id.zfill(3)", "45007");
    check("[1, 1.10, none, 'a'].join(', ')", "1, 1.1, a");
    check("data.tags.join(',')", "a,b");
    check("data.tags.join()", "ab");
    check("123456789 | truncate(5, true, '', 0)", "12345");
}

#[test]
fn what_is_missing_counts_for_nothing_in_lists() {
    check("['', 'a', data.none, ''] | join(',')", ",a,");
    check("[1] | zip(data.missing)", "undefined");
    check("[1] | chain(data.none, [2])", "[1,2]");
    check("[1, data.none, 2, data.missing] | sum", "3");
    check("[3, data.none, 2] | min", "2");
    check("[3, data.none, 2] | max", "3");
    check("[data.none] | max", "undefined");
    let people = "[{'n': 'a', 'k': 'x'}, {'n': 'b'}, {'n': 'c', 'k': none}, {'n': 'd', 'k': 'X'}]";
    check(&format!("{people} | map(attribute='k', default='?') | join"), "x??X");
    check(&format!("{people} | groupby('k') | map('first') | join('|')"), "x");
    check(&format!("{people} | groupby('k', default='?') | map('first') | join('|')"), "?|x");
    check(&format!("{people} | groupby('k', case_sensitive=true) | length"), "3");
    check(&format!("({people} | groupby('k'))[1].list | map(attribute='n') | join"), "ad");
    let groups = format!(
        "{{% for k, all in {people} | groupby('k') %}}{{{{ k }}}}:{{{{ all | length }}}} {{% endfor %}}"
    );
    check_template(&groups, Escape::None, ":2 x:2 ");
    check("[{'a': {'b': [7]}}] | groupby('a.b.0') | map(attribute='grouper') | join", "7");
    check("[{'a': {'b': [7]}}] | join(',', attribute='a.b.0')", "7");
}

#[test]
fn what_is_missing_is_no_argument() {
    check_nothing("'Hello World' | replace('Hello', ?)", " World");
    check_nothing("'None' | replace(?, 'x')", "None");
    check_nothing("'one two three' | truncate(?)", "one two three");
    check_nothing("'one two three' | truncate(8, end=?, leeway=0)", "one...");
    check_nothing("0 | date('%H', ?)", "00");
    check_nothing("0 | date(?, 'UTC')", "1970-01-01 00:00");
    check_nothing("5 | money(?)", "5.00");
    check_nothing("['a', 'b'] | join(?)", "ab");
    check_nothing("'%(a)s!' | format(a=?)", "!");
    check_nothing("'{a}!'.format(a=?)", "!");
    check_nothing("'abc'.startswith(?) or 'abc'.endswith(?)", "false");
    check_nothing("'abc'.find(?) ~ 'abc'.rfind(?) ~ 'abc'.count(?)", "-1-10");
    check_nothing("'a b'.split(?) | join('|')", "a|b");
    check_nothing("'abc'.replace(?, 'x')", "abc");
    check_nothing("'abc'.replace('b', ?)", "ac");
    check_nothing("' abc '.strip(?)", "abc");
    check_nothing("', '.join(['a', ?, 'b'])", "a, b");
    check_nothing("', '.join(?) or 'nothing'", "nothing");
    check_nothing("'abc'.removeprefix(?)", "abc");
}

#[test]
fn slices_are_those_of_python() {
    for (slice, expected) in [
        ("[:1]", "[\"a\"]"),
        ("[1:]", "[\"b\"]"),
        ("[-1:]", "[\"b\"]"),
        ("[:-1]", "[\"a\"]"),
        ("[::-1]", "[\"b\",\"a\"]"),
        ("[5:]", "[]"),
        ("[::2]", "[\"a\"]"),
        ("[:]", "[\"a\",\"b\"]"),
    ] {
        check(&format!("data.tags{slice}"), expected);
    }
    check("'häuser'[1:3]", "äu");
    check("'abcdef'[4:1:-2]", "ec");
    check("'abcdef'[-3:-1].upper()", "DE");
    assert!(Expression::compile("'a'[::0]").unwrap().eval(&Scope::of(&event(BODY))).is_err());
}

const NUMBERS: &str = r#"{"data":{"price":1.10,"qty":3,"hundred":1e2,"tax":0.00,
    "id":12345678901234567890123,"prices":[1.10,2,0.50],"odd":3.00,
    "huge":[1000000000000000000000000000000000000000000001,1000000000000000000000000000000000000000000002]}}"#;

#[track_caller]
fn check_number(expression: &str, expected: &str) {
    let value = Expression::compile(expression).unwrap().eval(&Scope::of(&event(NUMBERS))).unwrap();
    assert_eq!(plain(&value), expected, "{expression}");
}

#[test]
fn numbers_print_as_written_and_compare_by_value() {
    check_number("data.price", "1.10");
    check_number("data.price ~ ' EUR'", "1.10 EUR");
    check_number("data.id", "12345678901234567890123");
    check_number("data.prices | join(' ')", "1.10 2 0.50");
    check_number("data.prices", "[1.10,2,0.50]");
    check_number("data | tojson | length > 10", "true");
    check_number("{'a': data.price} | tojson", r#"{"a": 1.10}"#);
    check_number("data.price == 1.1 and 1.1 == data.price", "true");
    check_number("data.price > 1 and data.price < 1.2 and 2 >= data.price", "true");
    check_number("data.hundred == 100", "true");
    check_number("data.price == data.prices[0]", "true");
    check_number("data.huge[0] == data.huge[1]", "false");
    check_number("data.huge[0] > data.qty", "true");
    check_number("data.price == '1.10'", "false");
    check_number("1.1 in data.prices and data.price in [1.1] and 3 not in data.prices", "true");
    check_number("data.price is number and data.price is float and data.odd is odd", "true");
    check_number("data.price is gt(1) and data.price is eq(1.1)", "true");
    check_number("'free' if data.tax else 'taxed'", "taxed");
    check_number("data.tax or 'no tax'", "no tax");
}

#[test]
fn numbers_are_calculated_with() {
    check_number("data.price * 10", "11");
    check_number("data.hundred + data.qty", "103");
    check_number("-data.hundred | abs", "100.0");
    check_number("data.price | round(1)", "1.1");
    check_number("data.price | int", "1");
    check_number("data.prices | sum", "3.6");
    check_number("data.prices | max", "2");
    check_number("data.prices | sort | first", "0.50");
    check_number("'%.1f' | format(data.price)", "1.1");
}

/// A form's fields are texts, and many senders write amounts as such.
#[test]
fn texts_that_are_numbers_are_calculated_with() {
    let form = r#"{"data":{"price":"1.10","qty":"3","zip":"07","name":"n","list":["1.5","2"]}}"#;
    let scope = Scope::of(&event(form));
    let check = |expression: &str, expected: &str| {
        let value = Expression::compile(expression).unwrap().eval(&scope).unwrap();
        assert_eq!(plain(&value), expected, "{expression}");
    };
    check("data.qty * 2", "6");
    check("data.price * data.qty > 3", "true");
    check("data.qty - 1 + 0", "2");
    check("data.qty + 1", "4");
    check("1 + data.qty", "4");
    check("data.qty / 2", "1.5");
    check("-data.qty", "-3");
    check("data.qty % 2", "1");
    check("data.price | round(1)", "1.1");
    check("'%.2f (%s)' | format(data.price, data.name)", "1.10 (n)");
    check("data.list | sum", "3.5");
    // Two texts are put together, and what is no number is a text.
    check("data.zip + data.name", "07n");
    check("data.zip + data.qty", "073");
    check("'%s' | format(data.zip)", "07");
    check("data.name * 2", "nn");
    check("'=' * 3", "===");
    // So is a text that is written, if it is repeated: it fills a number up.
    check("'0' * 3", "000");
    check("'0' * data.qty", "000");
    check("('0' * (8 - data.zip|string|length)) ~ data.zip", "00000007");
    check("'0' * (4 - data.zip|length) ~ data.zip", "0007");
    check_number("'0' * data.qty", "000");
}

#[test]
fn numbers_are_numbers_in_json() {
    let template =
        Template::compile("{\"p\":{{ data.price }},\"d\":{{ data.prices }}}", Escape::Json);
    let text = template.unwrap().render(&Scope::of(&event(NUMBERS))).unwrap();
    assert_eq!(text, r#"{"p":1.10,"d":[1.10,2,0.50]}"#);
}
