//! Configurations that are templates of Go, as `webhook -template` takes them.

use crate::text::is_variable_name;

/// `text` with `${NAME}` in place of each `{{ getenv "NAME" }}`, also where that is passed on to a function
/// that only escapes it, and with its quotation marks escaped.
pub(super) fn without_getenv(text: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((action, after)) = behind.split_once("}}") else {
            filled.push_str("{{");
            rest = behind;
            continue;
        };
        if let Some(name) = variable(action) {
            filled.push_str("${");
            filled.push_str(name);
            filled.push('}');
        } else {
            filled.push_str("{{");
            filled.push_str(action);
            filled.push_str("}}");
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// The variable whose value an action is.
fn variable(action: &str) -> Option<&str> {
    let trimmed = action.trim_matches(|c: char| c == '-' || c.is_whitespace());
    let (call, filter) = trimmed.split_once('|').unwrap_or((trimmed, "js"));
    let quoted = call.trim().strip_prefix("getenv")?.trim();
    let name = quoted.trim_matches(['"', '`', '\\']);
    let is_name = is_variable_name(name.as_bytes());
    (is_name && ["js", "html", "json"].contains(&filter.trim())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::without_getenv;

    #[test]
    fn variables_of_a_template_become_variables() {
        let cases = [
            (r#""value": "{{ getenv "TOKEN" }}""#, r#""value": "${TOKEN}""#),
            (r#""{{getenv "A" | js}}" "{{- getenv `B` -}}""#, r#""${A}" "${B}""#),
            (r#"secret: "{{ getenv \"C\" | js }}""#, r#"secret: "${C}""#),
            (r#""{{ credential "C" }}" {{"#, r#""{{ credential "C" }}" {{"#),
            (r#""{{ getenv "A" | printf "%s-x" }}""#, r#""{{ getenv "A" | printf "%s-x" }}""#),
            ("no template", "no template"),
        ];
        for (text, filled) in cases {
            assert_eq!(without_getenv(text), filled);
        }
    }
}
