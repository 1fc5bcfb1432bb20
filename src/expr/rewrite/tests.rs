use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Rewritten::of(text, Syntax::Expression).unwrap().text, expected, "{text}");
}

#[track_caller]
fn check_template(text: &str, expected: &str) {
    assert_eq!(Rewritten::of(text, Syntax::Template).unwrap().text, expected, "{text}");
}

#[test]
fn operands_get_the_filter_of_their_operator() {
    check("a ~ ':' ~ b.c", "(a|_text) ~ ':' ~ (b.c|_text)");
    check("a.b|f(1) * c[0] + 1", "([a.b|f(1) ,'*', c[0] ,'+', 1]|_calculated)");
    check("a * b / 2 + c", "([a ,'*', b ,'/', 2 ,'+', c]|_calculated)");
    check("a // 2 % b", "([a ,'//', 2 ,'%', b]|_calculated)");
    check("a ** 2 * -b", "([(a|_number) ** 2 ,'*', (b|_negated)]|_calculated)");
    check("a * b ~ 'x' ~ c", "([a ,'*', b]|_calculated|_text) ~ 'x' ~ (c|_text)");
    check("'0' * a ~ b", "(('0' * (a|_number))|_text) ~ (b|_text)");
    check("'0' * a + b", "(['0' * (a|_number) ,'&', b]|_calculated)");
    check("a / b + 'x'", "([a ,'/', b]|_calculated) + 'x'");
    check("a + 'x' + b", "(a|_addend) + 'x' + (b|_addend)");
    check("a == b - 1", "(a|_equal) == ([b ,'-', 1]|_calculated|_equal)");
    check("-a + (b * 2)", "([(a|_negated) ,'&', (([b ,'*', 2]|_calculated))]|_calculated)");
    check("a > 5 and b == c", "a  in  ((5)|_gt) and (b|_equal) == (c|_equal)");
    check("a == 'x' or 'y' != b", "a == 'x' or 'y' != b");
    check("a == none", "(a|_equal) == none");
    check("a == 0 or -1 != b.c", "(a|_numeric) == 0 or -1 != (b.c|_numeric)");
    check("a == -1 or b.0 == c", "(a|_numeric) == -1 or (b.0|_equal) == (c|_equal)");
    check("(a or b) > c(d)", "(a or b)  in  ((c(d))|_gt)");
    check("a<b+1", "a in ((([b,'+',1]|_calculated))|_lt)");
    check(
        "1 < a <= -b | abs < [c, d][0]",
        "1  in  ((a)|_lt)  in  (((b|_negated) | abs)|_lte)  in  (([c, d][0])|_lt)",
    );
    check(
        "f(x=a > 1, y=2) or a >= b is not odd and c",
        "f(x=a  in  ((1)|_gt), y=2) or a  in  ((b is not odd)|_gte) and c",
    );
    check("none ~ 'x' ~ 1", "(none|_text) ~ 'x' ~ (1|_text)");
    check("a ~ 1 + c", "([(a|_text) ~ (1|_text) ,'&', c]|_calculated)");
    check("a ~ b + c", "([(a|_text) ~ (b|_text) ,'&', c]|_calculated)");
    check("a + b * c", "([a ,'&', b ,'*', c]|_calculated)");
    check("a in b.c and x not in [1]", "a in ((b.c)|_container) and x not in (([1])|_container)");
    check("a in b ~ 'c'", "a in (((b|_text) ~ 'c')|_container)");
    check("a if b > 1 else c", "a if b  in  ((1)|_gt) else c");
    check("a < ", "a < ");
}

#[test]
fn unary_minus_binds_before_filters() {
    check("-a.b|abs", "(a.b|_negated)|abs");
    check("--a", "(a|_negated|_negated)");
    check("a == -0.1234567890123456", "(a|_numeric) == (0.1234567890123456|_negated)");
    check("c - -a", "([c ,'-', (a|_negated)]|_calculated)");
    check("2 ** -1", "2 ** -1");
}

#[test]
fn slices_become_a_filter() {
    check("a[:5]", "(a|_slice(none,5))");
    check("a.b[1:].c", "(a.b|_slice(1,none)).c");
    check("a[::2] ~ 'x'", "((a|_slice(none,none,2))|_text) ~ 'x'");
    check("a[:n+1][0]", "(a|_slice(none,([n,'+',1]|_calculated)))[0]");
    check("a[b[1:2][0]:]", "(a|_slice((b|_slice(1,2))[0],none))");
    check("a['x:y']", "a['x:y']");
    check("a[1:][:2]", "((a|_slice(1,none))|_slice(none,2))");
}

#[test]
fn fields_are_asked_of_what_has_fields() {
    check("payload.a == data['b']", "(payload_fields.a|_equal) == (data_fields['b']|_equal)");
    check("payload | tojson", "payload | tojson");
    check("e.data.x", "e.data.x");
    check("data[:5]", "(data|_slice(none,5))");
    check_template(
        "{{ data.x }}{% if payload.y %}{% endif %}",
        "{{ data_fields.x }}{% if payload_fields.y %}{% endif %}",
    );
    for shadowed in [
        "{% for data in events %}{{ data.x }}{% endfor %}",
        "{% set payload = 1 %}{{ payload.x }}",
        "{% with data = 1 %}{{ data.x }}{% endwith %}",
    ] {
        check_template(shadowed, shadowed);
    }
}

#[test]
fn only_code_of_a_template_is_changed() {
    check_template(
        "a ~ b {{ a ~ b }} {# a ~ b #}{% raw %}{{ a ~ b }}{% endraw %}",
        "a ~ b {{ (a|_text) ~ (b|_text) }} {# a ~ b #}{% raw %}{{ a ~ b }}{% endraw %}",
    );
    check_template(
        "{% for x in a if x > 1 %}{% endfor %}",
        "{% for x in a if x  in  ((1)|_gt) %}{% endfor %}",
    );
    check_template(
        "{% if a %}{% elif b + 1 > c %}{% endif %}",
        "{% if a %}{% elif ([b ,'+', 1]|_calculated)  in  ((c)|_gt) %}{% endif %}",
    );
    check_template("{%- set x = a + 1 -%}", "{%- set x = ([a ,'+', 1]|_calculated) -%}");
    check_template(
        "{{ f(x=a, y=1) }}{{ {'k': a ~ 'b'} }}",
        "{{ f(x=a, y=1) }}{{ {'k': (a|_text) ~ 'b'} }}",
    );
}

#[test]
fn filters_tests_and_methods_are_named_wherever_they_stand() {
    let text = "{% for x in a|f %}{% if x is not odd(b|g) %}{{ [x.y.m(1)|h(2)][0] }}{% endif %}{% endfor %}";
    let rewritten = Rewritten::of(text, Syntax::Template).unwrap();
    let named: Vec<_> = rewritten.named.iter().map(|n| (n.name.as_str(), n.kind)).collect();
    let filter = NameKind::Filter;
    let expected = [("f", filter), ("odd", NameKind::Test), ("g", filter), ("m", NameKind::Method)];
    assert_eq!(named, [&expected[..], &[("h", filter)]].concat());
    let arguments = rewritten.named.iter().map(|named| text.get(named.arguments.clone()).unwrap());
    assert_eq!(arguments.collect::<Vec<_>>(), ["", "b|g", "", "1", "2"]);
    for named in &rewritten.named {
        assert_eq!(text.get(named.range.clone()), Some(&*named.name));
    }
}

#[test]
fn places_of_errors_are_those_of_the_written_text() {
    let text = "data.a + b[1:] ~ 'ü'";
    let rewritten = Rewritten::of(text, Syntax::Expression).unwrap();
    for word in [".a", "'ü'", "~"] {
        let start = rewritten.text.find(word).unwrap();
        let original = rewritten.original(&(start..start + word.len()));
        assert_eq!(text.get(original), Some(word), "{}", rewritten.text);
    }
}

#[test]
fn broken_text_is_changed_without_harm() {
    for text in ["a[", "a[1:", "(a ~", "a|", "a is", "- ", "a.", "[1:2]", ")", "a ~ ~ b", "x["] {
        drop(Rewritten::of(text, Syntax::Expression));
        drop(Rewritten::of(&format!("{{{{ {text}"), Syntax::Template));
    }
}
