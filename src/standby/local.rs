//! A copy in a folder of this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::bucket::BucketError;
use super::manifest::Manifest;
use super::wire::{CopyStand, Garbled, KeptPart, KeyPart, PulledParts, Seal};
use crate::files;
use crate::queue::QueueError;
use crate::queue::embedded::{CopyFolder, FolderHolds, LogPlace, SegmentId, whole_until};

/// Why a copy cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(
        "`{0}` holds a queue that a gateway serves from, or did: a standby never writes over it. \
         Name an empty folder by `--data`"
    )]
    IsQueue(PathBuf),
    /// It was made a gateway's before, or never was a copy.
    #[error("`{0}` is a gateway's already: `gatepost serve` starts from it")]
    IsGateways(PathBuf),
    #[error("`{0}` is not empty and holds no copy of a queue: name an empty folder by `--data`")]
    NotEmpty(PathBuf),
    #[error("`{0}` holds no standby's copy")]
    NoCopy(PathBuf),
    /// The copy does not have all that the gateway had.
    #[error(
        "the copy in `{0}` is not complete: it was still being made, or the gateway had let go of \
         events that the copy never got. `--force` makes a queue of what is there"
    )]
    Incomplete(PathBuf),
    #[error("the copy in `{folder}` is damaged: {damage}. `--force` makes a queue of the rest")]
    Damaged { folder: PathBuf, damage: String },
    /// What came was not what was sent.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    /// The storage that holds it says no.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("{what} failed")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

impl CopyError {
    /// For `map_err`.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    /// Whether it may pass by itself: there was no room, or what came was not what was sent.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Garbled(_) => true,
            Self::Bucket(err) => err.may_pass(),
            Self::IsQueue(_)
            | Self::IsGateways(_)
            | Self::NotEmpty(_)
            | Self::NoCopy(_)
            | Self::Incomplete(_)
            | Self::Damaged { .. }
            | Self::Queue(_) => false,
        }
    }
}

/// A segment of the copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldSegment {
    pub(super) name: SegmentId,
    /// So many bytes are there, whole and synced.
    pub(super) end: u32,
    /// It is complete, with this checksum.
    pub(super) seal: Option<u32>,
}

/// A copy in a folder, held by this process.
#[derive(Debug)]
pub struct LocalCopy {
    folder: CopyFolder,
    pub(super) manifest: Manifest,
    pub(super) segments: BTreeMap<u32, HeldSegment>,
    pub(super) kept: BTreeMap<SegmentId, u32>,
    pub(super) keys: BTreeMap<String, u64>,
    /// The oldest segment that the gateway still has: what is before it is not gone on with.
    pub(super) first: u32,
    /// What to let go of once the log is far enough.
    pub(super) lists: Option<PulledParts>,
    /// The segment that is looked at next, whether it is still what it was.
    scrub_next: u32,
}

impl LocalCopy {
    /// Takes hold of the copy in the queue's folder `folder`, or begins one there, and reads all of
    /// it: what is no longer what came is fetched again.
    pub fn open(folder: &Path) -> Result<Self, CopyError> {
        let (folder, holds) = CopyFolder::take(folder)?;
        match holds {
            FolderHolds::Nothing | FolderHolds::Copy => {}
            FolderHolds::Queue => return Err(CopyError::IsQueue(folder.path().to_owned())),
            FolderHolds::Other => return Err(CopyError::NotEmpty(folder.path().to_owned())),
        }
        folder.begin().map_err(CopyError::io("marking the copy's folder"))?;
        let manifest =
            Manifest::read(folder.path()).map_err(CopyError::io("reading what the copy is"))?;
        let mut copy = Self {
            folder,
            manifest,
            segments: BTreeMap::new(),
            kept: BTreeMap::new(),
            keys: BTreeMap::new(),
            first: 0,
            lists: None,
            scrub_next: 0,
        };
        copy.look_at_log().map_err(CopyError::io("reading the copy's log"))?;
        copy.look_at_kept().map_err(CopyError::io("reading the copy's kept log"))?;
        copy.look_at_keys().map_err(CopyError::io("reading the copy's keys"))?;
        Ok(copy)
    }

    fn look_at_log(&mut self) -> io::Result<()> {
        for (name, path) in named_files(&self.path("log"))? {
            let bytes = std::fs::read(path)?;
            let seal = self.manifest.sealed.iter().find(|seal| seal.name == name);
            let is_whole = |seal: &&Seal| {
                bytes.get(..seal.end as usize).is_some_and(|b| crc32c::crc32c(b) == seal.checksum)
            };
            let held = match seal.filter(is_whole) {
                Some(seal) => HeldSegment { name, end: seal.end, seal: Some(seal.checksum) },
                None => HeldSegment { name, end: whole_until(&bytes, name), seal: None },
            };
            if seal.is_some() && held.seal.is_none() {
                warn!(file = name.file_name(), "The copy is damaged: it is fetched again");
            }
            self.segments.insert(name.number, held);
        }
        for Seal { name, .. } in &self.manifest.sealed {
            let missing = HeldSegment { name: *name, end: 0, seal: None };
            self.segments.entry(name.number).or_insert_with(|| {
                warn!(file = name.file_name(), "The copy lacks a file: it is fetched again");
                missing
            });
        }
        // Until it has come again the copy is no whole. The manifest goes on naming it: a file that is missing is known
        // by that alone.
        let is_whole = |seal: &Seal| {
            self.segments.get(&seal.name.number).is_some_and(|held| held.seal.is_some())
        };
        if self.manifest.is_complete && !self.manifest.sealed.iter().all(is_whole) {
            self.manifest.is_complete = false;
            self.manifest.write(self.folder.path())?;
        }
        Ok(())
    }

    fn look_at_kept(&mut self) -> io::Result<()> {
        for (name, path) in named_files(&self.path("kept"))? {
            let whole = whole_until(&std::fs::read(path)?, name);
            self.kept.insert(name, whole);
        }
        // Of the newest one the end may have been written anew since.
        if let Some((_, bytes)) = self.kept.iter_mut().next_back() {
            *bytes = 0;
        }
        Ok(())
    }

    fn look_at_keys(&mut self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.path("keys"))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_key_file(name)) else {
                // Half of one: it comes again as a whole.
                files::remove(&entry.path())?;
                continue;
            };
            self.keys.insert(name.to_owned(), entry.metadata()?.len());
        }
        Ok(())
    }

    /// Whose copy it is; `None` = none yet.
    pub fn gateway(&self) -> Option<&str> {
        self.manifest.gateway.as_deref()
    }

    /// Whether it has had all that the gateway had.
    pub fn is_complete(&self) -> bool {
        self.manifest.is_complete
    }

    /// Makes it that gateway's.
    pub(super) fn begin(&mut self, gateway: &str) -> Result<(), CopyError> {
        if self.manifest.gateway.is_none() {
            self.manifest.gateway = Some(gateway.to_owned());
            self.save()?;
        }
        Ok(())
    }

    /// Where in the log it goes on: in the first segment that is not complete and that the gateway
    /// still has.
    pub(super) fn stand(&self) -> Option<CopyStand> {
        let mut followed = self.segments.range(self.first..).map(|(_, held)| held);
        let unsealed = followed.find(|held| held.seal.is_none());
        let held = unsealed.or_else(|| self.segments.values().next_back())?;
        Some(CopyStand { name: held.name, end: held.end })
    }

    /// Where its newest segment ends, with the checksum of that segment's bytes as they are on the disk.
    pub(super) fn checked_end(&self) -> Result<Option<(CopyStand, u32)>, CopyError> {
        // One whose file is missing says nothing.
        let newest = self.segments.values().rev().find(|held| held.end > 0);
        let Some(newest) = newest else { return Ok(None) };
        let stand = CopyStand { name: newest.name, end: newest.end };
        let checksum = self.checksum(stand.name, stand.end);
        let checksum = checksum.map_err(CopyError::io("reading the copy's log"))?;
        Ok(Some((stand, checksum)))
    }

    pub(super) fn checksum(&self, name: SegmentId, end: u32) -> io::Result<u32> {
        let file = File::open(self.path("log").join(name.file_name()))?;
        let mut bytes = vec![0; end as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(crc32c::crc32c(&bytes))
    }

    /// Everything before it is durable.
    pub fn durable(&self) -> LogPlace {
        self.stand().map(|stand| stand.place()).unwrap_or_default()
    }

    pub(super) fn kept_parts(&self) -> Vec<KeptPart> {
        let parts = self.kept.iter();
        parts.map(|(name, bytes)| KeptPart { name: *name, bytes: *bytes }).collect()
    }

    pub(super) fn key_parts(&self) -> Vec<KeyPart> {
        let parts = self.keys.iter();
        parts.map(|(name, bytes)| KeyPart { name: name.clone(), bytes: *bytes }).collect()
    }

    /// Looks whether one complete segment is still what it was; `false` = it is not, and is fetched
    /// again.
    pub(super) fn scrub(&mut self) -> bool {
        let mut sealed =
            self.segments.range(self.scrub_next..).filter(|(_, held)| held.seal.is_some());
        let Some((number, held)) = sealed.next().map(|(number, held)| (*number, *held)) else {
            self.scrub_next = 0;
            return true;
        };
        self.scrub_next = number.saturating_add(1);
        let checksum = self.checksum(held.name, held.end);
        if checksum.as_ref().ok().copied() == held.seal {
            return true;
        }
        warn!(file = held.name.file_name(), "The copy is damaged: it is fetched again");
        self.segments.insert(number, HeldSegment { end: 0, seal: None, ..held });
        self.manifest.is_complete = false;
        if let Err(err) = self.save() {
            warn!(why = %err, "It cannot be noted that the copy is not whole");
        }
        false
    }

    pub(super) fn save(&self) -> Result<(), CopyError> {
        self.manifest.write(self.folder.path()).map_err(CopyError::io("noting what the copy is"))
    }

    pub(super) fn path(&self, folder: &str) -> PathBuf {
        self.folder.path().join(folder)
    }
}

/// The segments in a folder, oldest first.
pub(super) fn named_files(folder: &Path) -> io::Result<BTreeMap<SegmentId, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = SegmentId::of_file(&path) {
            files.insert(name, path);
        }
    }
    Ok(files)
}

/// Whether a file of keys can have this name: two LSNs in hexadecimal.
pub(super) fn is_key_file(name: &str) -> bool {
    let lsns = name.strip_suffix(".run").and_then(|name| name.split_once('-'));
    let is_lsn = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    lsns.is_some_and(|(from, through)| is_lsn(from) && is_lsn(through))
}
