//! Opening the queue.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, mpsc};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::committer::Committer;
use super::dedupe::{RecentKeys, Runs};
use super::ids::Ids;
use super::index::{Index, IndexError, Progress};
use super::indexer::Indexer;
use super::janitor::{Janitor, Limits};
use super::rebuild::{self, RebuildError, Replay};
use super::shared::{Durable, Job, Shared};
use super::state::SubscriptionState;
use super::tail::Tail;
use super::{Opened, Settings, SledQueue, Threads, lookup, take_lock};
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::event::{EventId, Position};
use crate::queue::QueueError;
use crate::queue::journal::{Location, Reader, Recovered, Segments, Writer, recover};
use crate::queue::record::{Kind, Places};

/// The index and what goes with it.
struct Ready {
    index: Index,
    runs: Runs,
    keys: RecentKeys,
    next: Position,
}

/// Opens the queue in `settings.folder`.
pub(super) fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<SledQueue, QueueError> {
    let journal = settings.folder.join("journal");
    std::fs::create_dir_all(&journal).map_err(|source| QueueError::Io {
        what: format!("making `{}`", journal.display()),
        source,
    })?;
    let lock = take_lock(&settings.folder)?;
    let fs = Arc::clone(&settings.file_system);
    let opened_as = |source| QueueError::Io { what: "opening the journal".into(), source };
    sync_folders(&settings).map_err(opened_as)?;
    let Recovered { segments, end, torn_bytes } = recover(fs, &journal).map_err(opened_as)?;
    if torn_bytes > 0 {
        tracing::warn!(
            bytes = torn_bytes,
            "A torn commit at the journal's end was cleared; it was never acknowledged"
        );
    }
    let mut writer =
        Writer::open(Arc::clone(&segments), end, settings.disk_reserve).map_err(opened_as)?;
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

/// Makes the names of the folders themselves survive a power cut.
fn sync_folders(settings: &Settings) -> io::Result<()> {
    settings.file_system.sync_folder(&settings.folder)?;
    match settings.folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => settings.file_system.sync_folder(parent),
        None => settings.file_system.sync_folder(Path::new(".")),
    }
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
    let is_new = !folder.exists();
    let why = match catch_up(segments, folder, end) {
        Ok(ready) => return Ok((ready, None)),
        Err(why) => why,
    };
    let is_first_start = is_new && segments.all().len() == 1 && end.offset < 64;
    if !is_first_start {
        tracing::warn!(reason = why, "The index is made anew from the journal");
    }
    let until = Progress { at: end, next: next_position(segments, end)? };
    let rebuilt = rebuild::from_journal(segments, folder, until).map_err(cannot_open)?;
    let ready = Ready {
        index: rebuilt.index,
        runs: rebuilt.runs,
        keys: RecentKeys::new(until.next),
        next: until.next,
    };
    Ok((ready, Some(why).filter(|_| !is_first_start)))
}

fn cannot_open(err: RebuildError) -> QueueError {
    let source = io::Error::other(err);
    QueueError::Io { what: "making the index from the journal".into(), source }
}

/// Opens the index and takes in what it lacks. Any doubt about it is an error, for people.
fn catch_up(segments: &Arc<Segments>, folder: &Path, end: Location) -> Result<Ready, String> {
    let say = |err: IndexError| match std::error::Error::source(&err) {
        Some(cause) => format!("{err}: {cause}"),
        None => err.to_string(),
    };
    let index = Index::open(folder).map_err(say)?;
    let progress = index.progress().map_err(say)?.ok_or("it is empty")?;
    let oldest = segments.at_or_after(0).ok_or("the journal is empty")?;
    if progress.at > end {
        return Err("it knows more than the journal".into());
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
    replay.run(segments, begin, end).map_err(|err| err.to_string())?;
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

/// The position that the next event gets, from the journal's last segments.
fn next_position(segments: &Arc<Segments>, end: Location) -> Result<Position, QueueError> {
    let mut next = Position(1);
    let mut reader = Reader::new(Arc::clone(segments), Location::start_of(end.segment));
    while let Some(found) = reader.next(end).map_err(lookup::read_failed)? {
        if !matches!(found.kind, Kind::Event | Kind::Checkpoint) {
            continue;
        }
        match found.decode() {
            Ok(crate::queue::record::Record::Event(event, _)) => next = event.position.next(),
            Ok(crate::queue::record::Record::Checkpoint(places)) => next = next.max(places.next),
            Ok(_) => {}
            Err(err) => tracing::error!(error = %err, "A record is not understood"),
        }
    }
    let first = segments.get(end.segment).map_or(next, |segment| segment.first);
    Ok(next.max(first))
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
    let subscriptions: BTreeMap<_, _> = places
        .by_handler
        .iter()
        .map(|(handler, place)| {
            (handler.clone(), Arc::new(SubscriptionState::new(handler.clone(), place)))
        })
        .collect();
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
        recorded: Mutex::new(recorded.collect()),
        subscriptions: Mutex::new(subscriptions),
        blocked: Mutex::default(),
        poisoned: watch::Sender::new(false),
        closed: CancellationToken::new(),
        jobs,
    });
    let janitor = Janitor {
        shared: Arc::clone(&shared),
        limits: Limits {
            retention: settings.retention,
            disk_max: settings.disk_max,
            disk_reserve: settings.disk_reserve,
        },
        preparer: writer.preparer(),
    };
    let committer = Committer {
        ids: Ids::after(last_id(&shared, next)),
        shared: Arc::clone(&shared),
        writer,
        keys,
        places,
        applied,
        observer: settings.observer,
        watched: None,
        full: None,
        since_settle: Stopwatch::start(),
    };
    let indexer = Indexer::new(Arc::clone(&shared), settings.folder.join("sled"));
    let (stop_janitor, stopped) = mpsc::channel();
    let threads = Threads {
        committer: spawn("journal", move || committer.run(&inbox))?,
        indexer: spawn("index", move || indexer.run(&batches))?,
        janitor: spawn("janitor", move || janitor.run(&stopped))?,
        stop_janitor,
        lock,
    };
    Ok(SledQueue { shared, opened, threads: Mutex::new(Some(threads)) })
}

/// The newest id that was given, or one as old as the newest segment: later ones ascend from it.
fn last_id(shared: &Shared, next: Position) -> Option<EventId> {
    let last = Position(next.0.checked_sub(1)?);
    match lookup::event_at(shared, last) {
        Ok(Some((event, _))) => Some(event.id),
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

fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, QueueError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|source| QueueError::Io { what: format!("starting the thread `{name}`"), source })
}
