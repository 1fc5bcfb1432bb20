//! Opening the queue: from a folder to the components that work on it.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::cleaner::Cleaner;
use super::commit::{Committer, Inbox, NextSegment, Opening, Request};
use super::core::{Core, Parts, lock};
use super::events::ReadFailure;
use super::index::{Follower, Index, MemoryStore, SledStore, Store};
use super::kept::{EndTrust, KeptLog};
use super::keys::{KeyMemtable, KeyRuns, UnansweredKeys};
use super::log::{
    FileLog, LogWriter, OpenError, OpenOptions, ReadError, Removal, Reserve, SegmentAllocator,
    SegmentInfo, Survey, Want,
};
use super::read::{Reading, States};
use super::record::{Lsn, SegmentId};
use super::recovery::{self, RecoveredStates};
use super::snapshot::Snapshots;
use super::snapshot_file::{Snapshot, SnapshotHeader};
use super::subscription::HandlerCell;
use super::{IndexIn, Opened, Settings, take_over};
use crate::clock::Clock;
use crate::event::Position;
use crate::queue::QueueError;
use crate::queue::ids::Ids;
use crate::queue::storage::OpenMode;

/// The layout of the folder that this version writes.
pub(crate) const FORMAT: &str = "2\n";

/// The queue's components, each of which is driven by a thread of its own, or all by the caller's.
pub(crate) struct Components {
    pub(crate) core: Arc<Core>,
    pub(crate) committer: Committer,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) allocator: SegmentAllocator,
    pub(crate) wants: mpsc::Receiver<Want>,
    pub(crate) cleaner: Arc<Cleaner>,
    pub(crate) follower: Follower,
    pub(crate) index: Arc<Index>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) opened: Opened,
}

/// What stands in the folder, read and mended.
struct Folder {
    log: Arc<FileLog>,
    survey: Survey,
    writer: LogWriter,
    kept: Arc<KeptLog>,
    snapshots: Snapshots,
    /// The newest snapshot that could be read.
    newest: Option<SnapshotHeader>,
    newest_lsn: Lsn,
    recovered: RecoveredStates,
    keys: KeyRuns,
    memtable: KeyMemtable,
    unanswered: UnansweredKeys,
}

/// Opens the queue in `settings.folder`, mending what a power cut tore. `seed` makes salts and the
/// random parts of ids.
pub(crate) fn open(
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Result<Components, QueueError> {
    check_format(&settings, &clock, seed)?;
    let folder = read_folder(&settings, &clock)?;
    Ok(assemble(settings, clock, seed, folder))
}

fn read_folder(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Folder, QueueError> {
    let storage = || Arc::clone(&settings.storage);
    let snapshots = Snapshots::new(storage(), settings.folder.join("state"));
    let loaded = snapshots.load().map_err(opening("the snapshots"))?;
    let (log, survey, mut writer) = open_log(settings, clock, loaded.first())?;
    let kept = open_kept(settings, &survey, &loaded).map_err(opening("the kept log"))?;
    let end = writer.end();
    let newest = loaded.first().map(|snapshot| snapshot.header.clone());
    let recovered = recover(&log, &kept, &snapshots, loaded, end)?;
    // The log's own newest id: keys of events that it has lost must not swallow their repeats.
    let newest_id = survey.newest_id;
    let options = settings.key_options();
    let keys = KeyRuns::open(storage(), &settings.folder.join("keys"), newest_id, options)
        .map_err(opening("the dedupe keys"))?;
    // What is before the log's first record went with its keys in runs.
    let covered = snapshots.newest().keys_from.max(keys.written_through());
    let keys_from = covered.max(log.head().first);
    let mut memtable = KeyMemtable::new(keys_from.min(end), options);
    recovery::read_keys(&log, &mut memtable, keys_from, end).map_err(ReadFailure::from)?;
    let unanswered = if survey.is_closed || survey.end.is_none() {
        UnansweredKeys::default()
    } else {
        recovery::read_unanswered(&log, end, clock.steady()).map_err(ReadFailure::from)?
    };
    // The newest LSN that anything knows of.
    let newest_lsn = newest.as_ref().map_or(keys.written_through(), |newest| {
        newest.replay_from.max(newest.keys_from).max(keys.written_through())
    });
    if newest_lsn > end {
        // The end of the log is lost: what is written from here on must not look older than what
        // the snapshot and the key runs have.
        writer.require_roll();
        writer.skip_numbers(newest_lsn.segment());
    }
    let kept = Arc::new(kept);
    Ok(Folder {
        log,
        survey,
        writer,
        kept,
        snapshots,
        newest,
        newest_lsn,
        recovered,
        keys,
        memtable,
        unanswered,
    })
}

/// The kept log, up to the end that log and snapshots tell. Where anything of the log cannot be
/// read, that may have told of a later one: all of the kept log's files then count.
fn open_kept(settings: &Settings, survey: &Survey, loaded: &[Snapshot]) -> io::Result<KeptLog> {
    let (storage, folder) = (Arc::clone(&settings.storage), settings.folder.join("kept"));
    let told = loaded.iter().map(|snapshot| snapshot.header.kept).max();
    let end = survey.kept.max(told.unwrap_or_default());
    let log_end = survey.end.unwrap_or_default();
    let is_end_lost = loaded.iter().any(|snapshot| snapshot.header.replay_from > log_end);
    let trust = if survey.log.damage().is_empty() && !is_end_lost {
        EndTrust::Sure
    } else {
        EndTrust::InDoubt
    };
    KeptLog::open(storage, &folder, (end, trust), settings.kept_options())
}

fn open_log(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    newest: Option<&Snapshot>,
) -> Result<(Arc<FileLog>, Survey, LogWriter), QueueError> {
    let options = OpenOptions {
        segment_bytes: settings.segment_bytes,
        disk_reserve: settings.disk_reserve,
        clock: Arc::clone(clock),
        known: newest.map(known_segments).unwrap_or_default(),
    };
    let super::log::Opened { survey, writer } =
        FileLog::open(Arc::clone(&settings.storage), &settings.folder, &options)?;
    if survey.torn_bytes > 0 {
        tracing::warn!(
            bytes = survey.torn_bytes,
            "A torn commit at the log's end was put aside; it was never acknowledged"
        );
    }
    let log = Arc::clone(&survey.log);
    for left_over in log.trimmed_segments() {
        if let Err(err) = log.remove(left_over.number, Removal::Delete) {
            tracing::warn!(error = %err, "A segment that counts no more cannot be removed");
        }
    }
    Ok((log, survey, writer))
}

fn assemble(settings: Settings, clock: Arc<dyn Clock>, seed: u64, folder: Folder) -> Components {
    let Folder { log, survey, writer, kept, newest, recovered, .. } = folder;
    let named = survey.next_position.max(recovered.next_position).max(Position(1));
    // What cannot be read may have had positions: none is given twice.
    let next_position = Position(named.0.saturating_add(survey.doubtful_events));
    let newest_id = survey.newest_id.max(newest.as_ref().and_then(|newest| newest.newest_id));
    let opening_before = newest.as_ref().map_or(0, |newest| newest.opening);
    let (requests_to, requests) = mpsc::channel();
    let (wants_to, wants) = mpsc::channel();
    let core = Arc::new(Core::new(Parts {
        clock,
        log: Arc::clone(&log),
        kept: Arc::clone(&kept),
        keys: Arc::new(folder.keys),
        waiting_max: settings.waiting_max,
        requests: requests_to,
    }));
    let handlers = adopt(&core, recovered);
    let mut random = StdRng::seed_from_u64(seed);
    let cleaner = Cleaner::new(
        Arc::clone(&core),
        Arc::new(folder.snapshots),
        settings.limits(),
        (Arc::clone(&settings.storage), settings.folder.clone()),
        StdRng::seed_from_u64(random.next_u64()),
    );
    let index = Index::new(index_store(&settings));
    let mut committer = Committer {
        core: Arc::clone(&core),
        writer,
        wants: wants_to,
        next_segment: NextSegment::Wanted,
        handlers,
        next_position,
        newest_id,
        ids: Ids::after(newest_id, StdRng::seed_from_u64(random.next_u64())),
        opening: Opening { number: survey.opening.max(opening_before) + 1, is_recorded: false },
        first: survey.first,
        kept: kept.end(),
        memtable: folder.memtable,
        unanswered: folder.unanswered,
        random,
        settle_room: settings.settle_room(),
        segment_bytes: u64::from(settings.segment_bytes),
        observer: settings.observer,
        least_segment: folder.newest_lsn.segment() + 1,
        used_reserve: false,
        is_full: false,
        inbox: Inbox::default(),
        now: Duration::ZERO,
    };
    committer.writer.publish(next_position);
    committer.want_segment(Reserve::Kept);
    core.ready.send_replace(true);
    let follower = Follower::new(Arc::clone(&log), Arc::clone(&kept), Arc::clone(&index));
    let states: Arc<dyn States> = Arc::<Core>::clone(&core);
    let reading = Arc::new(Reading::new(Arc::clone(&log), kept, Arc::clone(&index), states));
    let cleaner = Arc::new(cleaner);
    let allocator = SegmentAllocator::new(log);
    let opened = Opened { torn_bytes: survey.torn_bytes, rebuilt: None };
    Components {
        core,
        committer,
        requests,
        allocator,
        wants,
        cleaner,
        follower,
        index,
        reading,
        opened,
    }
}

/// The states out of the newest snapshot that the log still goes on from, else out of all there is.
fn recover(
    log: &Arc<FileLog>,
    kept: &KeptLog,
    snapshots: &Snapshots,
    loaded: Vec<Snapshot>,
    end: Lsn,
) -> Result<RecoveredStates, QueueError> {
    let first = log.head().first;
    let usable = loaded.into_iter().find(|snapshot| snapshot.header.replay_from >= first);
    let recovered = if let Some(snapshot) = usable {
        recovery::from_snapshot(log, kept, snapshot, end)
    } else {
        snapshots.distrust_newest();
        recovery::from_log(log, kept, end)
    };
    recovered.map_err(|err: ReadError| ReadFailure::from(err).into())
}

/// Gives every handler its cell; says which there are.
fn adopt(
    core: &Core,
    recovered: RecoveredStates,
) -> std::collections::BTreeMap<crate::event::HandlerName, super::record::Incarnation> {
    let mut handlers = std::collections::BTreeMap::new();
    for (handler, state) in recovered.states {
        core.count_waiting(0, state.waiting().len() as u64);
        handlers.insert(handler.clone(), state.incarnation());
        lock(&core.recorded).insert(handler.clone(), state.high());
        let cell = Arc::new(HandlerCell::new(handler.clone(), state));
        core.change_handlers(|cells| cells.insert(handler, cell));
    }
    handlers
}

fn known_segments(snapshot: &Snapshot) -> Vec<SegmentInfo> {
    let segments = snapshot.header.segments.iter();
    segments
        .map(|segment| SegmentInfo {
            id: SegmentId { number: segment.number, salt: segment.salt },
            first: Some(segment.first),
            began_at: Some(segment.began_at),
            bytes: 0,
        })
        .collect()
}

/// The number in `FORMAT` is written and synced before anything else; a newer one is left alone.
fn check_format(settings: &Settings, clock: &Arc<dyn Clock>, seed: u64) -> Result<(), QueueError> {
    let (storage, folder) = (&*settings.storage, settings.folder.as_path());
    let path = folder.join("FORMAT");
    let failed = opening("`FORMAT`");
    storage.create_folder(folder).map_err(&failed)?;
    if storage.list(folder).map_err(&failed)?.contains(&path) {
        let file = storage.open(&path, OpenMode::Read).map_err(&failed)?;
        let mut bytes = vec![0; 16];
        let n_read = file.read_at(&mut bytes, 0).map_err(&failed)?;
        let found = String::from_utf8_lossy(bytes.get(..n_read).unwrap_or_default()).into_owned();
        if found == FORMAT {
            return take_over::remove_old(storage, folder);
        }
        // Empty = the process ended while it was written: nothing was stored yet.
        if !found.is_empty() {
            return Err(QueueError::Unsupported {
                folder: folder.display().to_string(),
                found: found.trim().to_owned(),
            });
        }
    }
    let was_taken_over = take_over::take_over(settings, clock, seed)?;
    let file = storage.open(&path, OpenMode::Create).map_err(&failed)?;
    file.write_all_at(FORMAT.as_bytes(), 0).map_err(&failed)?;
    file.sync_data().map_err(&failed)?;
    storage.sync_folder(folder).map_err(&failed)?;
    if was_taken_over { take_over::remove_old(storage, folder) } else { Ok(()) }
}

fn index_store(settings: &Settings) -> Arc<dyn Store> {
    match settings.index {
        IndexIn::Folder => Arc::new(SledStore::new(&settings.folder.join("sled"))),
        IndexIn::Memory => Arc::new(MemoryStore::default()),
    }
}

fn opening(what: &'static str) -> impl Fn(io::Error) -> QueueError {
    move |source| QueueError::Io { what: format!("opening {what}"), source }
}

impl From<OpenError> for QueueError {
    fn from(err: OpenError) -> Self {
        match err {
            OpenError::Unsupported { ref file, .. } => {
                Self::Unsupported { folder: file.clone(), found: err.to_string() }
            }
            OpenError::Io { what, source } => Self::Io { what, source },
        }
    }
}
