//! Storing an event, and the events of one request by one commit.

use tokio::sync::oneshot;

use super::EmbeddedQueue;
use super::commit::{self, AppendRequest, Group, Request};
use super::keys::Generation;
use crate::event::{EventId, NewEvent};
use crate::queue::{APPEND_ALL_MAX, Appended, QueueError};

impl EmbeddedQueue {
    /// Stores one event, by an id from elsewhere where it may keep that.
    pub(super) async fn append_one(
        &self,
        event: NewEvent,
        named: Option<EventId>,
    ) -> Result<Appended, QueueError> {
        let probed = commit::probe_of(&event)
            .map(|probe| self.core.keys.lookup(&probe, Generation::default()));
        let (seen, probed) = probed.unwrap_or_default();
        if let Some(seen) = seen {
            return Ok(Appended::Duplicate(seen.id));
        }
        let (reply, answer) = oneshot::channel();
        let group = Group::default();
        self.core.send(Request::Append(AppendRequest { event, named, probed, reply, group }))?;
        self.core.drive();
        let (appended, _event) = answer.await.map_err(|_| QueueError::Closed)?;
        appended
    }

    pub(super) async fn append_group(
        &self,
        events: Vec<NewEvent>,
    ) -> Result<Vec<Appended>, QueueError> {
        if events.len() > APPEND_ALL_MAX {
            return Err(QueueError::Full(format!("more than {APPEND_ALL_MAX} events at once")));
        }
        let mut answers = Vec::with_capacity(events.len());
        let mut appends = Vec::with_capacity(events.len());
        let mut group = Group::default();
        // From the last one on: each must know how much room those behind it need.
        for event in events.into_iter().rev() {
            let probed = commit::probe_of(&event)
                .map(|probe| self.core.keys.lookup(&probe, Generation::default()));
            let (seen, probed) = probed.unwrap_or_default();
            if let Some(seen) = seen {
                answers.push(Err(Appended::Duplicate(seen.id)));
                continue;
            }
            let (reply, answer) = oneshot::channel();
            let bytes = commit::record_bytes(&event);
            appends.push(AppendRequest { event, named: None, probed, reply, group });
            answers.push(Ok(answer));
            group.n_more += 1;
            group.more_bytes += bytes;
        }
        appends.reverse();
        self.core.send(Request::AppendAll(appends))?;
        self.core.drive();
        let mut all = Vec::with_capacity(answers.len());
        for answer in answers.into_iter().rev() {
            all.push(match answer {
                Err(seen) => seen,
                Ok(answer) => answer.await.map_err(|_| QueueError::Closed)?.0?,
            });
        }
        Ok(all)
    }
}
