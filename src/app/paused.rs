//! Which handlers are paused, in a file, one name a line with until when and why: a restart does not
//! resume them. Where the file cannot be read, all are paused until each is resumed by hand: what waits is
//! delivered later, but a mail that its owner stopped cannot be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing::error;

use crate::api::{ApiError, PauseView};
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::files;
use crate::sync::lock;

/// The file, and what stands in it.
pub(super) struct Paused {
    path: PathBuf,
    pauses: Mutex<BTreeMap<String, PauseView>>,
    unread: Option<UnreadableList>,
}

/// A file that is there and cannot be read: it is left as it is.
struct UnreadableList {
    pause: PauseView,
    resumed: Mutex<BTreeSet<String>>,
}

impl Paused {
    /// What the file holds.
    pub(super) fn open(path: PathBuf) -> Self {
        let (text, unread) = match std::fs::read_to_string(&path) {
            Ok(text) => (text, None),
            Err(err) if err.kind() == io::ErrorKind::NotFound => (String::new(), None),
            Err(err) => {
                error!(path = %path.display(), error = %err, "The list of paused handlers cannot be \
                    read: all are paused");
                let why = format!(
                    "`{}` cannot be read ({err}): mend or remove it and restart, or resume each handler",
                    path.display()
                );
                let pause = PauseView { reason: Some(why), ..PauseView::default() };
                (String::new(), Some(UnreadableList { pause, resumed: Mutex::default() }))
            }
        };
        let pauses = text.lines().map(|line| {
            let (name, rest) = line.split_once('\t').unwrap_or((line, ""));
            // One whose words cannot be read is paused all the same.
            (name.to_owned(), serde_json::from_str(rest).unwrap_or_default())
        });
        Self { pauses: Mutex::new(pauses.collect()), path, unread }
    }

    /// Until when and why a handler is paused; `None` = it is not.
    pub(super) fn of(&self, handler: &HandlerName) -> Option<PauseView> {
        let of_all =
            self.unread.as_ref().filter(|it| !lock(&it.resumed).contains(handler.as_str()));
        let pauses = lock(&self.pauses);
        pauses.get(handler.as_str()).or(of_all.map(|unread| &unread.pause)).cloned()
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
        if let Some(unread) = &self.unread {
            lock(&unread.resumed).insert(handler.to_string());
        } else {
            let text: String = changed.iter().map(line).collect();
            files::replace(&self.path, text).map_err(|err| {
                let path = self.path.display();
                ApiError::Conflict(format!("`{path}` cannot be written: {err}"))
            })?;
        }
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
    fn list_that_cannot_be_read_pauses_all_and_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paused");
        std::fs::write(&path, b"mail\xff\n").unwrap();
        let paused = Paused::open(path.clone());
        let why = paused.of(&handler("sql")).unwrap().reason.unwrap();
        assert!(why.contains("cannot be read") && why.contains("resume each"), "{why}");
        paused.change(&handler("sql"), None).unwrap();
        assert_eq!(paused.of(&handler("sql")), None);
        assert!(paused.of(&handler("mail")).is_some());
        paused.change(&handler("sql"), Some(PauseView::default())).unwrap();
        assert_eq!(paused.of(&handler("sql")), Some(PauseView::default()));
        assert_eq!(std::fs::read(&path).unwrap(), b"mail\xff\n");
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
