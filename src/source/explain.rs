//! Says in one line why a request was refused, by trying what would have made it good.

use crate::secret::Secret;

use super::configured::Source;
use super::field_ref::FieldRef;
use super::providers::PROVIDERS;
use super::rejection::Rejection;
use super::request::Inbound;
use super::scheme::Scheme;
use super::settings::SigningProfile;
use super::signature::{Encoding, SignatureFormat};

mod case;
mod meant;
mod other;
mod own;
mod rejection;
mod rewritten;
mod variants;

use case::{Case, because};
pub use case::{Explanation, Rejected};

/// Why `source` refused `rejected`. `all` are the sources whose secrets it may have been signed
/// with by mistake.
pub fn explain(source: &Source, all: &[&Source], rejected: &Rejected<'_>) -> Explanation {
    let judged = source.verify(&rejected.request, rejected.received_at);
    if let Ok(verified) = &judged
        && source.answer_verified(&rejected.request, verified).is_some()
    {
        let (line, hint) = if verified.is_signed() {
            (
                "it is no event: it is signed and was answered as a handshake, and is kept for what \
                 it brought",
                "`gatepost rejected show` has it; with Amazon SNS open its `SubscribeURL`",
            )
        } else {
            (
                "it is no event: it came with the password and was answered as a handshake",
                "`gatepost rejected show` has it; if it was an event, say in `handshake` what tells \
                 a question: `when = { json = \"type\", is = \"…\" }`",
            )
        };
        return because(line, Some(hint));
    }
    let Err(rejection) = judged else {
        let line = "it is accepted as the configuration stands: it can be released";
        return Explanation { is_good_now: true, ..because(line, None) };
    };
    if source.answer_unverified(&rejected.request).is_some() {
        let line =
            "it is no event: it was answered as a handshake, and is kept for what it brought";
        return because(
            line,
            Some("`gatepost rejected show` has its headers, with `--raw` its body"),
        );
    }
    let case = Case { source, rejected };
    let question = case.unsigned_question(&rejection);
    if let Some(explanation) = question.or_else(|| case.of_rejection(&rejection)) {
        return explanation;
    }
    // The sender that is configured comes first: what is nearly right is not another company's.
    let own = case
        .other_secret(all)
        .or_else(|| case.trimmed_secret())
        .or_else(|| case.dressed_secret())
        .or_else(|| case.published_secret())
        .or_else(|| case.other_url())
        .or_else(|| case.sha1_only())
        .or_else(|| case.unpacked_body())
        .or_else(|| case.renamed_header())
        .or_else(|| case.misplaced_token())
        .or_else(|| case.no_secret());
    own.or_else(|| case.other_sender())
        .or_else(|| case.other_text())
        .or_else(|| case.secret_itself())
        .or_else(|| case.check_sum())
        .or_else(|| case.of_nothing())
        .or_else(|| case.only_the_method())
        .or_else(|| case.rewritten_body())
        .unwrap_or_else(|| case.unknown(&rejection))
}

impl Case<'_> {
    /// Signed with a secret that belongs to another source.
    fn other_secret(&self, all: &[&Source]) -> Option<Explanation> {
        let others = all.iter().filter(|other| other.name() != self.source.name());
        for other in others {
            let at = other.secrets.iter().position(|secret| self.fits(self.profile(), secret));
            if let Some(index) = at {
                let place = other.settings.secrets.get(index).map(ToString::to_string);
                let place = place.unwrap_or_else(|| format!("its secret {}", index + 1));
                return Some(because(
                    &format!("it is signed with the secret of source `{}`", other.name()),
                    Some(&format!(
                        "send it to /hooks/{}, or name {place} in `secrets` of [source.{}], too",
                        other.name(),
                        self.source.name()
                    )),
                ));
            }
        }
        None
    }

    /// A newline or a blank too many or too few around the secret.
    fn trimmed_secret(&self) -> Option<Explanation> {
        for secret in &self.source.secrets {
            let text = secret.expose();
            let with = |end: &[u8]| Secret::new([text, end].concat());
            let trimmed = text.trim_ascii();
            if trimmed.len() != text.len() && self.fits(self.profile(), &Secret::new(trimmed)) {
                return Some(because(
                    "it matches when the newline or blank around the secret is cut off",
                    Some("write the secret again without it: `printf %s \"$SECRET\" > FILE`"),
                ));
            }
            let blanks = [Secret::new([b" ", text].concat()), with(b" ")];
            if blanks.iter().any(|secret| self.fits(self.profile(), secret)) {
                return Some(because(
                    "it matches when a blank is added to the secret: the sender's own has one",
                    Some("enter the secret at the sender again, without the blank around it"),
                ));
            }
            if self.fits(self.profile(), &with(b"\n")) || self.fits(self.profile(), &with(b"\r\n"))
            {
                return Some(because(
                    "it matches when a newline is added to the secret: the sender's own has one",
                    Some("enter the secret at the sender again, without the newline at its end"),
                ));
            }
        }
        None
    }

    /// A body that a proxy parsed and serialized again.
    fn rewritten_body(&self) -> Option<Explanation> {
        for (how, body) in rewritten::bodies(self.rejected.request.body) {
            let request = Inbound { body: &body, ..self.rejected.request };
            let mut secrets = self.source.secrets.iter();
            if secrets.any(|secret| self.fits_request(self.profile(), secret, &request)) {
                return Some(because(
                    &format!("the body was changed on its way here: it matches {how}"),
                    Some(
                        "let the proxy in front pass the body through untouched; nothing in the \
                         configuration can mend this",
                    ),
                ));
            }
        }
        None
    }

    /// Nothing that was tried fits.
    fn unknown(&self, rejection: &Rejection) -> Explanation {
        let schemes = &self.source.settings.profile.schemes;
        let places: Vec<String> = schemes
            .iter()
            .flat_map(|scheme| &scheme.signature.places)
            .map(ToString::to_string)
            .collect();
        let mut places = places;
        places.dedup();
        let place = places.join(" or ");
        let line = match rejection {
            Rejection::Missing => match self.foreign_header() {
                Some((header, provider)) => format!(
                    "there is no {place}, but there is the header `{header}` that provider \
                     `{provider}` signs with"
                ),
                None => format!("there is no {place}: it is not signed at all"),
            },
            Rejection::NotWrapped => {
                format!("the {place} does not have the expected prefix or key: {}", self.format())
            }
            Rejection::Undecodable => {
                format!("what the {place} holds is not {}", self.encoding())
            }
            Rejection::WrongLength => {
                let names: Vec<_> = schemes.iter().map(|scheme| scheme.algorithm.name()).collect();
                format!("what the {place} holds is too long or too short for {}", names.join(", "))
            }
            Rejection::Mismatch if self.rejected.request.body.is_empty() => {
                "the body is empty, and the signature is not that of an empty one: the body was \
                 lost on its way, or the sender has another secret"
                    .to_owned()
            }
            _ => "it matches none of the secrets, in no form that was tried: the sender has \
                  another secret, or the body was changed"
                .to_owned(),
        };
        let hint = match rejection {
            Rejection::Missing => {
                let hint = "enter the secret at the sender too: most senders sign only then";
                Some(self.dropped_header(rejection).unwrap_or(hint).to_owned())
            }
            _ => self.base64_as_text().or_else(|| {
                Some("copy the secret from the sender again; compare the whole of it".to_owned())
            }),
        };
        Explanation { line, config_hint: hint, is_good_now: false }
    }

    /// A signature header of another provider that is in the request.
    fn foreign_header(&self) -> Option<(String, &'static str)> {
        for provider in PROVIDERS.iter() {
            let profile = SigningProfile::provider(provider.name)?;
            let places = profile.schemes.iter().flat_map(|scheme| &scheme.signature.places);
            for place in places {
                if let FieldRef::Header(name) = place
                    // The header of every password.
                    && name != "authorization"
                    && self.rejected.request.headers.get(name).is_some()
                {
                    return Some((name.clone().into_owned(), provider.name));
                }
            }
        }
        None
    }

    fn format(&self) -> String {
        let first = self.source.settings.profile.schemes.first();
        match first.map(|scheme| &scheme.signature.format) {
            Some(SignatureFormat::Whole { prefix }) => format!("`{prefix}`"),
            Some(SignatureFormat::List { item, pair, keys }) => {
                let signatures = keys.iter().map(|key| format!("`{key}{pair}…`"));
                format!("{} between `{item}`", signatures.collect::<Vec<_>>().join(" or "))
            }
            Some(SignatureFormat::Items { item, .. }) => format!("items between `{item}`"),
            None => String::new(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self.source.settings.profile.schemes.first().map(|first| first.signature.encoding) {
            Some(Encoding::Hex) => "hexadecimal",
            Some(Encoding::Base64) => "base64",
            Some(Encoding::Plain) | None => "the expected text",
        }
    }

    /// A secret that looks like base64 where the scheme of the owner's own takes its text: a preset
    /// knows what its sender's are.
    fn base64_as_text(&self) -> Option<String> {
        if self.source.settings.profile.provider.is_some() {
            return None;
        }
        let takes_text =
            |scheme: &Scheme| scheme.key.encoding == Encoding::Plain && scheme.algorithm.signs();
        if !self.source.settings.profile.schemes.iter().any(takes_text) {
            return None;
        }
        let looks_like_base64 = |secret: &Secret| {
            let text = secret.expose();
            let is_marked = text.starts_with(b"whsec_") || text.ends_with(b"=");
            let text = text.strip_prefix(b"whsec_".as_slice()).unwrap_or(text);
            is_marked && Encoding::Base64.decode(text).is_some()
        };
        self.source.secrets.iter().any(looks_like_base64).then(|| {
            format!(
                "the secret looks like base64 but is used as text: `key = \"base64\"` in {}",
                self.table()
            )
        })
    }
}

#[cfg(test)]
mod tests;
