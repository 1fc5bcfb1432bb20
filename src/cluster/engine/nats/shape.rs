//! The stream's configuration: how it is made, and what must hold of one that is there.

use serde_json::{Value, json};

use super::api::{StreamApi, StreamInfo};
use super::failure::NatsFailure;
use super::settings::NatsSettings;

/// The version of what is in the stream.
const LAYOUT: u64 = 1;
const LAYOUT_KEY: &str = "gatepost-layout";
/// Up to where units were trimmed. The stream knows its first message only, and that is another one where
/// the first ones are lost.
const TRIMMED_KEY: &str = "gatepost-trimmed";

/// A key of the configuration, what is good for it, and what it should be.
type Rule<'a> = (&'a str, &'a dyn Fn(&Value) -> bool, String);

/// A stream that keeps all until it is trimmed, and refuses rather than drops.
pub(super) fn made(api: &StreamApi, settings: &NatsSettings, max_payload: usize) -> Value {
    json!({
        "name": api.stream,
        "description": "The log that gateways of Gatepost share",
        "subjects": [api.units],
        "storage": "file",
        "num_replicas": settings.replicas,
        "retention": "limits",
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": max_payload,
        "deny_delete": true,
        "deny_purge": false,
        "allow_direct": true,
        "metadata": { LAYOUT_KEY: LAYOUT.to_string() },
    })
}

impl StreamInfo {
    /// Refuses a stream that could lose units by itself, or is not ours.
    pub(super) fn check(&self, api: &StreamApi) -> Result<(), NatsFailure> {
        if let Some(layout) = self.number(LAYOUT_KEY).filter(|layout| *layout != LAYOUT) {
            return Err(NatsFailure::Refused(format!(
                "stream `{}` was made by another version of Gatepost (layout {layout}, this one has \
                 {LAYOUT}): run the same version on all nodes",
                api.stream
            )));
        }
        let differences = self.differences(api);
        if differences.is_empty() {
            return Ok(());
        }
        Err(NatsFailure::Refused(format!(
            "stream `{}` is no log: {}; edit it, or name another stream",
            api.stream,
            differences.join(", ")
        )))
    }

    /// Each key that makes a log of it, and what it should be.
    fn differences(&self, api: &StreamApi) -> Vec<String> {
        let unlimited = |value: &Value| value.as_i64().is_none_or(|number| number <= 0);
        let off = |value: &Value| !value.as_bool().unwrap_or(false);
        let absent = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let is = |word: &'static str| move |value: &Value| value == word;
        let subjects = json!([api.units]);
        let is_persisted = |value: &Value| value != "async";
        let rules: [Rule<'_>; 16] = [
            ("subjects", &|value| *value == subjects, subjects.to_string()),
            ("storage", &is("file"), "file".to_owned()),
            ("retention", &is("limits"), "limits".to_owned()),
            ("discard", &is("new"), "new".to_owned()),
            ("max_age", &unlimited, "0".to_owned()),
            ("max_msgs_per_subject", &unlimited, "-1".to_owned()),
            ("allow_direct", &|value| !off(value), "true".to_owned()),
            ("deny_purge", &off, "false".to_owned()),
            ("sealed", &off, "false".to_owned()),
            ("no_ack", &off, "false".to_owned()),
            ("allow_rollup_hdrs", &off, "false".to_owned()),
            ("mirror", &absent, "absent".to_owned()),
            ("sources", &absent, "absent".to_owned()),
            ("subject_transform", &absent, "absent".to_owned()),
            ("persist_mode", &is_persisted, "default".to_owned()),
            ("allow_msg_ttl", &off, "false".to_owned()),
        ];
        let wrong = rules.iter().filter_map(|(key, is_good, expected)| {
            let found = self.config.get(*key).unwrap_or(&Value::Null);
            (!is_good(found)).then(|| format!("{key} is {found} instead of {expected}"))
        });
        wrong.collect()
    }

    /// The first unit that was not trimmed.
    pub(super) fn trimmed(&self) -> u64 {
        self.number(TRIMMED_KEY).unwrap_or(1)
    }

    /// Its configuration with another mark of trimming.
    pub(super) fn with_trimmed(&self, trimmed: u64) -> Value {
        let mut config = self.config.clone();
        if let Some(config) = config.as_object_mut() {
            let metadata = config.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert(TRIMMED_KEY.to_owned(), json!(trimmed.to_string()));
            }
        }
        config
    }

    /// The largest message that it takes; `None` = what the server takes.
    pub(super) fn message_max(&self) -> Option<usize> {
        let max = self.config.get("max_msg_size")?.as_i64()?;
        usize::try_from(max).ok().filter(|max| *max > 0)
    }

    /// On how many servers it is to be.
    pub(super) fn replicas(&self) -> u64 {
        self.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.config.get("metadata")?.get(key)?.as_str()?.parse().ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::engine::nats::api::StreamState;
    use crate::cluster::engine::nats::settings::NatsLogin;

    pub(in super::super) fn settings() -> NatsSettings {
        NatsSettings {
            servers: vec!["nats://localhost".to_owned()],
            stream: "gatepost".to_owned(),
            replicas: 3,
            login: NatsLogin::Nothing,
            ca: None,
            requires_tls: false,
        }
    }

    pub(in super::super) fn info(config: Value) -> StreamInfo {
        let state = StreamState { first_seq: 0, last_seq: 0 };
        StreamInfo { config, created: "2026".to_owned(), state, cluster: None }
    }

    #[test]
    fn a_stream_that_is_made_is_a_log() {
        let api = StreamApi::new("gatepost");
        let info = info(made(&api, &settings(), 1_024));
        assert_eq!(info.check(&api), Ok(()));
        assert_eq!((info.message_max(), info.replicas(), info.trimmed()), (Some(1_024), 3, 1));
        let later = StreamInfo { config: info.with_trimmed(77), ..info };
        assert_eq!((later.check(&api), later.trimmed()), (Ok(()), 77));
    }

    #[test]
    fn each_key_that_would_lose_units_is_named() {
        let api = StreamApi::new("gatepost");
        for (key, value) in [
            ("subjects", json!(["gatepost.>"])),
            ("storage", json!("memory")),
            ("retention", json!("workqueue")),
            ("discard", json!("old")),
            ("max_age", json!(1_000_000_000)),
            ("max_msgs_per_subject", json!(1)),
            ("allow_direct", json!(false)),
            ("deny_purge", json!(true)),
            ("sealed", json!(true)),
            ("no_ack", json!(true)),
            ("mirror", json!({ "name": "x" })),
            ("sources", json!([{ "name": "x" }])),
            ("persist_mode", json!("async")),
            ("allow_msg_ttl", json!(true)),
        ] {
            let mut config = made(&api, &settings(), 1_024);
            config[key] = value;
            let refused = info(config).check(&api);
            let Err(NatsFailure::Refused(why)) = refused else { panic!("{key}: {refused:?}") };
            assert!(why.contains(&format!("no log: {key} is ")), "{why}");
        }
    }

    #[test]
    fn another_layout_is_refused() {
        let api = StreamApi::new("gatepost");
        let mut config = made(&api, &settings(), 1_024);
        config["metadata"][LAYOUT_KEY] = json!("2");
        let refused = info(config).check(&api);
        let Err(NatsFailure::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("layout 2"), "{why}");
    }
}
