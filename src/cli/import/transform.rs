//! Filters and transformations of qhook in our language.

use super::imported::{payload_field, quoted};
use crate::text::put;

/// `payload.a.b` out of `$.a.b`.
fn field(path: &str) -> Result<String, String> {
    let path = path.trim();
    let inner = path.strip_prefix('$').ok_or_else(|| format!("`{path}` is no path"))?;
    let steps = inner.replace('[', ".").replace(']', "");
    match steps.trim_start_matches('.') {
        "" => Ok("payload".to_owned()),
        steps => Ok(payload_field(steps)),
    }
}

/// A filter as an expression.
pub(super) fn filter(text: &str) -> Result<String, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("not ") {
        return Ok(format!("not ({})", filter(rest)?));
    }
    let Some((path, rest)) = text.split_once(char::is_whitespace) else { return field(text) };
    let field = field(path)?;
    let (operator, value) = match rest.trim().split_once(char::is_whitespace) {
        Some((operator, value)) => (operator, value.trim()),
        None => (rest.trim(), ""),
    };
    Ok(match operator {
        "==" | "!=" if is_literal(value) => format!("{field} {operator} {value}"),
        "==" | "!=" => format!("({field} | string) {operator} {}", quoted(unquoted(value))),
        ">" | ">=" | "<" | "<=" if value.parse::<f64>().is_ok() => {
            format!("{field} {operator} {value}")
        }
        "in" => {
            let items = value.trim_start_matches('[').trim_end_matches(']').split(',');
            let items: Vec<String> = items.map(|item| quoted(unquoted(item.trim()))).collect();
            format!("({field} | string) in [{}]", items.join(", "))
        }
        "contains" => format!("{} in {field}", quoted(unquoted(value))),
        "starts_with" => format!("({field} | string) is startingwith({})", quoted(unquoted(value))),
        "ends_with" => format!("({field} | string) is endingwith({})", quoted(unquoted(value))),
        "exists" => format!("{field} is defined and {field} is not none"),
        "matches" => return Err(format!("`{text}`: expressions have no regular expressions")),
        _ => return Err(format!("`{text}` is not understood")),
    })
}

fn is_literal(value: &str) -> bool {
    value.parse::<f64>().is_ok() || ["true", "false"].contains(&value)
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.or_else(|| value.strip_prefix('\'')?.strip_suffix('\'')).unwrap_or(value)
}

/// A transformation as a template with `escape = "json"`: there a value brings its own quotes, so a string
/// with values in it becomes one value.
pub(super) fn transform(text: &str) -> Result<String, String> {
    let mut template = String::new();
    let mut rest = text.trim();
    while let Some(at) = rest.find(['"', '{']) {
        let (before, from) = rest.split_at(at);
        template.push_str(before);
        rest = if let Some(inner) = from.strip_prefix("{{") {
            let (path, behind) = inner.split_once("}}").ok_or("a `{{` is not closed")?;
            put(&mut template, format_args!("{{{{ {} }}}}", field(path)?));
            behind
        } else if let Some(inner) = from.strip_prefix('"') {
            let end = string_end(inner).ok_or("a string is not closed")?;
            let (content, behind) = inner.split_at(end);
            string(&mut template, content)?;
            behind.strip_prefix('"').unwrap_or(behind)
        } else {
            template.push('{');
            from.strip_prefix('{').unwrap_or(from)
        };
    }
    template.push_str(rest);
    Ok(template)
}

/// Where the quote that ends a JSON string is.
fn string_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end.then_some(at)
    })
}

/// A JSON string: as it is, or with its values joined to its texts.
fn string(template: &mut String, content: &str) -> Result<(), String> {
    if !content.contains("{{") {
        put(template, format_args!("\"{content}\""));
        return Ok(());
    }
    let mut parts = Vec::new();
    let mut rest = content;
    while let Some((before, inner)) = rest.split_once("{{") {
        let (path, behind) = inner.split_once("}}").ok_or("a `{{` is not closed")?;
        if !before.is_empty() {
            parts.push(format!("\"{before}\""));
        }
        parts.push(format!("({} | string)", field(path)?));
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(format!("\"{rest}\""));
    }
    put(template, format_args!("{{{{ {} }}}}", parts.join(" ~ ")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_expressions() {
        for (text, expected) in [
            ("$.status == paid", "(payload.status | string) == \"paid\""),
            ("$.items[0].amount >= 1000", "payload.items[0].amount >= 1000"),
            ("$.live == true", "payload.live == true"),
            (
                "$.action in [opened, 'closed']",
                "(payload.action | string) in [\"opened\", \"closed\"]",
            ),
            ("$.tags contains urgent", "\"urgent\" in payload.tags"),
            ("$.name starts_with a b", "(payload.name | string) is startingwith(\"a b\")"),
            ("not $.env == test", "not ((payload.env | string) == \"test\")"),
            ("$.a.b exists", "payload.a.b is defined and payload.a.b is not none"),
            ("$.verified", "payload.verified"),
        ] {
            assert_eq!(filter(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["$.id matches ^x", "status == paid", "$.a ~ b", "$.a > b"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn transformations_become_templates_whose_values_bring_their_quotes() {
        for (text, expected) in [
            (
                r#"{"id": "{{$.id}}", "amount": {{$.data.amount}}, "kind": "x"}"#,
                r#"{"id": {{ (payload.id | string) }}, "amount": {{ payload.data.amount }}, "kind": "x"}"#,
            ),
            (
                r#"{"text": "Order {{$.id}}: {{$.who}}!"}"#,
                r#"{"text": {{ "Order " ~ (payload.id | string) ~ ": " ~ (payload.who | string) ~ "!" }}}"#,
            ),
        ] {
            assert_eq!(transform(text).as_deref(), Ok(expected));
        }
        assert!(transform(r#"{"id": "{{$.id"#).is_err());
    }
}
