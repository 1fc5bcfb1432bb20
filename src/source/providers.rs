//! The providers, each in a file of its own: how it signs, what it sends, how it is set up, and the
//! page that this was written from. A new one is a file and its lines in the two lists here.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use crate::event::DataRoot;

use super::answer::AnswerRule;
use super::fetched::{FetchRule, KeySettings};
use super::field_ref::FieldRef;
use super::handshake::Handshake;
use super::keys::{Algorithm, KeyRule};
use super::scheme::{Envelope, Scheme};
use super::settings::{SigningProfile, TypeRule};
use super::signature::{Encoding, SignatureFormat, SignatureRule};
use super::split::Split;
use super::template::{BadTemplate, Template};
use super::timestamp::{TimestampRule, Unit};

mod adyen;
mod aws_sns;
mod azure_event_grid;
mod bitbucket;
mod discord;
mod discourse;
mod disqus;
mod ghost;
mod gitea;
mod github;
mod gitlab;
mod hyvor_blogs;
mod hyvor_relay;
mod hyvor_talk;
mod intercom;
mod linear;
mod livekit;
mod mailgun;
mod meta;
mod paddle;
mod paypal;
mod plaid;
mod prelude;
mod qstash;
mod sendgrid;
mod shopify;
mod slack;
mod square;
mod standard_webhooks;
mod stripe;
mod svix;
mod twilio;
mod typeform;
mod userecho;
mod woocommerce;
mod zendesk;
mod zoom;

/// Every provider.
pub static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    vec![
        userecho::provider(),
        hyvor_talk::provider(),
        hyvor_blogs::provider(),
        hyvor_relay::provider(),
        slack::provider(),
        zoom::provider(),
        discourse::provider(),
        disqus::provider(),
        ghost::provider(),
        intercom::provider(),
        zendesk::provider(),
        linear::provider(),
        typeform::provider(),
        standard_webhooks::provider(),
        svix::provider(),
        github::provider(),
        gitlab::provider(),
        bitbucket::provider(),
        gitea::provider(),
        stripe::provider(),
        shopify::provider(),
        woocommerce::provider(),
        paddle::provider(),
        square::provider(),
        twilio::provider(),
        sendgrid::provider(),
        mailgun::provider(),
        discord::provider(),
        meta::provider(),
        aws_sns::provider(),
        azure_event_grid::provider(),
        adyen::provider(),
        paypal::provider(),
        plaid::provider(),
        livekit::provider(),
        qstash::provider(),
    ]
});

/// The types of events that a body is a sample of, and the body.
pub(super) type Sample = (&'static [&'static str], &'static str);

/// A preset: how somebody signs, and where the event's type and delivery id are found.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The page that it was written from.
    pub page: &'static str,
    /// What its owner does in its console, step by step.
    setup: &'static [&'static str],
    /// The published signature that a test checks; nothing where none was found, so that what
    /// stands here is as good as the page that it was written from.
    pub vector: Option<&'static str>,
    /// The schemes that it signs by; more than one where it changed its mind.
    rows: Vec<Row>,
    /// Where the event's type stands; the first that is there counts.
    event_type: Vec<FieldRef>,
    /// Where the delivery's id stands; the first that is there counts.
    delivery_id: Vec<FieldRef>,
    /// Where a body without an id carries a stamp of its event: two events never have equal bodies.
    stamps: Vec<FieldRef>,
    /// Where `data` begins in the payload.
    data_root: DataRoot,
    /// What it asks an endpoint before it sends events.
    handshakes: Vec<Handshake>,
    /// What it wants to hear about an event that is stored.
    answer: AnswerRule,
    /// The longest body that it sends, where that is more than the server takes by default.
    body_max: Option<u64>,
    /// Bodies as it sends them.
    pub(super) samples: &'static [Sample],
    /// How one of its requests becomes events.
    split: Split,
}

/// One scheme of a provider, in the words of a `verify` table.
#[derive(Debug)]
struct Row {
    algorithm: Algorithm,
    places: Vec<FieldRef>,
    format: SignatureFormat,
    encoding: Encoding,
    /// Empty where nothing is signed.
    signed: &'static str,
    timestamp: Option<(FieldRef, Unit)>,
    /// How far the timestamp may be off: as long as the sender repeats what keeps its first one.
    tolerance: Duration,
    id: Option<FieldRef>,
    key: KeyRule,
    body_sha256: Option<FieldRef>,
    /// The list of which every item is signed by itself.
    each: Option<&'static str>,
    /// What the signature comes in.
    envelope: Envelope,
    /// Where its keys are fetched.
    fetch: Option<FetchRule>,
}

impl Provider {
    /// The provider of this name.
    pub fn parse(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// What its owner does in its console, step by step. In the steps `{url}` stands for the
    /// source's public address, and `{secret}` for the place of its secret.
    pub fn setup(&self) -> &'static [&'static str] {
        self.setup
    }

    /// The types of events that there is a sample of.
    pub fn sample_types(&self) -> impl Iterator<Item = &'static str> {
        self.samples.iter().flat_map(|(types, _)| types.iter().copied())
    }

    /// What it wants to hear about an event that is stored.
    pub(super) fn answer(&self) -> AnswerRule {
        self.answer.clone()
    }

    /// The longest body that it sends, where that is more than the server takes by default.
    pub(super) fn body_max(&self) -> Option<u64> {
        self.body_max
    }

    /// How one of its requests becomes events.
    pub(super) fn split(&self) -> Split {
        self.split
    }

    /// Its sender with nothing changed.
    pub(super) fn profile(&'static self) -> Result<SigningProfile, BadTemplate> {
        Ok(SigningProfile {
            provider: Some(self),
            schemes: self.rows.iter().map(Row::scheme).collect::<Result<_, _>>()?,
            event_type: TypeRule::At(self.event_type.clone()),
            delivery_id: self.delivery_id.clone(),
            stamps: self.stamps.clone(),
            data_root: self.data_root,
            handshakes: self.handshakes.clone(),
        })
    }
}

impl Row {
    fn scheme(&self) -> Result<Scheme, BadTemplate> {
        let rule = |(at, unit): &(FieldRef, Unit)| TimestampRule {
            at: at.clone(),
            unit: *unit,
            tolerance: self.tolerance,
        };
        Ok(Scheme {
            algorithm: self.algorithm,
            signature: SignatureRule {
                places: self.places.clone(),
                format: self.format.clone(),
                encoding: self.encoding,
            },
            signed: match self.signed {
                "" => None,
                signed => Some(Template::parse(signed)?),
            },
            timestamp: self.timestamp.as_ref().map(rule),
            id: self.id.clone(),
            key: self.key.clone(),
            url: None,
            body_sha256: self.body_sha256.clone(),
            envelope: self.envelope.clone(),
            each: self.each.map(Cow::Borrowed),
            fetch: self.fetch.clone(),
        })
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

impl SigningProfile {
    /// The preset of this name, unchanged.
    pub fn provider(name: &str) -> Option<Self> {
        // A test reads every row, so that a template that is none cannot get here.
        Provider::parse(name).and_then(|provider| provider.profile().ok())
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
}

#[cfg(test)]
mod tests;
