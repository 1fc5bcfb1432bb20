//! What is nearly right: the source's own sender, with one thing written down or passed on wrong.

use std::collections::BTreeSet;

use crate::secret::Secret;

use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::rejection::Rejection;
use super::super::request::Inbound;
use super::super::scheme::Scheme;
use super::super::settings::SigningProfile;
use super::super::signature::SignatureFormat;
use super::super::template::{Part, Template};
use super::case::{Case, Explanation, because};
use super::table::quoted;

/// A secret that its provider has published: it proves nothing.
struct PublishedSecret {
    /// `custom` for one that has no preset.
    provider: &'static str,
    secret: &'static str,
    what: &'static str,
}

const PUBLISHED: &[PublishedSecret] = &[
    // https://developer.zendesk.com/documentation/webhooks/verifying, Test webhook.
    PublishedSecret {
        provider: "zendesk",
        secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
        what: "Zendesk's published test secret, as its \"Test webhook\" is before the webhook is saved",
    },
    // https://developer.paypal.com/api/rest/webhooks/simulator.
    PublishedSecret {
        provider: "paypal",
        secret: "WEBHOOK_ID",
        what: "the word WEBHOOK_ID in place of a webhook's id, as the mock events of PayPal's \
               simulator are",
    },
    // https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/.
    PublishedSecret {
        provider: "custom",
        secret: "test-webhook",
        what: "Mandrill's published test key, as its first POST is, which comes before the webhook has a key",
    },
];

impl Case<'_> {
    /// Quotes that an environment file keeps, or entities of a page that it was copied from.
    pub(super) fn dressed_secret(&self) -> Option<Explanation> {
        for secret in &self.source.secrets {
            let text = secret.expose();
            let inner = match text {
                [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
                _ => &[],
            };
            if !inner.is_empty() && self.fits(&self.profile(), &Secret::new(inner)) {
                return Some(because(
                    "it matches when the quotes around the secret are cut off",
                    Some("write the secret without them: `docker run --env-file` keeps quotes"),
                ));
            }
            let Ok(text) = std::str::from_utf8(text) else { continue };
            let plain = ENTITIES
                .iter()
                .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character));
            if plain != text && self.fits(&self.profile(), &Secret::new(plain)) {
                return Some(because(
                    "it matches when the HTML entities in the secret become characters",
                    Some("the secret was copied out of a page's source: write `&` for `&amp;`"),
                ));
            }
            if let Some(how) = self.dressed_at_the_sender(text) {
                return Some(because(
                    &format!("it matches with {how} the secret: the sender's own has them"),
                    Some("enter the secret at the sender again, as it is in the file here"),
                ));
            }
        }
        None
    }

    /// What the sender's own secret has that ours, `text`, has not.
    fn dressed_at_the_sender(&self, text: &str) -> Option<&'static str> {
        // `&` first: the other entities hold one.
        let entities = |quote: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.replace('"', "&quot;").replace('\'', quote)
        };
        let dressed = [
            (format!("\"{text}\""), "quotes around"),
            (format!("'{text}'"), "quotes around"),
            (entities("&#39;"), "HTML entities in"),
            (entities("&#x27;"), "HTML entities in"),
        ];
        let fits =
            |theirs: &str| theirs != text && self.fits(&self.profile(), &Secret::new(theirs));
        dressed.iter().find(|(theirs, _)| fits(theirs)).map(|(_, how)| *how)
    }

    /// Signed with a published secret.
    pub(super) fn published_secret(&self) -> Option<Explanation> {
        let known = PUBLISHED.iter().find(|known| {
            known.provider == self.source.provider()
                && self.fits(&self.profile(), &Secret::new(known.secret))
        })?;
        Some(because(
            &format!("it is signed with {}", known.what),
            Some("that is no event, and anybody could send it: real ones are signed with your own"),
        ))
    }

    /// A sender that has SHA-1 only, where the preset wants SHA-256 under a like name.
    pub(super) fn sha1_only(&self) -> Option<Explanation> {
        let profile = self.profile();
        let scheme = profile.schemes.iter().find(|scheme| {
            let prefix = SignatureFormat::Whole { prefix: "sha256=".into() };
            scheme.algorithm == Algorithm::HmacSha256 && scheme.signature.format == prefix
        })?;
        let place = scheme.signature.places.iter().find_map(|place| match place {
            FieldRef::Header(name) => {
                Some(FieldRef::header(name.strip_suffix("-256").unwrap_or(name)))
            }
            FieldRef::Query(_) | FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::List(_) => None,
        })?;
        let mut older = scheme.clone();
        older.algorithm = Algorithm::HmacSha1;
        older.signature.places = vec![place.clone()];
        older.signature.format = SignatureFormat::Whole { prefix: "sha1=".into() };
        let older = SigningProfile { schemes: vec![older], ..profile.clone() };
        if !self.any_fits(&older) {
            return None;
        }
        let FieldRef::Header(header) = &place else { return None };
        let change = format!(
            "update the sender, or write `algorithm = \"hmac-sha1\", header = \"{header}\", prefix = \"sha1=\"`"
        );
        let line = "it is signed by SHA-1 only (`sha1=`), which is not taken here";
        Some(self.with_scheme(line, &change, older.schemes.first()?))
    }

    /// The address that is signed, known to the sender in another form.
    pub(super) fn other_url(&self) -> Option<Explanation> {
        let profile = self.profile();
        let signs_url =
            |scheme: &Scheme| scheme.signed.as_ref().is_some_and(|signed| signed.has(&Part::Url));
        if !profile.schemes.iter().any(signs_url) {
            return None;
        }
        let configured = profile.schemes.iter().find_map(|scheme| scheme.url.clone())?;
        for url in self.urls(&configured) {
            let mut other = profile.clone();
            for scheme in &mut other.schemes {
                scheme.url = Some(url.clone());
            }
            if self.any_fits(&other) {
                let line = format!("it matches with the address `{url}`, which the sender knows");
                let change = format!("change it at the sender, or write `url = \"{url}\"`");
                return Some(match profile.provider {
                    Some(_) => {
                        let hint = format!("{change} in [source.{}]", self.source.name());
                        because(&line, Some(&hint))
                    }
                    None => self.with_scheme(&line, &change, other.schemes.first()?),
                });
            }
        }
        None
    }

    /// Other forms of an address: scheme, host, with and without `www`, port, a slash at its end, and the query.
    fn urls(&self, configured: &str) -> BTreeSet<String> {
        let rest = configured.split_once("://").map_or(configured, |(_, rest)| rest);
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let headers = ["host", "x-forwarded-host", "x-original-host"].into_iter();
        let named = headers.filter_map(|name| self.rejected.request.headers.get(name));
        let named = named.filter_map(|value| std::str::from_utf8(value).ok());
        let mut hosts: BTreeSet<String> = named.map(|host| host.trim().to_owned()).collect();
        hosts.insert(host.to_owned());
        hosts.insert(host.strip_prefix("www.").map_or(format!("www.{host}"), str::to_owned));
        let (more, ports) = self.forwarded();
        hosts.extend(more);
        for host in hosts.clone() {
            let port = host
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|one| one.is_ascii_digit()));
            let bare = port.map_or(host.as_str(), |(bare, _)| bare).to_owned();
            hosts.extend(ports.iter().map(|port| format!("{bare}:{port}")));
            hosts.extend([format!("{bare}:443"), format!("{bare}:80"), bare]);
        }
        let sent = self.rejected.request.path_and_query;
        let sent = sent.split_once('?').map_or(sent, |(path, _)| path);
        // That of the request goes before both.
        let queries = BTreeSet::from([query, None]);
        let mut paths = BTreeSet::new();
        for path in [path, sent] {
            let bare = path.trim_end_matches('/');
            paths.extend([path.to_owned(), bare.to_owned(), format!("{bare}/")]);
        }
        paths.extend(self.paths_before_proxies(sent));
        let mut urls = BTreeSet::new();
        for host in &hosts {
            for path in &paths {
                for query in &queries {
                    let query = query.map_or(String::new(), |query| format!("?{query}"));
                    let rest = format!("{host}{path}{query}");
                    urls.extend(["https", "http"].map(|scheme| format!("{scheme}://{rest}")));
                }
            }
        }
        urls
    }

    /// The hosts and the ports that proxies say they were asked at.
    fn forwarded(&self) -> (Vec<String>, Vec<String>) {
        let all = |name: &'static str| {
            let values = self.rejected.request.headers.get_all(name);
            let values = values.filter_map(|value| std::str::from_utf8(value).ok());
            values.flat_map(|value| value.split(',')).map(str::trim).take(FORWARDED_MAX)
        };
        let mut hosts: Vec<String> = Vec::new();
        // Of several proxies each added its own.
        for name in ["x-forwarded-host", "x-original-host", "x-forwarded-server"] {
            hosts.extend(all(name).map(str::to_owned));
        }
        for element in all("forwarded").flat_map(|element| element.split(';')) {
            if let Some((name, host)) = element.split_once('=')
                && name.trim().eq_ignore_ascii_case("host")
            {
                hosts.push(host.trim().trim_matches('"').to_owned());
            }
        }
        let is_port = |port: &&str| {
            (1..=5).contains(&port.len()) && port.bytes().all(|one| one.is_ascii_digit())
        };
        let named = ["x-forwarded-port", "x-original-port"].into_iter().flat_map(all);
        let mut ports: Vec<String> = named.filter(is_port).map(str::to_owned).collect();
        let of_hosts = hosts.iter().filter_map(|host| host.rsplit_once(':'));
        ports.extend(of_hosts.map(|(_, port)| port).filter(is_port).map(str::to_owned));
        hosts.retain(|host| !host.is_empty());
        (hosts, ports)
    }

    /// The paths that proxies say they were asked for, before they took a part away.
    fn paths_before_proxies(&self, sent: &str) -> Vec<String> {
        let header = |name: &&str| {
            let value = self.rejected.request.headers.get(name)?;
            Some(std::str::from_utf8(value).ok()?.trim().to_owned())
        };
        let prefixes = ["x-forwarded-prefix", "x-script-name"];
        let prefixes = prefixes.iter().filter_map(header);
        let restored = prefixes.map(|prefix| format!("{}{sent}", prefix.trim_end_matches('/')));
        let whole = ["x-original-uri", "x-original-url", "x-forwarded-uri", "x-replaced-path"];
        let whole = whole.iter().filter_map(header).map(|uri| {
            let path = uri.split_once("://").map_or(&*uri, |(_, rest)| rest);
            let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or(path);
            path.split('?').next().unwrap_or(path).to_owned()
        });
        restored.chain(whole).filter(|path| path.starts_with('/')).collect()
    }

    /// Signed before it was packed.
    pub(super) fn unpacked_body(&self) -> Option<Explanation> {
        let Inbound { headers, body, .. } = self.rejected.request;
        let packed = match headers.get("content-encoding") {
            Some(encoding) => {
                let encoding = String::from_utf8_lossy(encoding).escape_debug().to_string();
                format!("`Content-Encoding: {encoding}`")
            }
            // No text begins so.
            None if body.starts_with(b"\x1f\x8b") => {
                "by gzip; something took `Content-Encoding` away".to_owned()
            }
            None => return None,
        };
        let mut profile = self.profile();
        for scheme in &mut profile.schemes {
            let signed = scheme.signed.as_ref()?.to_string().replace("{body}", "{unpacked_body}");
            scheme.signed = Some(Template::parse(&signed).ok()?);
        }
        if !self.any_fits(&profile) {
            return None;
        }
        let scheme = profile.schemes.first()?;
        let signed = scheme.signed.as_ref()?.to_string();
        let line = format!("it matches the body as it was before it was packed ({packed})");
        Some(self.with_scheme(&line, &format!("`signed = {}`", quoted(&signed)), scheme))
    }

    /// A signature that came in quotes.
    pub(super) fn quoted_signature(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        let profile = self.profile();
        let schemes = profile.schemes.iter().filter(|scheme| scheme.algorithm.signs());
        for place in schemes.flat_map(|scheme| &scheme.signature.places) {
            let FieldRef::Header(name) = place else { continue };
            let value = place.find(request).text().unwrap_or_default();
            let bare = value.replace(['"', '\''], "");
            if bare == value {
                continue;
            }
            let without =
                |(known, value)| (known, if known == name { bare.as_bytes() } else { value });
            let headers = request.headers.iter().map(without).collect();
            let alone = Inbound { headers: &headers, ..*request };
            let mut secrets = self.source.secrets.iter();
            if secrets.any(|secret| self.fits_request(&profile, secret, &alone)) {
                return Some(because(
                    &format!("it matches without the quotes around the signature in the {place}"),
                    Some(
                        "have the sender send the signature alone: it is written as JSON, or quoted by a shell",
                    ),
                ));
            }
        }
        None
    }

    /// A header that came twice and was joined by a comma.
    pub(super) fn joined_header(&self) -> Option<Explanation> {
        let request = &self.rejected.request;
        let profile = self.profile();
        let places = profile.schemes.iter().flat_map(|scheme| &scheme.signature.places);
        for place in places {
            let FieldRef::Header(name) = place else { continue };
            let value = place.find(request).text().unwrap_or_default();
            let Some((first, rest)) = value.split_once(',') else { continue };
            if !rest.split(',').all(|one| one.trim() == first.trim()) {
                continue;
            }
            let once = |(known, value)| {
                (known, if known == name { first.trim().as_bytes() } else { value })
            };
            let headers = request.headers.iter().map(once).collect();
            let alone = Inbound { headers: &headers, ..*request };
            let mut secrets = self.source.secrets.iter();
            if secrets.any(|secret| self.fits_request(&profile, secret, &alone)) {
                return Some(because(
                    &format!(
                        "it matches when the {place} stands there once: it was joined by a comma"
                    ),
                    Some(
                        "something on its way adds the header a second time: let it set the header once",
                    ),
                ));
            }
        }
        None
    }

    /// A header that a proxy may have dropped for its name.
    pub(super) fn dropped_header(&self, rejection: &Rejection) -> Option<&'static str> {
        let schemes = self.source.settings.profile.schemes.iter();
        let mut places = schemes.flat_map(|scheme| {
            let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
            scheme.signature.places.iter().chain(timestamp).chain(&scheme.id)
        });
        let has_underscore =
            |place: &FieldRef| matches!(place, FieldRef::Header(name) if name.contains('_'));
        let is_missing = matches!(rejection, Rejection::Missing | Rejection::NoVariable(_));
        (is_missing && places.any(has_underscore)).then_some(
            "nginx and others drop headers with `_` in their names: write \
             `underscores_in_headers on;`, or use the name that the sender has with `-`",
        )
    }
}

/// So many values of a header are looked at.
const FORWARDED_MAX: usize = 4;

/// What a page's source has in place of characters; `&amp;` last.
const ENTITIES: &[(&str, &str)] = &[
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    ("&#x2F;", "/"),
    ("&#43;", "+"),
    ("&#61;", "="),
    ("&amp;", "&"),
];
