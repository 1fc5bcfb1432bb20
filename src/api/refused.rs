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
                row.reason = near.into();
            }
        }
        rows
    }
}

/// Which source a path was probably meant for, in words.
fn meant(path: &str, names: &[&str]) -> Option<String> {
    let path = path.split('?').next()?;
    if let Some(name) = path.strip_prefix(HOOKS) {
        let near = nearest(name.split('/').next()?, names.iter().copied())?;
        return Some(format!("no source has this name: did you mean `{near}`?"));
    }
    let last = path.rsplit('/').find(|part| !part.is_empty())?;
    let near = nearest(last, names.iter().copied())?;
    Some(format!("nothing is at this path: did you mean `{HOOKS}{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_that_was_probably_meant_is_found() {
        let names = ["github", "hyvor"];
        for (path, expected) in [
            ("/hooks/githb", Some("`github`")),
            ("/hooks/GitHub", Some("`github`")),
            ("/hooks/hyvor2?x=1", Some("`hyvor`")),
            ("/hooks/github-/", Some("`github`")),
            ("/hook/github?x=1", Some("`/hooks/github`")),
            ("/gatepost/hooks/GitHub/", Some("`/hooks/github`")),
            ("/hooks/wordpress", None),
            ("/.env", None),
        ] {
            let words = meant(path, &names);
            match expected {
                Some(name) => {
                    assert!(words.is_some_and(|words| words.contains(name)), "{path}");
                }
                None => assert_eq!(words, None, "{path}"),
            }
        }
    }
}
