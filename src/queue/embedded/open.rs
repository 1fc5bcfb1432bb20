//! Opening the queue: from a folder to the components that work on it.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::cleaner::Cleaner;
use super::commit::{Committer, Inbox, NextSegment, Opening, Request};
use super::core::{Core, Parts};
use super::events::ReadFailure;
use super::index::{Follower, Index, SledStore, Store};
use super::kept::{EndTrust, KeptLog};
use super::key_recovery::RecoveredKeys;
use super::layout::{check_format, opening};
use super::log::{
    FileLog, LogWriter, OpenError, OpenOptions, Removal, Reserve, SegmentAllocator, Survey, Want,
};
use super::read::{Reading, States};
use super::record::{Lsn, SharedMark, next_number};
use super::recovery::{self, Rebuild, RecoveredStates};
use super::snapshot::Snapshots;
use super::snapshot_file::{Snapshot, SnapshotHeader};
use super::{IndexIn, Settings};
use crate::clock::Clock;
use crate::event::{Event, EventId, Position};
use crate::queue::QueueError;
use crate::queue::ids::Ids;

/// What was found when the queue was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of a torn last commit that were put aside. They were never acknowledged.
    pub torn_bytes: u64,
    /// Why something was made anew; `None` = all was as it should be.
    pub rebuilt: Option<String>,
}

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
    /// How the states are made where they are not known yet.
    pub(crate) rebuild: Option<Rebuild>,
    /// How far a shared log was taken over.
    pub(crate) shared: Option<SharedMark>,
}

impl Components {
    /// Makes the states at once, where they are not known yet.
    #[cfg(feature = "test-support")]
    pub(crate) fn with_states(mut self) -> Result<Self, QueueError> {
        if let Some(rebuild) = self.rebuild.take()
            && let Some(recovered) = rebuild.run(&|| true).map_err(ReadFailure::from)?
        {
            self.committer.adopt(recovered);
        }
        Ok(self)
    }
}

/// The handlers' states at a start.
enum Recovered {
    Known(RecoveredStates),
    /// They are made behind the queue's back, which takes events in meanwhile.
    Later(Rebuild),
}

impl Recovered {
    /// Gives the states to the committer; what is left to do is to make them.
    fn given_to(self, committer: &mut Committer) -> Option<Rebuild> {
        match self {
            Self::Known(recovered) => {
                committer.adopt(recovered);
                None
            }
            Self::Later(rebuild) => Some(rebuild),
        }
    }
}

/// What is in the folder, read and mended.
struct Folder {
    log: Arc<FileLog>,
    survey: Survey,
    writer: LogWriter,
    kept: Arc<KeptLog>,
    snapshots: Snapshots,
    /// The newest snapshot that could be read.
    newest: Option<SnapshotHeader>,
    newest_lsn: Lsn,
    recovered: Recovered,
    keys: RecoveredKeys,
}

/// Opens the queue in `settings.folder`, mending what a power cut tore. `seed` makes salts and the
/// random parts of ids.
pub(crate) fn open(
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Result<Components, QueueError> {
    let store = index_store(&settings);
    open_with_index(settings, clock, seed, store)
}

/// The same with an index of the caller's.
pub(crate) fn open_with_index(
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: u64,
    store: Arc<dyn Store>,
) -> Result<Components, QueueError> {
    check_format(&settings, &clock, seed)?;
    let folder = read_folder(&settings, &clock)?;
    Ok(assemble(settings, clock, seed, folder, Index::new(store)))
}

fn read_folder(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Folder, QueueError> {
    let storage = || Arc::clone(&settings.storage);
    let snapshots = Snapshots::new(storage(), settings.folder.join("state"));
    let loaded = snapshots.load().map_err(opening("the snapshots"))?;
    let (log, survey, mut writer) = open_log(settings, clock, &loaded)?;
    let kept = open_kept(settings, &survey, &loaded).map_err(opening("the kept log"))?;
    let end = writer.end();
    let newest = loaded.first().map(|snapshot| snapshot.header.clone());
    let kept = Arc::new(kept);
    let recovered = recover(settings, (&log, &kept), &snapshots, loaded, end)?;
    let keys = RecoveredKeys::find(settings, (&survey, end), &snapshots, clock.as_ref())?;
    let written_through = keys.runs.written_through();
    // The newest LSN that anything knows of.
    let newest_lsn = newest.as_ref().map_or(written_through, |newest| {
        newest.replay_from.max(newest.keys_from).max(written_through)
    });
    if newest_lsn > end {
        // The end of the log is lost: what is written from here on must not look older than what
        // the snapshot and the key runs have.
        writer.require_roll();
        writer.skip_numbers(newest_lsn.segment());
        let next = newest.as_ref().map_or(Position(0), |newest| newest.next_position);
        log.note_lost_end(end, next);
    }
    Ok(Folder { log, survey, writer, kept, snapshots, newest, newest_lsn, recovered, keys })
}

/// The kept log, up to the end that log and snapshots tell. Where anything of the log cannot be
/// read, that may have told of a later one: all of the kept log's files then count.
fn open_kept(settings: &Settings, survey: &Survey, loaded: &[Snapshot]) -> io::Result<KeptLog> {
    let (storage, folder) = (Arc::clone(&settings.storage), settings.folder.join("kept"));
    let told = loaded.iter().map(|snapshot| snapshot.header.kept).max();
    let end = survey.kept.max(told.unwrap_or_default());
    // Without any file of the log, nothing was ever copied, or all of the log is missing.
    let is_end_lost = survey
        .end
        .is_none_or(|log_end| loaded.iter().any(|snapshot| snapshot.header.replay_from > log_end));
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
    loaded: &[Snapshot],
) -> Result<(Arc<FileLog>, Survey, LogWriter), QueueError> {
    let options = OpenOptions {
        segment_bytes: settings.segment_bytes,
        disk_reserve: settings.reserve(),
        clock: Arc::clone(clock),
        known: loaded.first().map(recovery::known_segments).unwrap_or_default(),
        synced_until: loaded.iter().map(|it| it.header.replay_from).max().unwrap_or_default(),
        drops_torn_units: settings.is_copy_of_shared,
    };
    let super::log::Opened { mut survey, writer } =
        FileLog::open(Arc::clone(&settings.storage), &settings.folder, &options)?;
    if survey.torn_bytes > 0 {
        tracing::warn!(
            bytes = survey.torn_bytes,
            "A torn commit at the log's end was put aside; it was never acknowledged"
        );
    }
    let log = Arc::clone(&survey.log);
    if settings.is_copy_of_shared && survey.shared.is_none() {
        survey.shared =
            recovery::read_shared_mark(&log, writer.end()).map_err(ReadFailure::from)?;
    }
    for left_over in log.trimmed_segments() {
        if let Err(err) = log.remove(left_over.number, Removal::Delete) {
            tracing::warn!(error = %err, "A segment that counts no more cannot be removed");
        }
    }
    Ok((log, survey, writer))
}

fn assemble(
    settings: Settings,
    clock: Arc<dyn Clock>,
    seed: u64,
    folder: Folder,
    index: Arc<Index>,
) -> Components {
    let Folder { log, survey, writer, kept, newest, recovered, keys, .. } = folder;
    log.begin_serving();
    let given = GivenNumbers::find(&survey, newest.as_ref(), &kept);
    let opening_before = newest.as_ref().map_or(0, |newest| newest.opening);
    let (requests_to, requests) = mpsc::channel();
    let (wants_to, wants) = mpsc::channel();
    let core = Arc::new(Core::new(Parts {
        clock,
        log: Arc::clone(&log),
        kept: Arc::clone(&kept),
        keys: Arc::new(keys.runs),
        unanswered: (keys.unanswered, settings.unanswered_file()),
        waiting_max: settings.waiting_max,
        requests: requests_to,
    }));
    let mut random = StdRng::seed_from_u64(seed);
    let cleaner = cleaner(&core, folder.snapshots, &settings, random.next_u64());
    let mut committer = Committer {
        core: Arc::clone(&core),
        writer,
        wants: wants_to,
        next_segment: NextSegment::Wanted,
        handlers: survey.handlers,
        next_position: given.next_position,
        newest_id: given.newest_id,
        ids: Ids::after(given.newest_id, StdRng::seed_from_u64(random.next_u64())),
        opening: Opening { number: survey.opening.max(opening_before) + 1, is_recorded: false },
        first: survey.first,
        kept: kept.end(),
        memtable: keys.memtable,
        random,
        settle_room: settings.settle_room(),
        segment_bytes: u64::from(settings.segment_bytes),
        observer: settings.observer,
        least_segment: next_number(folder.newest_lsn.segment()),
        tried_with: Reserve::Kept,
        is_full: false,
        inbox: Inbox::default(),
        now: Duration::ZERO,
    };
    let rebuild = recovered.given_to(&mut committer);
    committer.writer.publish(committer.next_position);
    committer.want_segment(Reserve::Kept);
    let states: Arc<dyn States> = Arc::<Core>::clone(&core);
    let reading = Reading::new(Arc::clone(&log), Arc::clone(&kept), Arc::clone(&index), states)
        .of_copy(settings.is_copy_of_shared);
    Components {
        core,
        committer,
        requests,
        allocator: SegmentAllocator::new(Arc::clone(&log)),
        wants,
        cleaner: Arc::new(cleaner),
        follower: Follower::new(log, kept, Arc::clone(&index)),
        index,
        reading: Arc::new(reading),
        opened: Opened { torn_bytes: survey.torn_bytes, rebuilt: None },
        rebuild,
        shared: survey.shared,
    }
}

fn cleaner(core: &Arc<Core>, snapshots: Snapshots, settings: &Settings, seed: u64) -> Cleaner {
    Cleaner::new(
        Arc::clone(core),
        Arc::new(snapshots),
        settings.limits(),
        (Arc::clone(&settings.storage), settings.folder.clone()),
        StdRng::seed_from_u64(seed),
    )
}

/// Which positions and ids were given: none is given twice.
struct GivenNumbers {
    next_position: Position,
    newest_id: Option<EventId>,
}

impl GivenNumbers {
    fn find(survey: &Survey, newest: Option<&SnapshotHeader>, kept: &KeptLog) -> Self {
        let by_snapshot = newest.map_or(Position(1), |newest| newest.next_position);
        let named = survey.next_position.max(by_snapshot);
        // What cannot be read may have had positions.
        let behind_log = named.after(survey.doubtful_events);
        // Where all of the log is missing, with the snapshots, only what was kept tells.
        let newest_kept = newest_kept(kept);
        let behind_kept = newest_kept.as_ref().map(|event| event.position.next());
        let ids = [
            survey.newest_id,
            newest.and_then(|newest| newest.newest_id),
            newest_kept.map(|event| event.id),
        ];
        Self {
            next_position: behind_log.max(behind_kept.unwrap_or_default()),
            newest_id: ids.into_iter().flatten().max(),
        }
    }
}

/// The newest event that outlived its segment.
fn newest_kept(kept: &KeptLog) -> Option<Event> {
    let position = kept.last_before(Position(u64::MAX))?;
    let found = kept.find(position).inspect_err(|err| {
        tracing::warn!(position = position.0, "An event of the kept log cannot be read: {err}");
    });
    found.ok().flatten().map(|(event, _)| event)
}

/// The states out of the newest snapshot that the log still goes on from, else out of all there is.
fn recover(
    settings: &Settings,
    (log, kept): (&Arc<FileLog>, &Arc<KeptLog>),
    snapshots: &Snapshots,
    loaded: Vec<Snapshot>,
    end: Lsn,
) -> Result<Recovered, QueueError> {
    let first = log.head().first;
    let usable = loaded.into_iter().find(|snapshot| snapshot.header.replay_from >= first);
    if let Some(snapshot) = usable {
        let recovered = recovery::from_snapshot(log, kept, snapshot, end);
        return Ok(Recovered::Known(recovered.map_err(ReadFailure::from)?));
    }
    snapshots.distrust_newest();
    let rebuild = Rebuild { log: Arc::clone(log), kept: Arc::clone(kept), end };
    if rebuild.bytes(settings.segment_bytes.into()) > settings.rebuild_at_once {
        tracing::warn!("No snapshot can be used: the log is read before anything is delivered");
        return Ok(Recovered::Later(rebuild));
    }
    let recovered = recovery::from_log(log, kept, end, &|| true);
    Ok(Recovered::Known(recovered.map_err(ReadFailure::from)?))
}

fn index_store(settings: &Settings) -> Arc<dyn Store> {
    match settings.index {
        IndexIn::Folder => Arc::new(SledStore::new(&settings.folder.join("sled"))),
        #[cfg(feature = "test-support")]
        IndexIn::Memory => Arc::new(super::index::MemoryStore::default()),
    }
}

impl From<OpenError> for QueueError {
    fn from(err: OpenError) -> Self {
        match err {
            OpenError::Unsupported { ref file, .. } => {
                Self::Unsupported { folder: file.clone(), found: err.to_string() }
            }
            OpenError::TwoLogs { .. } => Self::Corrupt(err.to_string()),
            OpenError::Io { what, source } => Self::Io { what, source },
        }
    }
}
