//! The source's secret in a signature of another shape: at another place, in a list, in another
//! encoding, over another text, or several of these at once.

use super::super::algorithm::AlgorithmKind;
use super::super::keys::{Algorithm, Key, KeyRule};
use super::super::request::Inbound;
use super::super::scheme::{Envelope, Scheme};
use super::super::signature::{Encoding, SignatureRule};
use super::super::template::{Message, Template, Values};
use super::case::{Case, Explanation, because};
use super::shape::{ShapeInWords, SignedText};
use super::sighting::{Sighting, SignedValue, Spelling, beside_the_body, sightings, values};

/// The most bytes that are hashed in search of one: about a second's work.
pub(super) const HASHED_BYTES_MAX: usize = 512 << 20;
/// What a hash of nothing costs beside its bytes.
pub(super) const HASH_COST: usize = 1024;

/// What senders sign that say nothing beside the body.
const ALONE: [&str; 9] = [
    "{body}",
    "{path}{body}",
    "{body}{path}",
    "{method}{path}{body}",
    "{method}\n{path}\n{body}",
    "{method} {path}\n{body}",
    "{body_sha256}",
    "{path}",
    "{method}{path}",
];
const TIMED: [&str; 20] = [
    "{timestamp}.{body}",
    "{timestamp}{body}",
    "{timestamp}:{body}",
    "v0:{timestamp}:{body}",
    "v1:{timestamp}:{body}",
    "v1.{timestamp}.{body}",
    "{body}{timestamp}",
    "{body}.{timestamp}",
    "{body}:{timestamp}",
    "{timestamp}\n{body}",
    "{timestamp}|{body}",
    "{timestamp}-{body}",
    "{timestamp}_{body}",
    "{timestamp},{body}",
    "{timestamp}{method}{path}{body}",
    "{timestamp}.{method}.{path}.{body}",
    "{method}{path}{timestamp}{body}",
    "{path}{timestamp}{body}",
    "{timestamp}.{body_sha256}",
    "{timestamp}",
];
const WITH_ID: [&str; 6] =
    ["{id}.{body}", "{id}{body}", "{id}:{body}", "{body}{id}", "{body}.{id}", "{id}\n{body}"];
const WITH_BOTH: [&str; 12] = [
    "{id}.{timestamp}.{body}",
    "{timestamp}.{id}.{body}",
    "{id}{timestamp}{body}",
    "{timestamp}{id}{body}",
    "{id}:{timestamp}:{body}",
    "{timestamp}:{id}:{body}",
    "{timestamp}{body}{id}",
    "{id}\n{timestamp}\n{body}",
    "{timestamp}\n{id}\n{body}\n",
    "{timestamp}\n{id}\n{body}",
    "{id}|{timestamp}|{body}",
    "{timestamp}{id}",
];
const WITH_URL: [&str; 7] = [
    "{url}{body}",
    "{body}{url}",
    "{method}{url}{body}",
    "{url}.{body}",
    "{url}\n{body}",
    "{method}\n{url}\n{body}",
    "{url}",
];

impl Case<'_> {
    /// A signature by one of the source's secrets, in whatever shape it is.
    pub(super) fn found_elsewhere(&self) -> Option<Explanation> {
        let schemes = &self.source.settings.profile.schemes;
        let is_hmac = |scheme: &&Scheme| {
            matches!(scheme.algorithm.kind(), AlgorithmKind::Hmac)
                && scheme.envelope == Envelope::Plain
        };
        let scheme = schemes.iter().find(is_hmac)?;
        let values = values(&self.rejected.request);
        let sightings = sightings(&values);
        let (times, ids) = beside_the_body(&values);
        let urls = self.public_urls(scheme);
        let texts = texts(&times, &ids, &urls);
        let n_max = HASHED_BYTES_MAX / (self.rejected.request.body.len() + HASH_COST);
        let mut n_tried = 0;
        for (text, rule) in
            key_rules(scheme).iter().flat_map(|rule| texts.iter().map(move |text| (text, rule)))
        {
            for algorithm in algorithms(&sightings, scheme) {
                n_tried += self.source.secrets.len();
                if n_tried > n_max {
                    return None;
                }
                if let Some(sighting) = self.made_by(algorithm, rule, text, &sightings) {
                    return Some(self.tell(scheme, algorithm, rule, text, sighting));
                }
            }
        }
        None
    }

    /// The signature among `sightings` that one of the secrets makes of `text`.
    fn made_by<'s>(
        &self,
        algorithm: Algorithm,
        rule: &KeyRule,
        text: &SignedText<'_>,
        sightings: &'s [Sighting],
    ) -> Option<&'s Sighting> {
        let template = Template::parse(text.template).ok()?;
        let bytes = |one: &SignedValue| one.value.clone().into_bytes().into();
        let filled =
            Values { timestamp: text.time.map(bytes), id: text.id.map(bytes), url: text.url };
        let request: Inbound<'_> = self.rejected.request;
        let message = Message::of(&template, &request, &filled).ok()?;
        self.source.secrets.iter().find_map(|secret| {
            let signature = Key::new(algorithm, rule, secret).ok()?.sign(&message)?;
            sightings.iter().find(|sighting| sighting.bytes == *signature)
        })
    }

    /// The addresses by which the sender may know this one.
    fn public_urls(&self, scheme: &Scheme) -> Vec<String> {
        let headers = self.rejected.request.headers;
        let header = |name| headers.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let hosts = ["x-forwarded-host", "x-original-host", "host"].into_iter().filter_map(header);
        let path = self.rejected.request.path_and_query;
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let mut urls: Vec<String> = scheme.url.clone().into_iter().collect();
        for host in hosts {
            urls.extend(["https", "http"].map(|name| format!("{name}://{}{path}", host.trim())));
        }
        urls.dedup();
        urls.truncate(4);
        urls
    }

    /// What is different from `scheme`, and what to write.
    fn tell(
        &self,
        scheme: &Scheme,
        algorithm: Algorithm,
        rule: &KeyRule,
        text: &SignedText<'_>,
        sighting: &Sighting,
    ) -> Explanation {
        let mut told = ShapeInWords::default();
        told.place(scheme, sighting);
        told.algorithm(scheme, algorithm);
        told.format(scheme, sighting);
        told.spelling(scheme, sighting.spelling);
        told.key(scheme, rule);
        told.text(scheme, text);
        let (what, lines) = told.into_parts();
        let line = format!("it is signed with the secret, but otherwise: {}", what.join(", "));
        let Spelling::In(encoding) = sighting.spelling else {
            let hint = "have the sender write the plain hex or base64 of the signature: nothing here reads this";
            return because(&line, Some(hint));
        };
        let mut found = Scheme {
            algorithm,
            key: rule.clone(),
            signature: SignatureRule {
                places: vec![sighting.place.clone()],
                format: sighting.format.clone(),
                encoding,
            },
            ..scheme.clone()
        };
        text.put_into(&mut found);
        self.with_scheme(&line, &lines.join(", "), &found)
    }
}

/// The hashes that are as long as what was found, the configured one first.
fn algorithms(sightings: &[Sighting], scheme: &Scheme) -> Vec<Algorithm> {
    let others = [
        Algorithm::HmacSha256,
        Algorithm::HmacSha1,
        Algorithm::HmacSha512,
        Algorithm::HmacSha384,
        Algorithm::HmacMd5,
    ];
    let others = others.into_iter().filter(|one| *one != scheme.algorithm);
    let all = [scheme.algorithm].into_iter().chain(others);
    let is_seen =
        |one: &Algorithm| sightings.iter().any(|sighting| one.takes_length(sighting.bytes.len()));
    all.filter(is_seen).collect()
}

/// How the secret may be read, as configured first.
fn key_rules(scheme: &Scheme) -> Vec<KeyRule> {
    let mut rules = vec![scheme.key.clone()];
    let read = [
        (Encoding::Plain, ""),
        (Encoding::Base64, "whsec_"),
        (Encoding::Base64, ""),
        (Encoding::Plain, "whsec_"),
        (Encoding::Hex, ""),
    ];
    for (encoding, strip) in read {
        let rule = KeyRule { encoding, strip: strip.into(), is_prefix_needed: !strip.is_empty() };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    rules
}

/// What may have been signed, the likeliest first.
fn texts<'a>(
    times: &'a [SignedValue],
    ids: &'a [SignedValue],
    urls: &'a [String],
) -> Vec<SignedText<'a>> {
    let plain = |template| SignedText { template, time: None, id: None, url: None };
    let mut texts: Vec<_> = ALONE.into_iter().map(plain).collect();
    for time in times {
        let with_time = |template| SignedText { time: Some(time), ..plain(template) };
        texts.extend(TIMED.into_iter().map(with_time));
        for id in ids {
            let both = |template| SignedText { time: Some(time), id: Some(id), ..plain(template) };
            texts.extend(WITH_BOTH.into_iter().map(both));
        }
    }
    for id in ids {
        texts.extend(
            WITH_ID.into_iter().map(|template| SignedText { id: Some(id), ..plain(template) }),
        );
    }
    for url in urls {
        let with_url = |template| SignedText { url: Some(url), ..plain(template) };
        texts.extend(WITH_URL.into_iter().map(with_url));
    }
    texts
}
