//! What a rejection says by itself: nothing needs to be tried to explain it.

use minijinja::value::ValueKind;

use crate::body;

use super::super::jwt::JwtRule;
use super::super::rejection::Rejection;
use super::super::scheme::Envelope;
use super::super::settings::SigningProfile;
use super::super::template::Template;
use super::super::timestamp::Unit;
use super::case::{Case, Explanation, because};

/// A clock is seldom off by more: what is older is a late repeat.
const LATE_S: i64 = 600;

/// How far a time may be off that is recognised in another unit.
const DAY_MS: u64 = 86_400_000;

impl Case<'_> {
    /// The explanation of a rejection that says what it is; nothing where the reason is to be looked
    /// for.
    pub(super) fn of_rejection(&self, rejection: &Rejection) -> Option<Explanation> {
        match rejection {
            Rejection::Stale { seconds } => Some(self.stale(*seconds)),
            Rejection::BadTimestamp => Some(self.bad_timestamp()),
            Rejection::NoVariable(what) => self.of_missing_value(what).or_else(|| {
                let hint = "a proxy in front may drop it, or the sender is not the one configured";
                Some(because(
                    &format!("the {what} is missing, which is part of what is signed"),
                    Some(self.dropped_header(rejection).unwrap_or(hint)),
                ))
            }),
            Rejection::Repeated(what) => Some(because(
                &format!("the {what} is there more than once, which no honest sender does"),
                Some("look for a proxy that adds it a second time"),
            )),
            Rejection::Claim(name) => {
                let line = format!("it is signed, but its `{name}` is not the expected one");
                Some(because(&line, Some(&self.of_claim(name))))
            }
            Rejection::ForeignKey(place) => {
                let line = format!("the address in {place} leads to no host of the sender's");
                let hint = format!(
                    "its keys are on {}: nothing was fetched, and whoever sent this is somebody else",
                    self.key_places()
                );
                Some(because(&line, Some(&hint)))
            }
            Rejection::KeyNotFetched(why) => {
                let line =
                    format!("whether it is signed is not known, for its key is missing: {why}");
                let hint = self.of_missing_key(why);
                Some(because(&line, Some(&hint)))
            }
            Rejection::TooManyFields => {
                Some(because("the form has more fields than any sender has", None))
            }
            Rejection::NotUnpacked => Some(because(
                "the body cannot be unpacked, which is signed as it was before it was packed",
                Some(
                    "gzip, deflate and br are unpacked, to 16 MiB and 200 times what came at most",
                ),
            )),
            Rejection::Missing
            | Rejection::NotWrapped
            | Rejection::Undecodable
            | Rejection::WrongLength
            | Rejection::Mismatch => None,
        }
    }

    /// A value that is there all the same, or that stands in a token or an address.
    fn of_missing_value(&self, what: &str) -> Option<Explanation> {
        let of_token = || self.missing_claim(what);
        self.composed_value(what).or_else(of_token).or_else(|| self.unknown_url(what))
    }

    /// A field that is there, and is no text that could be signed.
    fn composed_value(&self, what: &str) -> Option<Explanation> {
        let schemes = &self.source.settings.profile.schemes;
        let mut places = schemes.iter().flat_map(|scheme| {
            let timestamp = scheme.timestamp.as_ref().map(|rule| &rule.at);
            let signed = scheme.signed.iter().flat_map(Template::places);
            signed.chain(timestamp).chain(&scheme.id)
        });
        let path = places.find(|place| place.to_string() == what)?.json_path()?;
        let request = &self.rejected.request;
        let content_type = request.headers.get("content-type");
        let payload = body::read(content_type, Some(b"identity"), request.body).ok()?;
        let value = body::at(payload.value(), path.split('.'))?;
        let (kind, item) = match value.kind() {
            ValueKind::Seq => ("a list", "0".to_owned()),
            ValueKind::Map => {
                let first = value.try_iter().ok()?.next();
                ("an object", first.map_or_else(|| "NAME".to_owned(), |name| name.to_string()))
            }
            _ => return None,
        };
        let line = format!(
            "the {what} is there, but is {kind}: only a text, a number or a truth value can stand in what is signed"
        );
        let hint = format!(
            "name the part of it that the sender signs, as `{{json:{path}.{}}}`; where it signs the whole of it as it \
             stands, that cannot be written down: ask for a signature over the body",
            item.escape_debug()
        );
        Some(because(&line, Some(&hint)))
    }

    /// What to do about a key that cannot be fetched.
    fn of_missing_key(&self, why: &str) -> String {
        let places = self.key_places();
        // The host is there, and says of this key that it has none.
        if why.contains("answered 4") {
            return format!(
                "{places} has no such key for us: the request is of another environment (sandbox, production), \
                 or the account in the source's secrets is wrong"
            );
        }
        format!(
            "let this machine reach {places} (DNS, port 443, a firewall); the sender was asked to come again, \
             and it can be released once the key is there"
        )
    }

    /// What to do about a claim that is not the expected one.
    fn of_claim(&self, name: &str) -> String {
        let table = self.table();
        match name {
            "TopicArn" => "the source's secret is the ARN of another topic: add this one's to `secrets`, \
                           or take the subscription away"
                .to_owned(),
            "alg" => format!("compare `algorithm` in {table} with the `alg` of the token's header"),
            "iss" => format!("compare `issuer` in {table} with what the sender's page says"),
            "aud" => format!("compare `audience` in {table} with what the sender's page says"),
            name if self.is_body_hash(name) || name.contains("sha256") => {
                "the body was changed on its way here: let the proxy in front pass it through untouched"
                    .to_owned()
            }
            _ => format!(
                "compare {table} with what the sender's page says of its tokens or signatures"
            ),
        }
    }

    /// A time that is read in another unit than it is written in.
    fn other_unit(&self, seconds: i64) -> Option<Explanation> {
        let now = self.rejected.received_at.as_millis();
        let read = now.checked_sub(seconds.checked_mul(1000)?)?;
        let schemes = &self.source.settings.profile.schemes;
        let rule = schemes.iter().find_map(|scheme| scheme.timestamp.as_ref())?;
        let (configured, written) = match rule.unit {
            Unit::Seconds => ("seconds", read.div_euclid(1000)),
            Unit::Millis => ("milliseconds", read),
            Unit::Micros => ("microseconds", read.checked_mul(1000)?),
            Unit::Nanos => ("nanoseconds", read.checked_mul(1_000_000)?),
            Unit::Rfc3339 | Unit::HttpDate => return None,
        };
        // As it stands there where it can be found: of a time that is off by decades seconds are too coarse.
        let text = rule.at.find(&self.rejected.request).text();
        let written = text.and_then(|text| text.trim().parse().ok()).unwrap_or(written);
        let units = [
            (Unit::Seconds, "seconds", written.checked_mul(1000)),
            (Unit::Millis, "milliseconds", Some(written)),
            (Unit::Micros, "microseconds", Some(written.div_euclid(1000))),
            (Unit::Nanos, "nanoseconds", Some(written.div_euclid(1_000_000))),
        ];
        let is_now = |millis: &i64| now.abs_diff(*millis) < DAY_MS;
        let (unit, word, _) =
            units.iter().find(|(_, _, millis)| millis.as_ref().is_some_and(is_now))?;
        if *unit == rule.unit {
            return None;
        }
        let line =
            format!("the signature is good, but its time is in {word}, and read as {configured}");
        Some(self.with_unit(&line, *unit))
    }

    /// The scheme with its time written in `unit`.
    fn with_unit(&self, line: &str, unit: Unit) -> Explanation {
        let schemes = &self.source.settings.profile.schemes;
        let scheme = schemes.iter().find(|scheme| scheme.timestamp.is_some());
        let Some(mut scheme) = scheme.cloned() else { return because(line, None) };
        if let Some(rule) = &mut scheme.timestamp {
            rule.unit = unit;
        }
        self.with_scheme(line, &format!("`unit = \"{}\"` of the timestamp", unit.name()), &scheme)
    }

    /// A time that cannot be read.
    fn bad_timestamp(&self) -> Explanation {
        let schemes = &self.source.settings.profile.schemes;
        let rule = schemes.iter().find_map(|scheme| scheme.timestamp.as_ref());
        let text = rule.and_then(|rule| rule.at.find(&self.rejected.request).text());
        let text = text.unwrap_or_default();
        let n_digits = text.trim().bytes().filter(u8::is_ascii_digit).count();
        let is_number = n_digits == text.trim().len() && n_digits > 0;
        let line = "the signature is good, but its timestamp cannot be read";
        match (is_number, n_digits) {
            (true, 18..=19) => self.with_unit(line, Unit::Nanos),
            (true, 15..=17) => self.with_unit(line, Unit::Micros),
            (true, 12..=14) => self.with_unit(line, Unit::Millis),
            (true, ..=11) => self.with_unit(line, Unit::Seconds),
            (false, _) if text.contains(':') => self.with_unit(line, Unit::Rfc3339),
            (true, 20..) | (false, _) => {
                because(line, Some("check `unit` of the timestamp: s, ms, us, ns or rfc3339"))
            }
        }
    }

    /// The key that says how old a request may be.
    fn key_of_tolerance(&self) -> String {
        let SigningProfile { provider, schemes, .. } = &self.source.settings.profile;
        let envelope = schemes.first().map(|scheme| &scheme.envelope);
        match (provider, envelope) {
            (Some(_), _) => format!("`tolerance = \"…\"` in [source.{}]", self.source.name()),
            // How long a token holds is its sender's to say, by `exp`.
            (None, Some(Envelope::Jwt(JwtRule { max_age: None, .. }))) => {
                format!("`jwt.leeway` in {}", self.table())
            }
            (None, Some(Envelope::Jwt(_))) => {
                format!(
                    "`jwt.max_age`, or `jwt.leeway` where the token itself ended (`exp`), in {}",
                    self.table()
                )
            }
            (None, Some(Envelope::HttpMessage(_))) => {
                format!("`message_signature.tolerance` in {}", self.table())
            }
            (None, _) => format!("`tolerance` of the timestamp in {}", self.table()),
        }
    }

    fn stale(&self, seconds: i64) -> Explanation {
        if let Some(explanation) = self.other_unit(seconds) {
            return explanation;
        }
        let off = seconds.unsigned_abs();
        let line = if seconds >= LATE_S {
            format!(
                "it comes late: the signature is good, but it was made {off} s before the request \
                 came; a repeat that kept its first time looks like this"
            )
        } else if seconds >= 0 {
            format!(
                "the clock is {off} s off: the signature is good, but it was made {off} s before \
                 the request came"
            )
        } else {
            format!(
                "the clock is {off} s off: the signature is good, but it was made {off} s after \
                 the request came"
            )
        };
        let key = self.key_of_tolerance();
        if seconds >= LATE_S {
            let hint = format!(
                "if the sender is known to repeat or to be late, widen {key}; what was seen before \
                 is told by its identity. If every request fails like this, set this machine's \
                 clock (`timedatectl`)"
            );
            return because(&line, Some(&hint));
        }
        let hint = format!(
            "set this machine's clock (`timedatectl`); an old request that somebody repeats looks \
             the same, so widen {key} only if the sender is known to be late"
        );
        because(&line, Some(&hint))
    }
}
