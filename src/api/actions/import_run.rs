//! The line of an import, which comes in as many parts as it has megabytes.

use std::time::Duration;

use crate::api::{Api, ApiError, ImportView};
use crate::clock::Timestamp;
use crate::text::{count, counted};

use super::{ActionView, Actions};

/// How long after one part of an import the next one belongs to it: a part takes a second or so, and is given up
/// after a minute.
const IMPORT_GAP: Duration = Duration::from_mins(2);

/// An import whose parts come in one after the other; two of them, where one follows within that time.
#[derive(Clone, Debug)]
pub(super) struct ImportRun {
    line: ActionView,
    /// When its newest part came.
    last_at: Timestamp,
    n_parts: u64,
    n_events: u64,
    n_new: u64,
}

impl ImportRun {
    fn sum(&self) -> String {
        let n_events = counted(self.n_events, "event", "events");
        // Parts say neither which import they are of nor whether they came before: one that is sent again
        // counts twice, and so does an import right behind another.
        let parts = match self.n_parts {
            1 => String::new(),
            n => format!(" in {} parts", count(n)),
        };
        format!("{n_events}{parts}, {} of them new", count(self.n_new))
    }
}

impl Api {
    /// Writes down what came of a part of an import: all of its parts have one line.
    pub(in crate::api) fn note_import(&self, n_events: u64, result: &Result<ImportView, ApiError>) {
        let Some(server) = &self.server else { return };
        let part =
            self.noted("import", "events of an export".to_owned(), result, |_| String::new());
        match result {
            Ok(view) => server.actions.add_import(part, n_events, view.count),
            Err(_) => drop(server.actions.add(part)),
        }
    }
}

impl Actions {
    /// Adds a part of an import to the line of the parts before it, or begins one.
    fn add_import(&self, part: ActionView, n_events: u64, n_new: u64) {
        let mut kept = self.kept();
        let at = part.at;
        let goes_on = |run: &ImportRun| {
            run.line.actor == part.actor
                && at.since(run.last_at) <= IMPORT_GAP
                && kept.actions.iter().any(|one| one.is_line_of(&run.line))
        };
        let begun = kept.import.as_ref().filter(|run| goes_on(run)).cloned();
        let is_new = begun.is_none();
        let mut run = begun.unwrap_or(ImportRun {
            line: part,
            last_at: at,
            n_parts: 0,
            n_events: 0,
            n_new: 0,
        });
        run.last_at = at;
        run.n_parts += 1;
        run.n_events += n_events;
        run.n_new += n_new;
        run.line.result = run.sum();
        let is_sharing = kept.is_sharing;
        if is_new {
            run.line.number = self.add_to(&mut kept, run.line.clone());
        } else if let Some(begun) = kept.actions.iter_mut().find(|one| one.is_line_of(&run.line)) {
            begun.action.result.clone_from(&run.line.result);
            begun.is_unshared = is_sharing;
            self.keep(&mut kept, run.line.number);
        }
        kept.import = Some(run);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::action;
    use super::super::{ACTIONS_MAX, ActionsAsk};
    use super::*;

    #[test]
    fn import_has_one_line_however_many_parts_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("actions");
        let actions = Actions::open(path.clone());
        let part = |seconds: i64, n_events: u64, n_new: u64| {
            let at = Timestamp::from_millis(seconds * 1_000);
            let part = ActionView { at, action: "import".into(), ..action("events".into()) };
            actions.add_import(part, n_events, n_new);
        };
        let results = |actions: &Actions| {
            let listed = actions.list(&ActionsAsk::default()).actions.into_iter().rev();
            listed.map(|one| one.result).collect::<Vec<_>>()
        };
        part(0, 200, 200);
        actions.add(action("meanwhile".into()));
        part(60, 1_000, 50);
        let expected = ["1,200 events in 2 parts, 250 of them new", "done 1"];
        assert_eq!(results(&actions), expected);
        assert_eq!(results(&Actions::open(path.clone())), expected, "after a restart");
        // One that comes later is another one.
        part(600, 1, 0);
        let expected = [expected[0], expected[1], "1 event, 0 of them new"];
        assert_eq!(results(&actions), expected);
        for n in (600..).take(3 * ACTIONS_MAX) {
            part(n, 1, 1);
        }
        assert_eq!(results(&actions).len(), 3);
        assert_eq!(results(&Actions::open(path.clone())), results(&actions));
        assert!(std::fs::read_to_string(path).unwrap().lines().count() <= 2 * ACTIONS_MAX);
    }
}
