//! What a provider is: how it signs, what it sends, how it is set up.

use std::borrow::Cow;
use std::time::Duration;

use super::super::answer::AnswerRule;
use super::super::fetched::FetchRule;
use super::super::field_ref::FieldRef;
use super::super::handshake::Handshake;
use super::super::keys::{Algorithm, KeyRule};
use super::super::scheme::{Envelope, Scheme};
use super::super::signature::{Encoding, SignatureFormat, SignatureRule};
use super::super::split::Split;
use super::super::template::{BadTemplate, Template};
use super::super::timestamp::{TimestampRule, Unit};
use crate::event::DataRoot;

/// The types of events that a body is a sample of, and the body.
pub(in crate::source) type Sample = (&'static [&'static str], &'static str);

/// A preset: how a sender signs, and where the event's type and delivery id are found.
#[derive(Debug)]
pub struct Provider {
    pub name: &'static str,
    /// What people call it, too: told to whom writes that, and not taken.
    pub(in crate::source) known_as: &'static [&'static str],
    /// The page that it was written from.
    pub page: &'static str,
    /// What its owner does in its console, step by step.
    pub(in crate::source) setup: &'static [&'static str],
    /// The published signature that a test checks; nothing where none was found, so that what
    /// is here is as good as the page that it was written from.
    pub vector: Option<&'static str>,
    /// The schemes that it signs by; more than one where it changed its mind.
    pub(in crate::source) rows: Vec<Row>,
    /// Where the event's type is; the first that is there counts.
    pub(in crate::source) event_type: Vec<FieldRef>,
    /// Where the delivery's id is; the first that is there counts.
    pub(in crate::source) delivery_id: Vec<FieldRef>,
    /// How its user agents begin, in lower case, where another sender signs in the same header: only a guess for
    /// `explain`, as a stranger can write one.
    pub(in crate::source) user_agents: &'static [&'static str],
    /// Where a body without an id carries a stamp of its event: two events never have equal bodies.
    pub(in crate::source) stamps: Vec<FieldRef>,
    pub(in crate::source) data_root: DataRoot,
    /// What it asks an endpoint before it sends events.
    pub(in crate::source) handshakes: Vec<Handshake>,
    /// The methods by which its events come.
    pub(in crate::source) methods: &'static [&'static str],
    /// What it wants to hear about an event that is stored.
    pub(in crate::source) answer: AnswerRule,
    /// The longest body that it sends, where that is more than the server takes by default.
    pub(in crate::source) body_max: Option<u64>,
    /// Bodies as it sends them.
    pub(in crate::source) samples: &'static [Sample],
    /// Types that it sends beside those of its samples, by its pages, for slips to be found; it may send others.
    pub(in crate::source) other_types: &'static [&'static str],
    /// How one of its requests becomes events.
    pub(in crate::source) split: Split,
}

/// One scheme of a provider, in the words of a `verify` table.
#[derive(Debug)]
pub(in crate::source) struct Row {
    pub(super) algorithm: Algorithm,
    pub(super) places: Vec<FieldRef>,
    pub(super) format: SignatureFormat,
    pub(super) encoding: Encoding,
    /// Empty where nothing is signed.
    pub(super) signed: &'static str,
    pub(super) timestamp: Option<(FieldRef, Unit)>,
    /// How far the timestamp may be off: as long as the sender repeats what keeps its first one.
    pub(super) tolerance: Duration,
    pub(super) id: Option<FieldRef>,
    pub(super) key: KeyRule,
    pub(super) body_sha256: Option<FieldRef>,
    /// The list of which every item is signed by itself.
    pub(super) each: Option<&'static str>,
    /// What the signature comes in.
    pub(super) envelope: Envelope,
    /// Whether the port that an address leaves out is signed, or is left out where the address has it.
    pub(super) either_port: bool,
    /// Where its keys are fetched.
    pub(super) fetch: Option<FetchRule>,
}

impl Provider {
    /// What its owner does in its console, step by step. In the steps `{url}` stands for the
    /// source's public address, and `{secret}` for the place of its secret.
    pub fn setup(&self) -> &'static [&'static str] {
        self.setup
    }

    /// Whether it asks at its set-up with a word that the source's `verify_token` must be.
    pub fn needs_verify_token(&self) -> bool {
        self.handshakes.iter().any(|one| one.token.is_some())
    }

    /// The types of events that there is a sample of.
    pub fn sample_types(&self) -> impl Iterator<Item = &'static str> {
        self.samples.iter().flat_map(|(types, _)| types.iter().copied())
    }
}

impl Row {
    pub(in crate::source) fn scheme(&self) -> Result<Scheme, BadTemplate> {
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
            either_port: self.either_port,
        })
    }
}
