//! What a shell would put something in for, in a text that no shell reads.

/// What is said of a text that only a shell would read, and what to write instead; `None` = it is none.
pub fn unexpanded(text: &str) -> Option<(String, String)> {
    if starts_at_home(text) {
        return Some((
            "`~` stands for no home here: it is the name of a folder".to_owned(),
            "write the whole path, as in `/home/ann/events.jsonl`".to_owned(),
        ));
    }
    let (written, name) = variable(text)?;
    Some((
        format!("nothing is put in for `{written}`: it stays as it is"),
        format!(
            "write what it stands for: only a secret is read from a variable, as in `{{ env = \"{name}\" }}`"
        ),
    ))
}

/// Whether a shell would put a home in place of the path's start: `~/x`, `~ann/x`.
fn starts_at_home(path: &str) -> bool {
    let name = path.split('/').next().unwrap_or_default();
    let is_user = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    // An editor's `~file` without a folder is a name like any other.
    name == "~"
        || (path.contains('/')
            && name.strip_prefix('~').is_some_and(|user| user.chars().all(is_user)))
}

/// The first `$NAME` or `${NAME}` and its name. Capitals alone: `/$metadata` is a common path.
fn variable(text: &str) -> Option<(&str, &str)> {
    text.match_indices('$').find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let (open, close) = if rest.starts_with("${") { ("${", "}") } else { ("$", "") };
        let behind = rest.strip_prefix(open)?;
        let is_one = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = behind.find(|c| !is_one(c)).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(length);
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
            && !name.contains(|c: char| c.is_ascii_lowercase());
        // `${NAME:-value}`
        let end = if close.is_empty() { 0 } else { behind.find(close)? + close.len() };
        let written = rest.get(..open.len() + length + end)?;
        (is_name && length > 1).then_some((written, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_by_their_capitals() {
        for (text, expected) in [
            ("https://$HOST/x", Some(("$HOST", "HOST"))),
            ("${CRM_URL}/x", Some(("${CRM_URL}", "CRM_URL"))),
            ("x/${A2:-b}.db", Some(("${A2:-b}", "A2"))),
            ("a$b/$DATA", Some(("$DATA", "DATA"))),
            ("https://odata.example/$metadata?$filter=x", None),
            ("price$5", None),
            ("$A", None),
            ("${OPEN", None),
            ("$MixedCase", None),
            ("100$", None),
        ] {
            assert_eq!(variable(text), expected, "{text}");
        }
    }
}
