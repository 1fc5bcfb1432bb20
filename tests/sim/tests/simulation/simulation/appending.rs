//! Events on their way in.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use gatepost_sim::clock::{Clock, Timestamp};
use gatepost_sim::event::{DataRoot, Dedupe, DedupeKey, EventType, Headers, NewEvent, SourceName};
use gatepost_sim::queue::QueueError;

use crate::oracle::{Verdict, body_of};
use crate::subject::{Answer, Part, Request, Subject};

use super::{Pending, Simulation, WINDOWS};

impl<S: Subject> Simulation<S> {
    pub(super) fn append(&mut self, source: u8, dedupe: Option<u8>, order: u8, bytes: u16) {
        let token = self.oracle.next_token();
        let new = self.new_event((source, dedupe), order, bytes);
        self.oracle.asked(new.clone(), order);
        self.start(Request::Append(new), Pending::Append(token));
    }

    /// The last of several has the key of the first: it repeats it, where the key is there at all.
    pub(super) fn append_all(
        &mut self,
        keyed: (u8, Option<u8>),
        order: u8,
        bytes: u16,
        n_events: u8,
    ) {
        let first = self.oracle.next_token();
        let mut all = Vec::new();
        for n in 0..n_events {
            let dedupe = keyed.1.filter(|_| n == 0 || n + 1 == n_events);
            let new = self.new_event((keyed.0, dedupe), (order + n) % 5, bytes);
            self.oracle.asked(new.clone(), (order + n) % 5);
            all.push(new);
        }
        let pending = Pending::AppendAll(first, n_events.into());
        self.start(Request::AppendAll(all), pending);
    }

    pub(super) fn ask_for_repeat(&mut self, source: u8, key: u8) {
        let new = self.new_event((source, Some(key)), 0, 0);
        let asked = self.oracle.asks(&new);
        self.start(Request::FindRepeated(new.clone()), Pending::Ask(new, asked));
    }

    /// The sender gives up before it is answered, or just as it is.
    pub(super) fn append_unheard(
        &mut self,
        source: u8,
        order: u8,
        bytes: u16,
        n_steps: u8,
    ) -> Verdict {
        let token = self.oracle.next_token();
        let mut new = self.new_event((source, None), order, bytes);
        new.dedupe = Dedupe::Unanswered { key: DedupeKey(u128::from(token).to_be_bytes()) };
        self.oracle.asked(new.clone(), order);
        let ticket = self.start(Request::Append(new), Pending::Append(token));
        // It is handed over, and heard no more of.
        self.poll()?;
        for _ in 0..n_steps {
            self.step(Part::Committer);
            self.step(Part::Allocator);
        }
        if self.pending.remove(&ticket).is_some() {
            self.subject.abandon(ticket);
            self.unheard.push((token, self.steady()));
        }
        Ok(())
    }

    pub(super) fn append_again(&mut self) {
        let Some((first, gave_up)) = self.unheard.pop() else { return };
        let token = self.oracle.next_token();
        let order = self.oracle.facts(first).order;
        let dedupe = self.oracle.facts(first).new.dedupe;
        // Its body tells which of them was stored.
        let new = NewEvent { dedupe, ..self.new_event((0, None), order, 50) };
        self.oracle.asked(new.clone(), order);
        self.oracle.events[token as usize].again_of = Some(first);
        self.start(Request::Append(new), Pending::Again(token, gave_up));
    }

    pub(super) fn again_answered(
        &mut self,
        token: u32,
        gave_up: Timestamp,
        answer: Result<Answer, QueueError>,
    ) -> Verdict {
        // The key goes after ten minutes.
        let is_sure = self.steady().since(gave_up) < Duration::from_secs(600);
        match answer {
            Ok(Answer::Appended(appended)) => self.oracle.heard_again(token, appended, is_sure),
            Ok(other) => Err(format!("an append was answered with {other:?}")),
            Err(err) => self.oracle.answered(token, &Err(err)),
        }
    }

    fn new_event(&self, (source, dedupe): (u8, Option<u8>), order: u8, bytes: u16) -> NewEvent {
        let window = WINDOWS[usize::from(source % 2)];
        let dedupe = match dedupe {
            None => Dedupe::Off,
            Some(key) => {
                let mut bytes = [source; 16];
                bytes[15] = key;
                Dedupe::Within { key: DedupeKey(bytes), window }
            }
        };
        let token = self.oracle.next_token();
        NewEvent {
            source: SourceName::parse(["one", "two"][usize::from(source % 2)]).unwrap(),
            event_type: EventType::new(["a.b", "c"][usize::from(order % 2)]),
            received_at: self.clock.now(),
            data_root: DataRoot::Payload,
            is_json: false,
            headers: Headers::default(),
            body: Bytes::from(body_of(token, bytes)),
            dedupe,
        }
    }

    pub(super) fn all_answered(
        &mut self,
        mut tokens: Range<u32>,
        answer: Result<Answer, QueueError>,
    ) -> Verdict {
        match answer {
            Ok(Answer::AppendedAll(all)) if all.len() == tokens.len() => {
                let mut all = tokens.zip(all);
                all.try_for_each(|(token, appended)| self.oracle.answered(token, &Ok(appended)))
            }
            Ok(other) => Err(format!("several appends were answered with {other:?}")),
            Err(QueueError::Full(why)) => tokens.try_for_each(|token| {
                self.oracle.answered(token, &Err(QueueError::Full(why.clone())))
            }),
            Err(_) => {
                tokens.try_for_each(|token| self.oracle.answered(token, &Err(QueueError::Closed)))
            }
        }
    }
}
