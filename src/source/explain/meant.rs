//! The right secret, used otherwise than it is written down: over another text, at another place,
//! or for a question that is not signed.

use crate::body::starts_like_json;
use crate::secret::Secret;

use super::super::configured::Source;
use super::super::field_ref::{FieldRef, pairs};
use super::super::handshake::{Answer, Signing};
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::scheme::{Envelope, Scheme};
use super::super::settings::SigningProfile;
use super::super::template::Template;
use super::super::timestamp::TimestampRule;
use super::case::{Case, Explanation, because};
use super::shape::unit;
use super::table::in_unit;

/// What senders put together of a time and the body.
const TIMED: [&str; 7] = [
    "{timestamp}.{body}",
    "{timestamp}:{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "v0:{timestamp}:{body}",
    "{timestamp}\n{body}",
];
const WITH_ID: [&str; 4] =
    ["{id}.{timestamp}.{body}", "{id}{timestamp}{body}", "{id}.{body}", "{id}:{timestamp}:{body}"];
const WITH_URL: [&str; 3] = ["{url}{body}", "{body}{url}", "{method}{url}{body}"];

/// What a sender signs with that was given no secret, with words for people. A key is filled up
/// with zeros, so that the empty one is as good as a zero.
const NO_SECRETS: [(&str, &str); 4] = [
    ("\0", "an empty secret"),
    ("undefined", "the word `undefined`"),
    ("null", "the word `null`"),
    ("None", "the word `None`"),
];

impl Case<'_> {
    /// Signed over another text than the one that is written down.
    pub(super) fn other_text(&self) -> Option<Explanation> {
        let profile = self.profile();
        let scheme = profile.schemes.first()?;
        let written = scheme.signed.as_ref()?.to_string();
        let is_plain = scheme.envelope == Envelope::Plain && scheme.each.is_none();
        if !is_plain || !scheme.algorithm.signs() {
            return None;
        }
        let time = match &scheme.timestamp {
            Some(_) => None,
            None => self.time_header(),
        };
        for text in texts(scheme, time.is_some()) {
            if text == written {
                continue;
            }
            let signed = match time {
                Some(name) => text.replace("{timestamp}", &format!("{{header:{name}}}")),
                None => text.to_owned(),
            };
            let mut changed = scheme.clone();
            changed.signed = Template::parse(&signed).ok();
            if self.any_fits(&SigningProfile { schemes: vec![changed.clone()], ..profile.clone() })
            {
                let time = time.filter(|_| signed.contains("{header:"));
                let rule = time.and_then(|name| self.time_in(name));
                let time = time.zip(rule).map_or(String::new(), |(name, rule)| {
                    let unit = in_unit(rule.unit);
                    changed.timestamp = Some(rule);
                    changed.signed = Template::parse(text).ok();
                    format!(", `timestamp = {{ header = \"{name}\"{unit} }}`")
                });
                let text = match changed.timestamp {
                    Some(_) => text.to_owned(),
                    // A time that has no unit is signed all the same.
                    None => signed,
                };
                let text = text.escape_default();
                let line = format!("it matches over another text: `{text}`");
                return Some(self.with_scheme(
                    &line,
                    &format!("`signed = \"{text}\"`{time}"),
                    &changed,
                ));
            }
        }
        None
    }

    /// A header that is likely to hold the time of sending.
    fn time_header(&self) -> Option<&str> {
        let mut names = self.rejected.request.headers.iter().map(|(name, _)| name);
        names.find(|name| name.ends_with("timestamp") || name.ends_with("-time"))
    }

    /// The time in a header, where it can be read.
    fn time_in(&self, name: &str) -> Option<TimestampRule> {
        let at = FieldRef::header(name);
        let (unit, is_readable) = unit(&at.find(&self.rejected.request).text().unwrap_or_default());
        is_readable.then_some(TimestampRule { at, unit, tolerance: TimestampRule::TOLERANCE })
    }

    /// Signed by a sender that was given no secret.
    pub(super) fn no_secret(&self) -> Option<Explanation> {
        let profile = self.profile();
        if !profile.schemes.iter().all(|scheme| scheme.algorithm.signs()) {
            return None;
        }
        let fits = |text: &str| self.fits(&profile, &Secret::new(text));
        let (_, what) = NO_SECRETS.iter().find(|(text, _)| fits(text))?;
        Some(because(
            &format!("it is signed with {what}: the sender was given no secret"),
            Some(
                "enter the secret at the sender: nothing can be believed that is signed like this",
            ),
        ))
    }

    /// The question of a handshake, which is not signed and would have to be.
    pub(super) fn unsigned_question(&self, rejection: &Rejection) -> Option<Explanation> {
        let mut settings = self.source.settings.clone();
        // A question of CloudEvents comes with the password always.
        let is_cloud_events = self.rejected.request.method == "OPTIONS";
        if settings.profile.provider.is_some() || rejection.shows_signature() || is_cloud_events {
            return None;
        }
        for handshake in &mut settings.profile.handshakes {
            if !matches!(handshake.answer, Answer::Hash(_)) {
                handshake.signing = Signing::Open;
            }
        }
        let name = self.source.name().clone();
        let source = Source::with_secrets(name, settings, self.source.secrets.clone()).ok()?;
        source.answer_unverified(&self.rejected.request, rejection)?;
        Some(because(
            "it is the question of this source's handshake, and not signed as it would have to be",
            Some(&format!("`signed = false` in [source.{}.handshake]", self.source.name())),
        ))
    }
}

impl Case<'_> {
    /// One field of a form is signed, and the form is not: Gitea's, whose hooks can also send JSON.
    pub(super) fn only_a_field(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        if starts_like_json(request.body) {
            return None;
        }
        let (name, _) = pairs(request.body).take(FIELDS_MAX).find(|(name, value)| {
            let inner = Inbound { body: value, ..*request };
            let mut secrets = self.source.secrets.iter();
            !value.is_empty()
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
                && secrets.any(|secret| self.fits_request(&self.profile(), secret, &inner))
        })?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let change = format!(
            "choose `application/json` as the content type at the sender; or write `signed = \"{{form:{name}}}\"` and \
             `allow_unsigned_body = true`"
        );
        let line = format!("what is signed is the field `{name}` of the form, and not the form");
        let mut of_field = self.source.settings.profile.schemes.first()?.clone();
        let signed = of_field.signed.as_ref()?.to_string();
        of_field.signed =
            Template::parse(&signed.replace("{body}", &format!("{{form:{name}}}"))).ok();
        Some(self.with_scheme(&line, &change, &of_field))
    }
}

/// So many fields of a form are tried.
const FIELDS_MAX: usize = 16;

/// The texts that go with what is known of the sender.
fn texts(scheme: &Scheme, has_time_header: bool) -> impl Iterator<Item = &'static str> {
    let has_time = scheme.timestamp.is_some() || has_time_header;
    let timed = TIMED.into_iter().filter(move |_| has_time);
    let has_id = scheme.id.is_some();
    let of_id = move |text: &&str| has_id && (has_time || !text.contains("{timestamp}"));
    let has_url = scheme.url.is_some();
    let of_url = WITH_URL.into_iter().filter(move |_| has_url);
    timed.chain(WITH_ID.into_iter().filter(of_id)).chain(of_url).chain(["{body}"])
}
