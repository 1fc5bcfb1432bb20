//! Answers to people: events, lists, histories, dead letters.
//!
//! What is there is read from the log and the kept log, the state of a delivery comes from the
//! handlers' states; the index shortens the way and adds reasons and times. So an index that is
//! gone, behind or wrong makes an answer slower or poorer, and the answer says so. Every call
//! blocks on the disk.

use std::io;
use std::sync::Arc;

use super::index::Index;
use super::kept::KeptLog;
use super::log::{FileLog, ReadError};
use super::record::Lsn;
use crate::queue::QueueError;

mod budget;
mod confirm;
mod dead;
mod deliveries;
mod find;
mod history;
mod list;
mod search;
mod states;
mod stats;
mod zones;

pub(crate) use budget::Budget;
pub(crate) use dead::{DeadMatch, DeadPage, is_by_fact};
pub(crate) use history::History;
#[cfg(test)]
pub(crate) use list::Page;
pub(crate) use search::Search;
pub(crate) use states::{Standing, States};

/// Reads what people ask for. Shared.
#[derive(Debug)]
pub(crate) struct Reading {
    log: Arc<FileLog>,
    kept: Arc<KeptLog>,
    index: Arc<Index>,
    states: Arc<dyn States>,
    /// Ids of several nodes interleave in the log.
    is_copy_of_shared: bool,
}

impl Reading {
    pub(crate) fn new(
        log: Arc<FileLog>,
        kept: Arc<KeptLog>,
        index: Arc<Index>,
        states: Arc<dyn States>,
    ) -> Self {
        Self { log, kept, index, states, is_copy_of_shared: false }
    }

    /// The same over a copy of a log that several nodes share, if it is one.
    pub(crate) fn of_copy(self, is_copy_of_shared: bool) -> Self {
        Self { is_copy_of_shared, ..self }
    }

    /// Whether the index has the whole log, as far as it was when the follower last looked.
    fn is_indexed(&self) -> bool {
        let progress = self.index.progress();
        progress.covers(self.log.head().first, progress.to)
    }

    /// Whether everything that was recorded from `from` to before `through` is in the index, what
    /// the kept log has included.
    fn is_indexed_from(&self, from: Lsn, through: Lsn) -> bool {
        let progress = self.index.progress();
        let head = self.log.head();
        let needs_kept = from <= head.first;
        progress.covers(from.max(head.first), through.max(head.first))
            && (progress.has_kept || !needs_kept)
    }
}

fn read_failed(err: ReadError) -> QueueError {
    match err {
        ReadError::Io { file, source } => {
            QueueError::Io { what: format!("reading `{file}`"), source }
        }
        ReadError::Trimmed => QueueError::Corrupt("the log went on while it was read".to_owned()),
    }
}

fn kept_failed(source: io::Error) -> QueueError {
    QueueError::Io { what: "reading the kept log".to_owned(), source }
}

#[cfg(test)]
mod tests;
