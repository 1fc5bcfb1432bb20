//! Makes the next segment ahead of need, on a thread of its own: zero-filling and syncing one
//! takes tens of milliseconds, which no append should wait for.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::fs::File;
use super::segments::Segments;
use crate::pace;

/// How much is written before each sync: small steps keep the appends' own syncs short, smaller ones
/// cost more than they save.
const SYNC_BYTES: usize = 256 << 10;
/// How much is written in one go, so that the thread does not hold a processor for long.
const STEP_BYTES: usize = 128 << 10;

/// A segment file of zeros, synced under its name.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) capacity: u32,
}

/// Whether the bytes that stay free on the disk may be used: for what lets others go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reserve {
    #[default]
    Kept,
    Used,
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<u64>,
    /// By which rule the wanted one is to be made, or the ready one was.
    reserve: Reserve,
    ready: Option<io::Result<Prepared>>,
    /// There is a file that was a segment, to be used again in place of a fresh one.
    has_spare: bool,
    is_using_spare: bool,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    segments: Arc<Segments>,
    capacity: u32,
    /// Bytes that must stay free on the disk.
    reserve: u64,
    state: Mutex<State>,
    changed: Condvar,
}

/// The thread that makes segments.
#[derive(Debug)]
pub(crate) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(crate) fn start(segments: Arc<Segments>, capacity: u32, reserve: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            segments,
            capacity,
            reserve,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("journal-next".into()).spawn(move || shared.work())?
        };
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for segment `number`; a no-op where it is under way or ready.
    pub(crate) fn want(&self, number: u64) {
        let mut state = self.shared.lock();
        if state.ready.is_none() && state.wanted.is_none() {
            state.wanted = Some(number);
            state.reserve = Reserve::Kept;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until segment `number` is made. After an error it is tried anew at the next call.
    pub(crate) fn wait(&self, number: u64, reserve: Reserve) -> io::Result<()> {
        self.wait_locked(number, reserve).map(drop)
    }

    /// The segment, once it is made.
    pub(crate) fn take(&self, number: u64) -> io::Result<Prepared> {
        let mut state = self.wait_locked(number, Reserve::Kept)?;
        match state.ready.take() {
            Some(ready) => ready,
            None => Err(io::Error::other("the segment was taken")),
        }
    }

    fn wait_locked(&self, number: u64, reserve: Reserve) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.shared.lock();
        loop {
            match state.ready.take() {
                Some(Ok(prepared)) if prepared.number == number => {
                    state.ready = Some(Ok(prepared));
                    return Ok(state);
                }
                Some(Err(err)) if state.reserve == reserve => return Err(err),
                // Of another number: left over from before an error, and never written to. Or not
                // made for want of room that may be used now.
                Some(Ok(_) | Err(_)) | None => {}
            }
            if state.stop {
                return Err(io::Error::other("the journal is closing"));
            }
            if state.wanted.is_none() {
                state.wanted = Some(number);
                state.reserve = reserve;
            }
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the file of a segment that nobody needs is of use, as [`Segments::spare_path`].
    pub(crate) fn wants_spare(&self, capacity: u32) -> bool {
        let state = self.shared.lock();
        capacity == self.shared.capacity && !state.has_spare && !state.is_using_spare
    }

    /// Says that there is a file under [`Segments::spare_path`].
    pub(crate) fn offer_spare(&self) {
        self.shared.lock().has_spare = true;
    }

    /// Removes the spare file, where there is one: it is not worth its room.
    pub(crate) fn drop_spare(&self) {
        // Held meanwhile, so that nobody begins to use it.
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.has_spare) {
            self.shared.remove(&self.shared.segments.spare_path());
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The thread that prepares segments panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.stop {
            let Some(number) = state.wanted else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_using_spare = std::mem::take(&mut state.has_spare);
            let source = if state.is_using_spare { Source::Spare } else { Source::Fresh };
            let reserve = match state.reserve {
                Reserve::Kept => self.reserve,
                Reserve::Used => 0,
            };
            drop(state);
            let made = self.make(number, source, reserve);
            state = self.lock();
            state.is_using_spare = false;
            state.wanted = None;
            state.ready = Some(made);
            self.changed.notify_all();
        }
    }

    fn make(&self, number: u64, source: Source, reserve: u64) -> io::Result<Prepared> {
        let file = match source {
            Source::Spare => self.make_of_spare(number)?,
            Source::Fresh => self.make_fresh(number, reserve)?,
        };
        Ok(Prepared { number, file, capacity: self.capacity })
    }

    /// Zeroes the spare file before it gets its name: what an older life left would make the end
    /// of a segment look torn or damaged.
    fn make_of_spare(&self, number: u64) -> io::Result<Arc<dyn File>> {
        let fs = &self.segments.fs;
        let (spare, path) = (self.segments.spare_path(), self.segments.path(number));
        let zeroed = fs.open(&spare, false).and_then(|file| fill(&*file, 0, self.capacity));
        if let Err(err) = zeroed {
            self.remove(&spare);
            return Err(err);
        }
        fs.rename(&spare, &path)?;
        fs.sync_folder(&self.segments.folder)?;
        fs.open(&path, false)
    }

    fn make_fresh(&self, number: u64, reserve: u64) -> io::Result<Arc<dyn File>> {
        let fs = &self.segments.fs;
        let path = self.segments.path(number);
        let free = fs.free_bytes(&self.segments.folder)?;
        if free < u64::from(self.capacity).saturating_add(reserve) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{free} bytes are free, and {reserve} must stay so"),
            ));
        }
        let file = fs.open(&path, true)?;
        // All of it, also where an attempt that failed has left something.
        let made =
            fill(&*file, 0, self.capacity).and_then(|()| fs.sync_folder(&self.segments.folder));
        match made {
            Ok(()) => Ok(file),
            Err(err) => {
                // A half-made file would take the room that somebody else may need.
                drop(file);
                self.remove(&path);
                Err(err)
            }
        }
    }

    fn remove(&self, path: &Path) {
        if let Err(err) = self.segments.fs.remove(path) {
            tracing::warn!(error = %err, "A file that is no segment cannot be removed");
        }
    }
}

/// What a segment is made of.
#[derive(Clone, Copy, Debug)]
enum Source {
    Fresh,
    Spare,
}

/// Fills a file with zeros from `from` on, and syncs it.
pub(crate) fn fill(file: &dyn File, from: u64, capacity: u32) -> io::Result<()> {
    let zeros = vec![0; STEP_BYTES];
    let mut at = from;
    let mut unsynced = 0;
    let capacity = u64::from(capacity);
    while at < capacity {
        let step = usize::try_from(capacity - at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        file.write_all_at(zeros.get(..step).unwrap_or(&zeros), at)?;
        at += step as u64;
        unsynced += step;
        if unsynced >= SYNC_BYTES || at >= capacity {
            file.sync_data()?;
            unsynced = 0;
        }
        pace::step_aside();
    }
    Ok(())
}
