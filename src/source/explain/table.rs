//! A scheme as the whole `verify` table that describes it, ready to be pasted.

use std::fmt::Write as _;

use crate::event::DataRoot;
use crate::secret::Secret;
use crate::settings::show_duration;

use super::super::field_ref::FieldRef;
use super::super::keys::Algorithm;
use super::super::request::Inbound;
use super::super::scheme::{Envelope, Scheme, Weakness};
use super::super::settings::SigningProfile;
use super::super::signature::{Encoding, SignatureFormat};
use super::super::timestamp::{TimestampRule, Unit};
use super::super::type_rule::TypeRule;
use super::asked::to_form;
use super::case::{Case, Explanation, because};

impl Case<'_> {
    /// `line`, and what to write so that the source's requests are judged by `scheme`: `change` says it shortly, the
    /// table of the explanation is whole.
    pub(super) fn with_scheme(&self, line: &str, change: &str, scheme: &Scheme) -> Explanation {
        self.with_scheme_of(line, change, scheme, &self.source.secrets)
    }

    /// The same where the source has one of `secrets` by then.
    pub(super) fn with_scheme_of(
        &self,
        line: &str,
        change: &str,
        scheme: &Scheme,
        secrets: &[Secret],
    ) -> Explanation {
        let profile = SigningProfile { schemes: vec![scheme.clone()], ..self.profile() };
        // What would not take the request after all is not to be pasted.
        let fits = secrets.iter().any(|secret| self.fits(&profile, secret));
        let table = if fits { self.verify_table(scheme) } else { None };
        let hint = format!("{change} in {}", self.table());
        match table {
            Some(table) => {
                let hint = format!("{hint}{}", self.where_to_paste());
                Explanation { config_table: Some(table), ..because(line, Some(&hint)) }
            }
            None => because(line, Some(&hint)),
        }
    }

    /// What must go for the table to take its place. At the end of the file no other key gets into it.
    fn where_to_paste(&self) -> String {
        let name = self.source.name();
        let SigningProfile { provider, schemes, data_root, handshakes, .. } =
            &self.source.settings.profile;
        let Some(provider) = provider else {
            return format!(
                "; below is the whole of it: take the `verify` table that is there out of [source.{name}], and write \
                 this at the end of the file"
            );
        };
        let plain = SigningProfile::provider(provider.name);
        let plain = plain.map_or_else(Vec::new, |plain| plain.schemes);
        let tolerance = |scheme: &Scheme| scheme.timestamp.as_ref().map(|rule| rule.tolerance);
        let beside = [
            ("url", schemes.iter().any(|scheme| scheme.url.is_some())),
            ("algorithm", schemes.len() != plain.len()),
            ("tolerance", schemes.first().map(tolerance) != plain.first().map(tolerance)),
            ("allow_unsigned_body", self.source.settings.profile.needs_consent()),
        ];
        let mut keys = String::from("`provider`");
        for (key, _) in beside.iter().filter(|(_, is_there)| *is_there) {
            // Writing to a string cannot fail.
            write!(keys, ", `{key}`").unwrap_or_default();
        }
        let mut text = format!(
            ": take {keys} out of [source.{name}], and write the table below at the end of the file"
        );
        if *data_root == DataRoot::Data {
            text.push_str("; `data` is then the whole payload, so write `payload.data` in filters and templates");
        }
        if !handshakes.is_empty() {
            text.push_str("; the questions of that provider are answered no more");
        }
        text
    }

    /// The whole table; nothing where it has no words for `scheme`.
    fn verify_table(&self, scheme: &Scheme) -> Option<String> {
        if scheme.envelope != Envelope::Plain || scheme.fetch.is_some() {
            return None;
        }
        // A table has no key for it.
        if scheme.body_sha256.is_some() {
            return None;
        }
        let mut lines = vec![
            format!("[source.{}.verify]", self.source.name()),
            format!("algorithm = {}", quoted(scheme.algorithm.name())),
        ];
        lines.extend(signature_lines(scheme)?);
        lines.extend(text_lines(scheme));
        let request = &self.rejected.request;
        let SigningProfile { delivery_id, event_type, .. } = &self.source.settings.profile;
        let id = scheme.id.clone().or_else(|| present(delivery_id, request));
        lines.extend(id.map(|place| format!("id = {{ {} }}", setting(&place))));
        let event_type = match event_type {
            TypeRule::Literal(text) => Some(format!("literal = {}", quoted(text))),
            TypeRule::Method => Some("literal = \"{method}\"".to_owned()),
            TypeRule::At(places) => present(places, request).as_ref().map(setting),
        };
        lines.extend(event_type.map(|place| format!("type = {{ {place} }}")));
        Some(lines.join("\n"))
    }
}

/// The first of `places` that `request` has, or has in a form's field of that name, or else the first.
fn present(places: &[FieldRef], request: &Inbound<'_>) -> Option<FieldRef> {
    let is_there = |place: &FieldRef| place.find(request).text().is_some();
    let of_form = places.iter().map(|place| {
        let mut place = place.clone();
        to_form(&mut place);
        place
    });
    let mut all = places.iter().cloned().chain(of_form);
    all.find(is_there).or_else(|| places.first().cloned())
}

/// Where the signature is, and how it is written.
fn signature_lines(scheme: &Scheme) -> Option<Vec<String>> {
    let rule = &scheme.signature;
    let is_basic = scheme.algorithm == Algorithm::Basic;
    let mut lines = Vec::new();
    match rule.places.as_slice() {
        [] if scheme.algorithm == Algorithm::None => {}
        [place] => lines.push(setting(place)),
        places => {
            let names: Option<Vec<String>> = places
                .iter()
                .map(|place| matches!(place, FieldRef::Header(_)).then(|| quoted(place.name())))
                .collect();
            lines.push(format!(
                "header = [{}]",
                names.filter(|names| !names.is_empty())?.join(", ")
            ));
        }
    }
    match &rule.format {
        SignatureFormat::Whole { prefix } if prefix.is_empty() && !is_basic => {}
        SignatureFormat::Whole { prefix } if is_basic && prefix == "Basic " => {}
        SignatureFormat::Whole { prefix } => lines.push(format!("prefix = {}", quoted(prefix))),
        SignatureFormat::List { item, pair, keys } => {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            let keys = match keys.as_slice() {
                [key] => key.clone(),
                keys => format!("[{}]", keys.join(", ")),
            };
            let (item, pair) = (quoted(item), quoted(pair));
            lines.push(format!("list = {{ item = {item}, pair = {pair}, key = {keys} }}"));
        }
        SignatureFormat::Items { item, at } => {
            let key = at.map_or(String::new(), |at| format!(", pair = \"\", key = \"{at}\""));
            lines.push(format!("list = {{ item = {}{key} }}", quoted(item)));
        }
    }
    let usual = match scheme.algorithm {
        Algorithm::Token => Encoding::Plain,
        Algorithm::Basic => Encoding::Base64,
        _ => Encoding::Hex,
    };
    match rule.encoding {
        encoding if encoding == usual => {}
        // What is compared as text has no other name for it.
        Encoding::Plain => return None,
        encoding => lines.push(format!("encoding = \"{}\"", encoding.name())),
    }
    if scheme.key.encoding != Encoding::Plain {
        lines.push(format!("key = \"{}\"", scheme.key.encoding.name()));
    }
    if !scheme.key.strip.is_empty() {
        lines.push(format!("strip = {}", quoted(&scheme.key.strip)));
    }
    Some(lines)
}

/// What is signed.
fn text_lines(scheme: &Scheme) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(scheme.each.as_ref().map(|each| format!("each = {}", quoted(each))));
    if let Some(signed) = scheme.signed.as_ref().map(ToString::to_string)
        && signed != "{body}"
    {
        lines.push(format!("signed = {}", quoted(&signed)));
    }
    if let Some(TimestampRule { at, unit, tolerance }) = &scheme.timestamp {
        let unit = in_unit(*unit);
        let tolerance = match *tolerance {
            TimestampRule::TOLERANCE => String::new(),
            tolerance => format!(", tolerance = \"{}\"", show_duration(tolerance)),
        };
        lines.push(format!("timestamp = {{ {}{unit}{tolerance} }}", setting(at)));
    }
    lines.extend(scheme.url.as_ref().map(|url| format!("url = {}", quoted(url))));
    if scheme.weaknesses().into_iter().any(Weakness::needs_consent) {
        lines.push("allow_unsigned_body = true".to_owned());
    }
    lines
}

/// A place as a setting.
pub(super) fn setting(place: &FieldRef) -> String {
    let kind = match place {
        FieldRef::Header(_) => "header",
        FieldRef::Query(_) => "query",
        FieldRef::Json(_) => "json",
        FieldRef::Form(_) => "form",
        FieldRef::List(_) => "list",
    };
    format!("{kind} = {}", quoted(place.name()))
}

/// The unit as a further setting; nothing where it is seconds.
pub(super) fn in_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "",
        Unit::Millis => ", unit = \"ms\"",
        Unit::Micros => ", unit = \"us\"",
        Unit::Nanos => ", unit = \"ns\"",
        Unit::Rfc3339 => ", unit = \"rfc3339\"",
        Unit::HttpDate => ", unit = \"http-date\"",
    }
}

/// `text` as a TOML string of one line.
pub(super) fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's, which has one more to be written.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
