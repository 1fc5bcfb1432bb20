//! What a provider asks an endpoint before it sends events there, and the answer.

use std::borrow::Cow;

use subtle::ConstantTimeEq;

use super::keys::{Algorithm, Key, KeyRule};
use super::place::Place;
use super::template::{Message, Template, Values};
use super::{Inbound, Source, Verified};

/// The longest text that is sent back, in bytes: nobody's challenge is longer, and nobody gets to
/// use this endpoint for pages of their own.
const ECHO_BYTES_MAX: usize = 1024;

/// One question of a provider, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Only a request with this text in this place asks.
    pub when: Option<(Place, Cow<'static, str>)>,
    /// Only a request without text in this place asks.
    pub unless: Option<Place>,
    /// What is answered.
    pub answer: Answer,
    /// Where the source's `verify_token` must stand; without that setting nothing is answered.
    pub token: Option<Place>,
    /// Whether the question is signed like an event.
    pub signing: Signing,
}

/// Whether a question is signed like an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It is: it is answered once the signature is good.
    Signed,
    /// It is not.
    Open,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text that stands there, as plain text; a header as the same header.
    Echo(Place),
    /// The text that stands there and its HMAC-SHA256, as Zoom wants them.
    Hash(Place),
    /// This JSON.
    Json(Cow<'static, str>),
    /// Nothing but that it was received.
    Nothing,
}

/// An answer to a question. Neither an event nor kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `text/plain` or `application/json`; to be sent with `nosniff`.
    pub content_type: &'static str,
    /// Headers to be sent along.
    pub headers: Vec<(String, String)>,
    /// The body; empty where none is wanted, which is a 204.
    pub body: Vec<u8>,
}

impl Handshake {
    /// A question that is signed like an event.
    pub(super) const SIGNED: Self = Self {
        when: None,
        unless: None,
        answer: Answer::Nothing,
        token: None,
        signing: Signing::Signed,
    };
    /// A question that is not signed.
    pub(super) const OPEN: Self = Self { signing: Signing::Open, ..Self::SIGNED };

    /// Whether it may come as a GET.
    fn takes_get(&self) -> bool {
        self.signing == Signing::Open
    }
}

impl Source {
    /// Whether the source answers GET requests: see [`Source::handshake`].
    pub fn takes_get(&self) -> bool {
        self.settings.sender.handshakes.iter().any(Handshake::takes_get)
    }

    /// The answer where `request` is a question and no event. Asked twice: before verification
    /// with nothing, and with the proof after it.
    pub fn handshake(&self, request: &Inbound<'_>, verified: Option<&Verified>) -> Option<Reply> {
        let signing = if verified.is_some() { Signing::Signed } else { Signing::Open };
        let handshakes = &self.settings.sender.handshakes;
        let mut handshakes = handshakes.iter().filter(|handshake| handshake.signing == signing);
        let key = verified.map_or(0, Verified::secret_index);
        handshakes.find_map(|handshake| self.answer(handshake, request, key))
    }

    fn answer(&self, handshake: &Handshake, request: &Inbound<'_>, key: usize) -> Option<Reply> {
        let text_at = |place: &Place| place.find(request).text();
        if let Some((place, wanted)) = &handshake.when
            && text_at(place)? != **wanted
        {
            return None;
        }
        if handshake.unless.as_ref().is_some_and(|place| text_at(place).is_some()) {
            return None;
        }
        if let Some(place) = &handshake.token {
            let expected = self.verify_token.as_ref()?;
            let given = text_at(place)?;
            if !bool::from(given.as_bytes().ct_eq(expected.expose())) {
                return None;
            }
        }
        let bounded = |place| text_at(place).filter(|text| text.len() <= ECHO_BYTES_MAX);
        let text = |body: String| Reply {
            content_type: "text/plain; charset=utf-8",
            headers: Vec::new(),
            body: body.into_bytes(),
        };
        let json = |body: String| Reply { content_type: "application/json", ..text(body) };
        match &handshake.answer {
            Answer::Echo(place @ Place::Header(name)) => {
                let value = bounded(place)?;
                let headers = vec![(name.clone().into_owned(), value)];
                Some(Reply { headers, ..text(String::new()) })
            }
            Answer::Echo(place) => bounded(place).filter(|value| !value.is_empty()).map(text),
            Answer::Hash(place) => self.hash(&bounded(place)?, key).map(json),
            Answer::Json(body) => Some(json(body.clone().into_owned())),
            Answer::Nothing => Some(text(String::new())),
        }
    }

    /// Zoom's `{"plainToken": …, "encryptedToken": …}`.
    fn hash(&self, plain: &str, key: usize) -> Option<String> {
        let key = Key::new(Algorithm::HmacSha256, &KeyRule::UTF8, self.secrets.get(key)?).ok()?;
        let template = Template::body();
        let headers = crate::event::Headers::default();
        let request =
            Inbound { method: "", path_and_query: "", headers: &headers, body: plain.as_bytes() };
        let message = Message::of(&template, &request, &Values::default()).ok()?;
        let hash = hex::encode(key.sign(&message)?.as_slice());
        let reply = serde_json::json!({ "plainToken": plain, "encryptedToken": hash });
        Some(reply.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;
    use crate::event::{Headers, SourceName};
    use crate::secret::Secret;
    use crate::source::{Sender, SourceSettings};

    fn ask(source: &Source, path_and_query: &str, body: &str, signed: bool) -> Option<Reply> {
        let headers = Headers::default();
        let request =
            Inbound { method: "POST", path_and_query, headers: &headers, body: body.as_bytes() };
        let proof = Verified {
            event_type: crate::event::EventType::unknown(),
            identity: super::super::identity::Identity::Body,
            method: None,
            data_root: crate::event::DataRoot::Payload,
            is_json: false,
            secret_index: 0,
        };
        source.handshake(&request, signed.then_some(&proof))
    }

    fn body(reply: Option<Reply>) -> String {
        String::from_utf8(reply.unwrap().body).unwrap()
    }

    #[test]
    fn slack_gets_its_challenge_back_once_the_signature_is_good() {
        let slack = source("slack", &["k"]);
        let question = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
        assert_eq!(ask(&slack, "/", question, false), None);
        let reply = ask(&slack, "/", question, true).unwrap();
        assert_eq!(reply.content_type, "text/plain; charset=utf-8");
        assert_eq!(reply.body, b"3eZbrw1a");
        assert_eq!(ask(&slack, "/", r#"{"type":"event_callback","challenge":"x"}"#, true), None);
        assert!(!slack.takes_get());
    }

    // https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint has the form;
    // the hash was worked out with Python's hmac.
    #[test]
    fn zoom_gets_its_token_hashed() {
        let zoom = source("zoom", &["zoom-secret"]);
        let question = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
        let expected = r#"{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"b17f0320a1322a509340a1a835b3d9edbc491f0b0790ed2d20d0604d39dfe922"}"#;
        assert_eq!(body(ask(&zoom, "/", question, true)), expected);
    }

    fn meta(token: Option<&str>) -> Source {
        let settings = SourceSettings::new(Sender::provider("meta").unwrap(), Vec::new());
        let name = SourceName::parse("s").unwrap();
        let mut source = Source::with_secrets(name, settings, vec![Secret::new("k")]).unwrap();
        source.verify_token = token.map(Secret::new);
        source
    }

    #[test]
    fn meta_is_answered_only_where_it_knows_the_token() {
        let question = "/hooks/s?hub.mode=subscribe&hub.challenge=11582&hub.verify_token=meaty%20y";
        let source = meta(Some("meaty y"));
        assert!(source.takes_get());
        assert_eq!(body(ask(&source, question, "", false)), "11582");
        assert_eq!(ask(&meta(Some("other")), question, "", false), None);
        assert_eq!(ask(&meta(None), question, "", false), None);
        assert_eq!(ask(&source, "/hooks/s?hub.mode=subscribe", "", false), None);
        assert_eq!(ask(&source, "/hooks/s", "", false), None);
    }

    #[test]
    fn discord_gets_a_pong() {
        let key = "c31e3a69fb9270077dee4796c55c31cf81cb3ad225e446459347abe17dd5178f";
        let discord = source("discord", &[key]);
        assert_eq!(body(ask(&discord, "/", r#"{"type":0}"#, true)), "");
        assert_eq!(body(ask(&discord, "/", r#"{"type":1}"#, true)), r#"{"type":1}"#);
        let event = r#"{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#;
        // `event` is no text: what it holds tells an event from a PING.
        assert_eq!(ask(&discord, "/", event, true), None);
    }

    #[test]
    fn long_answers_are_not_given() {
        let source = meta(Some("t"));
        let challenge = "x".repeat(ECHO_BYTES_MAX + 1);
        let question = format!("/?hub.mode=subscribe&hub.verify_token=t&hub.challenge={challenge}");
        assert_eq!(ask(&source, &question, "", false), None);
    }
}
