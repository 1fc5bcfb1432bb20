//! Appends what this node proposes: whatever waits becomes one unit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::engine::{EngineAppendError, Sequence};
use super::local_node::{LocalNode, PendingUnit, Proposal};
use super::unit::{Author, Unit, UnitOperation};
use crate::queue::QueueError;
use crate::sync::lock;

/// How many operations one unit takes at most.
const OPERATIONS_MAX: usize = 512;
/// How long an engine that was away is left alone: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Appends until the node is closed.
pub(super) async fn run(node: Arc<LocalNode>, mut inbox: mpsc::Receiver<Proposal>) {
    let mut number = 1;
    let mut waiting = Vec::new();
    while !node.closed.is_cancelled() {
        if waiting.is_empty() {
            tokio::select! {
                () = node.closed.cancelled() => return,
                n_taken = inbox.recv_many(&mut waiting, OPERATIONS_MAX) => {
                    if n_taken == 0 {
                        return;
                    }
                }
            }
        }
        let taken = take_some(&mut waiting, node.engine.unit_max());
        let (operations, replies): (Vec<_>, Vec<_>) =
            taken.into_iter().map(|proposal| (proposal.operation, proposal.reply)).unzip();
        let author = Author { node: node.name.clone(), session: node.session, number };
        let unit = Unit { author, at: node.clock.now(), operations };
        let parts = unit.encode(node.engine.unit_max());
        let last = number + parts.len() as u64 - 1;
        number = last + 1;
        // Before it is sent: it may be applied before the engine's answer is here.
        let pending = PendingUnit { sent_at: node.clock.steady(), sequence: None, replies };
        lock(&node.pending).insert(last, pending);
        match append_all(&node, &parts).await {
            Ok(sequence) => node.note_sequence(last, sequence),
            Err(why) => {
                let refused = lock(&node.pending).remove(&last);
                for reply in refused.into_iter().flat_map(|pending| pending.replies) {
                    // Who asked may be gone.
                    drop(reply.send(Err(QueueError::Full(why.clone()))));
                }
            }
        }
    }
}

/// Takes the first operations that fit into one unit together: events with events, since they are
/// stored by one commit, and all others among themselves.
fn take_some(waiting: &mut Vec<Proposal>, unit_max: usize) -> Vec<Proposal> {
    let is_events =
        |proposal: &Proposal| matches!(proposal.operation, UnitOperation::Events { .. });
    let Some(first) = waiting.first().map(is_events) else { return Vec::new() };
    // A quarter stays for what stands around the operations; one alone may be larger.
    let mut room = unit_max / 4 * 3;
    let fits = |proposal: &Proposal| {
        let bytes = proposal.operation.bytes();
        let has_room = bytes <= room;
        room = room.saturating_sub(bytes);
        is_events(proposal) == first && has_room
    };
    let n_fitting = waiting.iter().map_while({
        let mut fits = fits;
        move |proposal| fits(proposal).then_some(())
    });
    let n_taken = n_fitting.count().max(1);
    waiting.drain(..n_taken).collect()
}

/// Appends the parts in their order, again and again while the engine is away or refuses: a part that comes
/// twice is void the second time. Gives where the last one stands.
async fn append_all(node: &LocalNode, parts: &[Bytes]) -> Result<Sequence, String> {
    let mut newest = Sequence(0);
    for part in parts {
        let mut pause = AGAIN.0;
        loop {
            let mut is_log_known = node.is_log_known.subscribe();
            tokio::select! {
                () = node.closed.cancelled() => return Err("the gateway is stopping".into()),
                // An error means that the node is gone.
                known = is_log_known.wait_for(|is_known| *is_known) => drop(known),
            }
            if !node.is_log_known() {
                continue;
            }
            match node.engine.append(part).await {
                Ok(sequence) => {
                    node.note_newest(sequence);
                    newest = sequence;
                    break node.note_engine(None);
                }
                Err(EngineAppendError::Unavailable(why) | EngineAppendError::Refused(why)) => {
                    node.note_engine(Some(why));
                }
                Err(EngineAppendError::Full(why)) => return Err(why),
                Err(EngineAppendError::TooLarge { max }) => {
                    return Err(format!("the engine takes no more than {max} bytes at once"));
                }
            }
            tokio::select! {
                () = node.closed.cancelled() => return Err("the gateway is stopping".into()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN.1),
            }
        }
    }
    Ok(newest)
}
