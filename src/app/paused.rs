//! Which handlers are paused, in a file, one name a line: a restart does not resume them.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use tracing::warn;

use crate::api::{ApiError, Run};
use crate::event::HandlerName;
use crate::files;

/// The file.
pub(super) struct Paused(PathBuf);

impl Paused {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The names in it.
    pub(super) fn read(&self) -> BTreeSet<String> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(err) => {
                warn!(error = %err, "The list of paused handlers cannot be read");
                BTreeSet::new()
            }
        }
    }

    /// Adds a name or takes it out.
    pub(super) fn change(&self, handler: &HandlerName, run: Run) -> Result<(), ApiError> {
        let mut names = self.read();
        match run {
            Run::Pause => names.insert(handler.to_string()),
            Run::Resume => names.remove(handler.as_str()),
        };
        let text: String = names.iter().flat_map(|name| [name, "\n"]).collect();
        files::replace(&self.0, text).map_err(|err| {
            let path = self.0.display();
            ApiError::Conflict(format!("`{path}` cannot be written: {err}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_remembered_until_they_are_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let paused = Paused::new(folder.path().join("paused"));
        let handler = |name| HandlerName::parse(name).unwrap();
        assert!(paused.read().is_empty());
        paused.change(&handler("mail"), Run::Pause).unwrap();
        paused.change(&handler("sql"), Run::Pause).unwrap();
        paused.change(&handler("mail"), Run::Pause).unwrap();
        paused.change(&handler("mail"), Run::Resume).unwrap();
        let again = Paused::new(folder.path().join("paused"));
        assert_eq!(again.read().into_iter().collect::<Vec<_>>(), ["sql"]);
    }
}
