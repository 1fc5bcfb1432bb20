//! Makes the next segment ahead of need, on a thread of its own: zero-filling and syncing one
//! takes tens of milliseconds, which no append should wait for.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::fs::File;
use super::segments::Segments;

/// How much is written before each sync: small steps keep the appends' own syncs short.
const STEP_BYTES: usize = 1 << 20;

/// A segment file of zeros (or of what an older life left), synced under its name.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn File>,
    pub(crate) capacity: u32,
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<u64>,
    ready: Option<io::Result<Prepared>>,
    /// A segment that is no longer needed, to be used again in place of a fresh file.
    spare: Option<PathBuf>,
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
            self.shared.changed.notify_all();
        }
    }

    /// Waits until segment `number` is made. After an error it is tried anew at the next call.
    pub(crate) fn wait(&self, number: u64) -> io::Result<()> {
        self.wait_locked(number).map(drop)
    }

    /// The segment, once it is made.
    pub(crate) fn take(&self, number: u64) -> io::Result<Prepared> {
        let mut state = self.wait_locked(number)?;
        match state.ready.take() {
            Some(ready) => ready,
            None => Err(io::Error::other("the segment was taken")),
        }
    }

    fn wait_locked(&self, number: u64) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.shared.lock();
        loop {
            match state.ready.take() {
                Some(Ok(prepared)) if prepared.number == number => {
                    state.ready = Some(Ok(prepared));
                    return Ok(state);
                }
                Some(Err(err)) => return Err(err),
                // Of another number: left over from before an error, and never written to.
                Some(Ok(_)) | None => {}
            }
            if state.stop {
                return Err(io::Error::other("the journal is closing"));
            }
            state.wanted = Some(number);
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Offers the file of a segment that nobody needs; `false` = there is a spare one already.
    pub(crate) fn offer(&self, path: PathBuf) -> bool {
        let mut state = self.shared.lock();
        let is_taken = state.spare.is_none();
        if is_taken {
            state.spare = Some(path);
        }
        is_taken
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
            let spare = state.spare.take();
            drop(state);
            let made = self.make(number, spare);
            state = self.lock();
            state.wanted = None;
            state.ready = Some(made);
            self.changed.notify_all();
        }
    }

    fn make(&self, number: u64, spare: Option<PathBuf>) -> io::Result<Prepared> {
        let fs = &self.segments.fs;
        let path = self.segments.path(number);
        if let Some(spare) = spare {
            fs.rename(&spare, &path)?;
            fs.sync_folder(&self.segments.folder)?;
            let file = fs.open(&path, false)?;
            return Ok(Prepared { number, file, capacity: self.capacity });
        }
        let free = fs.free_bytes(&self.segments.folder)?;
        if free < u64::from(self.capacity).saturating_add(self.reserve) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{free} bytes are free, and {} must stay so", self.reserve),
            ));
        }
        let file = fs.open(&path, true)?;
        match fill(&*file, self.capacity) {
            Ok(()) => fs.sync_folder(&self.segments.folder)?,
            Err(err) => {
                // A half-made file would take the room that somebody else may need.
                drop(file);
                if let Err(err) = fs.remove(&path) {
                    tracing::warn!(error = %err, "A half-made segment cannot be removed");
                }
                return Err(err);
            }
        }
        Ok(Prepared { number, file, capacity: self.capacity })
    }
}

/// Fills a file with zeros from its present end on, and syncs it.
pub(crate) fn fill(file: &dyn File, capacity: u32) -> io::Result<()> {
    let zeros = vec![0; STEP_BYTES];
    let mut at = file.size()?;
    let capacity = u64::from(capacity);
    while at < capacity {
        let step = usize::try_from(capacity - at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        file.write_all_at(zeros.get(..step).unwrap_or(&zeros), at)?;
        file.sync_data()?;
        at += step as u64;
    }
    Ok(())
}
