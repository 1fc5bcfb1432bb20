//! Secrets that a request carries as they are: in a header, the query, or the body.

use minijinja::Value;
use minijinja::value::ValueKind;

use crate::body;
use crate::secret::Secret;

use super::super::field_ref::{FieldRef, pairs, query};
use super::super::keys::{Algorithm, KeyRule};
use super::super::rejection::Rejection;
use super::super::scheme::{Envelope, Scheme};
use super::super::signature::{Encoding, SignatureFormat, SignatureRule};
use super::case::{Case, Explanation};
use super::table::{quoted, setting};

/// Shorter secrets would be found in texts that have nothing to do with them.
const SECRET_BYTES_MIN: usize = 6;
/// How many fields of a body are looked at, and how deep: it is a stranger's.
const FIELDS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 8;
/// The longest name or path of a field that is told.
const NAME_BYTES_MAX: usize = 128;
/// What a field is called that holds a secret of a sender which signs nothing.
const NAMES: [&str; 7] = [
    "token",
    "secret",
    "verification_token",
    "verificationtoken",
    "webhook_secret",
    "webhooksecret",
    "secret_token",
];

/// A secret that was sent as it is.
pub(super) struct SentPassword {
    place: FieldRef,
    algorithm: Algorithm,
    /// What stands before it.
    prefix: String,
}

impl Case<'_> {
    /// The secret itself in place of a signature.
    pub(super) fn secret_itself(&self) -> Option<Explanation> {
        if !self.profile().schemes.iter().all(|scheme| scheme.algorithm.signs()) {
            return None;
        }
        let sent = self.sent_password()?;
        let line = format!(
            "the {} holds the secret itself: the sender sends it as a password and signs nothing",
            sent.place
        );
        let change = format!(
            "have `{}` sign its requests, if it can; else {}",
            self.source.settings.profile.name(),
            sent.settings()
        );
        Some(self.with_scheme(&line, &change, &sent.scheme()))
    }

    /// The token at another place than it is looked for.
    pub(super) fn misplaced_token(&self) -> Option<Explanation> {
        let schemes = &self.source.settings.profile.schemes;
        if !schemes.iter().all(|scheme| scheme.algorithm == Algorithm::Token) {
            return None;
        }
        let sent = self.sent_password()?;
        let line = format!("the {} holds the token, and it is looked for elsewhere", sent.place);
        let settings = sent.settings();
        let settings = match settings.strip_prefix("`algorithm = \"token\", ") {
            Some(rest) => format!("`{rest}"),
            None => settings,
        };
        Some(self.with_scheme(&line, &settings, &sent.scheme()))
    }

    /// A field of the body by whose name it is a secret, and that is none of the source's, where nothing is signed.
    pub(super) fn foreign_token(&self, rejection: &Rejection) -> Option<Explanation> {
        if *rejection != Rejection::Missing {
            return None;
        }
        let of_signatures = ["sig", "hmac", "digest", "hash"];
        let is_of_signature = |place: &FieldRef, _: &str| {
            let name = place.name().to_ascii_lowercase();
            of_signatures.iter().any(|part| name.contains(part))
        };
        // What is signed elsewhere than it is looked for has a token beside its signature, too.
        if self.field_of_body(is_of_signature).is_some() || self.may_be_signed() {
            return None;
        }
        let is_token = |place: &FieldRef, value: &str| {
            let name = place.name();
            let last = match place {
                FieldRef::Json(_) => name.rsplit('.').next().unwrap_or(name),
                FieldRef::Form(_)
                | FieldRef::Header(_)
                | FieldRef::Query(_)
                | FieldRef::List(_) => name,
            };
            value.len() >= SECRET_BYTES_MIN && NAMES.contains(&last.to_ascii_lowercase().as_str())
        };
        let place = self.field_of_body(is_token)?;
        let token = Secret::new(place.find(&self.rejected.request).text()?);
        let line = format!(
            "it is not signed, but the {place} looks like a token, and is none of this source's secrets"
        );
        let sent = SentPassword { place, algorithm: Algorithm::Token, prefix: String::new() };
        let change = format!(
            "if that is how the sender shows who it is, write that token into the source's secret, and {}",
            sent.settings()
        );
        Some(self.with_scheme_of(&line, &change, &sent.scheme(), &[token]))
    }

    /// Where the secret itself stands in the request.
    fn sent_password(&self) -> Option<SentPassword> {
        let of = |place, algorithm, prefix| Some(SentPassword { place, algorithm, prefix });
        let request = &self.rejected.request;
        for (name, value) in request.headers.iter() {
            let value = String::from_utf8_lossy(value);
            let value = value.trim();
            // A word may stand before it: `Bearer`, `Token`, `GenieKey`.
            let worded = value.split_once(' ').into_iter().chain(value.rsplit_once(' '));
            for (prefix, word) in worded.chain([("", value)]) {
                let is_basic = prefix.eq_ignore_ascii_case("basic");
                if is_basic && self.is_password(word) {
                    return of(FieldRef::header(name), Algorithm::Basic, "Basic ".to_owned());
                }
                if self.is_secret(word.as_bytes()) {
                    let prefix =
                        if prefix.is_empty() { String::new() } else { format!("{prefix} ") };
                    return of(FieldRef::header(name), Algorithm::Token, prefix);
                }
            }
        }
        let mut fields = pairs(query(request).as_bytes());
        if let Some((name, _)) = fields.find(|(_, value)| self.is_secret(value)) {
            let name = String::from_utf8(name.into_owned()).ok()?;
            return of(FieldRef::Query(name.into()), Algorithm::Token, String::new());
        }
        let place = self.field_of_body(|_, value| self.is_secret(value.trim().as_bytes()))?;
        of(place, Algorithm::Token, String::new())
    }

    /// The first field of the JSON or the form that `is_wanted`, as it can be written down.
    fn field_of_body(&self, is_wanted: impl Fn(&FieldRef, &str) -> bool) -> Option<FieldRef> {
        let request = &self.rejected.request;
        let content_type = request.headers.get("content-type");
        let is_read = |place: &FieldRef| {
            // What is longer is nothing that an owner would write down.
            place.name().len() <= NAME_BYTES_MAX
                && place.find(request).text().is_some_and(|value| is_wanted(place, &value))
        };
        if !body::starts_like_json(request.body) {
            let fields = body::form_fields(content_type, request.body).into_iter().take(FIELDS_MAX);
            let mut places = fields.filter_map(|(name, value)| {
                let place = FieldRef::Form(String::from_utf8(name.into_owned()).ok()?.into());
                is_wanted(&place, std::str::from_utf8(&value).ok()?).then_some(place)
            });
            // Of each place the whole form is read anew.
            return places.next().filter(is_read);
        }
        let payload = body::read(content_type, Some(b"identity"), request.body).ok()?;
        let mut paths = Vec::new();
        walk(payload.value(), &mut paths);
        let mut places = paths
            .into_iter()
            .filter(|(path, value)| is_wanted(&FieldRef::Json(path.clone().into()), value));
        let place = places.next().map(|(path, _)| FieldRef::Json(path.into()))?;
        is_read(&place).then_some(place)
    }

    fn is_secret(&self, text: &[u8]) -> bool {
        let is_it = |secret: &Secret| secret.expose().trim_ascii() == text;
        text.len() >= SECRET_BYTES_MIN && self.source.secrets.iter().any(is_it)
    }

    /// Whether `text` is `user:secret` in base64.
    fn is_password(&self, text: &str) -> bool {
        let decoded = Encoding::Base64.decode(text.as_bytes()).unwrap_or_default();
        let at = decoded.iter().position(|byte| *byte == b':');
        let password = at.and_then(|at| decoded.get(at + 1..));
        self.is_secret(&decoded) || password.is_some_and(|password| self.is_secret(password))
    }
}

impl SentPassword {
    /// How it is written down, between ticks.
    fn settings(&self) -> String {
        if self.algorithm == Algorithm::Basic {
            // The name that comes with it is a part of the secret.
            return "`algorithm = \"basic\"` and, as its secret, `user:password`".to_owned();
        }
        let prefix = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!(", prefix = {}", quoted(prefix)),
        };
        format!("`algorithm = \"token\", {}{prefix}`", setting(&self.place))
    }

    fn scheme(&self) -> Scheme {
        let encoding = match self.algorithm {
            Algorithm::Basic => Encoding::Base64,
            _ => Encoding::Plain,
        };
        let format = SignatureFormat::Whole { prefix: self.prefix.clone().into() };
        Scheme {
            algorithm: self.algorithm,
            signature: SignatureRule { places: vec![self.place.clone()], format, encoding },
            signed: None,
            timestamp: None,
            id: None,
            key: KeyRule::UTF8,
            url: None,
            body_sha256: None,
            envelope: Envelope::Plain,
            each: None,
            either_port: false,
            fetch: None,
        }
    }
}

/// The texts in `value` with their paths, in the order of their depth: not those of which a name has a dot, which no
/// path leads to.
fn walk(value: &Value, found: &mut Vec<(String, String)>) {
    let mut level = vec![(String::new(), value.clone())];
    let mut n_left = FIELDS_MAX;
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for (path, value) in level {
            if let Some(text) = value.as_str() {
                found.push((path, text.to_owned()));
                continue;
            }
            let is_list = value.kind() == ValueKind::Seq;
            if !is_list && value.kind() != ValueKind::Map {
                continue;
            }
            let Ok(items) = value.try_iter() else { continue };
            for (index, item) in items.take(n_left).enumerate() {
                n_left = n_left.saturating_sub(1);
                let (name, item) = if is_list {
                    (index.to_string(), item)
                } else {
                    let Some(name) = item.as_str().filter(|name| !name.contains('.')) else {
                        continue;
                    };
                    let Ok(inner) = value.get_item(&item) else { continue };
                    (name.to_owned(), inner)
                };
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                next.push((path, item));
            }
        }
        level = next;
    }
}
