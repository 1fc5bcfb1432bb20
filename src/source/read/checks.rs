//! What keeps a source from being as safe as it looks.

use super::super::scheme::{Envelope, Scheme, Weakness};
use super::super::settings::SigningProfile;
use super::super::template::Part;
use crate::settings::Table;

/// Where the address is signed, it must be known: `address` is the source's own, as far as `public_url` says it.
pub(super) fn check_url(table: &Table<'_>, schemes: &mut [Scheme], address: Option<&str>) -> bool {
    if !table.has("url") {
        for scheme in schemes.iter_mut().filter(|scheme| signs_url(scheme)) {
            scheme.url = address.map(str::to_owned);
        }
    }
    let is_unknown = |scheme: &Scheme| signs_url(scheme) && scheme.url.is_none();
    let is_good = !schemes.iter().any(is_unknown) || table.has("url");
    if !is_good {
        table.missing(
            "url",
            "the sender signs its address: write `url = \"https://…\"` just as the sender knows it, or \
             `public_url` into `[server]`",
        );
    }
    is_good & check_address(table, schemes)
}

/// A sender signs the whole of its address: one that does not begin as any does is never the one that it has.
fn check_address(table: &Table<'_>, schemes: &[Scheme]) -> bool {
    let Some(url) = schemes.iter().find_map(|scheme| scheme.url.as_deref()) else { return true };
    let is_whole = url.split_once("://").is_some_and(|(name, rest)| {
        ["http", "https"].iter().any(|known| name.eq_ignore_ascii_case(known)) && !rest.is_empty()
    });
    if !is_whole {
        let bare = url.split_once("://").map_or(url, |(_, rest)| rest).trim_start_matches('/');
        let help =
            format!("write it as the sender has it: `url = \"https://{}\"`", bare.escape_debug());
        table.problem("url", "an address begins with https:// or http://", help);
    }
    is_whole
}

/// Tells where events come by GET, which has no body, and nothing of their query is believed.
pub(super) fn check_query(table: &mut Table<'_>, profile: &SigningProfile) {
    if !profile.schemes.iter().any(Scheme::may_believe_query) {
        table.warning(
            "methods",
            "what a GET says stands in its query, and the signature leaves that out: such an event's \
             payload is empty",
            "where the sender signs its address too, say so: `signed = \"{path}{body}\"`, `{url}` or \
             `{query:NAME}`; an HTTP Message Signature covers `@query` or `@target-uri`",
        );
    }
}

/// Whether the address is signed, so that it must be known.
fn signs_url(scheme: &Scheme) -> bool {
    match &scheme.envelope {
        Envelope::Plain => scheme.signed.as_ref().is_some_and(|signed| signed.has(&Part::Url)),
        Envelope::HttpMessage(rule) => rule.components.iter().any(|name| name == "@target-uri"),
        Envelope::Jwt(_) => false,
    }
}

impl SigningProfile {
    /// Whether a source of this profile needs its `url`.
    pub fn needs_url(&self) -> bool {
        self.schemes.iter().any(signs_url)
    }

    /// Whether it needs `allow_unsigned_body`.
    pub fn needs_consent(&self) -> bool {
        let mut weaknesses = self.schemes.iter().flat_map(Scheme::weaknesses);
        weaknesses.any(Weakness::needs_consent)
    }

    /// Whether its `secrets` are the sender's public keys, for which nothing random can stand in.
    pub fn needs_public_key(&self) -> bool {
        let is_kept = |one: &&Scheme| one.fetch.is_none() && one.needs_secret();
        let mut of_secrets = self.schemes.iter().filter(is_kept).peekable();
        of_secrets.peek().is_some() && of_secrets.all(|one| one.algorithm.has_public_key())
    }
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
