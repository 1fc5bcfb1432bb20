//! JSON with line breaks and indents, made from its own text: numbers and escapes stay as they came.

/// How deep lines are indented at most: what is nested deeper is as deep as this.
const DEPTH_MAX: usize = 40;

/// `text`, which is JSON, over several lines.
pub(super) fn pretty(text: &str) -> String {
    let mut pretty = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut chars = text.chars().filter(|c| *c != '\r').peekable();
    while let Some(c) = chars.next() {
        if in_string {
            pretty.push(c);
            (in_string, is_escaped) = (is_escaped || c != '"', !is_escaped && c == '\\');
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                pretty.push(c);
            }
            '{' | '[' => {
                pretty.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    new_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => pretty.push(c),
        }
    }
    pretty
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth.min(DEPTH_MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_json_keeps_numbers_and_escapes_as_they_came() {
        let text = r#"{"n":12345678901234567890.10, "s":"a\"{,}:\u00e9\\","e":{ },"l":[1,[]]}"#;
        let expected = "{\n  \"n\": 12345678901234567890.10,\n  \"s\": \"a\\\"{,}:\\u00e9\\\\\",\n  \
                        \"e\": {},\n  \"l\": [\n    1,\n    []\n  ]\n}";
        assert_eq!(pretty(text), expected);
    }

    #[test]
    fn pretty_json_that_is_deep_does_not_grow_by_its_depth() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(pretty(&deep).len() < 100 * deep.len());
    }
}
