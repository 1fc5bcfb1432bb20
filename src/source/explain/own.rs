//! What is nearly right: the source's own sender, with one thing written down or passed on wrong.

use crate::secret::Secret;

use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::scheme::Scheme;
use super::super::settings::SigningProfile;
use super::super::signature::{SignatureFormat, SignatureRule};
use super::super::template::Template;
use super::case::{Case, Explanation, because};
use super::table::quoted;

/// A secret that its provider has published: it proves nothing.
struct PublishedSecret {
    /// `custom` for one that has no preset.
    provider: &'static str,
    secret: &'static str,
    what: &'static str,
}

const PUBLISHED: &[PublishedSecret] = &[
    // https://developer.zendesk.com/documentation/webhooks/verifying, Test webhook.
    PublishedSecret {
        provider: "zendesk",
        secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
        what: "Zendesk's published test secret, as its \"Test webhook\" is before the webhook is saved",
    },
    // https://developer.paypal.com/api/rest/webhooks/simulator.
    PublishedSecret {
        provider: "paypal",
        secret: "WEBHOOK_ID",
        what: "the word WEBHOOK_ID in place of a webhook's id, as the mock events of PayPal's \
               simulator are",
    },
    // https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/.
    PublishedSecret {
        provider: "custom",
        secret: "test-webhook",
        what: "Mandrill's published test key, as its first POST is, which comes before the webhook has a key",
    },
];

impl Case<'_> {
    /// Quotes that an environment file keeps, or entities of a page that it was copied from.
    pub(super) fn dressed_secret(&self) -> Option<Explanation> {
        for secret in &self.source.secrets {
            let text = secret.expose();
            let inner = match text {
                [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
                _ => &[],
            };
            if !inner.is_empty() && self.fits(&self.profile(), &Secret::new(inner)) {
                return Some(because(
                    "it matches when the quotes around the secret are cut off",
                    Some("write the secret without them: `docker run --env-file` keeps quotes"),
                ));
            }
            let Ok(text) = std::str::from_utf8(text) else { continue };
            let plain = ENTITIES
                .iter()
                .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character));
            if plain != text && self.fits(&self.profile(), &Secret::new(plain)) {
                return Some(because(
                    "it matches when the HTML entities in the secret become characters",
                    Some("the secret was copied out of a page's source: write `&` for `&amp;`"),
                ));
            }
            if let Some(how) = self.dressed_at_the_sender(text) {
                return Some(because(
                    &format!("it matches with {how} the secret: the sender's own has them"),
                    Some("enter the secret at the sender again, as it is in the file here"),
                ));
            }
        }
        None
    }

    /// What the sender's own secret has that ours, `text`, has not.
    fn dressed_at_the_sender(&self, text: &str) -> Option<&'static str> {
        // `&` first: the other entities hold one.
        let entities = |quote: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', "&quot;").replace('\'', quote)
        };
        let dressed = [
            (format!("\"{text}\""), "quotes around"),
            (format!("'{text}'"), "quotes around"),
            (entities("&#39;"), "HTML entities in"),
            (entities("&#x27;"), "HTML entities in"),
        ];
        let fits =
            |theirs: &str| theirs != text && self.fits(&self.profile(), &Secret::new(theirs));
        dressed.iter().find(|(theirs, _)| fits(theirs)).map(|(_, how)| *how)
    }

    /// Signed with a published secret.
    pub(super) fn published_secret(&self) -> Option<Explanation> {
        let known = PUBLISHED.iter().find(|known| {
            known.provider == self.source.provider()
                && self.fits(&self.profile(), &Secret::new(known.secret))
        })?;
        Some(because(
            &format!("it is signed with {}", known.what),
            Some("that is no event, and anybody could send it: real ones are signed with your own"),
        ))
    }

    /// A sender that has SHA-1 only, where the preset wants SHA-256 under a like name.
    pub(super) fn sha1_only(&self) -> Option<Explanation> {
        let (place, scheme) = self.sha1_scheme()?;
        let older = SigningProfile { schemes: vec![scheme.clone()], ..self.profile() };
        if !self.any_fits(&older) {
            return None;
        }
        let FieldRef::Header(header) = &place else { return None };
        let change = format!(
            "update the sender, or write `algorithm = \"hmac-sha1\", header = \"{header}\", prefix = \"sha1=\"`"
        );
        let line = "it is signed by SHA-1 only (`sha1=`), which is not taken here";
        Some(self.with_scheme(line, &change, &scheme))
    }

    /// The same sender with a secret that is none of the source's.
    pub(super) fn sha1_of_another_secret(&self, rejection: &Rejection) -> Option<Explanation> {
        if !matches!(rejection, Rejection::Missing | Rejection::NotWrapped) {
            return None;
        }
        let (place, scheme) = self.sha1_scheme()?;
        let request = &self.rejected.request;
        let SigningProfile { provider, event_type, .. } = &self.source.settings.profile;
        // A field of a body is a preset's own only as far as the preset is one's own.
        let is_own = |at: &&FieldRef| provider.is_some() || matches!(at, FieldRef::Header(_));
        let mut own = event_type.places().iter().filter(is_own);
        let is_of_sender = own.any(|at| at.find(request).text().is_some());
        let values = SignatureRule::values(&place, request).ok()?;
        let found = scheme.signature.candidates(&values).unwrap_or_default();
        let is_sha1 = found.iter().any(|found| scheme.algorithm.takes_length(found.len()));
        if !is_of_sender || !is_sha1 {
            return None;
        }
        let line = format!(
            "it is signed by SHA-1 only, and with another secret: the {place} has `sha1=`, which is not taken here"
        );
        let hint = "copy the secret from the sender again, and update the sender, or have it sign by SHA-256";
        Some(because(&line, Some(hint)))
    }

    /// Where SHA-1 would be, and the scheme that has it there.
    fn sha1_scheme(&self) -> Option<(FieldRef, Scheme)> {
        let scheme = self.source.settings.profile.schemes.iter().find(|scheme| {
            let prefix = SignatureFormat::Whole { prefix: "sha256=".into() };
            scheme.algorithm == Algorithm::HmacSha256 && scheme.signature.format == prefix
        })?;
        let place = scheme.signature.places.iter().find_map(|place| match place {
            FieldRef::Header(name) => {
                Some(FieldRef::header(name.strip_suffix("-256").unwrap_or(name)))
            }
            FieldRef::Query(_) | FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::List(_) => None,
        })?;
        let mut older = scheme.clone();
        older.algorithm = Algorithm::HmacSha1;
        older.signature.places = vec![place.clone()];
        older.signature.format = SignatureFormat::Whole { prefix: "sha1=".into() };
        Some((place, older))
    }

    /// Signed before it was packed.
    pub(super) fn unpacked_body(&self) -> Option<Explanation> {
        let Inbound { headers, body, .. } = self.rejected.request;
        let packed = match headers.get("content-encoding") {
            Some(encoding) => {
                let encoding = String::from_utf8_lossy(encoding).escape_debug().to_string();
                format!("`Content-Encoding: {encoding}`")
            }
            // No text begins so.
            None if body.starts_with(b"\x1f\x8b") => {
                "by gzip; something took `Content-Encoding` away".to_owned()
            }
            None => return None,
        };
        let mut profile = self.profile();
        for scheme in &mut profile.schemes {
            let signed = scheme.signed.as_ref()?.to_string().replace("{body}", "{unpacked_body}");
            scheme.signed = Some(Template::parse(&signed).ok()?);
        }
        if !self.any_fits(&profile) {
            return None;
        }
        let scheme = profile.schemes.first()?;
        let signed = scheme.signed.as_ref()?.to_string();
        let line = format!("it matches the body as it was before it was packed ({packed})");
        Some(self.with_scheme(&line, &format!("`signed = {}`", quoted(&signed)), scheme))
    }

    /// A signature that came in quotes.
    pub(super) fn quoted_signature(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        let profile = self.profile();
        let schemes = profile.schemes.iter().filter(|scheme| scheme.algorithm.signs());
        for place in schemes.flat_map(|scheme| &scheme.signature.places) {
            let FieldRef::Header(name) = place else { continue };
            let value = place.find(request).text().unwrap_or_default();
            let bare = value.replace(['"', '\''], "");
            if bare == value {
                continue;
            }
            let without =
                |(known, value)| (known, if known == name { bare.as_bytes() } else { value });
            let headers = request.headers.iter().map(without).collect();
            let alone = Inbound { headers: &headers, ..*request };
            let mut secrets = self.source.secrets.iter();
            if secrets.any(|secret| self.fits_request(&profile, secret, &alone)) {
                return Some(because(
                    &format!("it matches without the quotes around the signature in the {place}"),
                    Some(
                        "have the sender send the signature alone: it is written as JSON, or quoted by a shell",
                    ),
                ));
            }
        }
        None
    }

    /// A header that came twice and was joined by a comma.
    pub(super) fn joined_header(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        let profile = self.profile();
        let places = profile.schemes.iter().flat_map(|scheme| &scheme.signature.places);
        for place in places {
            let FieldRef::Header(name) = place else { continue };
            let value = place.find(request).text().unwrap_or_default();
            let Some((first, rest)) = value.split_once(',') else { continue };
            if !rest.split(',').all(|one| one.trim() == first.trim()) {
                continue;
            }
            let once = |(known, value)| {
                (known, if known == name { first.trim().as_bytes() } else { value })
            };
            let headers = request.headers.iter().map(once).collect();
            let alone = Inbound { headers: &headers, ..*request };
            let mut secrets = self.source.secrets.iter();
            if secrets.any(|secret| self.fits_request(&profile, secret, &alone)) {
                return Some(because(
                    &format!(
                        "it matches when the {place} stands there once: it was joined by a comma"
                    ),
                    Some(
                        "something on its way adds the header a second time: let it set the header once",
                    ),
                ));
            }
        }
        None
    }

    /// A header that a proxy may have dropped for its name.
    pub(super) fn dropped_header(&self, rejection: &Rejection) -> Option<&'static str> {
        let schemes = self.source.settings.profile.schemes.iter();
        let mut places = schemes.flat_map(|scheme| {
            let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
            scheme.signature.places.iter().chain(timestamp).chain(&scheme.id)
        });
        let has_underscore =
            |place: &FieldRef| matches!(place, FieldRef::Header(name) if name.contains('_'));
        let is_missing = matches!(rejection, Rejection::Missing | Rejection::NoVariable(_));
        (is_missing && places.any(has_underscore)).then_some(
            "nginx and others drop headers with `_` in their names: write \
             `underscores_in_headers on;`, or use the name that the sender has with `-`",
        )
    }
}

/// What a page's source has in place of characters; `&amp;` last.
const ENTITIES: &[(&str, &str)] = &[
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&#x2F;", "/"),
    ("&#43;", "+"),
    ("&#61;", "="),
    ("&amp;", "&"),
];
