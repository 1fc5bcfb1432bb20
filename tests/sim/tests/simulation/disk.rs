//! The files below the embedded queue, as far as the simulation must know them: where records are
//! in a file, so as to say what damage costs, and calls that fail.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gatepost_sim::queue::embedded::testing::{Call, Faults, Verdict};

use crate::damage::{Effects, Fault, FileClass};
use crate::oracle::find_token;

const HEADER_BYTES: usize = 14;
const EVENT: u8 = 2;
const SETTLE: u8 = 3;
const HEAD: u8 = 1;
const SUBSCRIBED: u8 = 4;
const FORGOTTEN: u8 = 5;
const TRIM: u8 = 6;
const KIND_MAX: u8 = 11;
const VERSION: u8 = 2;

/// One record's place in a file.
#[derive(Clone, Debug)]
struct Frame {
    place: Range<usize>,
    unit: [u8; 4],
    kind: u8,
}

/// The records of a file as it was written. Between them may be holes, where torn writes were.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        let (unit, kind, version) = (header[8..12].try_into().unwrap(), header[12], header[13]);
        let end = at + HEADER_BYTES + length;
        let is_record = (1..=KIND_MAX).contains(&kind)
            && version == VERSION
            && end <= bytes.len()
            && u32::from_le_bytes(unit) as usize <= at;
        if is_record {
            frames.push(Frame { place: at..end, unit, kind });
            at = end;
        } else {
            at += 1;
        }
    }
    frames
}

/// A file's records as text.
pub fn table_of(bytes: &[u8]) -> String {
    let line = |frame: Frame| {
        let Frame { place, unit, kind } = frame;
        let unit = u32::from_le_bytes(unit);
        let token = find_token(&bytes[place.clone()]).filter(|_| kind == EVENT);
        format!("          {place:?} unit {unit} kind {kind} token {token:?}\n")
    };
    frames(bytes).into_iter().map(line).collect()
}

/// The events of a file, by their tokens.
pub fn tokens_of(bytes: &[u8]) -> Vec<u32> {
    let frames = frames(bytes).into_iter().filter(|frame| frame.kind == EVENT);
    frames.filter_map(|frame| find_token(&bytes[frame.place])).collect()
}

/// What damage to `range` may cost.
pub fn cost_of(class: FileClass, bytes: &[u8], range: Range<usize>) -> Effects {
    match class {
        FileClass::Snapshot | FileClass::Keys | FileClass::Kept => {
            return cost_of_all(class, bytes);
        }
        FileClass::Log => {}
    }
    let frames = frames(bytes);
    let last_unit = frames.last().map(|frame| frame.unit);
    let is_hit = |frame: &Frame| frame.place.start < range.end && range.start < frame.place.end;
    // Bad bytes in the last unit of a file may be a torn write: none of that unit counts then.
    let is_last_hit = frames.iter().any(|frame| is_hit(frame) && Some(frame.unit) == last_unit);
    let is_gone = |frame: &&Frame| is_hit(frame) || is_last_hit && Some(frame.unit) == last_unit;
    cost_of_frames(bytes, frames.iter().filter(is_gone))
}

/// What the loss of a whole file may cost.
pub fn cost_of_all(class: FileClass, bytes: &[u8]) -> Effects {
    match class {
        FileClass::Snapshot => Effects { snapshot: true, ..Effects::default() },
        FileClass::Keys => Effects { keys: true, ..Effects::default() },
        FileClass::Log => {
            let effects = cost_of_frames(bytes, frames(bytes).iter());
            Effects { outcomes: true, subscriptions: true, ..effects }
        }
        FileClass::Kept => {
            Effects { events: tokens_of(bytes), outcomes: true, kept: true, ..Effects::default() }
        }
    }
}

fn cost_of_frames<'a>(bytes: &[u8], frames: impl Iterator<Item = &'a Frame>) -> Effects {
    let mut effects = Effects::default();
    for frame in frames {
        match frame.kind {
            EVENT => effects.events.extend(find_token(&bytes[frame.place.clone()])),
            SETTLE => effects.outcomes = true,
            SUBSCRIBED => effects.subscriptions = true,
            HEAD => {
                (effects.outcomes, effects.subscriptions) = (true, true);
                effects.only_left.get_or_insert_default();
            }
            TRIM => drop(effects.only_left.get_or_insert_default()),
            FORGOTTEN => effects.revivals = true,
            _ => {}
        }
    }
    effects
}

#[derive(Debug, Default)]
struct Planned {
    fault: Option<Fault>,
    /// How many calls of the fault's kind were made.
    n_calls: u8,
    region: Option<(PathBuf, Range<usize>)>,
}

/// Calls to the disk that fail.
#[derive(Debug, Default)]
pub struct FaultPlan(Mutex<Planned>);

impl FaultPlan {
    pub fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Planned { fault, ..Planned::default() };
    }

    pub fn fail_reads_of(&self, path: PathBuf, region: Range<usize>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).region = Some((path, region));
    }
}

const EIO: i32 = 5;
/// Also of a write into room that a file has: quotas, and file systems that copy on writing.
const ENOSPC: i32 = 28;

impl Faults for FaultPlan {
    fn before(&self, call: Call, path: &Path, offset: u64, len: usize) -> Verdict {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bad, region)) = &planned.region
            && call == Call::Read
            && bad == path
        {
            let from = usize::try_from(offset).unwrap();
            let is_hit = from < region.end && region.start < from + len;
            return if is_hit { Verdict::Errno(EIO) } else { Verdict::Ok };
        }
        let is_name = matches!(call, Call::Create | Call::Rename | Call::Remove | Call::SyncFolder);
        let (is_meant, after, verdict) = match planned.fault {
            Some(Fault::Write { after }) => {
                let errno = if after.is_multiple_of(2) { EIO } else { ENOSPC };
                (call == Call::Write, after, Verdict::Errno(errno))
            }
            Some(Fault::ShortWrite { after, bytes }) => {
                let short = usize::from(bytes).min(len.saturating_sub(1));
                (call == Call::Write, after, Verdict::Short(short))
            }
            Some(Fault::Sync { after }) => (call == Call::Sync, after, Verdict::Errno(EIO)),
            Some(Fault::Names { after }) => (is_name, after, Verdict::Errno(EIO)),
            Some(Fault::ReadOnce { after }) => (call == Call::Read, after, Verdict::Errno(EIO)),
            Some(Fault::ReadRegion { .. } | Fault::Full { .. }) | None => return Verdict::Ok,
        };
        if !is_meant {
            return Verdict::Ok;
        }
        if planned.n_calls < after {
            planned.n_calls += 1;
            return Verdict::Ok;
        }
        planned.fault = None;
        verdict
    }
}
