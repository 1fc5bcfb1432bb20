//! What the committer does besides appending and settling.

use std::sync::Arc;

use super::room::RoomFor;
use super::{Committer, NoRoom, Reply, Request, Since, SnapshotBasis};
use crate::event::{HandlerName, Position};
use crate::queue::QueueError;
use crate::queue::embedded::core::Step;
use crate::queue::embedded::keys::Generation;
use crate::queue::embedded::record::{HEADER_BYTES, Incarnation, KeptEnd, Kind, Lsn, UnitBuilder};
use crate::queue::embedded::recovery::RecoveredStates;
use crate::queue::embedded::state::HandlerState;
use crate::queue::embedded::subscription::HandlerCell;
use crate::sync::lock;

/// More than a record of a handler's name and some numbers takes.
const CONTROL_BYTES: usize = 256;

impl Committer {
    /// Does what waits, once everything that was settled before is recorded (`settled`).
    pub(super) fn do_others(&mut self, settled: &Result<(), NoRoom>) -> Step {
        if matches!(settled, Err(NoRoom::Wait)) {
            return Step::Idle;
        }
        while let Some(request) = self.inbox.others.pop_front() {
            match self.do_other(request, settled) {
                Step::Idle => {}
                step => return step,
            }
        }
        Step::Idle
    }

    fn do_other(&mut self, request: Request, settled: &Result<(), NoRoom>) -> Step {
        let recorded = || settled.as_ref().map(|&()| ()).map_err(NoRoom::error);
        match request {
            // These are sorted out when they come.
            Request::Append(_)
            | Request::AppendAll(_)
            | Request::Settle
            | Request::Allocated(_)
            | Request::Recovered(_) => {}
            Request::Subscribe(handler, since, reply) => match self.subscribe(&handler, since) {
                Err(NoRoom::Wait) => return self.later(Request::Subscribe(handler, since, reply)),
                done => answer(reply, done.map_err(|why| why.error())),
            },
            Request::Forget(cell, reply) => match self.forget(&cell) {
                Err(NoRoom::Wait) => return self.later(Request::Forget(cell, reply)),
                done => {
                    // After a failed sync its state is unknown: it cannot be held until a restart.
                    cell.set_forgotten(!matches!(done, Err(NoRoom::Full(_))));
                    answer(reply, done.map_err(|why| why.error()));
                }
            },
            Request::Recorded(reply) => answer(reply, recorded()),
            Request::BeginSnapshot(reply) => {
                let basis = self.snapshot_basis();
                answer(reply, Ok(basis));
            }
            Request::FindRepeated(probe, reply) => {
                let seen = self.seen_by(&probe, Generation::default());
                answer(reply, Ok(seen.map(|seen| seen.id)));
            }
            Request::FreezeKeys(reply) => {
                self.freeze_keys();
                answer(reply, Ok(()));
            }
            Request::Trim { first, kept, reply } => match recorded() {
                Err(err) => answer(reply, Err(err)),
                Ok(()) => match self.trim(first, kept) {
                    Err(NoRoom::Wait) => return self.later(Request::Trim { first, kept, reply }),
                    done => answer(reply, done.map_err(|why| why.error())),
                },
            },
            Request::Shared(unit, reply) => match recorded() {
                Err(err) => answer(reply, Err(err)),
                Ok(()) => match self.take_over(&unit) {
                    Err(NoRoom::Wait) => return self.later(Request::Shared(unit, reply)),
                    done => answer(reply, done.map_err(|why| why.error())),
                },
            },
            Request::Probe(reply) => match self.probe() {
                Err(NoRoom::Wait) => return self.later(Request::Probe(reply)),
                done => answer(reply, done.map_err(|why| why.error())),
            },
            Request::Close(reply) => {
                let closed = self.close();
                answer(reply, recorded().and(closed));
                return Step::Ended;
            }
        }
        Step::Idle
    }

    /// It is done when the next segment was made.
    fn later(&mut self, request: Request) -> Step {
        self.inbox.others.push_front(request);
        self.next_step_without_segment()
    }

    fn next_step_without_segment(&self) -> Step {
        match self.inbox.settles_since {
            Some(since) => Step::At(since + super::SETTLE_EVERY),
            None => Step::At(self.now + super::SETTLE_EVERY),
        }
    }

    /// Writes one record durably, and says where it is.
    fn write(&mut self, push: impl FnOnce(&mut UnitBuilder) -> Lsn) -> Result<Lsn, NoRoom> {
        let mut unit = self.begin();
        self.make_room(&mut unit, HEADER_BYTES + CONTROL_BYTES, RoomFor::Upkeep)?;
        let at = push(self.records(&mut unit));
        self.finish(unit)?;
        Ok(at)
    }

    /// Takes over the handlers' states as they were at the start: each handler gets its cell.
    pub(crate) fn adopt(&mut self, recovered: RecoveredStates) {
        self.handlers.clear();
        for (handler, state) in recovered.states {
            self.handlers.insert(handler.clone(), state.incarnation());
            lock(&self.core.recorded).insert(handler.clone(), state.high());
            let cell = Arc::new(HandlerCell::new(handler.clone(), state));
            self.core.change_handlers(|cells| cells.insert(handler, cell));
        }
        self.next_position = self.next_position.max(recovered.next_position);
        self.core.ready.send_replace(true);
    }

    /// Gives a handler a subscription, unless it has one.
    fn subscribe(&mut self, handler: &HandlerName, since: Since) -> Result<(), NoRoom> {
        if self.handlers.contains_key(handler) {
            return Ok(());
        }
        let since = match since {
            Since::Next => self.next_position,
            Since::Oldest => self.core.oldest(),
            Since::At(position) => position,
        };
        let epoch = self.opening.number;
        let subscribed = self.write(|unit| unit.push_subscribed(handler, since, epoch))?;
        let incarnation = Incarnation { subscribed, since };
        self.handlers.insert(handler.clone(), incarnation);
        lock(&self.core.recorded).insert(handler.clone(), since);
        let cell = Arc::new(HandlerCell::new(handler.clone(), HandlerState::new(incarnation)));
        self.core.change_handlers(|handlers| handlers.insert(handler.clone(), cell));
        Ok(())
    }

    fn forget(&mut self, cell: &HandlerCell) -> Result<(), NoRoom> {
        let subscribed = cell.incarnation.subscribed;
        self.write(|unit| unit.push_forgotten(&cell.handler, subscribed))?;
        self.handlers.remove(&cell.handler);
        lock(&self.core.recorded).remove(&cell.handler);
        self.core.change_handlers(|handlers| handlers.remove(&cell.handler));
        Ok(())
    }

    fn snapshot_basis(&self) -> SnapshotBasis {
        let replay_from = self.writer.end();
        SnapshotBasis {
            replay_from,
            next_position: self.next_position,
            newest_id: self.newest_id,
            opening: self.opening.number,
            kept: self.kept,
            keys_from: self.core.keys.written_through().min(replay_from),
            handlers: self.core.handlers(),
        }
    }

    fn trim(&mut self, first: Option<(u32, Position)>, kept: KeptEnd) -> Result<(), NoRoom> {
        let first = first.unwrap_or(self.first);
        self.write(|unit| unit.push_trim(first.0, first.1, kept))?;
        (self.first, self.kept) = (first, kept);
        Ok(())
    }

    /// Writes a record that says nothing.
    fn probe(&mut self) -> Result<(), NoRoom> {
        if let Some(why) = lock(&self.core.blocked).clone() {
            return Err(NoRoom::Full(why));
        }
        let mut unit = self.begin();
        // As much as the event wanted that was refused: what is smaller may still fit.
        self.make_room(&mut unit, self.inbox.refused_bytes.max(HEADER_BYTES), RoomFor::Events)?;
        self.inbox.refused_bytes = 0;
        self.records(&mut unit).push(Kind::Filler, |_| {});
        self.finish(unit)
    }

    /// Marks the log as closed, where this opening wrote anything.
    fn close(&mut self) -> Result<(), QueueError> {
        if !self.opening.is_recorded {
            return Ok(());
        }
        self.write(UnitBuilder::push_closed).map(|_| ()).map_err(|why| why.error())
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    // Who asked may be gone: what was done stays done.
    drop(reply.send(result));
}
