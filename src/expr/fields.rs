//! Which fields of an event a text asks for, found in its tokens: to compare them with a sample.
//!
//! A name that the text gives to something else (`{% for c in data.comments %}`) stands for what it
//! was given; one that is given to what cannot be followed stands for nothing.

use std::ops::Range;

use minijinja::machinery::tokenize;
use minijinja::syntax::SyntaxConfig;

mod filtered;
mod finder;
mod terms;

use finder::Finder;

/// A field of an event that a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As in `data`, `comment`, `body`; the first is `event`, `payload` or `data`.
    pub path: Vec<Part>,
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    /// How much of the path a name of the text's own stands for: that is asked for where the name was
    /// given.
    pub n_given: usize,
    /// Whether the text itself counts with its absence: `x | default("y")`, `x or y`, `if x`.
    pub may_be_missing: bool,
}

impl Field {
    /// Its path with dots; `None` where that leads through a list.
    pub fn dotted(&self) -> Option<String> {
        let names = self.path.iter().map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Item | Part::Entry => None,
        });
        Some(names.collect::<Option<Vec<_>>>()?.join("."))
    }
}

/// One step to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A field of a map.
    Name(String),
    /// Any item of a list.
    Item,
    /// Any value of a map.
    Entry,
}

/// The fields that a template, or an expression, asks for, in the order of the text. None where it
/// has no tokens.
pub(super) fn find(text: &str, is_expression: bool) -> Vec<Field> {
    let tokens = tokenize(text, is_expression, SyntaxConfig::default());
    let Ok(tokens) = tokens.collect::<Result<Vec<_>, _>>() else { return Vec::new() };
    Finder::new(&tokens).run(is_expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields as `a.b[]`, with `?` behind those that may be missing.
    fn fields(text: &str, is_expression: bool) -> Vec<String> {
        let shown = |field: Field| {
            let mut shown = String::new();
            for part in &field.path {
                match part {
                    Part::Name(name) if shown.is_empty() => shown.push_str(name),
                    Part::Name(name) => shown.extend([".", name.as_str()]),
                    Part::Item => shown.push_str("[]"),
                    Part::Entry => shown.push_str("{}"),
                }
            }
            shown + if field.may_be_missing { "?" } else { "" }
        };
        find(text, is_expression).into_iter().map(shown).collect()
    }

    #[test]
    fn fields_of_an_event_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("data.comment.body", &["data.comment.body"][..]),
            ("data[\"a b\"].c[0].d == payload.x", &["data.a b.c[].d", "payload.x"]),
            ("data.title | upper ~ event.id", &["data.title", "event.id"]),
            ("data.name.split(data.by)", &["data.name", "data.by"]),
            ("data.a or data.b", &["data.a?", "data.b?"]),
            ("data.a | default(data.b)", &["data.a?", "data.b"]),
            ("data.a is defined", &["data.a?"]),
            ("data", &[]),
            ("x.data.y | truncate(length=5)", &[]),
        ] {
            assert_eq!(fields(text, true), expected, "{text}");
        }
    }

    #[test]
    fn names_that_a_template_gives_are_followed() {
        for (text, expected) in [
            ("data.x {{ data.y }}", &["data.y"][..]),
            (
                "{% for e in events %}{{ e.data.comment.boddy }}{{ e.event.type }}{% endfor %}",
                &["data.comment.boddy", "event.type"],
            ),
            (
                "{% for e in events %}{{ e.type }}{{ e.comment.body }}{{ e.data }}{% endfor %}",
                &["type", "comment.body"],
            ),
            (
                "{% for c in data.list %}{{ c.name }}{% endfor %}",
                &["data.list", "data.list[].name"],
            ),
            ("{% set c = data.comment %}{{ c.body }}", &["data.comment", "data.comment.body"]),
            ("{% set c = data.list | length %}{{ c.body }}", &["data.list"]),
            (
                "{% for k, v in data.map.items() %}{{ v.x }}{% endfor %}",
                &["data.map", "data.map{}.x"],
            ),
            ("{% if data.spam %}{{ data.spam }}{% endif %}", &["data.spam?", "data.spam"]),
            ("{% set data = 1 %}{{ data.x }}", &[]),
        ] {
            assert_eq!(fields(text, false), expected, "{text}");
        }
    }

    /// Of what is not there, a comparison tells nothing: other than a question whether it is.
    #[test]
    fn compared_field_counts_as_wanted() {
        for (text, expected) in [
            (
                "{% if data.a > 3 %}{% elif data.b.c == \"x\" %}{% endif %}",
                &["data.a", "data.b.c"][..],
            ),
            ("{% if data.a %}{% endif %}", &["data.a?"]),
            ("{% if not data.a in [1] and data.b not in [2] %}{% endif %}", &["data.a", "data.b?"]),
            (
                "{% if data.a | lower != \"x\" or data.b | round(1) < 2 %}{% endif %}",
                &["data.a?", "data.b"],
            ),
            ("{% if data.a | length %}{% endif %}", &["data.a?"]),
            ("{% if data.a | int | default(0) > 3 %}{% endif %}", &["data.a?"]),
            ("{% if data.a != none and data.b == none %}{% endif %}", &["data.a?", "data.b?"]),
            ("{% if data.a and data.a.b > 3 %}{% endif %}", &["data.a?", "data.a.b?"]),
            ("{% if data.a is defined and data.a > 3 %}{% endif %}", &["data.a?", "data.a?"]),
            ("{{ 1 if (events | first).data.a == 2 else 3 }}", &["data.a"]),
        ] {
            assert_eq!(fields(text, false), expected, "{text}");
        }
        assert_eq!(fields("data.a == 1 and data.b == 2", true), ["data.a", "data.b"]);
    }

    #[test]
    fn field_knows_its_place() {
        let text = "by {{ data.user.name | upper }}";
        let [field] = &find(text, false)[..] else { panic!("one field") };
        assert_eq!(text.get(field.range.clone()), Some("data.user.name"));
    }

    #[test]
    fn names_of_blocks_stand_for_their_values() {
        let list = &["data.list", "data.list[].a"][..];
        for (text, expected) in [
            (
                "{% with c = data.a %}{{ c.b }}{% endwith %}{{ data.d }}",
                &["data.a", "data.a.b", "data.d"][..],
            ),
            (
                "{% with a = data.a, b = data.b | upper %}{{ a.x }}{{ b.x }}{% endwith %}",
                &["data.a", "data.b", "data.a.x"],
            ),
            ("{% with data = 1 %}{{ data.x }}{% endwith %}{{ data.y }}", &["data.y"]),
            (
                "{% for k, v in data.m | items %}{{ k }}{{ v.x }}{% endfor %}",
                &["data.m", "data.m{}.x"],
            ),
            (
                "{% for (k, v) in data.m | dictsort %}{{ v.x }}{% endfor %}",
                &["data.m", "data.m{}.x"],
            ),
            ("{% for v in data.m.values() %}{{ v.x }}{% endfor %}", &["data.m", "data.m{}.x"]),
            (
                "{% for c in data.list if c.a %}{{ c.b }}{% endfor %}",
                &["data.list?", "data.list[].a?", "data.list[].b"],
            ),
            ("{% for c in data.list %}{% endfor %}{{ data.x }}", &["data.list", "data.x"]),
            ("{% set c = data.list | first %}{{ c.a }}", list),
            ("{% set c = data.a or {} %}{{ c.b }}", &["data.a?", "data.a.b"]),
            ("{% set c = data.a | default({}) %}{{ c.b }}", &["data.a?", "data.a.b"]),
            ("{% set c = data.a | default(data.b) %}{{ c.x }}", &["data.a?", "data.b"]),
            (
                "{% if data.a %}{% set c = data.a %}{% else %}{% set c = data.b %}{% endif %}{{ c.x }}",
                &["data.a?", "data.a", "data.b"],
            ),
            (
                "{% macro f(c, d) %}{{ c.b }}{{ d.x }}{% endmacro %}{{ f(data.a) }}",
                &["data.a.b", "data.a"],
            ),
            (
                "{% macro f(c) %}{{ c.b }}{{ data.y }}{% endmacro %}{{ f(c=data.a) }}",
                &["data.a.b", "data.y", "data.a"],
            ),
            ("{% macro f(c) %}{{ c.b }}{{ f(c.d) }}{% endmacro %}{{ f(1) }}", &[]),
            ("{% call(x) f(data.a) %}{{ x.y }}{% endcall %}", &["data.a"]),
        ] {
            assert_eq!(fields(text, false), expected, "{text}");
        }
    }

    #[test]
    fn attributes_that_filters_ask_for_are_fields() {
        let list = &["data.list", "data.list[].a.b"][..];
        for (text, expected) in [
            ("data.list | map(attribute=\"a.b\") | join", list),
            ("data.list | sort(attribute=\"a.b\")", list),
            ("data.list | groupby(\"a.b\")", list),
            ("data.list | sum(\"a.b\") > data.x", &["data.list", "data.list[].a.b", "data.x"]),
            ("data.list | join(\", \", attribute=\"a.b\")", list),
            (
                "data.list | selectattr(\"a.b\", \"eq\", data.x)",
                &["data.list", "data.list[].a.b", "data.x"],
            ),
            (
                "data.list | selectattr(\"a\") | map(attribute=\"b\") | list",
                &["data.list", "data.list[].a?", "data.list[].b"],
            ),
            ("data.list | map(attribute=\"a\", default=1)", &["data.list", "data.list[].a?"]),
            (
                "data.list | map(attribute=\"a\") | map(attribute=\"b\")",
                &["data.list", "data.list[].a", "data.list[].a.b"],
            ),
            ("data.list | map(\"upper\")", &["data.list"]),
            ("data.a.get(\"b\")", &["data.a", "data.a.b?"]),
            ("data.list | map(attribute=0)", &["data.list"]),
            ("data.x | upper | map(attribute=\"a\")", &["data.x"]),
        ] {
            assert_eq!(fields(text, true), expected, "{text}");
        }
        let text = "{% for u in data.list | map(attribute=\"user\") %}{{ u.name }}{% endfor %}";
        assert_eq!(fields(text, false), ["data.list", "data.list[].user", "data.list[].user.name"]);
    }

    #[test]
    fn fields_behind_filters_groups_and_methods_are_followed() {
        let list = &["data.list", "data.list[].a"][..];
        let mut wrong = Vec::new();
        for (text, expected) in [
            ("(data.list | first).a", list),
            ("((data.list | last)).a == 1", list),
            (
                "(data.list | sort(attribute=\"b\") | first).a",
                &["data.list", "data.list[].b", "data.list[].a"],
            ),
            ("(data.list | list)[0].a", list),
            ("(data.list[1:])[0].a", list),
            ("data.list[-1].a", list),
            ("data.list[:3][0].a", list),
            ("data.list.0.a", &["data.list[].a"]),
            (
                "(data.list | map(attribute=\"b\") | first).a",
                &["data.list", "data.list[].b", "data.list[].b.a"],
            ),
            ("(events | first).data.a", &["data.a"]),
            ("(data.list | first or {}).a", list),
            ("(data.list | first).a or 1", &["data.list", "data.list[].a?"]),
            ("not (data.list | first).a", &["data.list", "data.list[].a?"]),
            ("data.a.get(\"b\").c", &["data.a", "data.a.b?", "data.a.b.c"]),
            ("(data.m.values() | first).a", &["data.m", "data.m{}.a"]),
            ("data.b and (data.list | first).a", &["data.b?", "data.list", "data.list[].a?"]),
            // What it is of is not known.
            ("(data.a or data.b).c", &["data.a?", "data.b?"]),
            ("(data.a if data.b else data.c).d", &["data.a?", "data.b?", "data.c?"]),
            ("data.list[data.n].a", &["data.list", "data.n"]),
            ("(data.s | from_json).a", &["data.s"]),
            ("(data.a ~ data.b).c", &["data.a", "data.b"]),
            ("data.s.split(\",\")[0].a", &["data.s"]),
        ] {
            let mut found = fields(text, true);
            let mut expected = expected.to_vec();
            found.sort();
            expected.sort_unstable();
            if found != expected {
                wrong.push((text, found));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let text = "{% for c in (data.list | first).all[:5] %}{{ c.name }}{% endfor %}";
        let expected = ["data.list", "data.list[].all", "data.list[].all[].name"];
        let mut found = fields(text, false);
        found.sort();
        assert_eq!(found, expected);
        let text = "by {{ (data.list | first).name | upper }}";
        let found = find(text, false);
        let told = found.iter().map(|field| text.get(field.range.clone()).unwrap());
        assert!(told.eq(["(data.list | first).name", "data.list"]), "{found:?}");
    }

    /// Macros that call each other, or themselves, end.
    #[test]
    fn macros_without_end_are_followed_for_a_while() {
        let text = "{% macro a(x) %}{{ a(x.y) }}{{ a(x.z) }}{% endmacro %}{{ a(data.a) }}";
        let found = find(text, false);
        assert!(found.len() < 200, "{}", found.len());
    }
}
