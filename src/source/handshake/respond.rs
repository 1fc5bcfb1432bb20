//! Questions among the requests of a source, and their answers.

use subtle::ConstantTimeEq;

use crate::secret::Secret;

use super::super::configured::Source;
use super::super::field_ref::{FieldRef, pairs, query};
use super::super::rejection::Rejection;
use super::super::reply::Reply;
use super::super::request::Inbound;
use super::super::verified::Verified;
use super::answer::{ORIGIN, echo, text_at};
use super::hashed::hashed;
use super::rule::{Answer, Handshake, Signing};

/// The longest body of an unsigned question: all that is known are shorter than 1 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// So much is shown of a hub's reason.
const DENIAL_CHARS_MAX: usize = 100;

/// A question, answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub reply: Reply,
    /// What is to become the source's secret.
    pub learned: Option<Secret>,
    /// Why the hub denied the subscription, where that is what it tells.
    pub denial: Option<String>,
}

/// What a request with some method may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodUse {
    Event,
    /// A question, or a look whether anything is there; never an event.
    Question,
    None,
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

    /// Whether its owner answers OPTIONS. The question of `CloudEvents` is none of a browser's.
    pub fn has_own_options(&self) -> bool {
        let of_cloud_events = FieldRef::header(ORIGIN);
        let mut handshakes = self.settings.profile.handshakes.iter();
        handshakes.any(|one| one.may_come_by("OPTIONS") && one.place() != Some(&of_cloud_events))
    }

    /// Whether what comes by this method, says nothing and is not signed only looks whether anything is there: also where
    /// events come by GET, for an event is signed.
    pub fn may_be_look(&self, method: &str) -> bool {
        matches!(method, "GET" | "HEAD") || self.method_use(method) == MethodUse::Question
    }

    /// Whether `request`, which is believed and came by no method of events, only looks whether
    /// anything is there: it has no body, and comes by HEAD (as Trello's and Mandrill's do to whatever address
    /// they were given), or unsigned by another method with nothing in its query but passwords.
    pub fn is_look(&self, request: &Inbound<'_>, verified: &Verified) -> bool {
        let is_password = |name: &[u8]| self.credentials().are_in_query(name);
        let says_nothing = || {
            !verified.is_signed()
                && pairs(query(request).as_bytes()).all(|(name, _)| is_password(&name))
        };
        request.body.is_empty() && (request.method == "HEAD" || says_nothing())
    }

    /// What a request without a body says in its query, as the form that it is: without passwords and
    /// signatures. `None` = nothing.
    pub fn form_in_query(&self, path_and_query: &str) -> Option<String> {
        let (_, query) = path_and_query.split_once('?')?;
        let schemes = self.settings.profile.schemes.iter();
        let signatures = schemes.flat_map(|scheme| &scheme.signature.places);
        let is_said = |pair: &&str| {
            pairs(pair.as_bytes()).next().is_some_and(|(name, _)| {
                let is_signature = signatures.clone().any(|place| place.is_query(&name));
                !self.credentials().are_in_query(&name) && !is_signature
            })
        };
        let said: Vec<&str> = query.split('&').filter(is_said).collect();
        (!said.is_empty()).then(|| said.join("&"))
    }

    /// The methods of events, as `Allow` lists them.
    pub fn event_methods(&self) -> String {
        self.settings.methods.join(", ")
    }

    /// Every method that is not answered 405, as `Allow` lists them.
    pub fn methods(&self) -> String {
        let all = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
        let used = all.into_iter().filter(|method| self.method_use(method) != MethodUse::None);
        used.collect::<Vec<_>>().join(", ")
    }

    /// The answer where `request`, whose verification failed by `rejection`, is a question.
    pub fn answer_unverified(
        &self,
        request: &Inbound<'_>,
        rejection: &Rejection,
    ) -> Option<Answered> {
        if request.body.len() > BODY_BYTES_MAX {
            return None;
        }
        let open = |handshake: &Handshake| handshake.signing == Signing::Open;
        // Events are signed: one by another secret is refused, so that its sender comes again.
        let is_event =
            |handshake: &Handshake| rejection.shows_signature() && handshake.may_be_event(request);
        let answered = self.answer(request, None, open, is_event);
        let denial =
            || if rejection.shows_signature() { None } else { self.answer_denial(request) };
        answered.or_else(denial)
    }

    /// The answer where `request`, which is believed, is a question and no event.
    pub fn answer_verified(&self, request: &Inbound<'_>, verified: &Verified) -> Option<Answered> {
        let secret = self.secrets.get(verified.secret_index);
        // By a method by which no event comes, a good signature takes no answer away.
        let is_by_event_method = self.method_use(request.method) == MethodUse::Event;
        let is_asked = |handshake: &Handshake| {
            handshake.signing == Signing::Signed || !verified.is_signed() || !is_by_event_method
        };
        // Events come with the same password: a field alone does not tell one from the other. Asked of what
        // has that field only: most events have it not.
        let is_event =
            |handshake: &Handshake| !verified.is_signed() && handshake.may_be_event(request);
        self.answer(request, secret, is_asked, is_event).or_else(|| self.answer_denial(request))
    }

    fn answer(
        &self,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
        is_asked: impl Fn(&Handshake) -> bool,
        is_event: impl Fn(&Handshake) -> bool,
    ) -> Option<Answered> {
        let handshakes = self.settings.profile.handshakes.iter();
        let mut handshakes = handshakes.filter(|handshake| is_asked(handshake));
        handshakes.find_map(|handshake| {
            let reply = self.reply(handshake, request, secret)?;
            if is_event(handshake) {
                return None;
            }
            let learned = handshake.place().filter(|_| handshake.learns);
            let learned = learned.and_then(|place| text_at(place, request));
            Some(Answered { reply, learned: learned.map(Secret::new), denial: None })
        })
    }

    /// A hub tells by GET that it denied a subscription, and asks nothing (`WebSub`, section 5.2).
    fn answer_denial(&self, request: &Inbound<'_>) -> Option<Answered> {
        let at = |name: &'static str| FieldRef::Query(name.into());
        let may_be_event = !request.body.is_empty() || self.settings.methods.contains(&"GET");
        let is_denied = || at("hub.mode").find(request).text().as_deref() == Some("denied");
        if request.method != "GET" || may_be_event || !is_denied() {
            return None;
        }
        let is_of_hub =
            |place: &FieldRef| matches!(place, FieldRef::Query(name) if name.starts_with("hub."));
        let mut handshakes = self.settings.profile.handshakes.iter();
        let subscribes = |handshake: &Handshake| {
            let when = handshake.when.as_ref().map(|(place, _)| place);
            when.into_iter().chain(&handshake.given).chain(handshake.place()).any(is_of_hub)
        };
        handshakes.any(subscribes).then_some(())?;
        let reason = text_at(&at("hub.reason"), request).unwrap_or("no reason given".to_owned());
        let denial = Some(reason.chars().take(DENIAL_CHARS_MAX).collect());
        let reply = Reply { status: 200, ..Reply::default() };
        Some(Answered { reply, learned: None, denial })
    }

    /// Whether a stranger can have `body` signed, by a question of X's or `LinkedIn`'s, or one that he saw and sends again
    /// with another header or query. No event of theirs says as little.
    pub(in crate::source) fn may_be_signed_for_strangers(&self, body: &[u8]) -> bool {
        self.settings
            .profile
            .handshakes
            .iter()
            .any(|handshake| handshake.may_sign(body) || self.may_hash_body(handshake, body))
    }

    /// What `question` brought to become the source's secret.
    pub(in crate::source) fn brought_by(&self, question: &Inbound<'_>) -> Option<Secret> {
        let mut handshakes = self.settings.profile.handshakes.iter();
        handshakes.find_map(|handshake| {
            let place = handshake.place().filter(|_| handshake.learns)?;
            text_at(place, question).map(Secret::new)
        })
    }

    /// The answer of one handshake, where `request` is its question.
    fn reply(
        &self,
        handshake: &Handshake,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
    ) -> Option<Reply> {
        let given_at = |place: &FieldRef| place.find(request).text();
        if !handshake.takes_method_of(request) {
            return None;
        }
        // The conditions of the preset: all of them must hold, or the request is no question.
        if let Some((place, wanted)) = &handshake.when
            && given_at(place)? != **wanted
        {
            return None;
        }
        if let Some(place) = &handshake.given {
            given_at(place).filter(|text| !text.is_empty())?;
        }
        if handshake.unless.as_ref().is_some_and(|place| given_at(place).is_some()) {
            return None;
        }
        if let Some(place) = &handshake.token {
            let expected = self.verify_token.as_ref()?;
            let given = given_at(place)?;
            // The token is a secret: compared in constant time.
            if !bool::from(given.as_bytes().ct_eq(expected.expose())) {
                // With a body it may be an event.
                let refuse_status = handshake.refuse_status.filter(|_| request.body.is_empty())?;
                return Some(Reply { status: refuse_status, ..Reply::default() });
            }
        }
        let reply = self.answer_to(handshake, request, secret)?;
        Some(Reply { status: handshake.status.unwrap_or(reply.status), ..reply })
    }

    /// What is answered to `request`, which is the question of `handshake`.
    fn answer_to(
        &self,
        handshake: &Handshake,
        request: &Inbound<'_>,
        secret: Option<&Secret>,
    ) -> Option<Reply> {
        let url = || self.settings.profile.schemes.iter().find_map(|scheme| scheme.url());
        match &handshake.answer {
            Answer::Echo(place) => echo(place, request, handshake.echo_form()),
            Answer::Hash(place) => {
                let may_share = self.settings.profile.may_hash(handshake);
                let signs = |token: &&Secret| {
                    self.secrets.iter().any(|secret| secret.expose() == token.expose())
                };
                let token = self.verify_token.as_ref();
                let token = token.filter(|_| handshake.hashes_for_strangers());
                // Two names of one secret.
                let token = token
                    .filter(|token| may_share || !handshake.hashes_like_events() || !signs(token));
                // No stranger shows one of them: the first is what signs.
                let first = || self.secrets.first().filter(|_| may_share);
                let key = token.or(secret).or_else(first)?;
                let text = text_at(place, request)?;
                self.may_hash_text(handshake, key, text.as_bytes()).then_some(())?;
                hashed(place, url(), request, key)
            }
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
                let key = self.hash_key(handshake, secret);
                let may_hash = |key: &Secret, text: &[u8]| self.may_hash_text(handshake, key, text);
                template.reply(url(), request, key, may_hash)
            }
            Answer::Nothing(status) => Some(Reply { status: *status, ..Reply::default() }),
        }
    }
}
