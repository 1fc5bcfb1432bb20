//! The secret that a question brought, where another one was learned.

use super::super::configured::Source;
use super::super::request::Inbound;
use super::case::{Case, Explanation, Rejected, because};

/// Why `source` refused `rejected`, where the secret that the kept `question` brought signed it: nothing where it did
/// not, or is the source's own.
pub fn explain_by_question(
    source: &Source,
    rejected: &Rejected<'_>,
    number: u64,
    question: &Inbound<'_>,
) -> Option<Explanation> {
    let brought = source.brought_by(question)?;
    let is_own = source.secrets.iter().any(|own| own.expose() == brought.expose());
    let case = Case { source, rejected };
    if is_own || !case.fits(&case.profile(), &brought) {
        return None;
    }
    let place = source.settings.secrets.first().map(ToString::to_string).unwrap_or_default();
    let line = format!(
        "it is signed with the secret that handshake {number} brought, and the source learned another one or none"
    );
    let hint = format!(
        "if handshake {number} is your sender's (`gatepost rejected show {number}`), write the secret that it brought \
         into the {place}, and `gatepost reload`; then release this one"
    );
    Some(because(&line, Some(&hint)))
}
