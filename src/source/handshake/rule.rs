//! What a provider asks, and what is answered.

use std::borrow::Cow;

use crate::body;

use super::super::field_ref::FieldRef;
use super::super::request::Inbound;
use super::answer::{AnswerTemplate, EchoForm, ORIGIN, is_url_verification, is_whole_body};
use super::hashed::Asker;

/// One question of a provider, and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Only a request with this text in this place asks.
    pub when: Option<(FieldRef, Cow<'static, str>)>,
    /// Only a request with any text in this place asks.
    pub given: Option<FieldRef>,
    /// Only a request without text in this place asks.
    pub unless: Option<FieldRef>,
    pub answer: Answer,
    /// Where the source's `verify_token` must stand; without that setting nothing is answered.
    pub token: Option<FieldRef>,
    /// Whether the question is signed like an event.
    pub signing: Signing,
    /// The methods by which it is asked; empty = as the place of the question says.
    pub methods: Vec<&'static str>,
    /// Whether what is given back becomes the source's secret, where it has none yet.
    pub learns: bool,
    /// The status of the answer; `None` = 200, or what [`Answer::Nothing`] says.
    pub status: Option<u16>,
    /// The status of the answer to a question without a body that shows another token; `None` = it
    /// is no question.
    pub refuse_status: Option<u16>,
}

/// Whether a question is signed like an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It is: it is answered once the signature is good.
    Signed,
    /// It is not.
    Open,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text that is there, as plain text; a header as the same header.
    Echo(FieldRef),
    /// The text that is there, hashed as eBay, X and `LinkedIn` want it, each known by the name of its parameter, or
    /// (any other place and name) as Zoom does.
    Hash(FieldRef),
    Json(Cow<'static, str>),
    /// A text of the owner's own.
    Template(AnswerTemplate),
    /// Nothing but that it was received, by this status.
    Nothing(u16),
}

impl Handshake {
    /// A question that is signed like an event.
    pub(in crate::source) const SIGNED: Self = Self {
        when: None,
        given: None,
        unless: None,
        answer: Answer::Nothing(200),
        token: None,
        signing: Signing::Signed,
        methods: Vec::new(),
        learns: false,
        status: None,
        refuse_status: None,
    };
    /// A question that is not signed.
    pub(in crate::source) const OPEN: Self = Self {
        when: None,
        given: None,
        unless: None,
        answer: Answer::Nothing(200),
        token: None,
        signing: Signing::Open,
        methods: Vec::new(),
        learns: false,
        status: None,
        refuse_status: None,
    };

    /// The question of `CloudEvents`, which comes with the password that events come with.
    pub(in crate::source) fn cloud_events() -> Self {
        let answer = Answer::Echo(FieldRef::header(ORIGIN));
        Self { answer, methods: vec!["OPTIONS"], ..Self::SIGNED }
    }

    /// The place by which a question is known.
    pub(in crate::source) fn place(&self) -> Option<&FieldRef> {
        match &self.answer {
            Answer::Echo(place) | Answer::Hash(place) => Some(place),
            Answer::Json(_) | Answer::Template(_) | Answer::Nothing(_) => {
                self.given.as_ref().or(self.when.as_ref().map(|(place, _)| place))
            }
        }
    }

    /// Whether it is hashed for eBay, X or `LinkedIn`: such a question is asked unsigned, and hashed with
    /// `verify_token`; beside a password also with that.
    pub(in crate::source) fn hashes_for_strangers(&self) -> bool {
        matches!(&self.answer, Answer::Hash(place) if Asker::of(place) != Asker::Zoom)
    }

    /// Whether X or `LinkedIn` asks it, who want it hashed with the secret that signs their events.
    pub(in crate::source) fn hashes_like_events(&self) -> bool {
        matches!(&self.answer, Answer::Hash(place) if Asker::of(place).hashes_like_events())
    }

    /// What stands before the body in what signs the events of who asks it, where they want it hashed with the same
    /// secret: of events that are signed otherwise, what a stranger asks may be what is signed. (No UUID, as
    /// `LinkedIn` asks with, begins with `hmacsha256=`.)
    pub(in crate::source) fn before_bodies(&self) -> &'static [&'static str] {
        match &self.answer {
            Answer::Hash(place) => match Asker::of(place) {
                Asker::X => &[""],
                Asker::LinkedIn => &["", "hmacsha256="],
                Asker::Ebay | Asker::Zoom => &[],
            },
            Answer::Echo(_) | Answer::Json(_) | Answer::Template(_) | Answer::Nothing(_) => &[],
        }
    }

    /// Whether a stranger who asks this can have `body` hashed just as an event with that body is signed.
    pub(super) fn may_sign(&self, body: &[u8]) -> bool {
        let Answer::Hash(place) = &self.answer else { return false };
        let asker = Asker::of(place);
        self.signing == Signing::Open && asker.hashes_like_events() && asker.may_ask(body)
    }

    /// How `echo` gives its text back. Slack, which has a `when`, takes either form.
    pub(super) const fn echo_form(&self) -> EchoForm {
        if self.when.is_some() { EchoForm::AsText } else { EchoForm::ByType }
    }

    /// Whether nothing but one field tells the question from an event.
    pub(in crate::source) fn is_unconditional(&self) -> bool {
        let is_alone = self.given.is_none() || self.given.as_ref() == self.place();
        self.when.is_none() && self.token.is_none() && is_alone
    }

    /// Whether a request that comes by one of `methods`, as events do, is always its question.
    pub(in crate::source) fn takes_all_by(&self, methods: &[&'static str]) -> bool {
        let is_of_events = |method: &&'static str| methods.contains(method);
        self.when.is_none()
            && self.token.is_none()
            && self.place().is_none()
            && (self.methods.is_empty() || self.methods.iter().any(is_of_events))
    }

    /// Whether `request` may as well be an event: nothing but a field tells the question from one, and it says more than
    /// that.
    pub(super) fn may_be_event(&self, request: &Inbound<'_>) -> bool {
        if self.when.is_some() || self.token.is_some() {
            return false;
        }
        let places = [self.given.as_ref(), self.place()];
        let is_asked =
            |place: &FieldRef| says_no_more(place, request) || is_url_verification(place, request);
        !places.into_iter().flatten().any(is_asked)
            && !matches!(request.body.trim_ascii(), b"" | b"{}")
    }

    /// Whether `request` comes by a method by which this is asked.
    pub(super) fn takes_method_of(&self, request: &Inbound<'_>) -> bool {
        if !self.methods.is_empty() {
            return self.methods.contains(&request.method);
        }
        match (self.place(), request.method) {
            // An address keeps its query: what comes there with a body is no question.
            (Some(FieldRef::Query(_)), "GET") => true,
            (Some(FieldRef::Query(_)), "POST") => request.body.is_empty(),
            (Some(FieldRef::Query(_)), _) => false,
            (Some(FieldRef::Header(name)), "OPTIONS") => name == ORIGIN,
            (_, method) => method != "OPTIONS",
        }
    }

    /// Whether some request with this method is looked at.
    pub(super) fn may_come_by(&self, method: &str) -> bool {
        let is_origin = |place: &FieldRef| *place == FieldRef::header(ORIGIN);
        self.methods.contains(&method)
            || method == "OPTIONS" && self.methods.is_empty() && self.place().is_some_and(is_origin)
    }
}

/// Whether the body is nothing but what stands in `place`.
fn says_no_more(place: &FieldRef, request: &Inbound<'_>) -> bool {
    match place {
        FieldRef::Json(path) => is_whole_body(path, request.body),
        FieldRef::Form(name) => {
            let content_type = request.headers.get("content-type");
            let fields = body::form_fields(content_type, request.body);
            !fields.is_empty() && fields.iter().all(|(key, _)| **key == *name.as_bytes())
        }
        // Beside it any body says more.
        FieldRef::Query(_) | FieldRef::Header(_) | FieldRef::List(_) => false,
    }
}
