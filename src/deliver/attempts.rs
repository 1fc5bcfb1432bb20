//! Events whose handling ends the process: an abort, or memory that the system does not give.
//!
//! Such an event comes back with every start and ends that too. So the process leaves a file while it
//! runs, and finds it again only where it ended by itself. Then, and only then, each call is noted there
//! before it begins:
//!
//! - What was under way at such an end is a suspect: its handler calls it alone from then on, so that it
//!   is known which one it was. Other handlers go on meanwhile, for a call may last hours.
//! - What was begun in two lives of the process that it did not survive is not begun a third time: it
//!   becomes a dead letter. Where there are several, of several handlers, it may have been any: in the
//!   next life one suspect at a time is called, whosever it is, and only one can be left.
//! - What begins once the process has lived for a while is not noted, unless it is a suspect: what ended
//!   the process comes back at its start.
//!
//! Nothing is synced: the file must outlive the process, not the machine, whose power cuts say nothing
//! of an event. Each line says how often a call was begun, and the last one of a call counts: a change
//! is a line more, a few microseconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{
    Mutex as AsyncMutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
};
use tokio::time::Instant;
use tracing::warn;

use crate::event::{Delivery, EventId, HandlerName};
use crate::files;
use crate::sync::lock;

/// After so many beginnings that the process did not survive, a delivery is set aside.
const BEGINNINGS_MAX: u32 = 2;
/// How long calls are noted that are no suspects'.
const NOTED_FOR: Duration = Duration::from_mins(10);
/// How long the file grows until it is written anew: some 10,000 lines.
const FILE_BYTES_MAX: usize = 1 << 20;

/// The calls that are under way, as far as they are noted.
#[derive(Debug, Default)]
pub struct Attempts {
    /// `None` = the last process ended well, and nothing is noted.
    log: Option<Mutex<AttemptLog>>,
    /// Which calls of a handler run beside others: a suspect's has the lock alone. Held over the call.
    locks: Mutex<BTreeMap<HandlerName, Arc<RwLock<()>>>>,
    /// Held over a suspect's call where one handler's may not run beside another's.
    among_handlers: Option<Arc<AsyncMutex<()>>>,
}

#[derive(Debug)]
struct AttemptLog {
    path: PathBuf,
    file: File,
    file_bytes: usize,
    begun: BTreeMap<Call, u32>,
    /// When the process began.
    since: Instant,
}

type Call = (HandlerName, EventId);

/// Whether a call may begin.
#[derive(Debug)]
pub(super) enum Beginning<'a> {
    /// It is noted until this is dropped.
    Begun(Underway<'a>),
    /// One of several is a suspect: each is to be called alone.
    OneByOne,
    /// A suspect was called for all the time that there was, or one of another handler is called.
    Later,
    /// It is not begun again.
    SetAside,
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Underway<'a> {
    attempts: &'a Attempts,
    calls: Vec<Call>,
    _lock: CallLock,
}

/// Whether a call runs alone or beside others.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
enum CallLock {
    Any,
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>, Option<OwnedMutexGuard<()>>),
}

impl Attempts {
    /// Looks for the file that a process left which ended by itself, and leaves one of its own.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let text = match std::fs::read(&path) {
            // Lines that are none, as a power cut may leave them, say nothing.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                files::replace(&path, "")?;
                return Ok(Self::default());
            }
            Err(err) => return Err(err),
        };
        let mut begun: BTreeMap<Call, u32> = text.lines().filter_map(parse).collect();
        begun.retain(|_, count| *count > 0);
        warn!(
            n_suspects = begun.len(),
            "The last process did not end well: calls are noted, and what was under way is called alone"
        );
        let is_ambiguous = begun.values().filter(|count| **count >= BEGINNINGS_MAX).count() > 1;
        if is_ambiguous {
            for count in begun.values_mut() {
                *count = (*count).min(BEGINNINGS_MAX - 1);
            }
        }
        let (file, file_bytes) = match write_anew(&path, &begun) {
            Ok(written) => written,
            // As on a full disk, with which the gateway starts. The next note tries to write it anew.
            Err(err) => {
                warn!(error = %err, "Calls under way cannot be noted");
                (File::options().append(true).open(&path)?, FILE_BYTES_MAX)
            }
        };
        let log = AttemptLog { path, file, file_bytes, begun, since: Instant::now() };
        Ok(Self {
            log: Some(Mutex::new(log)),
            locks: Mutex::default(),
            among_handlers: is_ambiguous.then(Arc::default),
        })
    }

    /// Removes the file: the process ends well.
    pub fn close(path: &Path) -> io::Result<()> {
        files::remove(path)
    }

    /// Waits for `timeout` at most for what its handler calls alone.
    pub(super) async fn begin(
        &self,
        handler: &HandlerName,
        deliveries: &[Delivery],
        timeout: Duration,
    ) -> Beginning<'_> {
        let underway = |calls, lock| Underway { attempts: self, calls, _lock: lock };
        let Some(log) = &self.log else {
            return Beginning::Begun(underway(Vec::new(), CallLock::Any));
        };
        let calls: Vec<Call> =
            deliveries.iter().map(|delivery| (handler.clone(), delivery.event.id)).collect();
        let (most, is_noted) = lock(log).look(&calls);
        let locked = match (most, calls.as_slice()) {
            (0, _) => tokio::time::timeout(timeout, self.shared(handler)).await.ok(),
            (_, [_, _, ..]) => return Beginning::OneByOne,
            (BEGINNINGS_MAX.., _) => {
                // A redrive is its owner's word that it may be tried again.
                lock(log).forget(&calls);
                return Beginning::SetAside;
            }
            (_, _) => tokio::time::timeout(timeout, self.alone(handler)).await.ok().flatten(),
        };
        let Some(held) = locked else { return Beginning::Later };
        if !is_noted {
            return Beginning::Begun(underway(Vec::new(), held));
        }
        lock(log).note(&calls);
        Beginning::Begun(underway(calls, held))
    }

    async fn shared(&self, handler: &HandlerName) -> CallLock {
        CallLock::Shared(self.lock_of(handler).read_owned().await)
    }

    /// `None` = another handler's suspect is called, perhaps for hours: it is not waited for, since that would
    /// take a place from the events that are no suspects.
    async fn alone(&self, handler: &HandlerName) -> Option<CallLock> {
        let among_handlers = match &self.among_handlers {
            Some(mutex) => Some(Arc::clone(mutex).try_lock_owned().ok()?),
            None => None,
        };
        Some(CallLock::Alone(self.lock_of(handler).write_owned().await, among_handlers))
    }

    fn lock_of(&self, handler: &HandlerName) -> Arc<RwLock<()>> {
        Arc::clone(lock(&self.locks).entry(handler.clone()).or_default())
    }
}

impl AttemptLog {
    /// The most beginnings of one of `calls`, and whether another one is to be noted.
    fn look(&self, calls: &[Call]) -> (u32, bool) {
        let most = calls.iter().filter_map(|call| self.begun.get(call).copied()).max().unwrap_or(0);
        (most, most > 0 || self.since.elapsed() < NOTED_FOR)
    }

    fn note(&mut self, calls: &[Call]) {
        let mut lines = String::new();
        for call in calls {
            let count = self.begun.entry(call.clone()).or_default();
            *count += 1;
            add_line(&mut lines, call, *count);
        }
        if self.file_bytes < FILE_BYTES_MAX {
            self.append(&lines);
            return;
        }
        match write_anew(&self.path, &self.begun) {
            Ok((file, file_bytes)) => (self.file, self.file_bytes) = (file, file_bytes),
            Err(err) => warn!(error = %err, "Calls under way cannot be noted"),
        }
    }

    fn forget(&mut self, calls: &[Call]) {
        let mut lines = String::new();
        for call in calls {
            self.begun.remove(call);
            add_line(&mut lines, call, 0);
        }
        self.append(&lines);
    }

    fn append(&mut self, lines: &str) {
        self.file_bytes += lines.len();
        if let Err(err) = self.file.write_all(lines.as_bytes()) {
            // A part of a line may stand there.
            self.file_bytes = FILE_BYTES_MAX;
            warn!(error = %err, "Calls under way cannot be noted");
        }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let (Some(log), false) = (&self.attempts.log, self.calls.is_empty()) {
            lock(log).forget(&self.calls);
        }
    }
}

/// Puts a file with these calls in place of the one at `path`; the file, to go on with, and its length.
fn write_anew(path: &Path, begun: &BTreeMap<Call, u32>) -> io::Result<(File, usize)> {
    let mut text = String::new();
    for (call, count) in begun {
        add_line(&mut text, call, *count);
    }
    files::replace(path, &text)?;
    Ok((File::options().append(true).open(path)?, text.len()))
}

fn add_line(text: &mut String, (handler, id): &Call, count: u32) {
    // Writing to a text does not fail.
    writeln!(text, "{handler} {id} {count}").ok();
}

fn parse(line: &str) -> Option<(Call, u32)> {
    let mut context = line.split(' ');
    let handler = HandlerName::parse(context.next()?).ok()?;
    let id = context.next()?.parse().ok()?;
    let count = context.next()?.parse().ok()?;
    Some(((handler, id), count))
}

#[cfg(test)]
mod tests;
