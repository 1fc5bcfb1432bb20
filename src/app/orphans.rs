//! Handlers that have a place in the queue and are not configured any more: what waits for them
//! keeps the log from shrinking, so their owner is told of them, and after `orphan_retention` they
//! are let go.
//!
//! Since when, and which handlers have a place at all, is kept in a file, one name a line (with the
//! time behind it where it is not configured): so `check` can tell before a reload whose place a
//! new configuration leaves behind, without opening the queue.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::warn;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::HandlerName;
use crate::files;
use crate::queue::{Backlog, QueueStats};
use crate::settings::show_duration;
use crate::text::count;

/// Known handlers, each with since when it is not configured.
type Known = BTreeMap<HandlerName, Option<Timestamp>>;

/// Remembers who has a place.
#[derive(Debug)]
pub(super) struct Orphans(PathBuf);

/// A handler that is not configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) name: HandlerName,
    pub(super) backlog: Backlog,
    pub(super) since: Timestamp,
}

impl Orphans {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The handlers in `stats` that `config` does not name.
    pub(super) fn look(&self, stats: &QueueStats, config: &Config, now: Timestamp) -> Vec<Orphan> {
        let before = self.read();
        let mut known = Known::new();
        let mut orphans = Vec::new();
        for (name, backlog) in &stats.handlers {
            let is_orphan = !config.handlers.contains_key(name);
            let was = before.get(name).copied().flatten().filter(|since| *since <= now);
            let since = is_orphan.then(|| was.unwrap_or(now));
            known.insert(name.clone(), since);
            if let Some(since) = since {
                orphans.push(Orphan { name: name.clone(), backlog: *backlog, since });
            }
        }
        if known != before {
            self.write(&known);
        }
        orphans
    }

    /// `name` has no place any more.
    pub(super) fn forgotten(&self, name: &HandlerName) {
        let mut known = self.read();
        if known.remove(name).is_some() {
            self.write(&known);
        }
    }

    fn write(&self, known: &Known) {
        if let Err(err) = files::replace(&self.0, text(known)) {
            warn!(error = %err, "The list of handlers with a place in the queue cannot be written");
        }
    }

    fn read(&self) -> Known {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.lines().filter_map(parse).collect(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Known::new(),
            Err(err) => {
                warn!(error = %err, "The list of handlers with a place in the queue cannot be read");
                Known::new()
            }
        }
    }
}

fn text(known: &Known) -> String {
    known.iter().fold(String::new(), |mut text, (name, since)| {
        let written = match since {
            Some(since) => writeln!(text, "{name} {since}"),
            None => writeln!(text, "{name}"),
        };
        debug_assert!(written.is_ok(), "a string takes all");
        text
    })
}

fn parse(line: &str) -> Option<(HandlerName, Option<Timestamp>)> {
    let (name, since) = line.split_once(' ').unwrap_or((line, ""));
    Some((HandlerName::parse(name).ok()?, Timestamp::parse_rfc3339(since)))
}

impl Orphan {
    /// Whether it was kept for long enough.
    pub(super) fn is_over(&self, retention: Duration, now: Timestamp) -> bool {
        now.since(self.since) >= retention
    }

    /// How many events are kept for it alone.
    fn n_waiting(&self) -> u64 {
        let Backlog { in_log, waiting, dead, .. } = self.backlog;
        in_log.saturating_add(waiting).saturating_add(dead)
    }

    /// One line for its owner.
    pub(super) fn line(&self, retention: Duration, now: Timestamp) -> String {
        let name = &self.name;
        let left = retention.saturating_sub(now.since(self.since));
        let left = show_duration(Duration::from_secs(left.as_secs().div_ceil(60) * 60));
        format!("{}; it is let go in {left}", left_behind(name, Some(self.n_waiting())))
    }

    pub(super) fn view(&self) -> Value {
        let Backlog { in_log, waiting, dead, .. } = self.backlog;
        let (name, since) = (&self.name, self.since);
        json!({ "name": name, "since": since, "in_log": in_log, "waiting": waiting, "dead": dead })
    }
}

/// What is told of handlers that are gone: from half of `disk_max` on, with how full it is.
pub(super) fn worth_telling(gone: &[Orphan], bytes: u64, disk_max: u64) -> Option<Value> {
    let is_told = !gone.is_empty() && bytes >= disk_max / 2;
    let handlers: Vec<Value> = gone.iter().map(Orphan::view).collect();
    is_told.then(|| json!({ "handlers": handlers, "bytes": bytes, "disk_max": disk_max }))
}

fn left_behind(name: &HandlerName, n_events: Option<u64>) -> String {
    let events = match n_events {
        Some(0) => "what comes in is kept for it".to_owned(),
        Some(1) => "1 event is kept for it".to_owned(),
        Some(n_events) => format!("{} events are kept for it", count(n_events)),
        None => "events are kept for it".to_owned(),
    };
    format!(
        "handler `{name}` has a place in the queue and stands in no configuration: {events}. Give it its \
         name back, or `gatepost handlers forget {name}`"
    )
}

/// The handlers that had a place when the gateway last looked, and that `config` does not name, on one
/// line: another site's configuration may name none of them.
pub fn left_behind_by(config: &Config) -> Option<String> {
    let known = Orphans::new(config.admin.places()).read();
    let mut gone: Vec<HandlerName> = known.into_keys().collect();
    gone.retain(|name| !config.handlers.contains_key(name));
    match gone.as_slice() {
        [] => None,
        [one] => Some(left_behind(one, None)),
        several => {
            let names =
                several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Some(format!(
                "{} handlers have a place in the queue and stand in no configuration: {names}. Events are kept \
                 for them. Give them their names back, or `gatepost handlers forget NAME`",
                several.len()
            ))
        }
    }
}

/// Remembers that a handler's place was removed.
pub fn forgotten(config: &Config, name: &HandlerName) {
    Orphans::new(config.admin.places()).forgotten(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn stats(names: &[&str]) -> QueueStats {
        let backlog = Backlog { in_log: 3, waiting: 2, dead: 1, oldest_pending_at: None };
        let place = |name: &&str| (HandlerName::parse(name).unwrap(), backlog);
        QueueStats { handlers: names.iter().map(place).collect(), ..QueueStats::default() }
    }

    fn config(folder: &std::path::Path, handlers: &[&str]) -> Config {
        let sections = handlers.iter().map(|name| format!("[handler.{name}.log]\n"));
        let text = sections.collect::<String>();
        crate::config::check_text(&text, "config.toml", folder, None).config.unwrap()
    }

    #[test]
    fn an_orphan_is_one_since_it_was_first_seen_and_until_it_is_named_again() {
        let folder = tempfile::tempdir().unwrap();
        let both = config(folder.path(), &["mail", "new"]);
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let only_new = config(folder.path(), &["new"]);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let seen = |config: &Config, now| -> Vec<(String, Timestamp)> {
            // As over restarts.
            let orphans = Orphans::new(config.admin.places());
            let orphans = orphans.look(&stats(&["mail", "new"]), config, now);
            orphans.into_iter().map(|one| (one.name.to_string(), one.since)).collect()
        };
        assert_eq!(seen(&both, now), []);
        let told = left_behind_by(&only_new).unwrap();
        assert!(told.starts_with("handler `mail` has a place in the queue"), "{told}");
        // Several are told on one line: another site's file names none of them.
        let told = left_behind_by(&config(folder.path(), &["other"])).unwrap();
        assert!(told.starts_with("2 handlers have a place in the queue"), "{told}");
        assert!(told.contains(": `mail`, `new`. ") && !told.contains('\n'), "{told}");
        assert_eq!(left_behind_by(&both), None);

        assert_eq!(seen(&only_new, now), [("mail".to_owned(), now)]);
        assert_eq!(seen(&only_new, now.after(DAY)), [("mail".to_owned(), now)]);
        assert_eq!(seen(&both, now.after(DAY)), []);
        let later = now.after(2 * DAY);
        assert_eq!(seen(&only_new, later), [("mail".to_owned(), later)]);
        // The clock was set back: it is not older than that.
        assert_eq!(seen(&only_new, now), [("mail".to_owned(), now)]);
    }

    #[test]
    fn its_owner_is_told_how_much_is_kept_and_for_how_long() {
        let since = Timestamp::from_millis(1_700_000_000_000);
        let (name, backlog) = stats(&["mail"]).handlers.remove(0);
        let orphan = Orphan { name, backlog, since };
        let month = 30 * DAY;
        let line = orphan.line(month, since.after(29 * DAY + Duration::from_secs(1)));
        assert!(line.contains("6 events are kept") && line.ends_with("let go in 1d"), "{line}");
        // An event of its own is made of it where it fills the disk.
        let gone = [orphan.clone()];
        for (gone, bytes, is_told) in
            [(&gone[..], 499, false), (&gone, 500, true), (&gone, 1_000, true), (&[], 1_000, false)]
        {
            let told = worth_telling(gone, bytes, 1_000);
            assert_eq!(told.is_some(), is_told, "{bytes}");
            assert!(told.is_none_or(|told| told["handlers"][0]["name"] == "mail"));
        }
        assert!(!orphan.is_over(month, since.after(29 * DAY)));
        assert!(orphan.is_over(month, since.after(month)));
    }
}
