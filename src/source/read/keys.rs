//! Whether the secrets that are there can be keys: a server would not start without.

use crate::secret::SecretRef;
use crate::settings::Table;

use super::super::doubt::{doubt, is_assignment, takes_public_keys};
use super::super::keys::BadKey;
use super::super::settings::SigningProfile;

/// What [`SecretRef::resolve`] makes, as far as anything can be told of it.
const MADE: &[u8] = b"6ff8a72e9d0441c3b5e06c1f8a3d2790e4b96d15c87a0f32be41d97806ac53ef";

/// Reports secrets that no scheme of the sender can use, and those that are probably not meant so.
pub(super) fn check_keys(table: &Table<'_>, profile: &SigningProfile, secrets: &[SecretRef]) {
    for (index, place) in secrets.iter().enumerate() {
        let n = index + 1;
        // That one is not there was told already.
        let Some(secret) = place.existing() else {
            if matches!(place, SecretRef::File { create: true, .. }) && place.is_missing_file() {
                check_made(table, profile, n, place);
            }
            continue;
        };
        if let Err(reason) = profile.keys(&secret).1 {
            let message = format!("secret {n} ({place}) cannot be used: {reason}");
            let text = std::str::from_utf8(secret.expose()).unwrap_or_default();
            let help = if text.lines().any(|line| is_assignment(line.trim())) {
                "it looks like a line of an environment file: write the secret alone into it, `printf %s \"$SECRET\" \
                 > FILE`"
                    .to_owned()
            } else {
                help(profile, reason, secret.expose())
            };
            table.problem("secrets", message, help);
        } else if let Some((what, help)) = doubt(profile, secret.expose()) {
            table.warning("secrets", format!("secret {n} ({place}) {what}"), help);
        }
    }
}

/// Reports where a random secret cannot do, before one is made: it would stand in the way of the real one.
fn check_made(table: &Table<'_>, profile: &SigningProfile, n: usize, place: &SecretRef) {
    let said = format!("secret {n} ({place}) is not there, and a random one cannot be used");
    if takes_public_keys(profile) {
        let help = "copy the sender's public key into it; `create = true` makes a secret that both sides know";
        table.problem("secrets", format!("{said}: the sender signs with a key of its own"), help);
    } else if let Some((what, help)) = doubt(profile, MADE) {
        table.warning("secrets", format!("{said}: it {what}"), help);
    }
}

fn help(profile: &SigningProfile, reason: BadKey, secret: &[u8]) -> String {
    let has = |text: &[u8]| memchr::memmem::find(secret, text).is_some();
    match (profile.provider, reason) {
        (_, BadKey::Public) if has(b"PRIVATE KEY") => {
            "it is a private key, which belongs to the sender alone: ask it for the public one"
                .to_owned()
        }
        (_, BadKey::Public)
            if secret.starts_with(b"ssh-") || secret.starts_with(b"ecdsa-sha2-") =>
        {
            "it is a key in OpenSSH's form: `ssh-keygen -e -m PKCS8 -f KEY.pub` writes it as PEM"
                .to_owned()
        }
        (Some(provider), BadKey::Base64 | BadKey::Hex | BadKey::Prefix) => format!(
            "copy the whole secret from the sender again; if it signs with the secret's text as it \
             stands, describe it in a `verify` table with `key = \"utf8\"` in place of `provider = \
             \"{}\"`",
            provider.name
        ),
        (None, BadKey::Base64 | BadKey::Hex | BadKey::Prefix) => {
            "write `key = \"utf8\"` in the `verify` table where the sender signs with the secret's \
             text as it stands"
                .to_owned()
        }
        (_, BadKey::ShortRsa) => {
            "let the sender make a key of 2048 bits or more, and copy the public one".to_owned()
        }
        (_, BadKey::Public) => "copy the whole public key from the sender again".to_owned(),
        (_, BadKey::Empty) => "write the secret into it".to_owned(),
    }
}
