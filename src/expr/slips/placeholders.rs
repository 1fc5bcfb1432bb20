//! What other templates write for a value, in a text that is a template of ours: it would stay as it is.

use crate::expr::ROOTS;

/// Where a value stands in other templates, the longer signs first.
const BRACKETS: [(&str, &str); 7] =
    [("<%=", "%>"), ("<%", "%>"), ("[[", "]]"), ("${", "}"), ("#{", "}"), ("{", "}"), ("%{", "}")];

/// The first place outside `{{ }}` where another template would put a field of the event, and what to
/// write there.
pub fn foreign_placeholder(text: &str) -> Option<(String, String)> {
    let mut rest = text;
    while let Some(at) = rest.find(['<', '[', '$', '#', '{', '%']) {
        rest = rest.get(at..)?;
        let ours = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
        if let Some((_, close)) = ours.into_iter().find(|(open, _)| rest.starts_with(open)) {
            let end = rest.find(close)? + close.len();
            rest = rest.get(end..)?;
            continue;
        }
        let found = BRACKETS.into_iter().find_map(|brackets| within(rest, brackets));
        if let Some((written, inner)) = found {
            return Some((written.to_owned(), format!("{{{{ {inner} }}}}")));
        }
        let mut behind = rest.chars();
        behind.next();
        rest = behind.as_str();
    }
    None
}

/// The brackets at the start of the text and the field between them.
fn within<'a>(text: &'a str, (open, close): (&str, &str)) -> Option<(&'a str, &'a str)> {
    let behind = text.strip_prefix(open)?;
    let end = behind.find(close)?;
    let inner = behind.get(..end)?.trim();
    let is_path = |c: char| c.is_alphanumeric() || "._-[]'\"$".contains(c);
    let field = ROOTS.into_iter().find_map(|root| inner.strip_prefix(root))?;
    let is_field = field.starts_with(['.', '[']) && field.chars().all(is_path);
    is_field.then_some((text.get(..open.len() + end + close.len())?, inner))
}
