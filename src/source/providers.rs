//! The providers: one row each, on top of the one scheme. A row names the page that it was
//! written from, and the published vector that proves it, where there is one.

use crate::event::DataRoot;

use super::Sender;
use super::keys::{Algorithm, KeyRule};
use super::place::Place;
use super::scheme::Scheme;
use super::signature::{Encoding, Shape, SignatureRule};
use super::template::{BadTemplate, Template};
use super::timestamp::{TimestampRule, Unit};

/// A preset: how somebody signs, and where the event's type and delivery id are found.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: &'static str,
    /// The schemes that it signs by; more than one where it changed its mind.
    rows: &'static [Row],
    /// Where the event's type stands; the first that is there counts.
    event_type: &'static [Place],
    /// Where the delivery's id stands; the first that is there counts.
    delivery_id: &'static [Place],
    /// Where `data` begins in the payload.
    data_root: DataRoot,
    /// The published signature that a test checks; nothing where none was found.
    pub vector: Option<&'static str>,
}

/// One scheme of a provider, in the words of a `verify` table.
#[derive(Debug)]
struct Row {
    algorithm: Algorithm,
    places: &'static [Place],
    shape: Shape,
    encoding: Encoding,
    signed: &'static str,
    timestamp: Option<(Place, Unit)>,
    id: Option<Place>,
    key: KeyRule,
}

/// Every provider, by name.
pub static PROVIDERS: &[Provider] = &[
    // https://support.userecho.com/knowledge-bases/10/articles/7887-webhooks: an HMAC in
    // hexadecimal, without saying of which hash, "of" the request. Both lengths are taken, over
    // the raw body. No vector is published.
    Provider {
        name: "userecho",
        rows: &[
            Row { places: &[header("x-ue-signature")], ..HEX_OF_BODY },
            Row {
                algorithm: Algorithm::HmacSha1,
                places: &[header("x-ue-signature")],
                ..HEX_OF_BODY
            },
        ],
        event_type: &[json("hook")],
        delivery_id: &[],
        data_root: DataRoot::Data,
        vector: None,
    },
    // https://talk.hyvor.com/docs/webhooks. No vector is published for Talk; the one of
    // hyvor-blogs has the same scheme.
    Provider {
        name: "hyvor-talk",
        rows: &[Row { places: &[header("x-signature")], ..HEX_OF_BODY }],
        event_type: &[json("event")],
        delivery_id: &[],
        data_root: DataRoot::Data,
        vector: None,
    },
];

/// The commonest scheme of all.
const HEX_OF_BODY: Row = Row {
    algorithm: Algorithm::HmacSha256,
    places: &[],
    shape: Shape::Whole { prefix: std::borrow::Cow::Borrowed("") },
    encoding: Encoding::Hex,
    signed: "{body}",
    timestamp: None,
    id: None,
    key: KeyRule::UTF8,
};

/// A header, by its lower-case name.
const fn header(name: &'static str) -> Place {
    Place::Header(std::borrow::Cow::Borrowed(name))
}

const fn json(path: &'static str) -> Place {
    Place::Json(std::borrow::Cow::Borrowed(path))
}

impl Provider {
    /// The provider of this name.
    pub fn parse(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// Its sender with nothing changed.
    pub(super) fn sender(&'static self) -> Result<Sender, BadTemplate> {
        Ok(Sender {
            provider: Some(self),
            schemes: self.rows.iter().map(Row::scheme).collect::<Result<_, _>>()?,
            event_type: super::TypeRule::At(self.event_type.to_vec()),
            delivery_id: self.delivery_id.to_vec(),
            data_root: self.data_root,
        })
    }
}

impl Row {
    fn scheme(&self) -> Result<Scheme, BadTemplate> {
        let rule = |(at, unit): &(Place, Unit)| TimestampRule {
            at: at.clone(),
            unit: *unit,
            tolerance: TimestampRule::TOLERANCE,
        };
        Ok(Scheme {
            algorithm: self.algorithm,
            signature: SignatureRule {
                places: self.places.to_vec(),
                shape: self.shape.clone(),
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
        })
    }
}
