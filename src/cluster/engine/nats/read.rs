//! Reading units: any server that holds the stream is asked, and what it does not have is asked of the
//! leader, then of all, before it counts as missing.

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::select_all;
use serde_json::json;
use tokio::time::timeout;

use super::api::StreamApi;
use super::connection::NatsConnection;
use super::failure::NatsFailure;
use crate::cluster::engine::contract::{Sequence, StoredUnit};

/// The most messages of one answer: below it the bytes decide.
const BATCH_MAX: usize = 1_000;
/// How often any server is asked for a unit that the leader does not have. With three servers, the chance
/// that one of them is never asked is 1 in 440.
const ASK_AGAIN: usize = 15;
/// How long a question may be without the beginning of its answer before another one is asked beside it: what went
/// to a server that was killed a moment ago, or hangs, is lost without a word, and a gateway stood still for 4 s then.
/// Each wait is twice as long as the one before.
const ASK_NEXT: Duration = Duration::from_millis(300);
/// How many questions wait for the first answer, which is waited for as long as the link may take: where one of three
/// servers hangs, the chance that all go to it is 1 in 81.
const ASKED_MAX: usize = 4;
/// How long an answer that has begun may pause before it counts as broken off.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The end of an answer of several messages.
const END_OF_BATCH: u16 = 204;

/// What stands at a place of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoundUnits {
    /// Units in order, the first one at the place.
    Units(Vec<StoredUnit>),
    /// There is none yet; where the next one will stand.
    End(u64),
    /// It was trimmed; what is first.
    Trimmed(u64),
    /// None up to and without this one.
    Missing(u64),
}

/// Units from `from` on; `seen` = where the next one will stand, as far as it is known.
pub(super) async fn read(
    api: &StreamApi,
    connection: &NatsConnection,
    (from, bytes): (u64, usize),
    seen: u64,
) -> Result<FoundUnits, NatsFailure> {
    let batch = direct(api, connection, from, bytes).await?;
    let is_empty = batch.is_empty();
    let units = in_order(batch, from);
    if !units.is_empty() {
        return Ok(FoundUnits::Units(units));
    }
    // A server that follows may be some milliseconds behind. What is known to be there is asked for below.
    if is_empty && seen <= from {
        return Ok(FoundUnits::End(seen));
    }
    look_closer(api, connection, from).await
}

/// The units from `from` on up to the first gap.
fn in_order(units: Vec<StoredUnit>, from: u64) -> Vec<StoredUnit> {
    let places = (from..).map(Sequence);
    units
        .into_iter()
        .zip(places)
        .take_while(|(unit, place)| unit.sequence == *place)
        .map(|(unit, _)| unit)
        .collect()
}

/// Asks the leader, which knows all that was acknowledged, and then everyone.
async fn look_closer(
    api: &StreamApi,
    connection: &NatsConnection,
    from: u64,
) -> Result<FoundUnits, NatsFailure> {
    let unit = |(sequence, bytes): (u64, Bytes)| StoredUnit { sequence: Sequence(sequence), bytes };
    match api.get(connection, from, false).await {
        Ok(found) => return Ok(FoundUnits::Units(vec![unit(found)])),
        // It is not there, or cannot be read: another server may have it whole.
        Err(NatsFailure::NoMessage | NatsFailure::Unavailable(_) | NatsFailure::Refused(_)) => {}
        Err(failure) => return Err(failure),
    }
    let info = api.info(connection).await?;
    let (trimmed, next) = (info.trimmed(), info.state.last_seq + 1);
    if from < trimmed {
        return Ok(FoundUnits::Trimmed(trimmed));
    }
    if from >= next {
        return Ok(FoundUnits::End(next));
    }
    let mut to = next;
    for _ in 0..ASK_AGAIN {
        let units = direct(api, connection, from, 1).await?;
        if let Some(found) = units.first() {
            if found.sequence.0 == from {
                return Ok(FoundUnits::Units(in_order(units, from)));
            }
            to = to.min(found.sequence.0);
        }
    }
    // Another leader since: the one before may not have had it whole.
    if let Ok(found) = api.get(connection, from, false).await {
        return Ok(FoundUnits::Units(vec![unit(found)]));
    }
    if let Ok((sequence, _)) = api.get(connection, from, true).await {
        to = to.min(sequence.max(from + 1));
    }
    Ok(FoundUnits::Missing(to))
}

/// Whether any server says that there is a unit at `from`.
pub(super) async fn is_there(
    api: &StreamApi,
    connection: &NatsConnection,
    from: u64,
) -> Result<bool, NatsFailure> {
    Ok(!direct(api, connection, from, 1).await?.is_empty())
}

/// A question to any server that holds the stream, and again until one begins to answer; that answer until its end,
/// or as far as it came.
async fn direct(
    api: &StreamApi,
    connection: &NatsConnection,
    from: u64,
    bytes: usize,
) -> Result<Vec<StoredUnit>, NatsFailure> {
    connection.until_connected().await;
    let subject = api.direct_subject();
    let ask = |batch: usize| {
        let ask = json!({
            "seq": from,
            "next_by_subj": api.units,
            "batch": batch,
            "max_bytes": bytes.max(1),
        });
        Bytes::from(ask.to_string())
    };
    let (mut next, mut answers) = first_answer(connection, &subject, ask).await?;
    let mut units = Vec::new();
    while let Some(message) = next {
        match message.status.map(|status| status.as_u16()) {
            None => units.push(stored(message)?),
            Some(END_OF_BATCH) => return Ok(units),
            Some(status) if status == StatusCode::NOT_FOUND.as_u16() => return Ok(units),
            Some(status) if status == StatusCode::NO_RESPONDERS.as_u16() => {
                return Err(nobody_answers(api, connection).await);
            }
            Some(status) => {
                let why = message.description.unwrap_or_default();
                return Err(NatsFailure::Unavailable(format!("`{subject}` says {status} {why}")));
            }
        }
        next = match timeout(PAUSE_MAX, answers.next()).await {
            Ok(message) => message,
            // What came is there; the rest is asked for by the next read.
            Err(_) => return Ok(units),
        };
    }
    Err(NatsFailure::Unavailable("the connection was closed".to_owned()))
}

/// The answer that begins first, and the rest of it. Later questions are for one unit: all answers but one are thrown
/// away, and on a slow link the first may only be late.
async fn first_answer(
    connection: &NatsConnection,
    subject: &str,
    ask: impl Fn(usize) -> Bytes,
) -> Result<(Option<Message>, Subscriber), NatsFailure> {
    let mut asked = vec![question(connection, subject, &ask(BATCH_MAX)).await?];
    let mut pause = ASK_NEXT;
    loop {
        let may_ask = asked.len() < ASKED_MAX;
        let answered = select_all(asked.iter_mut().map(Subscriber::next));
        tokio::select! {
            (message, which, _) = answered => return Ok((message, asked.swap_remove(which))),
            () = tokio::time::sleep(pause), if may_ask => pause *= 2,
        }
        asked.push(question(connection, subject, &ask(1)).await?);
    }
}

/// Asks once; gives where the answer will come.
async fn question(
    connection: &NatsConnection,
    subject: &str,
    ask: &Bytes,
) -> Result<Subscriber, NatsFailure> {
    let failed = |err: &dyn std::fmt::Display| NatsFailure::Unavailable(err.to_string());
    let inbox = connection.client.new_inbox();
    let answers = connection.client.subscribe(inbox.clone()).await.map_err(|err| failed(&err))?;
    let sent = connection.client.publish_with_reply(subject.to_owned(), inbox, ask.clone()).await;
    sent.map_err(|err| failed(&err))?;
    Ok(answers)
}

/// No server holds the stream, or none of those that do can be reached.
async fn nobody_answers(api: &StreamApi, connection: &NatsConnection) -> NatsFailure {
    match api.info(connection).await {
        Ok(_) => NatsFailure::Unavailable("no server that holds the stream answers".to_owned()),
        Err(failure) => failure,
    }
}

fn stored(message: Message) -> Result<StoredUnit, NatsFailure> {
    let sequence = message.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence"));
    let sequence = sequence.and_then(|sequence| sequence.as_str().parse().ok());
    let sequence = sequence.ok_or_else(|| {
        NatsFailure::Unavailable("a message came without its sequence".to_owned())
    })?;
    Ok(StoredUnit { sequence: Sequence(sequence), bytes: message.payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_end_before_the_first_gap() {
        let units = |places: &[u64]| -> Vec<StoredUnit> {
            let unit = |place: &u64| StoredUnit { sequence: Sequence(*place), bytes: Bytes::new() };
            places.iter().map(unit).collect()
        };
        assert_eq!(in_order(units(&[3, 4, 6]), 3), units(&[3, 4]));
        assert_eq!(in_order(units(&[4, 5]), 3), units(&[]));
        assert_eq!(in_order(units(&[]), 3), units(&[]));
    }
}
