//! What makes it unlikely that a secret is meant as it stands: another kind of key, a word that stands in for one, characters
//! that are not seen.

use super::keys::Algorithm;
use super::settings::SigningProfile;

/// What senders hand out beside the secret that signs, by how it begins.
const MISTAKEN: &[(&str, &[&str], &str)] = &[
    ("stripe", &["sk_", "rk_", "pk_"], "an API key"),
    ("stripe", &["we_"], "the endpoint's id"),
    ("stripe", &["acct_", "ca_"], "an account's id"),
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
    ("sendgrid", &["SG."], "an API key"),
    ("mailgun", &["key-", "pubkey-"], "an API key"),
    ("intercom", &["dG9rO"], "an access token"),
    ("svix", &["sk_", "testsk_"], "an API key"),
    ("woocommerce", &["ck_", "cs_"], "a key of the REST API"),
];

/// The same of those whose keys are pasted everywhere: no preset's secret begins like this.
const ANYWHERE: &[(&str, &[&str], &str)] = &[
    ("", &["sk_live_", "sk_test_", "rk_live_", "pk_live_", "pk_test_"], "an API key of Stripe"),
    ("", &["ghp_", "gho_", "ghs_", "github_pat_"], "an access token of GitHub"),
    ("", &["glpat-"], "an access token of GitLab"),
    ("", &["xoxb-", "xoxp-", "xapp-"], "an access token of Slack"),
    ("", &["AKIA", "ASIA"], "an access key of AWS"),
    ("", &["https://", "http://"], "an address"),
    ("", &["Bearer ", "Basic "], "a header's value"),
];

/// What signs, where that is mistaken for something else.
const RIGHT: &[(&str, &str)] = &[
    ("stripe", "the endpoint's signing secret (`whsec_…`)"),
    ("github", "the secret that was entered at the webhook"),
    ("gitlab", "the webhook's own token"),
    ("slack", "the app's Signing Secret"),
    (
        "shopify",
        "the app's client secret, or the signing key that the admin's list of webhooks shows",
    ),
    ("linear", "the webhook's signing secret (`lin_wh_…`)"),
    ("paddle", "the destination's secret key (`pdl_ntfset_…`)"),
    ("square", "the subscription's signature key"),
    ("typeform", "the secret that was entered at the webhook"),
    ("qstash", "the signing keys, the current and the next one (`sig_…`)"),
    ("meta", "the app secret"),
    ("mailgun", "the HTTP webhook signing key"),
    ("twilio", "the account's auth token"),
    ("intercom", "the app's client secret"),
    ("svix", "the endpoint's signing secret (`whsec_…`)"),
    ("sendgrid", "the verification key of the signed event webhook"),
    ("discord", "the application's public key"),
];

/// What pages and examples have where a secret should be.
const PLACEHOLDERS: &[&str] = &[
    "changeme",
    "change_me",
    "changeit",
    "replaceme",
    "replace_me",
    "todo",
    "tbd",
    "xxx",
    "xxxx",
    "xxxxxxxx",
    "secret",
    "my_secret",
    "mysecret",
    "your_secret",
    "yoursecret",
    "the_secret",
    "webhook_secret",
    "your_webhook_secret",
    "my_webhook_secret",
    "signing_secret",
    "your_signing_secret",
    "secret_here",
    "your_secret_here",
    "your_webhook_secret_here",
    "your_secret_key",
    "secret_key",
    "secretkey",
    "whsec",
    "whsec_...",
    "whsec_…",
    "whsec_xxx",
    "token",
    "your_token",
    "mytoken",
    "my_token",
    "key",
    "your_key",
    "password",
    "passwort",
    "passw0rd",
    "test",
    "testing",
    "test123",
    "dummy",
    "example",
    "placeholder",
    "foobar",
    "foo",
    "bar",
    "abc",
    "abc123",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "qwerty",
    "letmein",
    "none",
    "null",
    "undefined",
    "nil",
    "true",
    "false",
    "secrets.webhook_secret",
    "insert_secret_here",
    "supersecret",
    "super_secret",
    "s3cret",
    "hunter2",
];

/// Shorter secrets are found by trying.
const SECRET_BYTES_MIN: usize = 8;

/// What makes it unlikely that the secret is meant as it stands, and what to do.
pub(super) fn doubt(profile: &SigningProfile, secret: &[u8]) -> Option<(String, String)> {
    let said = |what: &str, help: &str| Some((what.to_owned(), help.to_owned()));
    if is_quoted(secret) {
        let help = "`docker run --env-file` keeps them: leave them out unless the sender has them";
        return said("stands in quotes, which are part of it", help);
    }
    let text = std::str::from_utf8(secret).ok()?;
    if profile.schemes.iter().all(|scheme| scheme.algorithm.has_public_key()) {
        return of_another_kind(profile, text);
    }
    if let Some(invisible) = text.chars().find(|one| is_invisible(*one)) {
        let code = u32::from(invisible);
        let what = format!("holds a character that is not seen (U+{code:04X}) and is part of it");
        let help = "write it again as plain text: `printf %s \"$SECRET\" > FILE`";
        return Some((what, help.to_owned()));
    }
    if text.lines().any(|line| is_assignment(line.trim())) {
        let help = "write the secret alone into it: `printf %s \"$SECRET\" > FILE`";
        return said("looks like a line of an environment file, whose name is part of it", help);
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
    if text.contains('\n') {
        let help = "write the secret alone into it: `printf %s \"$SECRET\" > FILE`; a second secret is a file of its \
                    own in `secrets`";
        return said("has several lines, all of which are part of it", help);
    }
    if text.contains(['•', '●', '∙']) || text.contains("****") {
        let help = "let the sender's page show the secret, and copy that";
        return said("is masked, as a page shows a secret that it hides", help);
    }
    if let Some(entity) =
        ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().find(|one| text.contains(**one))
    {
        let what = format!("holds `{entity}`, as the source of a page writes one character");
        return Some((what, "copy it from the page as it is shown".to_owned()));
    }
    of_another_kind(profile, text).or_else(|| too_weak(profile, text))
}

/// A word that stands in for a secret, or so short a one that it is guessed.
fn too_weak(profile: &SigningProfile, text: &str) -> Option<(String, String)> {
    // What is known of the sender beside its own keys is no secret.
    if profile.schemes.iter().any(|scheme| scheme.fetch.is_some()) {
        return None;
    }
    let help = "make one that nobody guesses, as by `openssl rand -hex 32`, and give it to the sender \
                too";
    let word = text.to_lowercase().replace(['-', ' ', '<', '>', '{', '}', '[', ']', '$'], "_");
    let what = if PLACEHOLDERS.contains(&word.trim_matches('_')) {
        "is a word that stands in for a secret".to_owned()
    } else if text.len() < SECRET_BYTES_MIN {
        format!("has {} characters only: it can be guessed", text.chars().count())
    } else {
        return None;
    };
    Some((what, help.to_owned()))
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
        "twilio" if is_sid(text, "AC") => Some("is the account's SID, and not its auth token"),
        "twilio" if is_sid(text, "SK") => Some("is the SID of an API key, and not the auth token"),
        _ => None,
    };
    let of_it = MISTAKEN.iter().filter(|(name, _, _)| *name == provider.name);
    let mut mistaken = of_it.chain(ANYWHERE);
    let mistaken =
        mistaken.find(|(_, beginnings, _)| beginnings.iter().any(|one| text.starts_with(one)));
    let what = match (wanted, mistaken) {
        (Some(wanted), _) => wanted.to_owned(),
        (None, Some((_, _, what))) => format!("looks like {what}, which signs no webhooks"),
        (None, None) => return None,
    };
    let right = RIGHT.iter().find(|(name, _)| *name == provider.name);
    let right = right.map_or(String::new(), |(_, right)| format!("what signs is {right}; "));
    Some((what, format!("{right}see {}", provider.page)))
}

/// Whether the secrets are the sender's public keys, and not what is known of one whose keys are fetched.
pub(super) fn takes_public_keys(profile: &SigningProfile) -> bool {
    profile.schemes.iter().all(|scheme| scheme.algorithm.has_public_key() && scheme.fetch.is_none())
}

/// Blanks that look like others or like nothing, and what sets a text's direction.
pub(super) fn is_invisible(one: char) -> bool {
    matches!(one, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(one, '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Whether it begins and ends with the same quote.
fn is_quoted(text: &[u8]) -> bool {
    matches!(text, [b'"', .., b'"'] | [b'\'', .., b'\''])
}

/// Whether it is one of Twilio's ids: a kind and 32 hexadecimal digits.
fn is_sid(text: &str, kind: &str) -> bool {
    let digits = text.strip_prefix(kind);
    digits.is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|one| one.is_ascii_hexdigit())
    })
}

/// `WEBHOOK_SECRET=…`, with or without `export`. Base64 has a `=` at its end only.
pub(super) fn is_assignment(text: &str) -> bool {
    let (is_export, text) = match text.strip_prefix("export ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some((name, value)) = text.split_once('=') else { return false };
    let is_name = |one: u8| one.is_ascii_alphanumeric() || one == b'_';
    let has_lower = name.bytes().any(|one| one.is_ascii_lowercase());
    let words = ["secret", "token", "key", "password"];
    // Of small letters other texts are made, too.
    let is_usual = !has_lower || words.iter().any(|word| name.to_ascii_lowercase().ends_with(word));
    let begins = name.bytes().next().is_some_and(|one| !one.is_ascii_digit());
    let is_named = begins && name.bytes().all(is_name) && is_usual && name.len() > 2;
    (is_export || is_named) && !value.trim_matches('=').is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hardly_meant_as_it_stands_is_told() {
        let github = SigningProfile::provider("github").unwrap();
        for (secret, what) in [
            ("5b2f0c1d9e8a7463\n9c1e5d7a3b8f2046", "has several lines"),
            ("5b2f0c1d&amp;9e8a7463", "holds `&amp;`"),
            ("\"5b2f0c1d9e8a7463\"", "stands in quotes"),
            ("HYVOR_SECRET=5b2f0c1d9e8a7463", "a line of an environment file"),
            ("SECRET=5b2f0c1d9e8a7463", "a line of an environment file"),
            ("webhook_secret=5b2f0c1d9e8a7463\n", "a line of an environment file"),
            (
                "# site\nPORT=80\nexport HYVOR_SECRET='5b2f0c1d9e8a7463'\n",
                "a line of an environment file",
            ),
        ] {
            let (told, _) = doubt(&github, secret.as_bytes()).unwrap();
            assert!(told.contains(what), "{told}");
        }
        assert_eq!(doubt(&github, b"5b2f0c1d&9e8a7463"), None);
        assert_eq!(doubt(&github, b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw="), None);
    }
}
