//! The handlers' states at a start: out of a snapshot and the records behind it, or out of the kept
//! log and all of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kept::KeptLog;
use super::log::{FileLog, LogReader, ReadError, SegmentInfo};
use super::record::{
    DeliveryRecord, Incarnation, Kind, Lsn, NewState, Record, SegmentId, SharedMark,
};
use super::snapshot_file::Snapshot;
use super::state::{HandlerState, HandlerStates};
use crate::event::{HandlerName, Position};

/// The states as the log has them, with the least position that the next event may have.
#[derive(Debug)]
pub(crate) struct RecoveredStates {
    pub(crate) states: BTreeMap<HandlerName, HandlerState>,
    pub(crate) next_position: Position,
}

/// The states out of a snapshot: what was recorded behind it is applied on top.
pub(crate) fn from_snapshot(
    log: &Arc<FileLog>,
    kept: &KeptLog,
    snapshot: Snapshot,
    end: Lsn,
) -> Result<RecoveredStates, ReadError> {
    let next_position = snapshot.header.next_position;
    let opening = snapshot.header.opening;
    let mut states = HandlerStates::restored(snapshot.handlers.into_iter().collect(), opening);
    let from = snapshot.header.replay_from;
    let read = replay(log, from, (end, &|| true), |record, lsn| apply(&mut states, record, lsn))?;
    let mut recovered = finished(states, next_position.max(read));
    // The log's end of then may be missing: nothing but the snapshot tells of it.
    let is_missing = !log.segments().iter().any(|segment| segment.id.number == from.segment());
    if is_missing || !log.damage().is_empty() {
        settle_all_trimmed(&mut recovered, log, kept);
    }
    Ok(recovered)
}

/// Where records are missing, the word that something was settled before it was let go may have
/// stood there: of what was let go the kept log has everything that was alive, the rest is settled.
fn settle_all_trimmed(recovered: &mut RecoveredStates, log: &FileLog, kept: &KeptLog) {
    if kept.damage().is_empty() {
        let trimmed_before = log.head().trimmed_before;
        recovered.states.values_mut().for_each(|state| settle_trimmed(state, trimmed_before, kept));
    }
}

/// Takes what was let go and is not kept for settled.
fn settle_trimmed(state: &mut HandlerState, trimmed_before: Position, kept: &KeptLog) {
    let high = state.high();
    if high < trimmed_before {
        state.apply(&DeliveryRecord::of_all(high..trimmed_before, NewState::Delivered));
        let mut from = high;
        while let Some(kept) = kept.first_from(from).filter(|kept| *kept < trimmed_before) {
            state.apply(&DeliveryRecord::of(kept, 1, NewState::Open));
            from = kept.next();
        }
    }
    for position in state.alive_in(Position(0)..high.min(trimmed_before)) {
        // A change whose event cannot be read any more is lost, which its delivery finds out.
        if !kept.mentions(position) {
            state.apply(&DeliveryRecord::of(position, 1, NewState::Delivered));
        }
    }
}

/// Making the states out of the kept log and the log alone, where no snapshot can be used. It reads
/// all of the log; what is taken in meanwhile needs none of it.
#[derive(Debug)]
pub(crate) struct Rebuild {
    pub(crate) log: Arc<FileLog>,
    pub(crate) kept: Arc<KeptLog>,
    /// Behind the last record that counts.
    pub(crate) end: Lsn,
}

impl Rebuild {
    /// About how many bytes it reads.
    pub(crate) fn bytes(&self, segment_bytes: u64) -> u64 {
        self.log.head().first.bytes_until(self.end, segment_bytes)
    }

    /// Reads the log; `None` = `is_wanted`, which is asked with each record, has ended it.
    pub(crate) fn run(
        &self,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<RecoveredStates>, ReadError> {
        let recovered = from_log(&self.log, &self.kept, self.end, is_wanted)?;
        Ok(is_wanted().then_some(recovered))
    }
}

/// The states out of the kept log and the log alone; not all of them where `is_wanted` has ended it.
pub(crate) fn from_log(
    log: &Arc<FileLog>,
    kept: &KeptLog,
    end: Lsn,
    is_wanted: &dyn Fn() -> bool,
) -> Result<RecoveredStates, ReadError> {
    // Where files are missing, that is before the first position that is left: what was in them is
    // found to be lost when it is to be delivered.
    let trimmed_before = log.head().trimmed_before;
    let told = KeptStates::of(kept)?;
    let mut states = HandlerStates::default();
    // Everything that was let go is settled, unless the kept log has it.
    let begin = |states: &mut HandlerStates, handler: &HandlerName, incarnation: Incarnation| {
        let high = incarnation.since.max(trimmed_before);
        states.begin(handler, incarnation, || {
            told.begin(handler, HandlerState::restored(incarnation, high))
        });
    };
    let read = replay(log, Lsn(0), (end, is_wanted), |record, lsn| {
        match record {
            Record::Head(head) => {
                let handlers = head.handlers.iter();
                handlers.for_each(|head| begin(&mut states, &head.handler, head.incarnation));
            }
            Record::Subscribed { handler, since, .. } => {
                let incarnation = Incarnation { subscribed: lsn, since: *since };
                begin(&mut states, handler, incarnation);
            }
            Record::Settle(record) => {
                let sections = record.sections.iter();
                sections.for_each(|its| begin(&mut states, &its.handler, its.incarnation));
            }
            Record::Event(..)
            | Record::Forgotten { .. }
            | Record::Trim { .. }
            | Record::Opened { .. }
            | Record::Closed
            | Record::Filler
            | Record::KeptChanges(_)
            | Record::KeptFooter(_)
            | Record::Shared(_) => {}
        }
        apply(&mut states, record, lsn);
        if let Record::Settle(record) = record {
            for section in &record.sections {
                if let Some(state) = states.state_mut(&section.handler, section.incarnation) {
                    told.correct(&section.handler, state, &section.changes, lsn);
                }
            }
        }
    })?;
    let mut recovered = finished(states, read);
    if !log.damage().is_empty() {
        settle_all_trimmed(&mut recovered, log, kept);
    }
    for (handler, state) in &mut recovered.states {
        // The kept log may have lost a word on these: they come again.
        for position in kept.unsure() {
            if !told.tells_of(handler, position) && position >= state.incarnation().since {
                state.apply(&DeliveryRecord::of(position, 1, NewState::Open));
            }
        }
    }
    Ok(recovered)
}

/// What a snapshot says of segments: their heads need not be read.
pub(crate) fn known_segments(snapshot: &Snapshot) -> Vec<SegmentInfo> {
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

/// The newest mark of a shared log: in the newest segments, from the last one back.
pub(crate) fn read_shared_mark(
    log: &Arc<FileLog>,
    end: Lsn,
) -> Result<Option<SharedMark>, ReadError> {
    let mut before = end;
    for segment in log.segments().iter().rev() {
        let mut newest = None;
        let mut reader = LogReader::new(Arc::clone(log), Lsn::start_of(segment.id.number));
        while let Some(found) = reader.next(before)? {
            if let (Kind::Shared, Some(Record::Shared(mark))) = (found.kind, found.decode()) {
                newest = Some(mark);
            }
        }
        if newest.is_some() {
            return Ok(newest);
        }
        before = Lsn::start_of(segment.id.number);
    }
    Ok(None)
}

/// Reads records that are not events, and gives the position behind the last event.
fn replay(
    log: &Arc<FileLog>,
    from: Lsn,
    (end, is_wanted): (Lsn, &dyn Fn() -> bool),
    mut visit: impl FnMut(&Record, Lsn),
) -> Result<Position, ReadError> {
    let mut next = Position(1);
    let mut reader = LogReader::new(Arc::clone(log), from);
    while is_wanted()
        && let Some(found) = reader.next(end)?
    {
        if let Some(position) = found.position() {
            next = next.max(position.next());
            continue;
        }
        if found.kind == Kind::Event {
            continue;
        }
        match found.decode() {
            Some(record) => visit(&record, found.lsn),
            // Its outcomes are missing: those deliveries come again.
            None => log.note_undecodable(&found),
        }
    }
    Ok(next)
}

fn apply(states: &mut HandlerStates, record: &Record, lsn: Lsn) {
    match record {
        Record::Head(head) => states.head(&head.handlers),
        Record::Subscribed { handler, since, epoch } => {
            let incarnation = Incarnation { subscribed: lsn, since: *since };
            states.subscribed(handler, incarnation, *epoch);
        }
        Record::Forgotten { handler, subscribed } => states.forgotten(handler, *subscribed),
        Record::Settle(record) => {
            for section in &record.sections {
                if !states.section(section) {
                    tracing::debug!(handler.name = %section.handler, "Void outcomes in the log");
                }
            }
        }
        Record::Event(..)
        | Record::Trim { .. }
        | Record::Opened { .. }
        | Record::Closed
        | Record::Filler
        | Record::KeptChanges(_)
        | Record::KeptFooter(_)
        | Record::Shared(_) => {}
    }
}

fn finished(states: HandlerStates, next_position: Position) -> RecoveredStates {
    let states = states.into_states();
    // A settle record may name positions whose events are lost.
    let next_position = states
        .values()
        .map(HandlerState::high)
        .max()
        .map_or(next_position, |high| high.max(next_position));
    RecoveredStates { states, next_position }
}

/// What the kept log says of deliveries: each word with the LSN behind which it counts.
struct KeptStates(BTreeMap<HandlerName, Vec<(Incarnation, Lsn, DeliveryRecord)>>);

impl KeptStates {
    fn of(kept: &KeptLog) -> Result<Self, ReadError> {
        let mut told: BTreeMap<HandlerName, Vec<_>> = BTreeMap::new();
        let changes = kept
            .changes()
            .map_err(|source| ReadError::Io { file: "the kept log".into(), source })?;
        for (handler, incarnation, lsn, change) in changes {
            told.entry(handler).or_default().push((incarnation, lsn, change));
        }
        for changes in told.values_mut() {
            // Of one delivery the newest word counts; the sort is stable.
            changes.sort_by_key(|(_, lsn, change)| (change.first, *lsn));
        }
        Ok(Self(told))
    }

    /// The state with all that the kept log says of it.
    fn begin(&self, handler: &HandlerName, mut state: HandlerState) -> HandlerState {
        let incarnation = state.incarnation();
        let told = self.0.get(handler).into_iter().flatten();
        let its_own = told.filter(|(of, _, _)| *of == incarnation);
        its_own.for_each(|(_, _, change)| state.apply(change));
        state
    }

    fn tells_of(&self, handler: &HandlerName, position: Position) -> bool {
        let told = self.0.get(handler).map_or(&[][..], Vec::as_slice);
        told.binary_search_by_key(&position, |(_, _, word)| word.first).is_ok()
    }

    /// What was recorded at `lsn` and is older than the kept log's word on a delivery does not
    /// count: the word is applied again.
    fn correct(
        &self,
        handler: &HandlerName,
        state: &mut HandlerState,
        changes: &[DeliveryRecord],
        lsn: Lsn,
    ) {
        let Some(told) = self.0.get(handler).filter(|told| !told.is_empty()) else { return };
        for change in changes {
            let positions = change.positions();
            let from = told.partition_point(|(_, _, word)| word.first < positions.start);
            let words = told.get(from..).unwrap_or_default().iter();
            for (of, newer, word) in words.take_while(|(_, _, word)| word.first < positions.end) {
                if *newer > lsn && *of == state.incarnation() {
                    state.apply(word);
                }
            }
        }
    }
}
