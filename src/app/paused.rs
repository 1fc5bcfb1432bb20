//! Which handlers are paused, in a file, one name a line with until when and why: a restart does not
//! resume them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing::warn;

use crate::api::{ApiError, PauseView};
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::files;
use crate::sync::lock;

/// The file, and what stands in it.
pub(super) struct Paused {
    path: PathBuf,
    pauses: Mutex<BTreeMap<String, PauseView>>,
}

impl Paused {
    /// What the file holds.
    pub(super) fn open(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|err| {
            if err.kind() != io::ErrorKind::NotFound {
                warn!(error = %err, "The list of paused handlers cannot be read");
            }
            String::new()
        });
        let pauses = text.lines().map(|line| {
            let (name, rest) = line.split_once('\t').unwrap_or((line, ""));
            // One whose words cannot be read is paused all the same.
            (name.to_owned(), serde_json::from_str(rest).unwrap_or_default())
        });
        Self { pauses: Mutex::new(pauses.collect()), path }
    }

    /// Until when and why a handler is paused; `None` = it is not.
    pub(super) fn of(&self, handler: &HandlerName) -> Option<PauseView> {
        lock(&self.pauses).get(handler.as_str()).cloned()
    }

    /// Those whose pause is over by `now`.
    pub(super) fn over(&self, now: Timestamp) -> Vec<HandlerName> {
        let pauses = lock(&self.pauses);
        let over = pauses.iter().filter(|(_, pause)| pause.until.is_some_and(|until| until <= now));
        over.filter_map(|(name, _)| HandlerName::parse(name).ok()).collect()
    }

    /// Adds a handler, or takes it out.
    pub(super) fn change(
        &self,
        handler: &HandlerName,
        pause: Option<PauseView>,
    ) -> Result<(), ApiError> {
        let mut pauses = lock(&self.pauses);
        let mut changed = pauses.clone();
        match pause {
            Some(pause) => changed.insert(handler.to_string(), pause),
            None => changed.remove(handler.as_str()),
        };
        let line = |(name, pause): (&String, &PauseView)| match serde_json::to_string(pause) {
            Ok(json) if *pause != PauseView::default() => format!("{name}\t{json}\n"),
            Ok(_) | Err(_) => format!("{name}\n"),
        };
        let text: String = changed.iter().map(line).collect();
        files::replace(&self.path, text).map_err(|err| {
            let path = self.path.display();
            ApiError::Conflict(format!("`{path}` cannot be written: {err}"))
        })?;
        *pauses = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Actor;

    fn handler(name: &str) -> HandlerName {
        HandlerName::parse(name).unwrap()
    }

    #[test]
    fn pauses_are_remembered_until_they_are_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paused");
        let paused = Paused::open(path.clone());
        assert_eq!(paused.of(&handler("mail")), None);
        let until = Some(Timestamp::from_millis(1_000));
        let reason = Some("a\ttab\nand a line".to_owned());
        let pause = PauseView { until, reason, by: Some(Actor::Dashboard) };
        paused.change(&handler("mail"), Some(PauseView::default())).unwrap();
        paused.change(&handler("sql"), Some(pause.clone())).unwrap();
        paused.change(&handler("log"), Some(PauseView::default())).unwrap();
        paused.change(&handler("log"), None).unwrap();
        let again = Paused::open(path);
        assert_eq!(again.of(&handler("mail")), Some(PauseView::default()));
        assert_eq!(again.of(&handler("sql")), Some(pause));
        assert_eq!(again.of(&handler("log")), None);
        assert_eq!(again.over(Timestamp::from_millis(999)), []);
        assert_eq!(again.over(Timestamp::from_millis(1_000)), [handler("sql")]);
    }

    #[test]
    fn names_alone_are_pauses_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paused");
        std::fs::write(&path, "mail\nsql\t{not json\n").unwrap();
        let paused = Paused::open(path);
        for name in ["mail", "sql"] {
            assert_eq!(paused.of(&handler(name)), Some(PauseView::default()), "{name}");
        }
    }
}
