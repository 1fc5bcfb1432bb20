//! Questions of a handshake that were not answered, and what a preset's sender sends in a form of its own.

use super::super::field_ref::FieldRef;
use super::super::rejection::Rejection;
use super::super::settings::SigningProfile;
use super::super::signature::SignatureFormat;
use super::super::template::Template;
use super::case::{Case, Explanation, because};
use crate::body::starts_like_json;

/// In place of a signature: nothing, or what a program prints of a secret that it does not have.
const NO_SIGNATURE: [&str; 6] = ["", "no-secret-provided", "none", "null", "undefined", "unsigned"];

impl Case<'_> {
    /// The question whether the address is its owner's, with a word that is not the configured one.
    pub(super) fn asked_with_another_word(&self, rejection: &Rejection) -> Option<Explanation> {
        if !matches!(rejection, Rejection::Missing | Rejection::NoVariable(_)) {
            return None;
        }
        let request = &self.rejected.request;
        let place = self.source.settings.profile.handshakes.iter().find_map(|handshake| {
            let place = handshake.token.as_ref()?;
            let is_said = |(at, wanted): &(FieldRef, std::borrow::Cow<'_, str>)| {
                at.find(request).text().as_deref() == Some(wanted.as_ref())
            };
            let is_asked = handshake.when.as_ref().is_none_or(is_said);
            let has_word = place.find(request).text().is_some();
            (is_asked && (has_word || handshake.when.is_some())).then_some(place)
        })?;
        let name = self.source.name();
        let Some(known) = &self.source.verify_token else {
            let line = "it is the sender's question whether this address is yours, and no \
                        `verify_token` is configured: it is answered only with one";
            let hint = format!(
                "`verify_token = {{ file = \"data/secrets/{name}.verify\", create = true }}` in [source.{name}], \
                 and enter that word at the sender"
            );
            return Some(because(line, Some(&hint)));
        };
        let given = place.find(request).text().unwrap_or_default();
        let is_blank = given.as_bytes().trim_ascii() == known.expose().trim_ascii();
        let line = if given.is_empty() {
            format!(
                "it is the sender's question whether this address is yours, and the {place} that \
                 should be the `verify_token` is not there"
            )
        } else if is_blank {
            format!(
                "it is the sender's question whether this address is yours, and the {place} is the \
                 `verify_token` but for a blank or line break around it"
            )
        } else {
            format!(
                "it is the sender's question whether this address is yours, and the {place} is not \
                 the `verify_token` of [source.{name}]"
            )
        };
        Some(because(&line, Some("enter the word of that file as verify token at the sender")))
    }

    /// What senders put in a signature's place while they have no secret.
    pub(super) fn sent_without_a_secret(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        let schemes = self.source.settings.profile.schemes.iter();
        let mut signatures = schemes.flat_map(|scheme| {
            scheme.signature.places.iter().map(|place| (&scheme.signature.format, place))
        });
        let (place, said) = signatures.find_map(|(format, place)| {
            let text = place.find(request).text()?;
            let bare = match format {
                SignatureFormat::Whole { prefix } => text.strip_prefix(&**prefix).unwrap_or(&text),
                SignatureFormat::List { .. } | SignatureFormat::Items { .. } => &text,
            };
            let words = NO_SIGNATURE.iter();
            let said = words.copied().find(|word| bare.trim().eq_ignore_ascii_case(word))?;
            Some((place, said))
        })?;
        let line = if said.is_empty() {
            format!("the {place} is empty: the sender has no secret to sign with")
        } else {
            format!("the {place} is `{said}`: the sender has no secret to sign with")
        };
        Some(because(&line, Some("enter the secret at the sender, too")))
    }

    /// What is known of one sender alone.
    pub(super) fn of_preset(&self, rejection: &Rejection) -> Option<Explanation> {
        let request = &self.rejected.request;
        if *rejection != Rejection::Missing {
            return None;
        }
        match self.source.provider() {
            "aws-sns" => {
                let is_raw = request.headers.get("x-amz-sns-rawdelivery").is_some();
                let is_sns = request.headers.iter().any(|(name, _)| name.starts_with("x-amz-sns-"));
                let line = "it is a raw message of SNS, which is not signed";
                let hint = "switch \"Enable raw message delivery\" off in the topic's subscription";
                (is_raw || is_sns).then(|| because(line, Some(hint)))
            }
            _ => self.as_a_form(),
        }
    }

    /// The values that a preset looks for in JSON, signed in the same way in the fields of a form.
    fn as_a_form(&self) -> Option<Explanation> {
        if starts_like_json(self.rejected.request.body) {
            return None;
        }
        let profile = self.profile();
        let mut schemes = profile.schemes.clone();
        for scheme in &mut schemes {
            scheme.signature.places.iter_mut().for_each(to_form);
            scheme.timestamp.iter_mut().for_each(|rule| to_form(&mut rule.at));
            scheme.id.iter_mut().for_each(to_form);
            let signed = scheme.signed.as_ref()?;
            let mut text = signed.to_string();
            for place in signed.places() {
                let mut form = place.clone();
                to_form(&mut form);
                if let (FieldRef::Json(path), FieldRef::Form(name)) = (place, &form) {
                    text = text.replace(&format!("{{json:{path}}}"), &format!("{{form:{name}}}"));
                }
            }
            scheme.signed = Some(Template::parse(&text).ok()?);
        }
        if schemes == profile.schemes {
            return None;
        }
        let first = schemes.first().cloned()?;
        if !self.any_fits(&SigningProfile { schemes, ..profile }) {
            return None;
        }
        let place = first.signature.places.first().map(FieldRef::name).unwrap_or_default();
        let mailgun = match self.source.provider() {
            "mailgun" => {
                " (\"Mailgun Routes\" in docs/senders.md); its webhooks in JSON fit the preset"
            }
            _ => "",
        };
        let change = format!(
            "where JSON comes, too, give the form a source of its own{mailgun}; `algorithm = \"{}\", form = \"{place}\"`",
            first.algorithm.name()
        );
        let line =
            "it is signed with the secret, in the fields of a form, and is looked for in JSON";
        Some(self.with_scheme(line, &change, &first))
    }
}

/// The field of a form that has the last name of a path.
pub(super) fn to_form(place: &mut FieldRef) {
    if let FieldRef::Json(path) = place {
        let name = path.rsplit('.').next().unwrap_or_default().to_owned();
        *place = FieldRef::Form(name.into());
    }
}
