//! The shape of a signature that was found, in words and as lines of the configuration.

use super::super::keys::{Algorithm, KeyRule};
use super::super::scheme::Scheme;
use super::super::signature::SignatureFormat;
use super::super::template::{Template, variable};
use super::super::timestamp::{TimestampRule, Unit};
use super::sighting::{Sighting, SignedValue, Spelling};
use super::table::{in_unit, setting};

/// A text that may have been signed.
pub(super) struct SignedText<'a> {
    pub(super) template: &'static str,
    pub(super) time: Option<&'a SignedValue>,
    pub(super) id: Option<&'a SignedValue>,
    pub(super) url: Option<&'a str>,
}

impl SignedText<'_> {
    /// Makes `scheme` sign this text.
    pub(super) fn put_into(&self, scheme: &mut Scheme) {
        let mut template = self.template.to_owned();
        scheme.timestamp = None;
        if let Some(time) = self.time {
            let (unit, is_readable) = unit(&time.value);
            if is_readable {
                let tolerance = TimestampRule::TOLERANCE;
                scheme.timestamp = Some(TimestampRule { at: time.place.clone(), unit, tolerance });
            } else {
                // It is signed all the same.
                let place = format!("{{{}}}", variable(&time.place));
                template = template.replace("{timestamp}", &place);
            }
        }
        if let Some(id) = self.id {
            scheme.id = Some(id.place.clone());
        }
        scheme.url = self.url.map(str::to_owned);
        scheme.each = None;
        scheme.body_sha256 = None;
        scheme.signed = Template::parse(&template).ok();
    }
}

/// What was found, for people and as lines of the configuration.
#[derive(Default)]
pub(super) struct ShapeInWords {
    what: Vec<String>,
    lines: Vec<String>,
}

impl ShapeInWords {
    /// The words, and the lines.
    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.what, self.lines)
    }

    fn line(
        &mut self,
        is_other: bool,
        what: impl FnOnce() -> String,
        line: impl FnOnce() -> String,
    ) {
        if is_other {
            self.what.push(what());
            self.lines.push(format!("`{}`", line()));
        }
    }

    pub(super) fn place(&mut self, scheme: &Scheme, sighting: &Sighting) {
        let is_other = !scheme.signature.places.contains(&sighting.place);
        self.line(is_other, || format!("in the {}", sighting.place), || setting(&sighting.place));
    }

    pub(super) fn algorithm(&mut self, scheme: &Scheme, algorithm: Algorithm) {
        let name = algorithm.name();
        let line = || format!("algorithm = \"{name}\"");
        self.line(scheme.algorithm != algorithm, || format!("as {name}"), line);
    }

    pub(super) fn format(&mut self, scheme: &Scheme, sighting: &Sighting) {
        let is_other = scheme.signature.format != sighting.format;
        match &sighting.format {
            SignatureFormat::Whole { prefix } if prefix.is_empty() => {
                if is_other {
                    let what = || "without anything around it".to_owned();
                    self.line(true, what, || "prefix = \"\"".to_owned());
                }
            }
            SignatureFormat::Whole { prefix } => {
                let prefix = prefix.escape_debug();
                let what = || format!("behind the prefix `{prefix}`");
                self.line(is_other, what, || format!("prefix = \"{prefix}\""));
            }
            SignatureFormat::List { item, pair, keys } => {
                let key = keys.first().map(AsRef::as_ref).unwrap_or_default();
                let what = || format!("in a list (`{key}{pair}…` between `{item}`)");
                let line = || {
                    format!("list = {{ item = \"{item}\", pair = \"{pair}\", key = \"{key}\" }}")
                };
                self.line(is_other, what, line);
            }
            SignatureFormat::Items { item, at } => {
                let at = at.unwrap_or(0);
                let what = || format!("in a list, as its item {at} (between `{item}`)");
                // Each of them may be the signature.
                self.line(is_other, what, || format!("list = {{ item = \"{item}\" }}"));
            }
        }
    }

    pub(super) fn spelling(&mut self, scheme: &Scheme, spelling: Spelling) {
        let what = match spelling {
            Spelling::In(encoding) => {
                let name = encoding.name();
                let is_other = encoding != scheme.signature.encoding;
                let line = || format!("encoding = \"{name}\"");
                return self.line(is_other, || format!("as {name}"), line);
            }
            Spelling::HexInBase64 => "as the base64 of its hex digits",
            Spelling::Pairs => "as hex digits in pairs with a sign such as `:` between",
        };
        self.what.push(what.to_owned());
    }

    pub(super) fn key(&mut self, scheme: &Scheme, rule: &KeyRule) {
        if *rule == scheme.key {
            return;
        }
        let name = rule.encoding.name();
        let cut = if rule.strip.is_empty() { "" } else { " without its `whsec_`" };
        let strip = if rule.strip.is_empty() { "" } else { ", strip = \"whsec_\"" };
        let what = || format!("with the secret read as {name}{cut}");
        self.line(true, what, || format!("key = \"{name}\"{strip}"));
    }

    pub(super) fn text(&mut self, scheme: &Scheme, text: &SignedText<'_>) {
        let written = scheme.signed.as_ref().map(ToString::to_string).unwrap_or_default();
        let signed = text.template.escape_default().to_string();
        let what = || format!("over the text `{signed}`");
        self.line(written != text.template, what, || format!("signed = \"{signed}\""));
        if !text.template.contains("{body") {
            self.lines.push("`allow_unsigned_body = true`".to_owned());
        }
        if let Some(time) = text.time {
            let (unit, is_readable) = unit(&time.value);
            let setting = setting(&time.place);
            let unit = in_unit(unit);
            let is_other = scheme.timestamp.as_ref().is_none_or(|rule| rule.at != time.place);
            if is_readable {
                let line = || format!("timestamp = {{ {setting}{unit} }}");
                self.line(is_other, || format!("with the time of the {}", time.place), line);
            } else {
                self.what.push("with a time that has no unit here".to_owned());
            }
        }
        if let Some(id) = text.id {
            let is_other = scheme.id.as_ref() != Some(&id.place);
            let line = || format!("id = {{ {} }}", setting(&id.place));
            self.line(is_other, || format!("with the id of the {}", id.place), line);
        }
        if let Some(url) = text.url {
            let is_other = scheme.url.as_deref() != Some(url);
            let (what, line) =
                (|| format!("with the address `{url}`"), || format!("url = \"{url}\""));
            self.line(is_other, what, line);
        }
    }
}

/// The unit of a time, and whether it can be read at all.
pub(super) fn unit(value: &str) -> (Unit, bool) {
    let n_digits = value.split('.').next().unwrap_or_default().len();
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match (is_number, n_digits) {
        (true, ..=11) => (Unit::Seconds, true),
        (true, ..=14) => (Unit::Millis, true),
        (true, ..=17) => (Unit::Micros, true),
        (true, n_digits) => (Unit::Nanos, n_digits <= 19),
        (false, _) if value.contains(", ") => (Unit::HttpDate, true),
        (false, _) => (Unit::Rfc3339, true),
    }
}
