//! What becomes of a file that is full: its name, its compression, its end.
//!
//! | file | name |
//! |---|---|
//! | the one that is written | `events.jsonl` |
//! | rotated daily | `events-2026-11-22.jsonl`: the day (UTC) of its last line |
//! | rotated by size | `events-2026-11-22T120000Z.jsonl`: the second of its last line |
//! | a second one of that name | `events-2026-11-22-1.jsonl` |
//! | compressed | the same with `.gz`; while it is being made, `.gz.part` |

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::clock::Timestamp;

/// When a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    Never,
    /// With the first event of a new day (UTC).
    Daily,
    /// When it has reached this size; between two calls, so that it may be larger by one batch.
    Size(u64),
}

/// What becomes of rotated files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotated {
    /// How many are kept; `None` = all.
    pub(super) max_files: Option<usize>,
    pub(super) gzip: bool,
}

/// Gives the file the name of a rotated one, under which nothing stands yet.
pub(super) fn rotate(path: &Path, rotation: Rotation, last_line_at: Timestamp) -> io::Result<()> {
    let stamp = stamp(rotation, last_line_at);
    let name = Names::of(path);
    for serial in 0..u32::MAX {
        let rotated = path.with_file_name(name.rotated(&stamp, serial));
        if !rotated.exists() && !with_suffix(&rotated, ".gz").exists() {
            std::fs::rename(path, rotated)?;
            return sync_folder(path);
        }
    }
    Err(io::Error::other("no free name"))
}

/// Makes the names in the file's folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn stamp(rotation: Rotation, at: Timestamp) -> String {
    let text = at.to_string();
    let date = text.get(..DATE_LEN).unwrap_or(&text);
    match rotation {
        Rotation::Never | Rotation::Daily => date.to_owned(),
        Rotation::Size(_) => {
            let time = text.get(DATE_LEN + 1..DATE_LEN + 9).unwrap_or_default().replace(':', "");
            format!("{date}T{time}Z")
        }
    }
}

/// The length of `2026-11-22`.
const DATE_LEN: usize = 10;

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The parts of the names above.
struct Names {
    stem: String,
    /// With its dot; empty where there is none.
    extension: String,
}

impl Names {
    fn of(path: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.unwrap_or_default().to_string_lossy().into_owned()
        };
        let extension = path.extension().map(|_| format!(".{}", text(path.extension())));
        Self { stem: text(path.file_stem()), extension: extension.unwrap_or_default() }
    }

    fn rotated(&self, stamp: &str, serial: u32) -> String {
        let Self { stem, extension } = self;
        match serial {
            0 => format!("{stem}-{stamp}{extension}"),
            _ => format!("{stem}-{stamp}-{serial}{extension}"),
        }
    }

    /// Age and form of a rotated file; `None` where `name` is none of ours.
    fn parse(&self, name: &str) -> Option<RotatedName> {
        let (plain, is_gzipped) = match name.strip_suffix(".gz") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        let rest = plain.strip_prefix(&self.stem)?.strip_prefix('-')?;
        let rest = rest.strip_suffix(&self.extension)?;
        let (date, rest) = rest.split_at_checked(DATE_LEN)?;
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let mut parts = date.split('-');
        let lengths = [4, 2, 2];
        let is_date = lengths
            .iter()
            .all(|len| parts.next().is_some_and(|part| part.len() == *len && is_digits(part)));
        let (time, serial) = match rest.split_once('-') {
            Some((time, serial)) => (time, serial),
            None => (rest, "0"),
        };
        let is_time = time.is_empty()
            || time
                .strip_prefix('T')
                .and_then(|time| time.strip_suffix('Z'))
                .is_some_and(|time| time.len() == 6 && is_digits(time));
        let serial: u32 = serial.parse().ok()?;
        (is_date && is_time).then(|| RotatedName {
            stamp: format!("{date}{time}"),
            serial,
            is_gzipped,
        })
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RotatedName {
    stamp: String,
    serial: u32,
    is_gzipped: bool,
}

/// Compresses and removes rotated files, in a thread of its own: compressing 100 MB takes seconds.
pub(super) struct Keeper {
    path: PathBuf,
    rotated: Rotated,
    thread: Option<JoinHandle<()>>,
    /// Another file was rotated while the thread was at work.
    again: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn new(path: PathBuf, rotated: Rotated) -> Self {
        Self { path, rotated, thread: None, again: Arc::default() }
    }

    /// Looks through the folder for what is to be done.
    pub(super) fn start(&mut self) {
        if self.rotated.max_files.is_none() && !self.rotated.gzip {
            return;
        }
        self.again.store(true, Ordering::SeqCst);
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (path, rotated, again) = (self.path.clone(), self.rotated, Arc::clone(&self.again));
        let work = move || {
            while again.swap(false, Ordering::SeqCst) {
                put_away_or_warn(&path, rotated);
            }
        };
        match std::thread::Builder::new().name("gatepost-rotate".to_owned()).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
            // The next rotation tries again.
            Err(err) => tracing::warn!(error = %err, "Putting rotated files away failed"),
        }
    }

    pub(super) fn wait(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("Putting rotated files away failed");
        }
        // Asked for when the thread had looked for the last time.
        if self.again.swap(false, Ordering::SeqCst) {
            put_away_or_warn(&self.path, self.rotated);
        }
    }
}

fn put_away_or_warn(path: &Path, rotated: Rotated) {
    if let Err(err) = put_away(path, rotated) {
        tracing::warn!(file = %path.display(), error = %err, "Putting rotated files away failed");
    }
}

fn put_away(path: &Path, rotated: Rotated) -> io::Result<()> {
    let names = Names::of(path);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(|name| names.parse(name)) {
            found.push((name, entry.path()));
        }
    }
    found.sort_by_key(|(name, _)| Reverse((name.stamp.clone(), name.serial)));
    let n_kept = rotated.max_files.unwrap_or(found.len()).min(found.len());
    let gone = found.split_off(n_kept);
    for (_, path) in gone {
        std::fs::remove_file(path)?;
    }
    if rotated.gzip {
        for (_, path) in found.iter().filter(|(name, _)| !name.is_gzipped) {
            compress(path)?;
        }
    }
    sync_folder(path)
}

/// Puts `path.gz` in the place of `path`. A crash in between leaves `path` as it was.
fn compress(path: &Path) -> io::Result<()> {
    let part = with_suffix(path, ".gz.part");
    let mut plain = File::open(path)?;
    // The fastest level: what comes in has the better claim to the processor.
    // As private as the plain file from the first byte on; one that a crash left is begun anew.
    let mode = plain.metadata()?.permissions().mode();
    let part_file =
        File::options().write(true).create(true).truncate(true).mode(mode & 0o777).open(&part)?;
    part_file.set_permissions(plain.metadata()?.permissions())?;
    let mut encoder = flate2::write::GzEncoder::new(part_file, flate2::Compression::fast());
    io::copy(&mut plain, &mut encoder)?;
    let compressed = encoder.finish()?;
    compressed.sync_all()?;
    std::fs::rename(&part, with_suffix(path, ".gz"))?;
    sync_folder(path)?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it cannot be put in its place, what was packed so far can be looked at.
    #[test]
    fn packed_file_is_as_private_as_the_plain_one_before_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.jsonl");
        std::fs::write(&path, "line\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Left behind by a crash, and readable by all.
        let part = with_suffix(&path, ".gz.part");
        std::fs::write(&part, "").unwrap();
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::create_dir_all(with_suffix(&path, ".gz").join("taken")).unwrap();
        compress(&path).unwrap_err();
        assert_eq!(part.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(path.exists(), "nothing is lost");
    }

    #[test]
    fn only_rotated_files_are_recognised() {
        let names = Names::of(Path::new("data/events.jsonl"));
        for serial in [0, 1, 12] {
            for stamp in ["2026-11-22", "2026-11-22T120000Z"] {
                let name = names.rotated(stamp, serial);
                let expected =
                    |is_gzipped| Some(RotatedName { stamp: stamp.to_owned(), serial, is_gzipped });
                assert_eq!(names.parse(&name), expected(false), "{name}");
                assert_eq!(names.parse(&format!("{name}.gz")), expected(true), "{name}.gz");
            }
        }
        for other in [
            "events.jsonl",
            "events-2026-11-22.jsonl.gz.part",
            "events-2026-11-22.jsonl.bak",
            "events-2026-11-2x.jsonl",
            "events-important.jsonl",
            "events-2026-11-22T1200Z.jsonl",
            "other-2026-11-22.jsonl",
            "events-2026-11-22-a.jsonl",
        ] {
            assert_eq!(names.parse(other), None, "{other}");
        }
    }
}
