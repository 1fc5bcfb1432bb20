//! SEAM: who is calling. Schemes say how a sender signs; providers are presets of them.
//!
//! - Only this module makes a [`Verified`], and only a `Verified` becomes an event.
//! - Verification is pure: it reads its arguments and the keys that are at hand, so the same request
//!   can be judged again later as of the moment when it came.
//! - Signatures are compared as decoded bytes in constant time, over the body as it came.
//! - Nothing is read out of a body before its signature is good, but for what the signature
//!   itself needs.

mod algorithm;
mod answer;
mod arrival;
mod batch;
mod believed_query;
mod configured;
mod credentials;
mod doubt;
mod edited;
mod explain;
mod fetched;
mod field_ref;
mod fields;
mod handshake;
mod http_message;
mod identity;
mod items;
mod jwt;
mod keys;
mod own_secrets;
mod payload;
mod providers;
mod public_key;
mod read;
mod rejection;
mod repeats;
mod reply;
mod request;
mod samples;
mod scheme;
mod settings;
mod sign;
mod signature;
mod signed_query;
mod split;
mod template;
mod timestamp;
mod type_rule;
mod unpacked;
mod verified;

pub use answer::{AnswerBody, AnswerRule};
pub use configured::{Source, SourceError};
pub use credentials::{Credentials, SourceCredentials};
pub use explain::{Explanation, Rejected, explain, explain_by_question};
pub use fetched::{
    BadKeyAddress, FetchRule, KeyAddress, KeyFetch, KeyFetchError, KeyRequest, KeySettings,
    OriginPattern, PathPattern, PostedJson,
};
pub use field_ref::FieldRef;
pub use handshake::{Answer, AnswerTemplate, Answered, Handshake, HashRule, MethodUse, Signing};
pub use http_message::MessageRule;
pub use identity::{DedupePolicy, dedupe_key};
pub use jwt::JwtRule;
pub use keys::{Algorithm, BadKey, KeyRule};
pub use providers::{PROVIDERS, Provider};
pub use rejection::Rejection;
pub use reply::Reply;
pub use request::Inbound;
pub use scheme::{Envelope, Scheme, Weakness};
pub use settings::{BadRate, Overrides, RateLimit, SigningProfile, SourceSettings};
pub use sign::{SignError, SignedRequest};
pub use signature::{Encoding, SignatureFormat, SignatureRule};
pub use split::Split;
pub use template::{BadTemplate, Template};
pub use timestamp::{TimestampRule, Unit};
pub use type_rule::TypeRule;
pub use verified::Verified;

#[cfg(test)]
mod tests;
