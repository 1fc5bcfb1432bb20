//! Bodies without fields, fields with odd names, and values that nothing can be done with.

use super::*;

#[test]
fn unreadable_body_fails_where_it_is_asked_for() {
    let scope = |body: &str| Scope::of(&event(body));
    let broken = scope("{\"data\":");
    let expected = "invalid operation: the body is not JSON: it ends too early: a value expected";
    for text in ["data.x", "payload", "data.x == 1", "payload.a or 1", "events[0].data.x"] {
        let err = Expression::compile(text).unwrap().eval(&broken).unwrap_err();
        assert!(err.message.starts_with(expected), "{text}: {err}");
    }
    let untouched = Expression::compile("event.type").unwrap();
    assert_eq!(untouched.text(&broken).unwrap().as_deref(), Some("comment.create"));
    let template =
        Template::compile("{{ event.id }}{% if false %}{{ data }}{% endif %}", Escape::None);
    template.unwrap().render(&broken).unwrap();
}

#[test]
fn text_has_no_fields() {
    let text = Scope::of(&event("<a>1</a>"));
    let eval = |expression: &str| Expression::compile(expression).unwrap().eval(&text);
    for expression in ["payload.a", "data['a']", "payload.a == 1", "(data.a or 1) | upper"] {
        let err = eval(expression).unwrap_err();
        assert!(err.message.contains("the body is text, which has no fields"), "{err}");
    }
    assert_eq!(eval("payload ~ '!'").unwrap(), Value::from("<a>1</a>!"));
    assert_eq!(eval("'<a>' in data").unwrap(), Value::from(true));
    assert_eq!(eval("payload[:3]").unwrap(), Value::from("<a>"));
    // Its methods are those of any text.
    for (expression, expected) in [
        ("payload.upper()", Value::from("<A>1</A>")),
        ("data.startswith('<a>')", Value::from(true)),
        ("payload.split('>')[1]", Value::from("1</a")),
        ("payload.strip('<>').removesuffix('/a')", Value::from("a>1<")),
        ("payload.upper() == data.upper() and not data.isspace()", Value::from(true)),
        ("events[0].payload.count('a')", Value::from(2)),
    ] {
        assert_eq!(eval(expression).unwrap(), expected, "{expression}");
    }
    for expression in ["payload.get('a')", "data.items()", "payload.a.upper()"] {
        let err = eval(expression).unwrap_err();
        assert!(err.message.contains("the body is text, which has no fields"), "{err}");
    }
    // An empty body has nothing at all.
    let empty = Scope::of(&event(""));
    assert!(Expression::compile("data.a").unwrap().eval(&empty).unwrap().is_undefined());
}

/// A field is what is written without brackets, a method what is called; neither hides the other.
#[test]
fn fields_may_be_called_like_methods_or_like_nothing_else() {
    let body = r#"{"items":[{"name":"a"}],"keys":{"get":1},"get":"g","upper":"u","values":{"x":2},
        "a b":{"c.d":3,"1":4,"":5,"é":6,"a\"b":7}}"#;
    let scope = Scope::of(&event(body));
    for (expression, expected) in [
        ("payload.items[0].name ~ payload[\"items\"][0].name", "aa"),
        ("payload.items | length", "1"),
        ("payload.keys.get ~ payload.get ~ payload.upper", "1gu"),
        ("payload.get('get') ~ payload.get('none', '-') ~ payload.keys.get('get')", "g-1"),
        ("payload.keys() | join(',')", "items,keys,get,upper,values,a b"),
        ("payload.values.x ~ (payload.values() | list | length)", "26"),
        ("payload.keys.items() | list", r#"[["get",1]]"#),
        ("payload['a b']['c.d'] ~ payload['a b']['1'] ~ payload['a b']['']", "345"),
        ("payload[\"a b\"]['é'] ~ payload['a b']['a\"b']", "67"),
        ("payload.get('a b').get('c.d')", "3"),
    ] {
        let value = Expression::compile(expression).unwrap().eval(&scope).unwrap();
        assert_eq!(plain(&value), expected, "{expression}");
    }
}

/// What PHP and Rails send as `order[id]=5` is one field of that name.
#[test]
fn fields_of_forms_with_brackets_in_their_names_are_reached_by_them() {
    let scope = Scope::of(&event("order[id]=5&order[tags][]=a&order[tags][]=b"));
    for (expression, expected) in [
        ("payload[\"order[id]\"] ~ payload['order[id]']", "55"),
        ("payload[\"order[tags][]\"]", r#"["a","b"]"#),
        ("payload.get('order[id]') ~ (payload['order[no]'] is defined)", "5false"),
    ] {
        let value = Expression::compile(expression).unwrap().eval(&scope).unwrap();
        assert_eq!(plain(&value), expected, "{expression}");
    }
}

/// What fails with an event says so in its dead letter.
#[test]
fn values_that_nothing_can_be_done_with_are_told_what_to_write() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("data.a + 1", "as in `(data.count or 0) + 1`"),
        ("data.list * data.list", "texts are joined by `~`"),
        ("data.list | map('upper') | sum", "as in `data.items | sum(\"price\")`"),
        ("data.text | date", "what may be something else is asked first, as in `x is number`"),
        ("data.text | round", "asked first, as in `(x | round) if x is number else x`"),
        ("data.list | int", "it works on a number"),
        ("data.text | float", "it works on a number"),
        ("data.text | abs", "it works on a number"),
        ("data.text | money('EUR')", "it works on a number"),
        ("5 | length", "a number has it as `x | string`"),
        ("data.list | map('uper') | list", "did you mean `upper`?"),
        ("data.list | select('nunber') | list", "did you mean `number`?"),
        ("data.text.items()", "write `x | items`"),
    ] {
        let body = r#"{"data":{"list":["x"],"text":"x"}}"#;
        let scope = Scope::of(&event(body));
        let err = Expression::compile(text).unwrap().eval(&scope).unwrap_err();
        let is_told = err.to_string().ends_with(&format!("; {}", err.help));
        if !is_told || !err.help.contains(expected) {
            wrong.push(format!("{text}: {err}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
