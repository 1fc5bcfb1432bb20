//! Whether the secrets that are there can be keys: a server would not start without.

use crate::secret::{Secret, SecretRef};
use crate::settings::Table;

use super::super::keys::BadKey;
use super::super::settings::SigningProfile;

/// Reports secrets that no scheme of the sender can use, and those that are probably not meant so.
pub(super) fn check_keys(table: &Table<'_>, profile: &SigningProfile, secrets: &[SecretRef]) {
    for (index, place) in secrets.iter().enumerate() {
        // One that is yet to be made will do, and that one is not there was told already.
        let Some(secret) = read(place) else { continue };
        let n = index.saturating_add(1);
        if let Err(reason) = profile.keys(&secret).1 {
            let message = format!("secret {n} ({place}) cannot be used: {reason}");
            table.problem("secrets", message, help(profile, reason));
        } else if is_quoted(secret.expose()) {
            let message = format!("secret {n} ({place}) stands in quotes, which are part of it");
            let help =
                "`docker run --env-file` keeps them: leave them out unless the sender has them";
            table.warning("secrets", message, help);
        }
    }
}

fn read(place: &SecretRef) -> Option<Secret> {
    if place.is_missing_file() { None } else { place.resolve().ok() }
}

fn help(profile: &SigningProfile, reason: BadKey) -> String {
    match (profile.provider, reason) {
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
        (_, BadKey::Public) => "copy the whole public key from the sender again".to_owned(),
        (_, BadKey::Empty) => "write the secret into it".to_owned(),
    }
}

/// Whether it begins and ends with the same quote.
fn is_quoted(text: &[u8]) -> bool {
    matches!(text, [b'"', .., b'"'] | [b'\'', .., b'\''])
}
