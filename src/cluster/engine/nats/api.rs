//! JetStream's API as JSON over requests: the part of it that a log needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::connection::NatsConnection;
use super::failure::{JetStreamError, NatsFailure};

/// What the leader says of a stream.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StreamInfo {
    /// All of it, also what this version does not know: an update sends it back.
    pub(super) config: Value,
    /// When it was made: another text is another stream.
    pub(super) created: String,
    pub(super) state: StreamState,
    #[serde(default)]
    pub(super) cluster: Option<StreamCluster>,
}

impl StreamInfo {
    /// Which stream this is, and under which leader: a new one may have others of the newest messages, where servers
    /// had not synced what they acknowledged, and no connection is lost with the old one.
    pub(super) fn lineage(&self) -> String {
        let cluster = self.cluster.as_ref();
        let leader = cluster.and_then(|cluster| cluster.leader.as_deref()).unwrap_or_default();
        let since = cluster.and_then(|cluster| cluster.leader_since.as_deref()).unwrap_or_default();
        format!("nats {} {leader} {since}", self.created)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct StreamState {
    /// 0 in a new stream; behind the last where all is trimmed.
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct StreamCluster {
    #[serde(default)]
    pub(super) leader: Option<String>,
    /// When it became that.
    #[serde(default)]
    pub(super) leader_since: Option<String>,
    #[serde(default)]
    pub(super) replicas: Vec<StreamReplica>,
}

/// A follower of the stream's leader.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct StreamReplica {
    pub(super) name: String,
    #[serde(default)]
    pub(super) current: bool,
    #[serde(default)]
    pub(super) offline: bool,
}

/// The answer to a message that was stored.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PublishAck {
    pub(super) stream: String,
    pub(super) seq: u64,
}

/// What the account may use; -1 = as much as there is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct AccountLimits {
    #[serde(default)]
    pub(super) max_storage: i64,
}

#[derive(Deserialize)]
struct AccountInfo {
    #[serde(default)]
    limits: AccountLimits,
}

#[derive(Deserialize)]
struct GetAnswer {
    message: GetMessage,
}

#[derive(Deserialize)]
struct GetMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

/// The subjects of one stream.
#[derive(Clone, Debug)]
pub(super) struct StreamApi {
    /// The stream's name.
    pub(super) stream: String,
    /// Where units are published.
    pub(super) units: String,
    /// Where a node tells the others that it has appended one.
    pub(super) bell: String,
}

impl StreamApi {
    pub(super) fn new(stream: &str) -> Self {
        let stream = stream.to_owned();
        Self { units: format!("{stream}.units"), bell: format!("{stream}.bell"), stream }
    }

    pub(super) fn info_subject(&self) -> String {
        format!("$JS.API.STREAM.INFO.{}", self.stream)
    }

    /// Reads are answered by any server that holds the stream.
    pub(super) fn direct_subject(&self) -> String {
        format!("$JS.API.DIRECT.GET.{}", self.stream)
    }

    pub(super) async fn info(
        &self,
        connection: &NatsConnection,
    ) -> Result<StreamInfo, NatsFailure> {
        call(connection, &self.info_subject(), &Value::Null).await
    }

    pub(super) async fn create(
        &self,
        connection: &NatsConnection,
        config: &Value,
    ) -> Result<StreamInfo, NatsFailure> {
        call(connection, &format!("$JS.API.STREAM.CREATE.{}", self.stream), config).await
    }

    pub(super) async fn update(
        &self,
        connection: &NatsConnection,
        config: &Value,
    ) -> Result<StreamInfo, NatsFailure> {
        call(connection, &format!("$JS.API.STREAM.UPDATE.{}", self.stream), config).await
    }

    /// Removes the messages before `before`.
    pub(super) async fn purge(
        &self,
        connection: &NatsConnection,
        before: u64,
    ) -> Result<(), NatsFailure> {
        let subject = format!("$JS.API.STREAM.PURGE.{}", self.stream);
        call::<Value>(connection, &subject, &json!({ "seq": before })).await.map(drop)
    }

    pub(super) async fn publish(
        &self,
        connection: &NatsConnection,
        unit: Bytes,
    ) -> Result<PublishAck, NatsFailure> {
        parse(&connection.request(&self.units, unit).await?.payload)
    }

    /// The message at `sequence`, or the first one behind it where `or_next`, as the leader has it.
    pub(super) async fn get(
        &self,
        connection: &NatsConnection,
        sequence: u64,
        or_next: bool,
    ) -> Result<(u64, Bytes), NatsFailure> {
        let mut ask = json!({ "seq": sequence });
        if let (true, Some(ask)) = (or_next, ask.as_object_mut()) {
            ask.insert("next_by_subj".to_owned(), json!(self.units));
        }
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.stream);
        let GetAnswer { message } = call(connection, &subject, &ask).await?;
        let data = STANDARD.decode(&message.data);
        let data = data.map_err(|err| NatsFailure::Unavailable(err.to_string()))?;
        Ok((message.seq, data.into()))
    }

    pub(super) async fn limits(
        &self,
        connection: &NatsConnection,
    ) -> Result<AccountLimits, NatsFailure> {
        let info: AccountInfo = call(connection, "$JS.API.INFO", &Value::Null).await?;
        Ok(info.limits)
    }
}

async fn call<T: DeserializeOwned>(
    connection: &NatsConnection,
    subject: &str,
    body: &Value,
) -> Result<T, NatsFailure> {
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    parse(&connection.request(subject, body).await?.payload)
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, NatsFailure> {
    #[derive(Deserialize)]
    struct MaybeError {
        error: Option<JetStreamError>,
    }

    let unreadable = |err: serde_json::Error| {
        NatsFailure::Unavailable(format!("an answer of JetStream cannot be read: {err}"))
    };
    let MaybeError { error } = serde_json::from_slice(answer).map_err(unreadable)?;
    match error {
        Some(error) => Err(error.into()),
        None => serde_json::from_slice(answer).map_err(unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_are_told_apart() {
        let ack: PublishAck = parse(br#"{"stream":"gatepost","seq":7,"new":1}"#).unwrap();
        assert_eq!((ack.stream.as_str(), ack.seq), ("gatepost", 7));
        let failed = |error: &str| {
            parse::<PublishAck>(format!("{{\"error\":{error}}}").as_bytes()).unwrap_err()
        };
        let no_stream = r#"{"code":404,"err_code":10059,"description":"stream not found"}"#;
        assert_eq!(failed(no_stream), NatsFailure::NoStream);
        let full =
            failed(r#"{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}"#);
        assert!(matches!(full, NatsFailure::Full(_)), "{full:?}");
        let no_leader = failed(r#"{"code":503,"err_code":10008,"description":"unavailable"}"#);
        assert!(matches!(no_leader, NatsFailure::Unavailable(_)), "{no_leader:?}");
        let off = failed(r#"{"code":400,"err_code":10039,"description":"not enabled"}"#);
        assert!(matches!(off, NatsFailure::Refused(_)), "{off:?}");
        let garbage = parse::<PublishAck>(b"+OK").unwrap_err();
        assert!(matches!(garbage, NatsFailure::Unavailable(_)), "{garbage:?}");
    }
}
