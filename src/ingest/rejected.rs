//! What failed verification, kept for diagnosis: bounded by count and bytes in memory and on disk,
//! never delivered.
//!
//! - A request touches memory only. The file is written behind it, by [`RejectedRing::keep`], from
//!   what the ring holds by then: what a flood pushed out before its turn is never written.
//! - Nothing is synced: a power cut may take what came last, and that is no loss of an event.
//! - What of the file cannot be read is left out and told in the log.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use crate::event::{Headers, SourceName};
use crate::source::{self, Explanation, Source};
use crate::sync::lock;

mod entries;
mod explanations;
mod file;
mod request;

pub use request::RejectedRequest;

use entries::Entries;
use explanations::KnownExplanations;
use file::RejectedFile;

/// How long the file is left alone after each writing: in a flood it is written this often, each
/// time at most what the ring holds.
const PAUSE: Duration = Duration::from_secs(1);

/// How long it is left alone after a writing that failed.
const RETRY: Duration = Duration::from_mins(1);

/// The newest rejected requests.
#[derive(Debug, Default)]
pub struct RejectedRing {
    state: Mutex<State>,
    /// Rung when there is something to write, or nothing more to come.
    bell: Condvar,
    /// Where they outlive a restart; nothing = in memory only.
    path: Option<PathBuf>,
    explanations: Box<KnownExplanations>,
}

#[derive(Debug, Default)]
struct State {
    entries: Entries,
    /// The writer waits for the notification: without it a request needs no system call.
    is_awaited: bool,
    is_closing: bool,
}

impl RejectedRing {
    /// The most requests that are kept: weeks of honest mistakes, minutes of a flood.
    pub const ENTRIES_MAX: usize = entries::ENTRIES_MAX;
    /// The most bytes that are kept; the oldest go first.
    pub const BYTES_MAX: usize = entries::BYTES_MAX;
    /// The most bytes of the file; while it is written anew the old one is beside it.
    pub const FILE_BYTES_MAX: u64 = entries::FILE_BYTES_MAX;

    /// What the file at `path` holds, to be written there again by [`RejectedRing::keep`]. A file
    /// that cannot be read is told in the log and is no reason to fail.
    pub fn open(path: PathBuf) -> Self {
        let mut entries = Entries::default();
        if let Err(err) = file::read(&path, &mut entries) {
            let path = path.display();
            warn!(error = %err, %path, "Not all rejected requests of the last run can be read");
        }
        entries.all_is_written();
        let state = State { entries, ..State::default() };
        Self { state: Mutex::new(state), path: Some(path), ..Self::default() }
    }

    /// The ring that a file of these bytes holds.
    #[cfg(feature = "test-support")]
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut entries = Entries::default();
        // What can be read counts.
        drop(file::read_from(bytes, &mut entries));
        Self::of_entries(entries)
    }

    /// The ring that one record of the file makes, without the checksum that guards it there.
    #[cfg(feature = "test-support")]
    pub(crate) fn of_payload(payload: &[u8]) -> Self {
        let mut entries = Entries::default();
        drop(file::take_in(payload, &mut entries));
        Self::of_entries(entries)
    }

    #[cfg(feature = "test-support")]
    fn of_entries(entries: Entries) -> Self {
        Self { state: Mutex::new(State { entries, ..State::default() }), ..Self::default() }
    }

    /// Keeps `request` under a number of its own, which is returned.
    pub fn push(&self, request: RejectedRequest) -> u64 {
        let request = RejectedRequest {
            // Copies: a slice of a connection's read buffer would keep all of the buffer alive.
            headers: Headers::from_encoded(Bytes::copy_from_slice(request.headers.encoded())),
            body: Bytes::copy_from_slice(&request.body),
            ..request
        };
        let mut state = self.lock();
        let number = state.entries.push(request);
        self.ring(&mut state);
        number
    }

    /// Whether a request is small enough to be kept at all.
    pub(super) fn keeps(request: &RejectedRequest) -> bool {
        request.bytes() <= Self::BYTES_MAX
    }

    /// What is kept, newest first, at most `limit`.
    pub fn list(&self, limit: usize) -> Vec<Arc<RejectedRequest>> {
        self.lock().entries.iter().rev().take(limit).cloned().collect()
    }

    /// The newest one that was sent to `source`.
    pub fn newest_of(&self, source: &SourceName) -> Option<Arc<RejectedRequest>> {
        self.lock().entries.iter().rev().find(|request| request.source == *source).cloned()
    }

    /// The number of the newest question to `source` that was answered.
    pub fn newest_handshake_of(&self, source: &SourceName) -> Option<u64> {
        let entries = &self.lock().entries;
        let mut questions =
            entries.iter().rev().filter(|one| one.source == *source && one.is_handshake());
        questions.next().map(|request| request.number)
    }

    /// What was found out of late about those that are kept.
    pub fn explanations(&self) -> &KnownExplanations {
        &self.explanations
    }

    /// Forgets what was found out: the sources are others by now.
    pub(super) fn sources_changed(&self) {
        self.explanations.clear();
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.lock().entries.iter().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The request of this number, while it is kept.
    pub fn get(&self, number: u64) -> Option<Arc<RejectedRequest>> {
        self.lock().entries.iter().find(|request| request.number == number).cloned()
    }

    /// Lets go of the request of this number.
    pub fn remove(&self, number: u64) {
        let mut state = self.lock();
        state.entries.remove(number);
        self.ring(&mut state);
    }

    /// Why a request was rejected, in words an owner understands, with `sources` as they are
    /// configured by now. `None` = it is not kept any more, or its source is gone.
    pub fn explain(&self, number: u64, sources: &[&Source]) -> Option<Explanation> {
        let kept = self.get(number)?;
        let source = sources.iter().find(|source| *source.name() == kept.source)?;
        let rejected = source::Rejected { request: kept.inbound(), received_at: kept.received_at };
        if source.settings().learns() && !kept.is_handshake() {
            let questions = self.list(usize::MAX).into_iter();
            let questions = questions.filter(|one| one.source == kept.source && one.is_handshake());
            for question in questions {
                let told = source::explain_by_question(
                    source,
                    &rejected,
                    question.number,
                    &question.inbound(),
                );
                if told.is_some() {
                    return told;
                }
            }
        }
        Some(source::explain(source, sources, &rejected))
    }

    /// Writes what is new to the file until [`RejectedRing::close`], and what is left then. Blocks:
    /// to be called once, by a thread of its own.
    pub fn keep(&self) {
        let Some(path) = &self.path else { return };
        let mut file = RejectedFile::new(path.clone());
        loop {
            let (unwritten, is_closing) = {
                let mut state = self.lock();
                while !state.entries.is_changed() && !state.is_closing {
                    state.is_awaited = true;
                    state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                (state.entries.take_unwritten(), state.is_closing)
            };
            let written = unwritten.map_or(Ok(()), |unwritten| file.write(&unwritten));
            if let Err(err) = &written {
                let path = path.display();
                warn!(error = %err, %path, "Rejected requests cannot be kept over a restart");
                self.lock().entries.nothing_is_written();
            }
            if is_closing {
                return;
            }
            let pause = if written.is_ok() { PAUSE } else { RETRY };
            let is_open = |state: &mut State| !state.is_closing;
            // Whatever woke it: the loop looks again.
            drop(self.bell.wait_timeout_while(self.lock(), pause, is_open));
        }
    }

    /// Ends [`RejectedRing::keep`].
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        self.bell.notify_all();
        drop(state);
    }

    fn ring(&self, state: &mut State) {
        if std::mem::take(&mut state.is_awaited) {
            self.bell.notify_all();
        }
    }

    /// A panic elsewhere leaves the ring whole: every change of it is complete or absent.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests;
