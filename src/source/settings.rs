//! What `[source.NAME]` says.

use std::time::Duration;

use ipnet::IpNet;

use crate::event::{DataRoot, EventType};
use crate::secret::{Secret, SecretRef};
pub use crate::settings::{BadRate, RateLimit};

use super::answer::AnswerRule;
use super::fetched::KeySettings;
use super::field_ref::FieldRef;
use super::fields::Fields;
use super::handshake::Handshake;
use super::identity::{self, DedupePolicy, Identity};
use super::keys::{Algorithm, BadKey, Key};
use super::providers::{Provider, Row};
use super::request::Inbound;
use super::scheme::{Envelope, Scheme};
use super::split::Split;
use super::template::BadTemplate;
use super::type_rule::TypeRule;

/// What `[source.NAME]` says.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Who sends, and how it signs.
    pub profile: SigningProfile,
    /// Where the active secrets are kept; the first one is what `send` signs with.
    pub secrets: Vec<SecretRef>,
    /// Which requests count as repeats.
    pub dedupe: DedupePolicy,
    /// How many verified requests are taken; nothing where all are.
    pub rate_limit: Option<RateLimit>,
    /// The networks that may send; empty where all may.
    pub allow: Vec<IpNet>,
    /// How long it may be silent before `gatepost:source.silent` says so.
    pub expect_every: Option<Duration>,
    /// The longest body in bytes, in place of the server's.
    pub body_max: Option<u64>,
    /// The methods by which events come.
    pub methods: Vec<&'static str>,
    /// What is answered once an event is durable.
    pub answer: AnswerRule,
    /// How a request becomes events.
    pub split: Split,
    /// Where the list is that is split, as a dotted path; nothing = the body is the list.
    pub split_at: Option<String>,
    /// What a provider that asks first (Meta) must know to get an answer.
    pub verify_token: Option<SecretRef>,
}

impl SourceSettings {
    /// A source of this provider with its defaults, for code that has no configuration file.
    /// Nothing where there is no such provider.
    pub fn of_provider(name: &str, secrets: Vec<SecretRef>) -> Option<Self> {
        Some(Self::new(SigningProfile::provider(name)?, secrets))
    }

    /// The methods that an event may come by.
    pub const METHODS: &'static [&'static str] = &["POST", "PUT", "PATCH", "DELETE", "GET"];

    /// Whether anything of what comes is checked.
    pub fn is_verified(&self) -> bool {
        self.profile.schemes.iter().all(|scheme| scheme.algorithm != Algorithm::None)
    }

    /// Its address as the sender knows it, where that is signed and so is said.
    pub fn signed_url(&self) -> Option<&str> {
        self.profile.schemes.iter().find_map(Scheme::url)
    }

    /// Whether its secret is chosen by the sender.
    pub fn learns(&self) -> bool {
        self.profile.handshakes.iter().any(|handshake| handshake.learns)
    }

    /// The methods by which this sender's events come where nothing is said of them.
    pub(super) fn usual_methods(profile: &SigningProfile) -> &'static [&'static str] {
        match profile.provider {
            Some(preset) => preset.methods,
            // What a sender of the owner's own signs is an event, whatever its method.
            None => &["POST", "PUT", "PATCH", "DELETE"],
        }
    }

    /// A source of this sender with the defaults.
    pub fn new(profile: SigningProfile, secrets: Vec<SecretRef>) -> Self {
        Self {
            methods: Self::usual_methods(&profile).to_vec(),
            answer: profile.provider.map_or(AnswerRule::Id, |preset| preset.answer.clone()),
            body_max: profile.provider.and_then(|preset| preset.body_max),
            split: profile.provider.map_or(Split::Off, |preset| preset.split),
            profile,
            split_at: None,
            secrets,
            dedupe: DedupePolicy::Identity,
            rate_limit: None,
            allow: Vec::new(),
            expect_every: None,
            verify_token: None,
        }
    }
}

/// Who sends: its schemes, and where the event's type and delivery id are found.
#[derive(Clone, Debug)]
pub struct SigningProfile {
    /// The preset that this is; nothing for a `verify` table.
    pub provider: Option<&'static Provider>,
    /// How it may sign; any that matches will do.
    pub schemes: Vec<Scheme>,
    /// Where the event's type is.
    pub event_type: TypeRule,
    /// Where the delivery's id is; the first that is there counts.
    pub delivery_id: Vec<FieldRef>,
    /// Where the body carries a stamp of its event, so that two events never have equal bodies.
    pub stamps: Vec<FieldRef>,
    pub data_root: DataRoot,
    /// What it asks before it sends events.
    pub handshakes: Vec<Handshake>,
}

impl SigningProfile {
    /// The preset of this name, unchanged.
    pub fn provider(name: &str) -> Option<Self> {
        // A test reads every row, so that a template that is none cannot get here.
        Provider::parse(name).and_then(|preset| Self::of_preset(preset).ok())
    }

    /// The same, as its owner wants it.
    #[must_use]
    pub fn with(mut self, overrides: Overrides) -> Self {
        let Overrides { algorithm, url, tolerance, keys } = overrides;
        if let Some(algorithm) = algorithm {
            self.schemes.retain(|scheme| scheme.algorithm == algorithm);
        }
        for scheme in &mut self.schemes {
            scheme.url.clone_from(&url);
            if let (Some(rule), Some(tolerance)) = (&mut scheme.timestamp, tolerance) {
                rule.tolerance = tolerance;
            }
            if let (Some(rule), Some(keys)) = (&mut scheme.fetch, &keys) {
                rule.change(keys);
            }
        }
        self
    }

    /// The preset with nothing changed.
    pub(super) fn of_preset(preset: &'static Provider) -> Result<Self, BadTemplate> {
        Ok(Self {
            provider: Some(preset),
            schemes: preset.rows.iter().map(Row::scheme).collect::<Result<_, _>>()?,
            event_type: TypeRule::At(preset.event_type.clone()),
            delivery_id: preset.delivery_id.clone(),
            stamps: preset.stamps.clone(),
            data_root: preset.data_root,
            handshakes: preset.handshakes.clone(),
        })
    }

    /// For each scheme the key that `secret` is for it, and why it is a key for none. A secret must
    /// be a key of one scheme; a provider may have others beside it.
    pub(super) fn keys(&self, secret: &Secret) -> (Vec<Option<Key>>, Result<(), BadKey>) {
        let mut reason = None;
        let mut keys = Vec::with_capacity(self.schemes.len());
        for scheme in &self.schemes {
            let key = match scheme.fetch {
                Some(_) => Key::to_be_fetched(&scheme.key, secret),
                None => Key::new(scheme.algorithm, &scheme.key, secret),
            };
            reason = reason.or(key.as_ref().err().copied());
            keys.push(key.ok());
        }
        let is_used = keys.iter().any(Option::is_some);
        let checked = reason.filter(|_| !is_used).map_or(Ok(()), Err);
        (keys, checked)
    }

    /// Whether a stranger's question may be hashed with what signs events: no answer to it is an event's signature.
    pub(super) fn may_hash(&self, handshake: &Handshake) -> bool {
        handshake.before_bodies().iter().any(|before| self.signs_bodies_behind(before))
    }

    /// Whether events are signed by an HMAC-SHA256 over `before` and the body, and by nothing else.
    fn signs_bodies_behind(&self, before: &str) -> bool {
        let is_so = |scheme: &Scheme| {
            scheme.algorithm == Algorithm::HmacSha256
                && matches!(scheme.envelope, Envelope::Plain)
                && scheme.each.is_none()
                && scheme.body_sha256.is_none()
                && scheme.signed.as_ref().is_some_and(|signed| signed.is_body_behind(before))
        };
        !self.schemes.is_empty() && self.schemes.iter().all(is_so)
    }

    /// The preset's name, or `custom`.
    pub fn name(&self) -> &'static str {
        self.provider.map_or("custom", |provider| provider.name)
    }

    /// The type of a request; `fields` are those of its type's places.
    pub(super) fn type_in(&self, request: &Inbound<'_>, fields: &Fields<'_>) -> EventType {
        match &self.event_type {
            TypeRule::Literal(text) => EventType::new(text),
            TypeRule::Method => EventType::new(request.method),
            TypeRule::At(places) => places
                .iter()
                .find_map(|place| fields.text(place))
                .map_or_else(EventType::unknown, |text| EventType::new(&text)),
        }
    }

    /// What tells this request from every other. `fields` are those of its ids and stamps; in `request` a body is empty
    /// where it came so.
    pub(super) fn identify(
        &self,
        fields: &Fields<'_>,
        request: &Inbound<'_>,
        scheme: &Scheme,
        id_of_scheme: Option<String>,
    ) -> Identity {
        // An empty one would make one event of all.
        let id_of_scheme = id_of_scheme.filter(|id| !id.trim().is_empty());
        let of_scheme = scheme.id.as_ref().zip(id_of_scheme);
        let found = of_scheme.or_else(|| {
            self.delivery_id.iter().find_map(|place| Some((place, fields.text(place)?)))
        });
        match found {
            Some((place, id)) => {
                let beside = || identity::beside_id(place, scheme, request);
                Identity::of_id(id, identity::is_alone(place, scheme), beside)
            }
            None if self.stamps.iter().any(|place| fields.text(place).is_some()) => Identity::Stamp,
            None => Identity::Body,
        }
    }
}

/// What an owner may change in a preset.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The only algorithm to be taken, of those that the provider has.
    pub algorithm: Option<Algorithm>,
    /// The public address, where it is signed.
    pub url: Option<String>,
    /// How far a timestamp may be off.
    pub tolerance: Option<Duration>,
    /// Where keys are fetched in place of its own hosts.
    pub keys: Option<KeySettings>,
}
