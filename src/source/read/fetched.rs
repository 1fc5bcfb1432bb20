//! Reads `keys`: where the keys are fetched that a sender publishes.

use ipnet::IpNet;

use crate::settings::Table;

use super::super::fetched::{
    BadKeyAddress, FetchRule, KeyAddress, KeySettings, OriginPattern, read_address,
};
use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::settings::SigningProfile;
use super::field_ref::read_field_ref;

/// What `keys` may be.
const EXPECTED: &str = "the address of a key, a certificate or a JWK set, or { url, allow }, or \
                        { header, query, json or form, origins, allow }";
/// Where a request may name its key.
const PLACES: &[&str] = &["header", "query", "json", "form"];

/// `keys`, read.
pub(super) struct Keys {
    settings: KeySettings,
    /// Where a request names its key.
    at: Option<FieldRef>,
}

/// `keys = "https://…"` or a table; `None` = a problem.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
pub(super) fn read_keys(table: &mut Table<'_>) -> Option<Option<Keys>> {
    let Some(value) = table.raw("keys", EXPECTED) else {
        return (!table.has("keys")).then_some(None);
    };
    let Some(text) = value.as_str() else { return value.table().map(read_table)?.map(Some) };
    match read_address(text, false) {
        Ok(url) => {
            let settings = KeySettings { url: Some(url), ..KeySettings::default() };
            Some(Some(Keys { settings, at: None }))
        }
        Err(err) => {
            value.problem(err, help(err));
            None
        }
    }
}

fn read_table(mut table: Table<'_>) -> Option<Keys> {
    let allow = table.take::<Vec<IpNet>>("allow");
    let is_own = allow.as_ref().is_some_and(|allow| !allow.is_empty());
    let url = read_url(&mut table, is_own);
    let origins = read_origins(&mut table, is_own);
    let is_named = PLACES.iter().any(|place| table.has(place));
    let is_good = allow.is_some() || !table.has("allow");
    let at = if is_named {
        Some(read_field_ref(table, PLACES)?)
    } else {
        // Asked for the list of all keys only.
        for place in PLACES {
            table.take::<String>(place);
        }
        table.finish();
        None
    };
    let settings = KeySettings { url: url?, origins: origins?, allow: allow.unwrap_or_default() };
    is_good.then_some(Keys { settings, at })
}

#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
fn read_url(table: &mut Table<'_>, is_own: bool) -> Option<Option<url::Url>> {
    let Some(text) = table.take::<String>("url") else {
        return (!table.has("url")).then_some(None);
    };
    match read_address(&text, is_own) {
        Ok(url) => Some(Some(url)),
        Err(err) => {
            table.problem("url", err, help(err));
            None
        }
    }
}

fn read_origins(table: &mut Table<'_>, is_own: bool) -> Option<Vec<OriginPattern>> {
    let Some(texts) = table.one_or_many::<String>("origins") else {
        return (!table.has("origins")).then(Vec::new);
    };
    let mut origins = Vec::new();
    for text in texts {
        match OriginPattern::parse(&text, is_own) {
            Ok(origin) => origins.push(origin),
            Err(err) => {
                table.problem("origins", err, help(err));
                return None;
            }
        }
    }
    Some(origins)
}

fn help(err: BadKeyAddress) -> &'static str {
    match err {
        BadKeyAddress::NotPlain => "write `https://HOST/PATH`",
        BadKeyAddress::NotHttps => {
            "write `https://…`; on a network of your own `keys = { url = \"http://…\", allow = \
             [\"10.0.0.0/8\"] }`"
        }
        BadKeyAddress::NotOrigin => "write `https://HOST`, where `*` stands for one label",
    }
}

/// What `keys` of a `verify` table mean for a scheme of this algorithm; `None` = a problem.
pub(super) fn of_verify(
    table: &Table<'_>,
    algorithm: Option<Algorithm>,
    keys: Keys,
) -> Option<FetchRule> {
    if algorithm.is_some_and(|algorithm| !algorithm.has_public_key()) {
        let help = "write `secrets`; or an algorithm with public keys, such as `rsa-sha256`";
        table.problem("keys", "this algorithm has no keys that can be published", help);
        return None;
    }
    let Keys { settings: KeySettings { url, origins, allow }, at } = keys;
    match (url, at) {
        (Some(url), None) if origins.is_empty() => Some(FetchRule::fixed(url, allow)),
        (None, Some(at)) if !origins.is_empty() => {
            let address = KeyAddress::Named { at, origins, path: None };
            Some(FetchRule { address, allow, owner: None, needs_secret: false })
        }
        (_, _) => {
            let help = "write `keys = \"https://…\"`, or where the request names its key `keys = { \
                        header = \"…\", origins = [\"https://…\"] }`";
            table.problem("keys", "this does not say where the keys are", help);
            None
        }
    }
}

/// What `keys` beside a provider change; `None` = a problem.
pub(super) fn of_provider(
    table: &Table<'_>,
    profile: &SigningProfile,
    keys: Keys,
) -> Option<KeySettings> {
    let mut rules = profile.schemes.iter().filter_map(|scheme| scheme.fetch.as_ref());
    let Keys { settings, at } = keys;
    let (message, help) = match rules.next().map(|rule| &rule.address) {
        None => ("this provider publishes no keys", "leave it out"),
        Some(_) if at.is_some() => ("this provider says where its keys are", "leave the place out"),
        Some(KeyAddress::Named { .. }) if settings.url.is_some() => {
            ("each request names its key", "write `origins = [\"https://…\"]`")
        }
        Some(KeyAddress::Fixed(_) | KeyAddress::ById(_)) if !settings.origins.is_empty() => {
            ("its keys are at one address", "write `url = \"https://…\"`")
        }
        Some(_) => return Some(settings),
    };
    table.problem("keys", message, help);
    None
}
