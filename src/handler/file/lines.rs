//! The file that lines are appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::Settings;
use super::rotate::{Keeper, Rotation, rotate, sync_folder};
use crate::clock::{Clock, Timestamp};
use crate::event::{Event, Failure};
use crate::handler::envelope::{json_text, write_event};
use crate::pace;

/// How much is gathered before it is written: a step of the work. Larger writes are no faster.
const BUFFER_BYTES: usize = 64 << 10;

/// How much is written at most before it is synced. In small steps, for the journal's own syncs,
/// and with them the answers to senders, wait until the disk has done with one.
const SYNC_BYTES: u64 = 512 << 10;

/// How much of the file's end is read in one step when it is opened.
const TAIL_BYTES: u64 = 1 << 20;

/// Opens `path` for appending; makes it, for its owner and group only, where it is missing, and its folder.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}

/// Whether [`open`] would find or could make `path`, and its folders. Makes nothing.
pub(super) fn check(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).append(true).open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(drop),
    }
    let folders = path.ancestors().skip(1).filter(|folder| *folder != Path::new(""));
    match folders.into_iter().find(|folder| folder.exists()) {
        Some(folder) if !folder.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        Some(folder) if is_of_kernel(folder) => Err(io::ErrorKind::NotFound.into()),
        Some(folder) => Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?),
        None => Ok(()),
    }
}

/// Whether a folder is the kernel's own view of itself, where no program makes a file.
fn is_of_kernel(folder: &Path) -> bool {
    let kind = rustix::fs::statfs(folder).map(|of| of.f_type);
    // The second is sysfs's.
    kind.is_ok_and(|kind| kind == rustix::fs::PROC_SUPER_MAGIC || kind == 0x6265_6572)
}

/// A file of lines, opened when it is first written to.
pub(super) struct LineFile {
    settings: Settings,
    clock: Arc<dyn Clock>,
    open: Option<Open>,
    /// Kept between calls, so that a batch costs no allocation.
    buffer: Vec<u8>,
    keeper: Keeper,
    /// Set by a test: as if the disk failed.
    #[cfg(test)]
    pub(super) fails_next_sync: bool,
}

struct Open {
    file: File,
    /// Where the last line that is synced ends.
    end: u64,
    /// Which file it is (device, inode): another program may replace it (logrotate).
    identity: (u64, u64),
    /// When it was last written to, by the wall clock.
    written_at: Timestamp,
}

impl LineFile {
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let keeper = Keeper::new(settings.path.clone(), settings.rotated);
        Self {
            settings,
            clock,
            open: None,
            buffer: Vec::new(),
            keeper,
            #[cfg(test)]
            fails_next_sync: false,
        }
    }

    /// Appends a line for each event. `Ok` = all of them are synced; otherwise the file ends where
    /// it did before.
    pub(super) fn append(&mut self, events: &[(Arc<Event>, Option<u32>)]) -> Result<(), Failure> {
        let now = self.clock.now();
        let result = self.try_append(events, now).map_err(|(step, err)| {
            let path = self.settings.path.display();
            Failure::transient(format_args!("{step} `{path}` failed: {err}"))
        });
        self.buffer.clear();
        // What one large body took is given back.
        self.buffer.shrink_to(2 * BUFFER_BYTES);
        if result.is_err() {
            self.cut_back();
        }
        result
    }

    /// Waits until rotated files are put away.
    pub(super) fn close(&mut self) {
        self.open = None;
        self.keeper.wait();
    }

    fn try_append(
        &mut self,
        events: &[(Arc<Event>, Option<u32>)],
        now: Timestamp,
    ) -> Result<(), Failed> {
        let open = self.look(now).map_err(|err| ("opening", err))?;
        let open = self.rotate_if_due(open, now).map_err(|err| ("rotating", err))?;
        let open = self.open.insert(open);
        let mut end = open.end;
        let mut synced = end;
        for (event, attempt) in pace::in_steps(events) {
            write_event(&mut self.buffer, event, *attempt);
            self.buffer.push(b'\n');
            if self.buffer.len() >= BUFFER_BYTES {
                end = open.write(&mut self.buffer, end)?;
                if end - synced >= SYNC_BYTES {
                    open.sync()?;
                    synced = end;
                }
            }
        }
        end = open.write(&mut self.buffer, end)?;
        #[cfg(test)]
        if std::mem::take(&mut self.fails_next_sync) {
            return Err(("syncing", io::Error::from(io::ErrorKind::Other)));
        }
        open.sync()?;
        open.end = end;
        open.written_at = now;
        Ok(())
    }

    /// The file at the path, which ends with a whole line: the one that is open, or opened anew.
    fn look(&mut self, now: Timestamp) -> io::Result<Open> {
        let path = &self.settings.path;
        if let Some(open) = self.open.take() {
            let there = std::fs::metadata(path).ok().map(|there| (identity(&there), there.len()));
            if there == Some((open.identity, open.end)) {
                return Ok(open);
            }
        }
        let mut file = open(path)?;
        let metadata = file.metadata()?;
        let end = mend(&mut file, metadata.len(), path)?;
        sync_folder(path)?;
        let written_at = if end == 0 { now } else { modified_at(&metadata) };
        Ok(Open { file, end, identity: identity(&metadata), written_at })
    }

    fn rotate_if_due(&mut self, open: Open, now: Timestamp) -> io::Result<Open> {
        let is_due = open.end > 0
            && match self.settings.rotation {
                Rotation::Never => false,
                Rotation::Daily => day(open.written_at) < day(now),
                Rotation::Size(bytes) => open.end >= bytes,
            };
        if !is_due {
            return Ok(open);
        }
        rotate(&self.settings.path, self.settings.rotation, open.written_at)?;
        drop(open);
        self.keeper.start();
        self.look(now)
    }

    /// Takes away what a failed call wrote. The next call opens the file again and looks at its
    /// end, so that it does not matter whether this works.
    fn cut_back(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(err) = open.file.set_len(open.end)
        {
            let path = self.settings.path.display();
            tracing::warn!(file = %path, error = %err, "A failed write could not be cut back");
        }
    }
}

/// The step that failed, and why.
type Failed = (&'static str, io::Error);

impl Open {
    /// Writes what is gathered at `end`; gives where the file ends then.
    fn write(&mut self, gathered: &mut Vec<u8>, end: u64) -> Result<u64, Failed> {
        self.file.write_all(gathered).map_err(|err| ("writing", err))?;
        let end = end.saturating_add(gathered.len() as u64);
        gathered.clear();
        Ok(end)
    }

    fn sync(&self) -> Result<(), Failed> {
        self.file.sync_data().map_err(|err| ("syncing", err))
    }
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn modified_at(metadata: &std::fs::Metadata) -> Timestamp {
    let millis =
        metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    Timestamp::from_millis(millis)
}

/// The day in UTC, counted from the epoch.
fn day(timestamp: Timestamp) -> i64 {
    timestamp.as_millis().div_euclid(86_400_000)
}

/// Makes the file end with a whole line; gives where that is. A crash leaves a line without its
/// end, or zeros where a later block was written and an earlier one was not: neither was synced,
/// so the events come again.
fn mend(file: &mut File, len: u64, path: &Path) -> io::Result<u64> {
    let (end, torn) = last_line(file, len)?;
    if end == len {
        return Ok(end);
    }
    // A whole object without its line break was left by an editor rather than by a crash.
    if torn.first() == Some(&b'{') && json_text(&torn).is_some() {
        file.write_all(b"\n")?;
        file.sync_data()?;
        return Ok(len.saturating_add(1));
    }
    file.set_len(end)?;
    file.sync_data()?;
    let bytes = len.saturating_sub(end);
    tracing::warn!(file = %path.display(), bytes, "A half-written line was cut off");
    Ok(end)
}

/// Where the last whole line ends, and the bytes behind it.
fn last_line(file: &mut File, len: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut tail: Vec<u8> = Vec::new();
    let mut start = len;
    while start > 0 {
        let step = start.min(TAIL_BYTES);
        start = start.saturating_sub(step);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(step).read_to_end(&mut block)?;
        block.append(&mut tail);
        tail = block;
        // A line of JSON has no zero byte.
        let good = tail.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(newline) = good.iter().rposition(|byte| *byte == b'\n') {
            let whole = newline.saturating_add(1);
            let rest = tail.split_off(whole);
            return Ok((start.saturating_add(whole as u64), rest));
        }
    }
    Ok((0, tail))
}
