//! Whether the secrets that are there can be keys: a server would not start without.

use crate::secret::{Secret, SecretRef};
use crate::settings::Table;

use super::super::algorithm::AlgorithmKind;
use super::super::keys::{Algorithm, BadKey};
use super::super::settings::SigningProfile;

/// What senders hand out beside the secret that signs, by how it begins.
const MISTAKEN: &[(&str, &[&str], &str)] = &[
    ("stripe", &["sk_", "rk_", "pk_"], "an API key"),
    ("stripe", &["we_"], "the endpoint's id"),
    ("github", &["ghp_", "gho_", "ghs_", "ghu_", "github_pat_"], "an access token"),
    ("gitlab", &["glpat-"], "an access token"),
    ("slack", &["xoxb-", "xoxp-", "xoxe", "xapp-"], "an access token"),
    ("shopify", &["shpat_", "shpca_", "shppa_"], "an access token"),
    ("linear", &["lin_api_", "lin_oauth_"], "an API key"),
    ("paddle", &["pdl_live_apikey_", "pdl_sdbx_apikey_"], "an API key"),
    ("paddle", &["ntfset_"], "the destination's id"),
    ("square", &["EAAA", "sq0"], "an access token or the application's secret"),
    ("typeform", &["tfp_"], "an access token"),
    ("qstash", &["eyJ"], "the token for publishing"),
    ("meta", &["EAA"], "an access token"),
    ("discourse", &["Api-Key"], "an API key"),
];

/// Reports secrets that no scheme of the sender can use, and those that are probably not meant so.
pub(super) fn check_keys(table: &Table<'_>, profile: &SigningProfile, secrets: &[SecretRef]) {
    for (index, place) in secrets.iter().enumerate() {
        // One that is yet to be made will do, and that one is not there was told already.
        let Some(secret) = read(place) else { continue };
        let n = index + 1;
        if let Err(reason) = profile.keys(&secret).1 {
            let message = format!("secret {n} ({place}) cannot be used: {reason}");
            table.problem("secrets", message, help(profile, reason, secret.expose()));
        } else if let Some((what, help)) = doubt(profile, secret.expose()) {
            table.warning("secrets", format!("secret {n} ({place}) {what}"), help);
        }
    }
}

/// What makes it unlikely that the secret is meant as it stands, and what to do.
fn doubt(profile: &SigningProfile, secret: &[u8]) -> Option<(String, String)> {
    let said = |what: &str, help: &str| Some((what.to_owned(), help.to_owned()));
    if is_quoted(secret) {
        let help = "`docker run --env-file` keeps them: leave them out unless the sender has them";
        return said("stands in quotes, which are part of it", help);
    }
    let text = std::str::from_utf8(secret).ok()?;
    let mut kinds = profile.schemes.iter().map(|scheme| scheme.algorithm.kind());
    if kinds.all(takes_public_key) {
        return of_another_kind(profile, text);
    }
    if let Some(invisible) = text.chars().find(|one| is_invisible(*one)) {
        let code = u32::from(invisible);
        let what = format!("holds a character that is not seen (U+{code:04X}) and is part of it");
        let help = "write it again as plain text: `printf %s \"$SECRET\" > FILE`";
        return Some((what, help.to_owned()));
    }
    if text.trim() != text {
        let help = "leave it out unless the sender has it: `printf %s \"$SECRET\" > FILE`";
        return said("begins or ends with a blank or a line break, which is part of it", help);
    }
    if text.starts_with("-----BEGIN ") {
        let help = "name the sender's algorithm, as in `algorithm = \"rsa-sha256\"`, or copy the \
                    secret that both sides know";
        return said("is a key in PEM form, and is used as a shared secret", help);
    }
    of_another_kind(profile, text)
}

/// Something else that the sender hands out, or nothing that it could have handed out.
fn of_another_kind(profile: &SigningProfile, text: &str) -> Option<(String, String)> {
    let is_basic = profile.schemes.iter().all(|scheme| scheme.algorithm == Algorithm::Basic);
    if is_basic && !text.contains(':') {
        let help = "write both into it: `user:password`";
        return Some((
            "has no `:`, and HTTP Basic has a name before it".to_owned(),
            help.to_owned(),
        ));
    }
    let provider = profile.provider?;
    let wanted = match provider.name {
        "aws-sns" if !text.starts_with("arn:") => {
            Some("is not the ARN of a topic (`arn:aws:sns:…`)")
        }
        "plaid" if !text.contains(':') => Some("is not `client_id:secret`"),
        _ => None,
    };
    let mut mistaken = MISTAKEN.iter().filter(|(name, _, _)| *name == provider.name);
    let mistaken =
        mistaken.find(|(_, beginnings, _)| beginnings.iter().any(|one| text.starts_with(one)));
    let what = match (wanted, mistaken) {
        (Some(wanted), _) => wanted.to_owned(),
        (None, Some((_, _, what))) => format!("looks like {what}, which signs no webhooks"),
        (None, None) => return None,
    };
    Some((what, format!("see {}", provider.page)))
}

fn read(place: &SecretRef) -> Option<Secret> {
    if place.is_missing_file() { None } else { place.resolve().ok() }
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
        (_, BadKey::Public) => "copy the whole public key from the sender again".to_owned(),
        (_, BadKey::Empty) => "write the secret into it".to_owned(),
    }
}

fn takes_public_key(kind: AlgorithmKind) -> bool {
    match kind {
        AlgorithmKind::Ed25519 | AlgorithmKind::Ecdsa(_) | AlgorithmKind::Rsa(_) => true,
        AlgorithmKind::Hmac
        | AlgorithmKind::Digest
        | AlgorithmKind::Password
        | AlgorithmKind::Open => false,
    }
}

/// Blanks that look like others or like nothing, and what sets a text's direction.
fn is_invisible(one: char) -> bool {
    matches!(one, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(one, '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Whether it begins and ends with the same quote.
fn is_quoted(text: &[u8]) -> bool {
    matches!(text, [b'"', .., b'"'] | [b'\'', .., b'\''])
}
