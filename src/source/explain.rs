//! Says in one line why a request was refused, by trying what would have made it good.

use crate::secret::{Secret, SecretRef};

use super::configured::Source;
use super::field_ref::Lookup;
use super::handshake::Answered;
use super::rejection::Rejection;
use super::request::Inbound;
use super::verified::Verified;

mod address;
mod asked;
mod brought;
mod case;
mod foreign;
mod found;
mod meant;
mod other;
mod own;
mod password;
mod rejection;
mod repacked;
mod reworked;
mod rewritten;
mod sent;
mod shape;
mod sighting;
mod table;
mod token;
mod unknown;
mod variants;

pub use brought::explain_by_question;
use case::{Case, because};
pub use case::{Explanation, Rejected};

/// Why `source` refused `rejected`. `all` are the sources whose secrets it may have been signed
/// with by mistake.
pub fn explain(source: &Source, all: &[&Source], rejected: &Rejected<'_>) -> Explanation {
    let judged = source.verify(&rejected.request, rejected.received_at);
    let answered = match &judged {
        Ok(verified) => source.answer_verified(&rejected.request, verified),
        Err(rejection) => source.answer_unverified(&rejected.request, rejection),
    };
    if let Some(answered) = answered {
        return of_handshake(&answered, judged.as_ref().ok());
    }
    let Err(rejection) = judged else {
        let line = "it is accepted as the configuration stands: it can be released";
        return Explanation { is_good_now: true, ..because(line, None) };
    };
    let case = Case { source, rejected };
    case.of_question(&rejection)
        .or_else(|| case.of_own_sender(all))
        .or_else(|| case.of_another_way())
        .or_else(|| case.foreign_token(&rejection))
        .unwrap_or_else(|| case.unknown(&rejection))
}

/// What is no event: a question, or a hub's word.
fn of_handshake(answered: &Answered, verified: Option<&Verified>) -> Explanation {
    if let Some(reason) = &answered.denial {
        return because(
            &format!(
                "it is no event: it says, unsigned, that the hub denied the subscription ({reason})"
            ),
            Some("if nothing comes, compare topic and callback at the hub, then subscribe again"),
        );
    }
    match verified {
        Some(verified) if verified.is_signed() => because(
            "it is no event: it is signed and was answered as a handshake, and is kept for what it brought",
            Some(
                "`gatepost rejected show` has it; with Amazon SNS open its `SubscribeURL`; if it was an \
                 event, say in `handshake` what tells a question: `when = { json = \"type\", is = \"…\" }`",
            ),
        ),
        Some(_) => because(
            "it is no event: it came with the password and was answered as a handshake",
            Some(
                "`gatepost rejected show` has it; if it was an event, say in `handshake` what tells \
                 a question: `when = { json = \"type\", is = \"…\" }`",
            ),
        ),
        None => because(
            "it is no event: it was answered as a handshake, and is kept for what it brought",
            Some("`gatepost rejected show` has its headers, with `--raw` its body"),
        ),
    }
}

impl Case<'_> {
    /// A question, or what the rejection says by itself.
    fn of_question(&self, rejection: &Rejection) -> Option<Explanation> {
        // A value that is missing may be there under another name.
        let elsewhere = || match rejection {
            Rejection::NoVariable(_) => self.found_elsewhere(),
            _ => None,
        };
        self.unsigned_question(rejection)
            .or_else(|| self.asked_with_another_word(rejection))
            .or_else(|| self.sent_without_a_secret())
            .or_else(|| self.of_preset(rejection))
            .or_else(elsewhere)
            .or_else(|| self.other_token(rejection))
            .or_else(|| self.of_rejection(rejection))
    }

    /// The sender that is configured comes first: what is nearly right is not another company's.
    fn of_own_sender(&self, all: &[&Source]) -> Option<Explanation> {
        self.body_beside_its_hash()
            .or_else(|| self.replaced_secret())
            .or_else(|| self.other_secret(all))
            .or_else(|| self.trimmed_secret())
            .or_else(|| self.dressed_secret())
            .or_else(|| self.published_secret())
            .or_else(|| self.wrong_password())
            .or_else(|| self.other_url())
            .or_else(|| self.sha1_only())
            .or_else(|| self.unpacked_body())
            .or_else(|| self.renamed_header())
            .or_else(|| self.joined_header())
            .or_else(|| self.quoted_signature())
            .or_else(|| self.misplaced_token())
            .or_else(|| self.no_secret())
    }

    /// Another sender, another way to sign, another body.
    fn of_another_way(&self) -> Option<Explanation> {
        self.other_sender()
            .or_else(|| self.only_a_field())
            .or_else(|| self.other_text())
            .or_else(|| self.reworked_secret())
            .or_else(|| self.found_elsewhere())
            .or_else(|| self.secret_itself())
            .or_else(|| self.check_sum())
            .or_else(|| self.of_nothing())
            .or_else(|| self.only_the_method())
            .or_else(|| self.rewritten_body())
    }

    /// A good signature of what holds the body's hash, and another body.
    fn body_beside_its_hash(&self) -> Option<Explanation> {
        let mut profile = self.profile();
        let request = &self.rejected.request;
        // Where no hash came, the sender does not sign its bodies.
        profile.schemes.retain_mut(|scheme| {
            let place = scheme.body_sha256.take();
            place.is_some_and(|place| place.find(request) != Lookup::Absent)
        });
        let mut places = self.source.settings.profile.schemes.iter();
        let place = places.find_map(|scheme| scheme.body_sha256.as_ref())?;
        if !self.any_fits(&profile) {
            return None;
        }
        self.rewritten_body().or_else(|| {
            let line = format!(
                "the body does not match the {place}, which is signed: it was changed on its way here"
            );
            Some(because(
                &line,
                Some(
                    "let the proxy in front pass the body through untouched; nothing in the \
                     configuration can mend this",
                ),
            ))
        })
    }

    /// Signed with the secret that is in its place by now, and was not when the source was made.
    fn replaced_secret(&self) -> Option<Explanation> {
        let is_new = |place: &&SecretRef| {
            place.existing().is_some_and(|secret| self.fits(&self.profile(), &secret))
        };
        let place = self.source.settings.secrets.iter().find(is_new)?;
        Some(because(
            &format!(
                "it is signed with what is in the {place} now, and the server has what was there before"
            ),
            Some("`gatepost reload`, then release it"),
        ))
    }

    /// Signed with a secret that belongs to another source.
    fn other_secret(&self, all: &[&Source]) -> Option<Explanation> {
        let others = all.iter().filter(|other| other.name() != self.source.name());
        for other in others {
            let at = other.secrets.iter().position(|secret| self.fits(&self.profile(), secret));
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
            if trimmed.len() != text.len() && self.fits(&self.profile(), &Secret::new(trimmed)) {
                return Some(because(
                    "it matches when the newline or blank around the secret is cut off",
                    Some("write the secret again without it: `printf %s \"$SECRET\" > FILE`"),
                ));
            }
            let blanks = [Secret::new([b" ", text].concat()), with(b" ")];
            if blanks.iter().any(|secret| self.fits(&self.profile(), secret)) {
                return Some(because(
                    "it matches when a blank is added to the secret: the sender's own has one",
                    Some("enter the secret at the sender again, without the blank around it"),
                ));
            }
            if self.fits(&self.profile(), &with(b"\n"))
                || self.fits(&self.profile(), &with(b"\r\n"))
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
            if secrets.any(|secret| self.fits_request(&self.profile(), secret, &request)) {
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
}

#[cfg(test)]
mod tests;
