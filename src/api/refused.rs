//! What was refused before verification, with the source that was probably meant.

use crate::ingest::{RefusedFor, RefusedRow};
use crate::settings::nearest;

use super::{Api, SourceView};

/// Where sources are.
const HOOKS: &str = "/hooks/";

impl Api {
    /// What was refused since the start; nothing without a server.
    pub(super) fn refused(&self, sources: &[SourceView]) -> Vec<RefusedRow> {
        let Some(server) = &self.server else { return Vec::new() };
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let mut rows = server.ingest.refused().list();
        for row in &mut rows {
            if row.reason == RefusedFor::UnknownSource.words()
                && let Some(near) = row.path.as_deref().and_then(|path| meant(path, &names))
            {
                row.reason = format!("no source has this name: did you mean `{near}`?").into();
            }
        }
        rows
    }
}

/// The source that a path was probably meant for.
fn meant<'a>(path: &str, names: &[&'a str]) -> Option<&'a str> {
    let name = path.strip_prefix(HOOKS)?.split(['/', '?']).next()?;
    nearest(name, names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_that_was_probably_meant_is_found() {
        let names = ["github", "hyvor"];
        for (path, expected) in [
            ("/hooks/githb", Some("github")),
            ("/hooks/GitHub", Some("github")),
            ("/hooks/hyvor2?x=1", Some("hyvor")),
            ("/hooks/github-/", Some("github")),
            ("/hooks/wordpress", None),
            ("/.env", None),
        ] {
            assert_eq!(meant(path, &names), expected, "{path}");
        }
    }
}
