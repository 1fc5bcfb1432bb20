//! Values within the quotation marks of a JSON body, where no sample shows what comes of them.

use crate::expr::Escape;

use super::Lint;

impl Lint<'_> {
    /// A text that brings its own quotation marks has them twice; one that brings none breaks them as soon as it
    /// has one itself. With samples the body that comes out is looked at instead.
    pub(super) fn quotes(&mut self) {
        let Some((key, template)) = self.body() else { return };
        let Some(place) = within_quotes(template.source()) else { return };
        let (message, help) = match template.escape() {
            Escape::Json => (
                format!("`{place}` has quotation marks twice where it is a text: `escape = \"json\"` brings its own"),
                "write it without quotation marks around it".to_owned(),
            ),
            _ => (
                format!("this is not JSON as soon as `{place}` is a text with a quotation mark or two lines"),
                "write `escape = \"json\"` beside it, and `{{ … }}` without quotation marks around it".to_owned(),
            ),
        };
        self.warn(&key, &place, message, help);
    }
}

/// The first `{{ … }}` that stands within a text of a template that begins as a JSON object or list.
pub(super) fn within_quotes(template: &str) -> Option<String> {
    let is_code = |text: &str| ["{{", "{%", "{#"].iter().any(|open| text.starts_with(open));
    let start = template.trim_start();
    if is_code(start) || !start.starts_with(['{', '[']) {
        return None;
    }
    let mut rest = start;
    let mut is_quoted = false;
    while let Some(c) = rest.chars().next() {
        if is_code(rest) {
            let close = if rest.starts_with("{{") {
                "}}"
            } else if rest.starts_with("{%") {
                "%}"
            } else {
                "#}"
            };
            let end = rest.find(close)? + close.len();
            let (code, behind) = rest.split_at_checked(end)?;
            if is_quoted && close == "}}" && !code.contains("tojson") {
                return Some(code.to_owned());
            }
            rest = behind;
            continue;
        }
        // What is escaped ends no text.
        let n_chars = if c == '\\' { 2 } else { 1 };
        is_quoted ^= c == '"';
        rest = rest.char_indices().nth(n_chars).and_then(|(at, _)| rest.get(at..)).unwrap_or("");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_within_quotes_are_found() {
        for (template, found) in [
            (r#"{"a": "{{ payload.x }}"}"#, Some("{{ payload.x }}")),
            (r#"[ "new: {{ payload.x }}" ]"#, Some("{{ payload.x }}")),
            (r#"{"a": {{ payload.x }}, "b": "c \" {{ d }}"}"#, Some("{{ d }}")),
            (r#"{"a": {{ payload.x }}}"#, None),
            (r#"{"a": {{ payload.x | default("none") }}}"#, None),
            (r#"{{ payload.x }} "{{ payload.y }}""#, None),
            (r#"{% if x %}{"a": "{{ b }}"}{% endif %}"#, None),
            (r#"{"a": "{% if x %}b{% endif %}"}"#, None),
            (r#""{{ payload.x }}""#, None),
            ("[Gatepost] {{ payload.x }} \"", None),
            (r#"{"a": "{{ b"#, None),
            (r#"{"é\"#, None),
        ] {
            assert_eq!(within_quotes(template).as_deref(), found, "{template}");
        }
    }
}
