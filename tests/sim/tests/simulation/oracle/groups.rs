//! Events that are stored together, and questions for repeats.

use gatepost_sim::event::{Dedupe, EventId, NewEvent};
use gatepost_sim::queue::Appended;

use super::{Append, Oracle, Verdict, repeats};

/// What was known when it was asked for a repeat.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The newest stored event of the key.
    newest: Option<u32>,
    /// How many events there were.
    n_events: u32,
}

impl Oracle {
    /// What was not answered was sent again, and is answered. `is_sure` = not so late that it may be an event
    /// of its own.
    pub fn heard_again(&mut self, token: u32, appended: Appended, is_sure: bool) -> Verdict {
        let Some(first) = self.facts(token).again_of else { return Ok(()) };
        let before = self.facts(first).append;
        match appended {
            Appended::Duplicate(id) => {
                self.events[token as usize].append = Append::Repeat;
                match self.by_id.get(&id) {
                    Some(known) if *known == first => Ok(()),
                    None if matches!(before, Append::Asked | Append::Unknown) => {
                        self.stored(first, id)
                    }
                    _ => {
                        Err(format!("event {token} was taken for a repeat of {id}, not of {first}"))
                    }
                }
            }
            Appended::Stored(id) => {
                self.stored(token, id)?;
                if is_sure && before == Append::Stored {
                    return Err(format!("event {token} was stored although it repeats {first}"));
                }
                if is_sure {
                    self.events[first as usize].append = Append::Refused;
                }
                Ok(())
            }
        }
    }

    /// Somebody asks what this event would repeat.
    pub fn asks(&self, new: &NewEvent) -> Asked {
        let Dedupe::Within { key, .. } = new.dedupe else { unreachable!("it has a key") };
        let mut stored = self.by_id.values().rev().copied();
        Asked {
            newest: stored.find(|it| self.key_of(*it) == Some(key)),
            n_events: self.next_token(),
        }
    }

    /// The answer to it.
    pub fn told_of_repeat(
        &mut self,
        new: &NewEvent,
        asked: &Asked,
        found: Option<EventId>,
    ) -> Verdict {
        let Dedupe::Within { key, window } = new.dedupe else { return Ok(()) };
        if let Some(id) = found {
            return self.is_repeat(new, id, "what was asked for", |_| true);
        }
        let is_unsure =
            |it: &u32| self.facts(*it).append == Append::Unknown && self.key_of(*it) == Some(key);
        let Some(newest) = asked.newest.filter(|_| !(0..asked.n_events).any(|it| is_unsure(&it)))
        else {
            return Ok(());
        };
        let seen = self.facts(newest);
        let is_forgiven = seen.may_be_lost || seen.may_be_repeated || seen.is_window_over;
        if !is_forgiven && repeats(new.received_at, window, seen.new.received_at) {
            return Err(format!("it is not known that {newest} would be repeated"));
        }
        Ok(())
    }
}
