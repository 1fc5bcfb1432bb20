//! What keeps a source from being as safe as it looks.

use super::super::scheme::{Envelope, Scheme};
use super::super::template::Part;
use crate::settings::Table;

/// Where the address is signed, it must be known.
pub(super) fn check_url(table: &Table<'_>, schemes: &[Scheme]) -> bool {
    let signs_url = |scheme: &Scheme| match &scheme.envelope {
        Envelope::Plain => scheme.signed.as_ref().is_some_and(|signed| signed.has(&Part::Url)),
        Envelope::HttpMessage(rule) => rule.components.iter().any(|name| name == "@target-uri"),
        Envelope::Jwt(_) => false,
    };
    let needs_url = schemes.iter().any(signs_url);
    let is_good = !needs_url || table.has("url");
    if !is_good {
        table.missing(
            "url",
            "the sender signs its address: write `url = \"https://…\"` just as the sender knows it",
        );
    }
    is_good
}

/// Reports what makes a scheme weak; `false` where that needs a consent that is not given.
pub(super) fn check_weaknesses(
    table: &Table<'_>,
    key: &str,
    scheme: &Scheme,
    is_allowed: bool,
) -> bool {
    let mut is_good = true;
    for weakness in scheme.weaknesses() {
        if weakness.needs_consent() && !is_allowed {
            let help = "sign `{body}`, or write `allow_unsigned_body = true`";
            table.problem(key, weakness.text(), help);
            is_good = false;
        } else {
            table.warning(key, weakness.text(), "");
        }
    }
    is_good
}
