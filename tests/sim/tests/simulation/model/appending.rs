//! The model's way in.

use gatepost_sim::event::{Dedupe, EventId, NewEvent};
use gatepost_sim::queue::{Appended, QueueError};
use uuid::Uuid;

use super::{Model, Record};
use crate::mutants::Mutant;
use crate::subject::{Answer, Ticket};

impl<const MUTANT: usize> Model<MUTANT> {
    pub(super) fn append(&mut self, ticket: Ticket, new: NewEvent) {
        let is_full = self.free.is_some_and(|free| (new.body.len() as u32) > free);
        let live = self.open.as_mut().expect("it is open");
        if let Some(id) = Self::seen(live, &new) {
            live.unsynced.push((ticket, Ok(Answer::Appended(Appended::Duplicate(id)))));
            return;
        }
        if let Dedupe::Unanswered { key } = new.dedupe
            && let Some(id) = live.unanswered.remove(&key)
        {
            live.unsynced.push((ticket, Ok(Answer::Appended(Appended::Duplicate(id)))));
            return;
        }
        if is_full {
            live.answers.push((ticket, Err(QueueError::Full("no room".into()))));
            if !Self::is(Mutant::StoresWhatItRefused) {
                return;
            }
        }
        live.next_id += 1;
        let id = EventId(Uuid::from_u128(live.next_id));
        if let Dedupe::Unanswered { key } = new.dedupe {
            if !live.unheard.contains(&ticket) {
                live.heard.insert(ticket, (key, id));
            } else if !Self::is(Mutant::ForgetsTheUnheard) {
                live.unanswered.insert(key, id);
            }
        }
        let record = Record::Events(vec![(new, id, live.next)]);
        Self::apply(live, &record, false);
        self.disk.push(record);
        let answer = (ticket, Ok(Answer::Appended(Appended::Stored(id))));
        if is_full {
        } else if Self::is(Mutant::AnswersBeforeSync) {
            live.answers.push(answer);
        } else {
            live.unsynced.push(answer);
        }
    }

    pub(super) fn append_all(&mut self, ticket: Ticket, all: Vec<NewEvent>) {
        let n_bytes: usize = all.iter().map(|new| new.body.len()).sum();
        let is_full = self.free.is_some_and(|free| n_bytes as u32 > free);
        let live = self.open.as_mut().expect("it is open");
        if is_full {
            live.answers.push((ticket, Err(QueueError::Full("no room".into()))));
            if !Self::is(Mutant::StoresAPartOfARefusedGroup) {
                return;
            }
        }
        let (mut group, mut appended) = (Vec::new(), Vec::new());
        for new in all {
            if let Some(id) = Self::seen(live, &new) {
                appended.push(Appended::Duplicate(id));
                continue;
            }
            live.next_id += 1;
            let id = EventId(Uuid::from_u128(live.next_id));
            let record = Record::Events(vec![(new, id, live.next)]);
            Self::apply(live, &record, false);
            let Record::Events(events) = record else { continue };
            group.extend(events);
            appended.push(Appended::Stored(id));
        }
        if !group.is_empty() {
            self.disk.push(Record::Events(group));
        }
        if !is_full {
            live.unsynced.push((ticket, Ok(Answer::AppendedAll(appended))));
        }
    }
}
