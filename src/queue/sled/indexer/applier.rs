//! What was committed, and how the index takes it in.

use std::sync::Arc;

use crate::event::Position;
use crate::queue::journal::Location;
use crate::queue::record::{Change, Places, SettleBatch, State};
use crate::queue::sled::dedupe::Generation;
use crate::queue::sled::index::{BlockBuilder, Index, IndexError, Indexed, KeyRecord, SettledIn};
use crate::queue::sled::shared::{Durable, Reply};
use crate::queue::sled::state::SubscriptionState;

/// Something that was committed, in the order of the journal.
#[derive(Debug)]
pub(crate) enum Applied {
    Event(Indexed, Location),
    Settled {
        at: Location,
        batch: SettleBatch,
    },
    Checkpoint {
        at: Location,
        places: Places,
    },
    Carried {
        position: Position,
        at: Location,
        n_bytes: u64,
    },
    KeyRecord {
        first: Position,
        last: Position,
        at: Location,
    },
    /// A run of dedupe keys, to be kept by sled from now on.
    Keys(Arc<Generation>),
    /// All changes of this flush were in what came before.
    Flushed {
        state: Arc<SubscriptionState>,
        flush: u64,
    },
    /// Everything before was committed up to here.
    Progress {
        durable: Durable,
        n_bytes: u64,
    },
    /// The copies of what is needed of a segment came before: nobody is to look there any more.
    Gone {
        segment: u64,
    },
    /// Somebody waits until all before is in.
    Barrier(Reply<()>),
    /// The same, and how far this is is to be remembered.
    Remember(Reply<()>),
    /// Somebody wants the index made smaller.
    Compact(Reply<()>),
}

impl Applied {
    /// Where the record stands that says so.
    pub(super) fn at(&self) -> Option<Location> {
        match self {
            Self::Event(_, at)
            | Self::Settled { at, .. }
            | Self::Checkpoint { at, .. }
            | Self::Carried { at, .. }
            | Self::KeyRecord { at, .. } => Some(*at),
            Self::Keys(_)
            | Self::Flushed { .. }
            | Self::Progress { .. }
            | Self::Gone { .. }
            | Self::Barrier(_)
            | Self::Remember(_)
            | Self::Compact(_) => None,
        }
    }
}

/// Applies to an index, collecting blocks.
#[derive(Debug, Default)]
pub(crate) struct Applier {
    block: BlockBuilder,
}

impl Applier {
    /// Takes one thing in.
    pub(crate) fn apply(&mut self, index: &Index, applied: &Applied) -> Result<(), IndexError> {
        match applied {
            Applied::Event(event, at) => {
                if self.block.push(event, *at) {
                    self.end_block(index)?;
                }
                Ok(())
            }
            Applied::Settled { at, batch } => apply_settled(index, *at, batch),
            Applied::Checkpoint { places, .. } => index.set_places(places),
            Applied::Carried { position, at, n_bytes } => index.set_moved(*position, *at, *n_bytes),
            Applied::KeyRecord { first, last, at } => {
                index.put_key_record(KeyRecord { first: *first, last: *last, at: *at })
            }
            Applied::Keys(generation) => index.put_key_run(generation.run, &generation.page_keys()),
            Applied::Flushed { .. }
            | Applied::Progress { .. }
            | Applied::Gone { .. }
            | Applied::Barrier(_)
            | Applied::Remember(_)
            | Applied::Compact(_) => Ok(()),
        }
    }

    /// Stores the block so far.
    pub(crate) fn end_block(&mut self, index: &Index) -> Result<(), IndexError> {
        match self.block.take() {
            Some(block) => index.put_block(&block),
            None => Ok(()),
        }
    }
}

fn apply_settled(index: &Index, at: Location, batch: &SettleBatch) -> Result<(), IndexError> {
    for section in &batch.sections {
        let mut range: Option<(Position, Position)> = None;
        for of_one in section.changes.chunk_by(|one, next| one.position == next.position) {
            for change in of_one {
                match told(change) {
                    Told::Alone => index.add_attempt(&section.handler, batch.at, change)?,
                    Told::Together => {
                        let (first, last) = range.unwrap_or((change.position, change.position));
                        range = Some((first.min(change.position), last.max(change.position)));
                    }
                    Told::Never => {}
                }
            }
            // What is copied forward tells all tries of a delivery. Only the last one says how it
            // stands: a handler that looks meanwhile would take an earlier one for a retry that is
            // long due.
            if let Some(last) = of_one.last() {
                index.apply_change(&section.handler, at.segment, last)?;
            }
        }
        if let Some((first, last)) = range {
            index.put_settled(&section.handler, first, SettledIn { at, last })?;
        }
        index.set_place(&section.handler, &section.place)?;
    }
    Ok(())
}

/// How a change is told in the history.
enum Told {
    /// It has a place of its own.
    Alone,
    /// The many deliveries that end at once share one entry for their settle record.
    Together,
    /// It was no try and no end.
    Never,
}

fn told(change: &Change) -> Told {
    match change.state {
        State::Delivered | State::Skipped if change.attempts > 1 => Told::Alone,
        State::Delivered | State::Skipped => Told::Together,
        State::Retry { .. } if change.attempt.is_none() => Told::Never,
        State::Retry { .. } | State::Dead { .. } | State::Dropped => Told::Alone,
        State::Held { .. } => Told::Never,
    }
}
