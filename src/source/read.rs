//! Reads `[source.NAME]` out of the configuration.

use std::time::Duration;

use ipnet::IpNet;

use crate::secret::SecretRef;
use crate::settings::{ByteSize, Table, parse_duration};

use super::handshake::Handshake;
use super::identity::DedupePolicy;
use super::keys::Algorithm;
use super::providers::{PROVIDERS, Provider};
use super::scheme::Scheme;
use super::settings::{Overrides, RateLimit, SigningProfile, SourceSettings};
use super::split::Split;

mod answer;
mod checks;
mod envelope;
mod fetched;
mod field_ref;
mod handshake;
mod keys;
mod verify;

use answer::{read_answer, read_methods};
use checks::{check_query, check_url, check_weaknesses};
use fetched::{of_provider, read_keys};
use field_ref::check_json_path;
use handshake::{check_handshake, read_handshakes};
use keys::check_keys;
use verify::read_verify;

impl SourceSettings {
    /// Reads `[source.NAME]`. `address` is where its sender reaches it, as far as the owner has said. `None` = a
    /// problem was recorded. The caller finishes the table.
    pub fn read(table: &mut Table<'_>, address: Option<&str>) -> Option<Self> {
        let secrets = table.one_or_many::<SecretRef>("secrets");
        let help = "for example `dedupe = \"24h\"`, or \"off\"";
        let dedupe = table.checked_or("dedupe", help, |text: String| match text.as_str() {
            "off" => Ok(DedupePolicy::Off),
            text => parse_duration(text).map(|window| match window {
                Duration::ZERO => DedupePolicy::Off,
                window => DedupePolicy::Window(window),
            }),
        });
        let help = "for example `rate_limit = \"50/s\"`";
        let rate_limit = table.checked_or("rate_limit", help, |text: String| {
            RateLimit::parse(&text).map_err(|err| format!("{err}: {}", RateLimit::HELP))
        });
        let allow = read_allow(table);
        let expect_every = table.take::<Duration>("expect_every");
        let body_max = table.checked("body_max", ByteSize::of_body);
        let verify_token = table.take::<SecretRef>("verify_token");
        let (split, split_at) = read_split(table);
        let methods = read_methods(table, Self::METHODS);
        let answer = table.table("answer").map(read_answer);
        let profile = read_profile(table, address);
        let handshakes = read_handshakes(table);
        let mut profile = profile?;
        for handshake in &handshakes {
            let secrets = secrets.as_deref().unwrap_or_default();
            let usual = Self::usual_methods(&profile);
            let methods = methods.as_ref().and_then(Option::as_deref).unwrap_or(usual);
            let secrets = (secrets, verify_token.as_ref());
            check_handshake(table, &profile, handshake, secrets, methods);
        }
        if methods.iter().flatten().flatten().any(|method| *method == "GET") {
            check_query(table, &profile);
        }
        let secrets = check_secrets(table, &profile, secrets)?;
        check_verify_token(table, &profile, !handshakes.is_empty());
        profile.handshakes.extend(handshakes);
        if profile.schemes.iter().all(|scheme| !scheme.algorithm.signs()) {
            profile.handshakes.push(Handshake::cloud_events());
        }
        if table.reads_secrets() {
            check_keys(table, &profile, &secrets);
        }
        let plain = Self::new(profile, secrets);
        Some(Self {
            methods: methods?.unwrap_or_else(|| plain.methods.clone()),
            answer: answer.unwrap_or_else(|| Some(plain.answer.clone()))?,
            dedupe: dedupe.unwrap_or(DedupePolicy::Identity),
            rate_limit,
            allow: allow.unwrap_or_default(),
            expect_every,
            body_max: body_max.map(|size| size.0).or(plain.body_max),
            split: split.unwrap_or(plain.split),
            split_at,
            verify_token,
            ..plain
        })
    }
}

/// The networks that may send. An empty list would shut no sender out, which its owner hardly means.
fn read_allow(table: &mut Table<'_>) -> Option<Vec<IpNet>> {
    let allow = table.one_or_many::<IpNet>("allow");
    if allow.as_ref().is_some_and(Vec::is_empty) {
        let help = "leave it out where everybody may send; else name the networks, as in \
                    `allow = [\"203.0.113.0/24\"]`";
        table.problem("allow", "a list without an address in it says nothing", help);
    }
    allow
}

/// How a request becomes events, and where its list is.
fn read_split(table: &mut Table<'_>) -> (Option<Split>, Option<String>) {
    let split = table.choice("split", Split::ALL);
    let path = table.take::<String>("split_at");
    if let Some(path) = &path {
        check_json_path(table, "split_at", path);
    }
    let is_off = split.map_or(!table.has("provider"), |split| split == Split::Off);
    if path.is_some() && is_off {
        table.warning("split_at", "nothing is split", "write `split = \"json-array\"`, too");
    }
    (split, path)
}

/// Whether the word that a handshake shows is there where one does, and only there.
fn check_verify_token(table: &mut Table<'_>, profile: &SigningProfile, has_own: bool) {
    if !table.has("verify_token") && profile.handshakes.iter().any(|one| one.token.is_some()) {
        table.warning_here(
            "the sender asks whether the address is yours, and is answered only where `verify_token` is \
             set: the address could not be registered",
            "write `verify_token = { file = \"data/secrets/…\", create = true }`, and enter that word at \
             the sender",
        );
    }
    if table.has("verify_token") && !has_own && profile.handshakes.is_empty() {
        table.warning(
            "verify_token",
            "no handshake of this source asks for it",
            "name the question in `handshake`, or leave it out; a token that each request carries is a \
             secret: `secrets` with `algorithm = \"token\"`",
        );
    }
}

/// The secrets, where they are what the profile needs. `None` = a problem was recorded.
fn check_secrets(
    table: &mut Table<'_>,
    profile: &SigningProfile,
    secrets: Option<Vec<SecretRef>>,
) -> Option<Vec<SecretRef>> {
    let is_open = !profile.schemes.iter().any(Scheme::needs_secret);
    if is_open && table.has("secrets") && profile.schemes.iter().any(|one| one.fetch.is_some()) {
        let why = "the keys are fetched: there is nothing secret";
        table.problem("secrets", why, "leave it out");
        return None;
    }
    if table.has("secrets") && profile.schemes.iter().all(|one| one.algorithm == Algorithm::None) {
        table.problem(
            "secrets",
            "nothing is checked by them: `verify` says `algorithm = \"none\"`",
            "name the algorithm by which the sender signs; where it signs nothing, leave them out",
        );
        return None;
    }
    if !is_open && !table.has("secrets") {
        no_secrets(table);
        return None;
    }
    let secrets = secrets.or_else(|| is_open.then(Vec::new))?;
    if !is_open && secrets.is_empty() {
        table.problem("secrets", "without a secret anybody could send", "name at least one");
        return None;
    }
    Some(secrets)
}

fn no_secrets(table: &mut Table<'_>) {
    let write = "write `secrets = [{ file = \"data/secrets/…\" }]`";
    if table.has("secret") && table.text_of("secret").is_none() {
        let help = "put what stands here into a list: `secrets = [{ … }]`";
        table.reject("secret", "a source has a list of secrets", help);
    } else if table.has("secret") {
        let message = "a source has a list of secrets, and none stands in this file";
        table.reject("secret", message, format_args!("{write}, and the secret into that file"));
    } else {
        table.missing("secrets", &format!("{write}: without a secret anybody could send"));
    }
}

/// The preset, or the `verify` table in its place.
fn read_profile(table: &mut Table<'_>, address: Option<&str>) -> Option<SigningProfile> {
    let example = match table.text_of("verify") {
        Some("none") => "{ algorithm = \"none\" }",
        _ => "{ algorithm = \"hmac-sha256\", header = \"X-Signature\" }",
    };
    let verify = table.table_like("verify", example).map(|table| read_verify(table, address));
    if table.has("provider") && table.has("verify") {
        table.problem(
            "verify",
            "a source has a provider or a verify table, not both",
            "leave one of them out; `provider` also knows the sender's types, ids and questions",
        );
        read_provider(table, address);
        return None;
    }
    if table.has("verify") {
        // Asked for the list of all keys only: they belong to a provider.
        table.take::<String>("provider");
        return verify.flatten();
    }
    if !table.has("provider") {
        // What says how a sender of one's own signs, one table too high.
        let verify =
            ["header", "signed", "encoding", "timestamp"].into_iter().find(|key| table.has(key));
        let verify = match verify {
            Some(key) => format!(
                "`{key}` and what else says how it signs stand in `[{}.verify]`",
                table.path()
            ),
            None => "or write a `verify` table".to_owned(),
        };
        table.missing("provider", &format!("{}; {verify}", known_providers()));
    }
    read_provider(table, address)
}

fn known_providers() -> String {
    let names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    format!("providers: {}", names.join(", "))
}

fn read_provider(table: &mut Table<'_>, address: Option<&str>) -> Option<SigningProfile> {
    let name = table.take::<String>("provider");
    let preset = name.as_deref().and_then(Provider::parse);
    let preset = preset.and_then(|preset| SigningProfile::provider(preset.name));
    let algorithm = match preset.as_ref().and_then(|plain| wrong_algorithm(table, plain)) {
        Some(wrong) => Err(wrong),
        None => Ok(table.choice("algorithm", Algorithm::ALL)),
    };
    let url = table.take::<String>("url");
    let tolerance = table.take::<Duration>("tolerance");
    let is_allowed = table.take_or("allow_unsigned_body", false);
    let keys = read_keys(table);
    let name = name.as_deref()?;
    let Some(provider) = Provider::parse(name) else {
        let help = match Provider::nearest(name) {
            Some(near) => format!("did you mean \"{near}\"? {}", known_providers()),
            None => format!(
                "{}; for others docs/senders.md has what to write into a `verify` table",
                known_providers()
            ),
        };
        table.problem("provider", format_args!("no provider `{}`", name.escape_debug()), help);
        return None;
    };
    let plain = SigningProfile::provider(provider.name)?;
    let mut is_good = true;
    let algorithm = algorithm.unwrap_or_else(|(written, help)| {
        let message = format_args!("`{name}` does not sign by `{}`", written.escape_debug());
        table.reject("algorithm", message, help);
        is_good = false;
        None
    });
    if tolerance.is_some() && plain.schemes.iter().all(|scheme| scheme.timestamp.is_none()) {
        table.problem("tolerance", format_args!("`{name}` sends no timestamp"), "leave it out");
        is_good = false;
    }
    let keys = match keys? {
        Some(keys) => Some(of_provider(table, &plain, keys)?),
        None => None,
    };
    let mut profile = plain.with(Overrides { algorithm, url, tolerance, keys });
    is_good &= check_url(table, &mut profile.schemes, address);
    for scheme in &profile.schemes {
        is_good &= check_weaknesses(table, "provider", scheme, is_allowed);
    }
    is_good.then_some(profile)
}

/// The `algorithm` that a preset does not sign by, and what to write: the one that is called nearly so.
fn wrong_algorithm<'a>(table: &Table<'a>, plain: &SigningProfile) -> Option<(&'a str, String)> {
    let written = table.text_of("algorithm")?;
    let mut names: Vec<&str> = plain.schemes.iter().map(|scheme| scheme.algorithm.name()).collect();
    if names.contains(&written) {
        return None;
    }
    names.dedup();
    // `SHA-256` is how HMAC-SHA256 is called in consoles.
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
        name.strip_prefix("hmac").map_or_else(|| name.clone(), str::to_owned)
    };
    let all = format!("it signs by: {}", names.join(", "));
    Some((
        written,
        match names.iter().find(|name| bare(name) == bare(written)) {
            Some(near) => format!("write `algorithm = \"{near}\"`; {all}"),
            None => all,
        },
    ))
}

#[cfg(test)]
mod tests;
