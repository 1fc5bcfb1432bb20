//! Opening the queue.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};

use arc_swap::ArcSwapOption;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::committer::{Committer, HandOver, SETTLE_ROOM, Unanswered};
use super::dedupe::{RecentKeys, Runs};
use super::index::{Index, IndexError, Progress};
use super::indexer::Indexer;
use super::janitor::{Janitor, Limits};
use super::rebuild::{self, RebuildError, Rebuilt, Replay, settle_compaction};
use super::shared::{Durable, Job, Shared};
use super::state::SubscriptionState;
use super::tail::Tail;
use super::{Opened, Settings, SledQueue, Threads, lookup, owner, take_lock, trust};
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::event::{EventId, Position};
use crate::queue::QueueError;
use crate::queue::ids::Ids;
use crate::queue::journal::{Damage, Location, Lost, Reader, Recovered, Segments, Writer, recover};
use crate::queue::names::Names;
use crate::queue::record::Places;

/// The index and what goes with it.
struct Ready {
    index: Index,
    runs: Runs,
    keys: RecentKeys,
    next: Position,
}

/// Opens the queue in `settings.folder`.
pub(super) fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<SledQueue, QueueError> {
    owner::check(&settings.folder)?;
    let journal = settings.folder.join("journal");
    let made = folders_to_make(&settings.folder);
    std::fs::create_dir_all(&journal).map_err(|source| QueueError::Io {
        what: format!("making `{}`", journal.display()),
        source,
    })?;
    let lock = take_lock(&settings.folder)?;
    let fs = Arc::clone(&settings.file_system);
    let opened_as = |source| QueueError::Io { what: "opening the journal".into(), source };
    for folder in made {
        settings.file_system.sync_folder(&folder).map_err(opened_as)?;
    }
    let Recovered { segments, end, torn_bytes } = recover(fs, &journal).map_err(opened_as)?;
    if torn_bytes > 0 {
        tracing::warn!(
            bytes = torn_bytes,
            "A torn commit at the journal's end was cleared; it was never acknowledged"
        );
    }
    let mut writer =
        Writer::open(Arc::clone(&segments), end, settings.segment_bytes, settings.disk_reserve)
            .map_err(opened_as)?;
    if end.is_none() {
        let places = Places { at: clock.now(), next: Position(1), ..Places::default() };
        writer.roll(&places, 0).map_err(|err| match err {
            crate::queue::journal::WriteError::Full(err) => QueueError::Full(err.to_string()),
            crate::queue::journal::WriteError::Poisoned(err) => opened_as(err),
        })?;
    }
    let end = writer.end();
    look_for_damage(&segments, end).map_err(opened_as)?;
    let sled = settings.folder.join("sled");
    let (ready, rebuilt) = ready_index(&segments, &sled, end)?;
    start(settings, clock, writer, ready, Opened { torn_bytes, rebuilt }, lock)
}

/// The folders in which a new name may come to be when `folder` is made: they are synced, so that
/// the names of the folders themselves survive a power cut.
fn folders_to_make(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        folders.push(above.to_owned());
        if above.exists() {
            break;
        }
    }
    folders
}

/// Reads the live segment once: what is damaged in it is named before anybody comes to it.
fn look_for_damage(segments: &Arc<Segments>, end: Location) -> io::Result<()> {
    let mut reader = Reader::new(Arc::clone(segments), Location::start_of(end.segment));
    while reader.next(end)?.is_some() {}
    Ok(())
}

/// The index as it is, brought up to date; else made anew. Says why it had to be.
fn ready_index(
    segments: &Arc<Segments>,
    folder: &Path,
    end: Location,
) -> Result<(Ready, Option<String>), QueueError> {
    settle_compaction(folder).map_err(|source| QueueError::Io {
        what: format!("renaming `{}`", folder.display()),
        source,
    })?;
    let is_new = !folder.exists();
    let (why, known) = match catch_up(segments, folder, end) {
        Ok(ready) => return Ok((ready, None)),
        Err(Doubt::Of(why)) => (why, Position(1)),
        Err(Doubt::Ahead(progress)) => ("it knows more than the journal".to_owned(), progress.next),
        Err(Doubt::None(err)) => return Err(err),
    };
    let is_first_start = is_new && segments.all().len() == 1 && end.offset < 64;
    if !is_first_start {
        tracing::warn!(reason = why, "The index is made anew from the journal");
    }
    if is_new {
        // What was tried just now is nothing to look into later.
        rebuild::remove_all(folder)
            .map_err(|err| cannot_open(RebuildError::Aside(folder.to_owned(), err)))?;
    }
    let Rebuilt { index, runs, next_in_journal, next } =
        rebuild::from_journal(segments, folder, end, known).map_err(cannot_open)?;
    if next > next_in_journal {
        // The index takes in only what was synced: this was acknowledged, and is gone.
        let first = next_in_journal;
        let lost = Lost::Events { first, count: next.0 - first.0 };
        let damage = Damage { at: end, bytes: 0, lost };
        tracing::error!(damage = %damage, "The journal has lost its end");
        segments.note_damage(damage);
    }
    let ready = Ready { index, runs, keys: RecentKeys::new(next), next };
    Ok((ready, Some(why).filter(|_| !is_first_start)))
}

/// Why the index as it is cannot be used.
enum Doubt {
    /// For people.
    Of(String),
    /// It has taken in what the journal does not have.
    Ahead(Progress),
    /// There is none: something else keeps the queue from opening. The index stays as it is.
    None(QueueError),
}

impl From<&str> for Doubt {
    fn from(why: &str) -> Self {
        Self::Of(why.to_owned())
    }
}

fn cannot_open(err: RebuildError) -> QueueError {
    let source = io::Error::other(err);
    QueueError::Io { what: "making the index from the journal".into(), source }
}

/// Opens the index and takes in what it lacks. Any doubt about it is an error, for people.
fn catch_up(segments: &Arc<Segments>, folder: &Path, end: Location) -> Result<Ready, Doubt> {
    let say = |err: IndexError| {
        if err.is_no_doubt() {
            let source = io::Error::other(err);
            return Doubt::None(QueueError::Io { what: "opening the index".into(), source });
        }
        Doubt::Of(match std::error::Error::source(&err) {
            Some(cause) => format!("{err}: {cause}"),
            None => err.to_string(),
        })
    };
    if folder.is_dir() && !trust::is_whole(folder) {
        return Err("the machine or the file system went down while it was in use".into());
    }
    let index = Index::open(folder).map_err(say)?;
    let progress = index.progress().map_err(say)?.ok_or("it is empty")?;
    let oldest = segments.at_or_after(0).ok_or("the journal is empty")?;
    if progress.at > end {
        return Err(Doubt::Ahead(progress));
    }
    if progress.at.segment < oldest.number {
        return Err("it is older than the journal's oldest segment".into());
    }
    if !is_boundary(segments, progress.at, end) {
        return Err("its place in the journal is no record's end".into());
    }
    let runs = Runs::default();
    let mut keys_from = oldest.first;
    for run in index.key_runs().map_err(say)? {
        runs.add(run, &index.keys_of(run.first).map_err(say)?);
        keys_from = keys_from.max(run.last.next());
    }
    let mut replay = Replay::new(&index, &runs, keys_from).index_from(progress);
    let begin = match index.block_of(keys_from).map_err(say)? {
        Some(block) if block.at.segment >= oldest.number => block.at.min(progress.at),
        Some(_) | None => Location::start_of(oldest.number),
    };
    replay.run(segments, begin, end).map_err(|err| match err {
        RebuildError::Index(err) => say(err),
        RebuildError::Journal(source) if source.kind() == io::ErrorKind::Unsupported => {
            Doubt::None(QueueError::Io { what: "reading the journal".into(), source })
        }
        err @ (RebuildError::Journal(_) | RebuildError::Aside(..)) => Doubt::Of(err.to_string()),
    })?;
    let (keys, next) = (replay.keys, replay.next);
    index.set_progress(Progress { at: end, next }).map_err(say)?;
    Ok(Ready { index, runs, keys, next })
}

/// Whether a record begins at `at`, or the journal ends there.
fn is_boundary(segments: &Arc<Segments>, at: Location, end: Location) -> bool {
    if at == end || at.offset == 0 {
        return true;
    }
    let Some(segment) = segments.get(at.segment) else { return false };
    match segment.next_valid(at.offset) {
        Ok(Some((offset, _))) => offset == at.offset,
        // Behind the last record of a sealed segment.
        Ok(None) => at.segment < end.segment,
        Err(_) => false,
    }
}

/// Starts the threads.
fn start(
    settings: Settings,
    clock: Arc<dyn Clock>,
    writer: Writer,
    ready: Ready,
    opened: Opened,
    lock: std::fs::File,
) -> Result<SledQueue, QueueError> {
    let Ready { index, runs, keys, next } = ready;
    let mut places = index.places().map_err(QueueError::from)?;
    places.next = next;
    let end = writer.end();
    let (jobs, inbox) = mpsc::channel::<Job>();
    let (applied, batches) = mpsc::channel();
    let subscriptions = places.by_handler.iter().map(|(handler, place)| {
        (handler.clone(), Arc::new(SubscriptionState::new(handler.clone(), place)))
    });
    let recorded = places.by_handler.iter().map(|(handler, place)| (handler.clone(), place.cursor));
    let shared = Arc::new(Shared {
        clock,
        segments: writer.segments(),
        index: ArcSwapOption::from_pointee(index),
        runs,
        tail: Tail::default(),
        durable: watch::Sender::new(Durable { end, next }),
        indexed: Mutex::new(Progress { at: end, next }),
        lag_bytes: AtomicU64::new(0),
        index_changes: Mutex::default(),
        recorded: Mutex::new(recorded.collect()),
        subscriptions: Mutex::new(subscriptions.collect()),
        blocked: Mutex::default(),
        poisoned: watch::Sender::new(false),
        closed: CancellationToken::new(),
        jobs,
    });
    let janitor = Arc::new(Janitor {
        shared: Arc::clone(&shared),
        limits: Limits {
            retention: settings.retention,
            disk_max: settings.disk_max,
            disk_reserve: settings.disk_reserve,
            segment_bytes: settings.segment_bytes,
        },
        preparer: writer.preparer(),
        turn: Mutex::default(),
        kept: Mutex::default(),
        ended: Mutex::default(),
    });
    let committer = Committer {
        ids: Ids::after(last_id(&shared, next), StdRng::from_os_rng()),
        shared: Arc::clone(&shared),
        writer,
        keys,
        unanswered: Unanswered::default(),
        places,
        handing_over: HandOver::new(applied),
        observer: settings.observer,
        watched: None,
        full: None,
        since_settle: Stopwatch::start(),
        settle_room: SETTLE_ROOM.min(settings.segment_bytes as usize / 4),
        names: Names::default(),
    };
    let indexer = Indexer::new(Arc::clone(&shared), settings.folder.join("sled"));
    let (stop_janitor, stopped) = mpsc::channel();
    let (of_committer, of_indexer) = (Alarm(Arc::clone(&shared)), Alarm(Arc::clone(&shared)));
    let threads = Threads {
        committer: spawn("journal", move || of_committer.guard(|| committer.run(&inbox)))?,
        indexer: spawn("index", move || of_indexer.guard(|| indexer.run(&batches)))?,
        janitor: {
            let janitor = Arc::clone(&janitor);
            spawn("janitor", move || janitor.run(&stopped))?
        },
        stop_janitor,
        lock,
    };
    let index_folder = settings.folder.join("sled");
    Ok(SledQueue { shared, opened, janitor, index_folder, threads: Mutex::new(Some(threads)) })
}

/// A panic in a thread that the queue cannot do without is as good as a failed write: only a
/// restart helps, so whoever waits for that is told.
struct Alarm(Arc<Shared>);

impl Alarm {
    fn guard(&self, work: impl FnOnce()) {
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        if let Err(panic) = worked {
            self.0.poisoned.send_replace(true);
            std::panic::resume_unwind(panic);
        }
    }
}

/// The newest id that can be read, or one as old as the newest segment: later ones ascend from it.
fn last_id(shared: &Shared, next: Position) -> Option<EventId> {
    let last = Position(next.0.saturating_sub(1));
    match newest_event(shared, last) {
        Ok(Some(id)) => Some(id),
        Ok(None) => {
            let began_at =
                shared.segments.all().last().map_or(Timestamp::default(), |s| s.began_at);
            let millis = u64::try_from(began_at.as_millis()).unwrap_or(0);
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &[0xff; 10]).into_uuid();
            Some(EventId(id))
        }
        Err(err) => {
            tracing::warn!(error = %err, "The newest event cannot be read");
            None
        }
    }
}

/// The id of the event at `last` or, where that is lost, of the newest one in the last segments.
fn newest_event(shared: &Shared, last: Position) -> Result<Option<EventId>, QueueError> {
    const SEGMENTS_LOOKED_AT: usize = 3;
    if let Some((event, _)) = lookup::event_at(shared, last)? {
        return Ok(Some(event.id));
    }
    let segments = shared.segments.all().into_iter().rev().take(SEGMENTS_LOOKED_AT);
    let Some(oldest) = segments.last() else { return Ok(None) };
    let mut newest = None;
    lookup::scan(shared, Location::start_of(oldest.number), |event, _| {
        newest = newest.max(Some(event.id));
        true
    })?;
    Ok(newest)
}

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, QueueError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|source| QueueError::Io { what: format!("starting the thread `{name}`"), source })
}
