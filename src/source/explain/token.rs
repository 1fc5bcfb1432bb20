//! JSON Web Tokens and HTTP Message Signatures: a good one that is looked for otherwise, and what is wrong with
//! one in their own words.

use super::super::field_ref::FieldRef;
use super::super::jwt::{JwtRule, SentToken};
use super::super::keys::Algorithm;
use super::super::rejection::Rejection;
use super::super::scheme::{Envelope, Scheme};
use super::super::signature::SignatureFormat;
use super::case::{Case, Explanation, because};
use super::sighting::values;
use super::table::{quoted, setting};
use super::variants::SchemeDifferences;

/// So many tokens of a request are looked at.
const TOKENS_MAX: usize = 8;
/// So many claims are named.
const CLAIMS_MAX: usize = 8;

/// A token in a request.
struct PlacedToken {
    place: FieldRef,
    /// What stands before it.
    prefix: String,
    token: SentToken,
}

impl Case<'_> {
    /// A good token behind another prefix, at another place, or with the body's hash elsewhere in it.
    pub(super) fn other_token(&self, rejection: &Rejection) -> Option<Explanation> {
        if matches!(rejection, Rejection::Stale { .. } | Rejection::BadTimestamp) {
            return None;
        }
        let (scheme, rule) = self.jwt()?;
        let tokens = self.tokens(scheme).into_iter();
        let body = self.rejected.request.body;
        self.first_that_fits(
            scheme,
            tokens.flat_map(|sent| changed(scheme, rule, &sent, body)),
            differences,
        )
    }

    /// A good token without a claim that it must have. `what` is what is missing.
    pub(super) fn missing_claim(&self, what: &str) -> Option<Explanation> {
        let claim = what.strip_prefix("claim `")?.strip_suffix('`')?;
        let (scheme, rule) = self.jwt()?;
        let line = format!("it is signed, but its token has no claim `{claim}`");
        let table = self.table();
        let hint = match claim {
            claim if rule.body_hash.as_deref() == Some(claim) => {
                let sent = self.tokens(scheme).into_iter().next();
                let names = sent.iter().flat_map(|sent| sent.token.claims.keys()).take(CLAIMS_MAX);
                let names: Vec<_> =
                    names.map(|name| format!("`{}`", name.escape_debug())).collect();
                let names = match names.as_slice() {
                    [] => "it has none".to_owned(),
                    names => format!("it has {}", names.join(", ")),
                };
                format!(
                    "`jwt.body_hash` in {table} names the claim that holds the body's hash: {names}, and none is \
                         that hash"
                )
            }
            "iat" if self.tokens(scheme).iter().any(|one| one.token.claims.contains_key("exp")) => {
                format!(
                    "leave `jwt.max_age` in {table} out: the token says when it ends (`exp`), not when it was made"
                )
            }
            "iat" => "have the sender write `iat` or `exp` into its tokens: without both, one that was seen once \
                      could be sent for ever"
                .to_owned(),
            _ => format!(
                "the token never ends: `jwt.max_age = \"5m\"` in {table}, if it says when it was made (`iat`)"
            ),
        };
        Some(because(&line, Some(&hint)))
    }

    /// Whether the claim `name` is the one that should be the body's hash.
    pub(super) fn is_body_hash(&self, name: &str) -> bool {
        self.jwt().is_some_and(|(_, rule)| rule.body_hash.as_deref() == Some(name))
    }

    /// What is wrong with what is no token, or no message signature, in words of those.
    pub(super) fn out_of_form(&self, rejection: &Rejection, place: &str) -> Option<String> {
        if !matches!(rejection, Rejection::NotWrapped | Rejection::Undecodable) {
            return None;
        }
        let scheme = self.source.settings.profile.schemes.first()?;
        match (&scheme.envelope, rejection) {
            (Envelope::Plain, _) => None,
            (Envelope::Jwt(rule), _) if rule.is_body => {
                Some("the body is no JSON Web Token".to_owned())
            }
            (Envelope::Jwt(rule), _) => {
                let kind =
                    if rule.is_detached { "detached JSON Web Token" } else { "JSON Web Token" };
                let behind = match &scheme.signature.format {
                    SignatureFormat::Whole { prefix } if !prefix.is_empty() => {
                        format!(" behind `{prefix}`")
                    }
                    _ => String::new(),
                };
                Some(format!("what the {place} holds is no {kind}{behind}"))
            }
            (Envelope::HttpMessage(rule), Rejection::NotWrapped) => Some(match &rule.label {
                Some(label) => {
                    format!("`Signature-Input` and `Signature` have no signature `{label}`")
                }
                None => "`Signature-Input` and `Signature` have no signature in common".to_owned(),
            }),
            (Envelope::HttpMessage(_), _) => Some(
                "`Signature-Input` or `Signature` is not written as RFC 9421 says, `sig1=…`"
                    .to_owned(),
            ),
        }
    }

    /// The scheme whose signature is in a token beside the body.
    fn jwt(&self) -> Option<(&Scheme, &JwtRule)> {
        self.source.settings.profile.schemes.iter().find_map(|scheme| match &scheme.envelope {
            Envelope::Jwt(rule) if !rule.is_body => Some((scheme, rule)),
            Envelope::Jwt(_) | Envelope::Plain | Envelope::HttpMessage(_) => None,
        })
    }

    /// The tokens in the request, those first that stand where `scheme` looks for one.
    fn tokens(&self, scheme: &Scheme) -> Vec<PlacedToken> {
        let request = &self.rejected.request;
        let own = scheme.signature.places.iter();
        let own = own.filter_map(|place| Some((place.clone(), place.find(request).text()?)));
        let is_other = |(place, _): &(FieldRef, String)| !scheme.signature.places.contains(place);
        let others = values(request).into_iter().filter(is_other);
        let tokens = own.chain(others).filter_map(|(place, value)| {
            let value = value.trim();
            let text = value.rsplit(char::is_whitespace).next()?;
            let prefix = value.strip_suffix(text)?.to_owned();
            Some(PlacedToken { place, prefix, token: SentToken::read(text)? })
        });
        tokens.take(TOKENS_MAX).collect()
    }
}

/// `scheme` as it would take `sent`: each with something else than it has.
fn changed(scheme: &Scheme, rule: &JwtRule, sent: &PlacedToken, body: &[u8]) -> Vec<Scheme> {
    let rules: Vec<JwtRule> = if sent.token.is_detached {
        vec![JwtRule { is_detached: true, body_hash: None, ..rule.clone() }]
    } else {
        let as_it_is = Some(rule.clone()).filter(|rule| !rule.is_detached);
        let claims = sent.token.claims_with_hash_of(body).take(2).map(|claim| JwtRule {
            is_detached: false,
            body_hash: Some(claim.to_owned()),
            ..rule.clone()
        });
        as_it_is.into_iter().chain(claims).collect()
    };
    // By a public key, which a stranger may know, no HMAC is believed.
    let is_of_kind =
        |other: &Algorithm| other.has_public_key() == scheme.algorithm.has_public_key();
    let said = sent.token.algorithm.filter(is_of_kind);
    let algorithms = [Some(scheme.algorithm), said.filter(|said| *said != scheme.algorithm)];
    let is_own_place = scheme.signature.places.contains(&sent.place);
    let mut all = Vec::new();
    for algorithm in algorithms.into_iter().flatten() {
        for rule in &rules {
            let mut other = scheme.clone();
            other.algorithm = algorithm;
            other.envelope = Envelope::Jwt(rule.clone());
            other.signature.format = SignatureFormat::Whole { prefix: sent.prefix.clone().into() };
            if !is_own_place {
                other.signature.places = vec![sent.place.clone()];
            }
            if other != *scheme {
                all.push(other);
            }
        }
    }
    all
}

/// What is different, for people and as settings.
fn differences(scheme: &Scheme, changed: &Scheme) -> SchemeDifferences {
    let (mut what, mut lines) = (Vec::new(), Vec::new());
    let mut differs = |text: String, line: String| {
        what.push(text);
        lines.push(line);
    };
    if let (Some(place), true) =
        (changed.signature.places.first(), changed.signature.places != scheme.signature.places)
    {
        differs(format!("in the {place}"), format!("`{}`", setting(place)));
    }
    let prefix = |scheme: &Scheme| match &scheme.signature.format {
        SignatureFormat::Whole { prefix } => prefix.clone().into_owned(),
        SignatureFormat::List { .. } | SignatureFormat::Items { .. } => String::new(),
    };
    let (before, after) = (prefix(scheme), prefix(changed));
    if before != after && after.is_empty() {
        differs(format!("without the prefix `{before}`"), "no `prefix`".to_owned());
    } else if before != after {
        let line = format!("`prefix = {}`", quoted(&after));
        differs(format!("behind {line}"), line);
    }
    if let (Envelope::Jwt(before), Envelope::Jwt(after)) = (&scheme.envelope, &changed.envelope) {
        match &after.body_hash {
            _ if after.is_detached && !before.is_detached => differs(
                "as a token without its payload, which is the body".to_owned(),
                detached_line(after),
            ),
            Some(claim) if before.body_hash.as_ref() != Some(claim) => differs(
                format!("with the body's hash in the claim `{}`", claim.escape_debug()),
                format!("`jwt.body_hash = {}`", quoted(claim)),
            ),
            Some(_) | None => {}
        }
    }
    if changed.algorithm != scheme.algorithm {
        let name = changed.algorithm.name();
        differs(format!("as {name}"), format!("`algorithm = \"{name}\"`"));
    }
    (what, lines)
}

/// A token without its payload has no claims, of which the owner may have asked for some.
fn detached_line(rule: &JwtRule) -> String {
    let line = "`jwt.detached = true` in place of `jwt.body_hash`";
    if rule.issuer.is_none() && rule.audience.is_none() && rule.max_age.is_none() {
        return line.to_owned();
    }
    format!(
        "{line}; `issuer`, `audience` and `max_age` say nothing then, since such a token has no claims"
    )
}
