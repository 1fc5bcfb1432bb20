//! What a provider asks an endpoint before it sends events there, and the answer.
//!
//! A request that is signed like an event is one: only questions that are signed themselves, and
//! say so by a field of their own, are taken out of the signed ones. A password that is sent along
//! (a token, HTTP Basic) signs nothing, and the question comes with it like everything else.

use std::borrow::Cow;

use subtle::ConstantTimeEq;

use crate::secret::Secret;

use super::place::Place;
use super::{Inbound, Source, Verified};

mod answer;

pub use answer::{AnswerTemplate, HashRule};

pub(super) use answer::NAMES;

/// The longest body of an unsigned question: all that is known are shorter than 1 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One question of a provider, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Only a request with this text in this place asks.
    pub when: Option<(Place, Cow<'static, str>)>,
    /// Only a request with any text in this place asks.
    pub given: Option<Place>,
    /// Only a request without text in this place asks.
    pub unless: Option<Place>,
    /// What is answered.
    pub answer: Answer,
    /// Where the source's `verify_token` must stand; without that setting nothing is answered.
    pub token: Option<Place>,
    /// Whether the question is signed like an event.
    pub signing: Signing,
    /// The methods by which it is asked; empty = as the place of the question says.
    pub methods: Vec<&'static str>,
    /// Whether what is given back becomes the source's secret, where it has none yet.
    pub learns: bool,
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
    /// A text of the owner's own.
    Template(AnswerTemplate),
    /// Nothing but that it was received.
    Nothing,
}

/// An answer to a request. To a question it holds a stranger's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status: 200 or another of success.
    pub status: u16,
    /// What the body is; to be sent with `nosniff`.
    pub content_type: Cow<'static, str>,
    /// Headers to be sent along.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

/// A question, answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub reply: Reply,
    /// What is to become the source's secret.
    pub learned: Option<Secret>,
}

/// What a request with some method may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodUse {
    /// An event.
    Event,
    /// A question, or a look whether anything is there; never an event.
    Question,
    /// Nothing.
    None,
}

impl Reply {
    /// Plain text.
    fn text(body: String) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; charset=utf-8".into(),
            headers: Vec::new(),
            body: body.into_bytes(),
        }
    }

    fn json(body: &serde_json::Value) -> Self {
        Self { content_type: "application/json".into(), ..Self::text(body.to_string()) }
    }
}

impl Handshake {
    /// A question that is signed like an event.
    pub(super) const SIGNED: Self = Self {
        when: None,
        given: None,
        unless: None,
        answer: Answer::Nothing,
        token: None,
        signing: Signing::Signed,
        methods: Vec::new(),
        learns: false,
    };
    /// A question that is not signed.
    pub(super) const OPEN: Self = Self {
        when: None,
        given: None,
        unless: None,
        answer: Answer::Nothing,
        token: None,
        signing: Signing::Open,
        methods: Vec::new(),
        learns: false,
    };

    /// The question of `CloudEvents`, which comes with the password that events come with.
    pub(super) fn cloud_events() -> Self {
        let answer = Answer::Echo(Place::header(answer::ORIGIN));
        Self { answer, methods: vec!["OPTIONS"], ..Self::SIGNED }
    }

    /// The place by which a question is known.
    pub(super) fn place(&self) -> Option<&Place> {
        match &self.answer {
            Answer::Echo(place) | Answer::Hash(place) => Some(place),
            Answer::Json(_) | Answer::Template(_) | Answer::Nothing => {
                self.given.as_ref().or(self.when.as_ref().map(|(place, _)| place))
            }
        }
    }

    /// Whether nothing but one field tells the question from an event.
    pub(super) fn is_unconditional(&self) -> bool {
        self.when.is_none() && self.given.is_none() && self.token.is_none()
    }

    /// Whether `request` comes by a method by which this is asked.
    fn takes_method_of(&self, request: &Inbound<'_>) -> bool {
        if !self.methods.is_empty() {
            return self.methods.contains(&request.method);
        }
        match (self.place(), request.method) {
            // An address keeps its query: what comes there with a body is no question.
            (Some(Place::Query(_)), "GET") => true,
            (Some(Place::Query(_)), "POST") => request.body.is_empty(),
            (Some(Place::Query(_)), _) => false,
            (Some(Place::Header(name)), "OPTIONS") => name == answer::ORIGIN,
            (_, method) => method != "OPTIONS",
        }
    }

    /// Whether some request with this method is looked at.
    fn may_come_by(&self, method: &str) -> bool {
        let is_origin = |place: &Place| *place == Place::header(answer::ORIGIN);
        self.methods.contains(&method)
            || method == "OPTIONS" && self.methods.is_empty() && self.place().is_some_and(is_origin)
    }
}

impl Source {
    /// What a request with this method may be.
    pub fn method_use(&self, method: &str) -> MethodUse {
        let mut handshakes = self.settings.sender.handshakes.iter();
        if self.settings.methods.contains(&method) {
            MethodUse::Event
        } else if matches!(method, "GET" | "HEAD")
            || handshakes.any(|handshake| handshake.may_come_by(method))
        {
            MethodUse::Question
        } else {
            MethodUse::None
        }
    }

    /// Every method that is not answered 405, as `Allow` lists them.
    pub fn methods(&self) -> String {
        let all = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
        let used = all.into_iter().filter(|method| self.method_use(method) != MethodUse::None);
        used.collect::<Vec<_>>().join(", ")
    }

    /// The answer where `request`, whose verification failed, is a question.
    pub fn answer_unverified(&self, request: &Inbound<'_>) -> Option<Answered> {
        if request.body.len() > BODY_BYTES_MAX {
            return None;
        }
        let open = |handshake: &Handshake| handshake.signing == Signing::Open;
        self.answer(request, None, open)
    }

    /// The answer where `request`, which is believed, is a question and no event.
    pub fn answer_verified(&self, request: &Inbound<'_>, verified: &Verified) -> Option<Reply> {
        let secret = self.secrets.get(verified.secret_index);
        let is_asked =
            |handshake: &Handshake| handshake.signing == Signing::Signed || !verified.is_signed;
        self.answer(request, secret, is_asked).map(|answered| answered.reply)
    }

    fn answer(
        &self,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
        is_asked: impl Fn(&Handshake) -> bool,
    ) -> Option<Answered> {
        let handshakes = self.settings.sender.handshakes.iter();
        let mut handshakes = handshakes.filter(|handshake| is_asked(handshake));
        handshakes.find_map(|handshake| {
            let reply = self.reply(handshake, request, secret)?;
            let learned = handshake.place().filter(|_| handshake.learns);
            let learned = learned.and_then(|place| answer::text_at(place, request));
            Some(Answered { reply, learned: learned.map(Secret::new) })
        })
    }

    /// The answer of one handshake, where `request` is its question.
    fn reply(
        &self,
        handshake: &Handshake,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
    ) -> Option<Reply> {
        let text_at = |place: &Place| place.find(request).text();
        if !handshake.takes_method_of(request) {
            return None;
        }
        if let Some((place, wanted)) = &handshake.when
            && text_at(place)? != **wanted
        {
            return None;
        }
        if let Some(place) = &handshake.given {
            text_at(place).filter(|text| !text.is_empty())?;
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
        match &handshake.answer {
            Answer::Echo(place) => answer::echo(place, request),
            Answer::Hash(place) => answer::zoom(place, request, secret?),
            Answer::Json(body) => {
                let body = body.clone().into_owned().into_bytes();
                Some(Reply {
                    body,
                    content_type: "application/json".into(),
                    status: 200,
                    ..Reply::default()
                })
            }
            Answer::Template(template) => {
                template.reply(self, request, self.verify_token.as_ref().or(secret))
            }
            Answer::Nothing => Some(Reply { status: 204, ..Reply::default() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{configured, source};
    use super::*;
    use crate::event::{Headers, SourceName};
    use crate::secret::Secret;
    use crate::source::{Sender, SourceSettings};

    fn ask(source: &Source, path_and_query: &str, body: &str, signed: bool) -> Option<Reply> {
        let headers = Headers::default();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Inbound { method, path_and_query, headers: &headers, body: body.as_bytes() };
        let proof = Verified {
            event_type: crate::event::EventType::unknown(),
            identity: super::super::identity::Identity::Body,
            method: None,
            data_root: crate::event::DataRoot::Payload,
            is_json: false,
            is_signed: true,
            secret_index: 0,
        };
        if signed {
            source.answer_verified(&request, &proof)
        } else {
            source.answer_unverified(&request).map(|answered| answered.reply)
        }
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
        assert_eq!(body(ask(&source, question, "", false)), "11582");
        assert_eq!(ask(&source, question, "{}", false), None, "what has a body is no question");
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
        let challenge = "x".repeat(answer::ECHO_BYTES_MAX + 1);
        let question = format!("/?hub.mode=subscribe&hub.verify_token=t&hub.challenge={challenge}");
        assert_eq!(ask(&source, &question, "", false), None);
    }

    /// Asks a custom source without a signature.
    fn ask_custom(
        handshake: &str,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Reply> {
        let text = format!(
            "verify_token = {{ env = \"T\" }}\n[source.s.verify]\nalgorithm = \"hmac-sha256\"\n\
             header = \"X-S\"\n[source.s.handshake]\n{handshake}"
        );
        let mut source = configured(&text, &["signs events"]);
        source.verify_token = Some(Secret::new("token"));
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let body = body.as_bytes();
        let request = Inbound { method, path_and_query, headers: &headers, body };
        source.answer_unverified(&request).map(|answered| answered.reply)
    }

    #[test]
    fn question_in_the_query_is_asked_by_get_or_without_a_body() {
        let ask = |handshake: &str, method: &str, body: &str| {
            ask_custom(handshake, method, "/hooks/s?key=abc", &[], body)
        };
        let echo = "echo = { query = \"key\" }";
        assert_eq!(body(ask(echo, "GET", "")), "abc");
        assert_eq!(body(ask(echo, "POST", "")), "abc", "Microsoft Graph");
        assert_eq!(ask(echo, "POST", "{}"), None);
        assert_eq!(ask(echo, "PUT", ""), None);
        let said = "echo = { query = \"key\" }\nmethods = [\"POST\"]";
        assert_eq!(body(ask(said, "POST", "{}")), "abc");
        assert_eq!(ask(said, "GET", ""), None);
    }

    #[test]
    fn field_that_is_the_whole_question_is_given_back_as_the_object_it_came_in() {
        let ask = |body: &str| {
            let handshake = "echo = { json = \"challenge\" }\nsigned = false";
            ask_custom(handshake, "POST", "/hooks/s", &[], body).unwrap()
        };
        let reply = ask(r#"{"challenge":"a\"b"}"#);
        assert_eq!(reply.content_type, "application/json");
        assert_eq!(reply.body, br#"{"challenge":"a\"b"}"#);
        let reply = ask(r#"{"challenge":"ab","type":"x"}"#);
        assert_eq!((&*reply.content_type, &*reply.body), ("text/plain; charset=utf-8", &b"ab"[..]));
    }

    #[test]
    fn event_grid_is_answered_in_both_of_its_forms() {
        let handshake = "echo = { json = \"0.data.validationCode\" }\nsigned = false\n\
            when = { json = \"0.eventType\", is = \"V\" }";
        let question = r#"[{"eventType":"V","data":{"validationCode":"512d"}}]"#;
        let reply = ask_custom(handshake, "POST", "/hooks/s", &[], question);
        assert_eq!(body(reply), r#"{"validationResponse":"512d"}"#);
        let origin = [("webhook-request-origin", "eventgrid.azure.net")];
        let handshake = "echo = { header = \"WebHook-Request-Origin\" }";
        let reply = ask_custom(handshake, "OPTIONS", "/hooks/s", &origin, "").unwrap();
        assert_eq!(reply.status, 200);
        let allowed = ("webhook-allowed-origin".to_owned(), "eventgrid.azure.net".to_owned());
        assert!(reply.headers.contains(&allowed), "{reply:?}");
        assert_eq!(ask_custom(handshake, "OPTIONS", "/hooks/s", &[], ""), None);
    }

    #[test]
    fn header_is_given_back_as_the_same_header() {
        let handshake = "echo = { header = \"X-Hook-Secret\" }";
        let secret = [("x-hook-secret", "b537")];
        let reply = ask_custom(handshake, "POST", "/hooks/s", &secret, "{}").unwrap();
        assert_eq!(reply.headers, [("x-hook-secret".to_owned(), "b537".to_owned())]);
        for bad in ["", "\u{e9}", &"x".repeat(answer::ECHO_BYTES_MAX + 1)] {
            let asked = [("x-hook-secret", bad)];
            assert_eq!(ask_custom(handshake, "POST", "/hooks/s", &asked, "{}"), None);
        }
    }

    // eBay: sha256 of code, token and address (developer.ebay.com, Marketplace account deletion);
    // X: HMAC-SHA256 of crc_token in base64. Worked out with Python's hashlib.
    #[test]
    fn template_answers_with_a_hash_of_the_question() {
        let handshake = r#"
            when = { query = "challenge_code" }
            hash = { algorithm = "sha256", signed = "{query:challenge_code}{secret}https://a.example/e" }
            answer = '{"challengeResponse": {{ hash }}}'"#;
        let reply = ask_custom(handshake, "GET", "/hooks/s?challenge_code=7174", &[], "");
        let expected = "33bdd084daa479833f35682224a9fa56af9a5c5d000893dc3962a0aedbced6a8";
        assert_eq!(body(reply), format!(r#"{{"challengeResponse": "{expected}"}}"#));
        assert_eq!(ask_custom(handshake, "GET", "/hooks/s?code=7174", &[], ""), None);
        let handshake = r#"
            when = { query = "crc_token" }
            hash = { algorithm = "hmac-sha256", encoding = "base64", signed = "{query:crc_token}" }
            answer = '{"response_token": "sha256={{ hash | safe }}"}'"#;
        let reply = ask_custom(handshake, "GET", "/hooks/s?crc_token=7174", &[], "");
        assert_eq!(
            body(reply),
            r#"{"response_token": "sha256=3FVZvl+iv+C0AfHdX5XCvXKD8vzF3mBi4+ewQSHYN2I="}"#
        );
    }

    #[test]
    fn template_sees_the_question_and_escapes_it() {
        let handshake = r#"
            when = { header = "X-Okta-Verification-Challenge" }
            answer = '{"verification": {{ headers["x-okta-verification-challenge"] }}}'"#;
        let asked = [("x-okta-verification-challenge", "a\"b")];
        let reply = ask_custom(handshake, "GET", "/hooks/s", &asked, "").unwrap();
        assert_eq!(reply.content_type, "application/json");
        assert_eq!(reply.body, br#"{"verification": "a\"b"}"#);
        let handshake = r#"
            when = { json = "challenge" }
            signed = false
            answer = "{{ payload.challenge }}/{{ query.a }}/{{ method }}""#;
        let reply = ask_custom(handshake, "POST", "/hooks/s?a=1", &[], r#"{"challenge":"c"}"#);
        assert_eq!(body(reply), "c/1/POST");
    }
}
