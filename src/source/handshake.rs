//! What a provider asks an endpoint before it sends events there, and the answer.
//!
//! A request that is signed like an event is one: only questions that are signed themselves, and
//! say so by a field of their own, are taken out of the signed ones. A password that is sent along
//! (a token, HTTP Basic) signs nothing, and the question comes with it like everything else.

use std::borrow::Cow;

use subtle::ConstantTimeEq;

use crate::secret::Secret;

use super::field_ref::FieldRef;
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
    pub when: Option<(FieldRef, Cow<'static, str>)>,
    /// Only a request with any text in this place asks.
    pub given: Option<FieldRef>,
    /// Only a request without text in this place asks.
    pub unless: Option<FieldRef>,
    /// What is answered.
    pub answer: Answer,
    /// Where the source's `verify_token` must stand; without that setting nothing is answered.
    pub token: Option<FieldRef>,
    /// Whether the question is signed like an event.
    pub signing: Signing,
    /// The methods by which it is asked; empty = as the place of the question says.
    pub methods: Vec<&'static str>,
    /// Whether what is given back becomes the source's secret, where it has none yet.
    pub learns: bool,
    /// Whether it is kept beside the rejected requests although it is signed: it brings a link that
    /// its owner opens.
    pub is_kept: bool,
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
    Echo(FieldRef),
    /// The text that stands there and its HMAC-SHA256, as Zoom wants them.
    Hash(FieldRef),
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
    /// Whether the question is kept for its owner to look at although it is signed.
    pub is_kept: bool,
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
        is_kept: false,
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
        is_kept: false,
    };

    /// The question of `CloudEvents`, which comes with the password that events come with.
    pub(super) fn cloud_events() -> Self {
        let answer = Answer::Echo(FieldRef::header(answer::ORIGIN));
        Self { answer, methods: vec!["OPTIONS"], ..Self::SIGNED }
    }

    /// The place by which a question is known.
    pub(super) fn place(&self) -> Option<&FieldRef> {
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
            (Some(FieldRef::Query(_)), "GET") => true,
            (Some(FieldRef::Query(_)), "POST") => request.body.is_empty(),
            (Some(FieldRef::Query(_)), _) => false,
            (Some(FieldRef::Header(name)), "OPTIONS") => name == answer::ORIGIN,
            (_, method) => method != "OPTIONS",
        }
    }

    /// Whether some request with this method is looked at.
    fn may_come_by(&self, method: &str) -> bool {
        let is_origin = |place: &FieldRef| *place == FieldRef::header(answer::ORIGIN);
        self.methods.contains(&method)
            || method == "OPTIONS" && self.methods.is_empty() && self.place().is_some_and(is_origin)
    }
}

impl Source {
    /// What a request with this method may be.
    pub fn method_use(&self, method: &str) -> MethodUse {
        let mut handshakes = self.settings.profile.handshakes.iter();
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
    pub fn answer_verified(&self, request: &Inbound<'_>, verified: &Verified) -> Option<Answered> {
        let secret = self.secrets.get(verified.secret_index);
        let is_asked =
            |handshake: &Handshake| handshake.signing == Signing::Signed || !verified.is_signed;
        self.answer(request, secret, is_asked)
    }

    fn answer(
        &self,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
        is_asked: impl Fn(&Handshake) -> bool,
    ) -> Option<Answered> {
        let handshakes = self.settings.profile.handshakes.iter();
        let mut handshakes = handshakes.filter(|handshake| is_asked(handshake));
        handshakes.find_map(|handshake| {
            let reply = self.reply(handshake, request, secret)?;
            let learned = handshake.place().filter(|_| handshake.learns);
            let learned = learned.and_then(|place| answer::text_at(place, request));
            let is_kept = handshake.is_kept;
            Some(Answered { reply, learned: learned.map(Secret::new), is_kept })
        })
    }

    /// The answer of one handshake, where `request` is its question.
    fn reply(
        &self,
        handshake: &Handshake,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
    ) -> Option<Reply> {
        let text_at = |place: &FieldRef| place.find(request).text();
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
mod tests;
