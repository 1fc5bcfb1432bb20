//! Fields whose names have a hyphen, written as if it were a letter.

use super::Slip;

/// A field of one of `roots` that is written with a hyphen, where `name`, which stands for nothing, is what
/// is behind it.
pub(in crate::expr) fn hyphened(text: &str, name: &str, roots: &[&str]) -> Option<Slip> {
    text.match_indices(name).find_map(|(at, _)| path_around(text, at, roots))
}

fn path_around(text: &str, at: usize, roots: &[&str]) -> Option<Slip> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let before = text.get(..at)?;
    if !before.ends_with('-') {
        return None;
    }
    let start = before.trim_end_matches(is_part).len();
    let behind = text.get(at..)?;
    let length = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
    let path = text.get(start..at + length)?.trim_end_matches(['.', '-']);
    let mut steps = path.split('.');
    let root = steps.next()?;
    if !roots.contains(&root) {
        return None;
    }
    let written = steps
        .map(|step| if step.contains('-') { format!("[\"{step}\"]") } else { format!(".{step}") });
    let written: String = written.collect();
    Some(Slip {
        message: format!("`-` is no part of a name: `{path}` subtracts"),
        help: format!("write `{root}{written}`"),
        range: start..start + path.len(),
    })
}
