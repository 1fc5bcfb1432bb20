//! Reads `[source.NAME.verify]`.

use crate::event::DataRoot;
use crate::settings::Table;

use super::super::field_ref::FieldRef;
use super::super::keys::{Algorithm, KeyRule};
use super::super::scheme::{Envelope, Scheme};
use super::super::settings::SigningProfile;
use super::super::signature::{Encoding, SignatureFormat, SignatureRule};
use super::super::template::{BadTemplate, Part, Template};
use super::super::timestamp::{TimestampRule, Unit};
use super::super::type_rule::TypeRule;
use super::checks::{check_url, check_weaknesses};
use super::envelope::{fixed_places, read_envelope};
use super::fetched::{of_verify, read_keys};
use super::field_ref::{PLACES, check_header, check_json_path, read_field_ref};

pub(super) const ENCODINGS: &[(&str, Encoding)] =
    &[("hex", Encoding::Hex), ("base64", Encoding::Base64)];
const KEY_ENCODINGS: &[(&str, Encoding)] =
    &[("utf8", Encoding::Plain), ("base64", Encoding::Base64), ("hex", Encoding::Hex)];
const UNITS: &[(&str, Unit)] = &[
    ("s", Unit::Seconds),
    ("ms", Unit::Millis),
    ("us", Unit::Micros),
    ("ns", Unit::Nanos),
    ("rfc3339", Unit::Rfc3339),
    ("http-date", Unit::HttpDate),
];

/// `[source.NAME.verify]`.
pub(super) fn read_verify(mut table: Table<'_>, address: Option<&str>) -> Option<SigningProfile> {
    let profile = take_verify(&mut table, address);
    table.finish();
    profile
}

fn take_verify(table: &mut Table<'_>, address: Option<&str>) -> Option<SigningProfile> {
    let algorithm = table.choice("algorithm", Algorithm::ALL);
    if !table.has("algorithm") {
        table.missing("algorithm", "write `algorithm = \"hmac-sha256\"`; `none` checks nothing");
    }
    let envelope = read_envelope(table, algorithm);
    let each = table.take::<String>("each");
    let signature = match envelope.as_ref().and_then(fixed_places) {
        Some((places, why)) => Some(of_envelope(table, places, why)),
        None => read_signature(table, algorithm),
    };
    let signed = table.take::<String>("signed");
    let timestamp = read_timestamp(table);
    let id = table.table("id").map(|table| read_field_ref(table, PLACES));
    let event_type = table.table("type").map(read_type);
    let encoding = table.choice("key", KEY_ENCODINGS);
    let strip = table.take::<String>("strip").unwrap_or_default();
    let url = table.take::<String>("url");
    let keys = read_keys(table);
    let is_allowed = table.take_or("allow_unsigned_body", false);
    let signed = match &envelope {
        Some(Envelope::Plain) => read_template(table, algorithm, signed),
        Some(Envelope::Jwt(_) | Envelope::HttpMessage(_)) | None => Some(None),
    };

    // Everything is taken: from here on nothing new is asked.
    let algorithm = algorithm?;
    let is_judged = algorithm != Algorithm::None || check_nothing_is_judged(table);
    let mut scheme = Scheme {
        algorithm,
        signature: signature?,
        signed: signed?,
        timestamp: timestamp?,
        id: id.map_or(Some(None), |id| id.map(Some))?,
        key: KeyRule {
            encoding: encoding.unwrap_or(Encoding::Plain),
            strip: strip.into(),
            is_prefix_needed: false,
        },
        url,
        body_sha256: None,
        envelope: envelope?,
        each: each.map(Into::into),
        either_port: false,
        fetch: match keys? {
            Some(keys) => Some(of_verify(table, Some(algorithm), keys)?),
            None => None,
        },
    };
    let mut is_good = is_judged && check_variables(table, &scheme);
    is_good &= check_url(table, std::slice::from_mut(&mut scheme), address);
    is_good &= check_weaknesses(table, "signed", &scheme, is_allowed);
    let event_type = event_type.unwrap_or(Some(TypeRule::At(Vec::new())))?;
    is_good.then(|| SigningProfile {
        provider: None,
        schemes: vec![scheme],
        event_type,
        delivery_id: Vec::new(),
        stamps: Vec::new(),
        data_root: DataRoot::Payload,
        handshakes: Vec::new(),
    })
}

/// Whether nothing beside `none` says how a signature is judged: its owner would believe that one is.
fn check_nothing_is_judged(table: &Table<'_>) -> bool {
    let judges =
        ["header", "query", "json", "form", "prefix", "list", "encoding", "timestamp", "key"];
    let others = ["strip", "url", "keys", "each"];
    let judges = judges.into_iter().chain(others).find(|key| table.has(key));
    if let Some(key) = judges {
        table.problem(
            key,
            "`algorithm = \"none\"` checks nothing, and this says how a signature is checked",
            "name the sender's algorithm, as in `algorithm = \"hmac-sha256\"`; where it signs nothing, \
             leave this out",
        );
    }
    judges.is_none()
}

/// Where what a signature comes in says where it stands.
fn of_envelope(table: &mut Table<'_>, places: Vec<FieldRef>, why: &str) -> SignatureRule {
    for key in ["header", "query", "json", "form", "prefix"] {
        if table.take::<String>(key).is_some() || table.has(key) {
            let help = format!("leave `{key}` out: {why}");
            table.problem(key, "the place of this signature is fixed", help);
        }
    }
    SignatureRule {
        places,
        format: SignatureFormat::Whole { prefix: "".into() },
        encoding: Encoding::Base64,
    }
}

/// Where the signature stands and how it is written.
fn read_signature(table: &mut Table<'_>, algorithm: Option<Algorithm>) -> Option<SignatureRule> {
    let headers = table.one_or_many::<String>("header");
    let query = table.take::<String>("query");
    let json = table.take::<String>("json");
    let form = table.take::<String>("form");
    let encoding = table.choice("encoding", ENCODINGS);
    let prefix = table.take::<String>("prefix");
    let list = table.table("list").map(read_list);
    let keys = ["header", "query", "json", "form"];
    let n_places = keys.into_iter().filter(|key| table.has(key)).count();
    let needs_place = !matches!(algorithm, Some(Algorithm::None | Algorithm::Basic));
    if n_places == 0 && needs_place {
        table.missing("header", "write `header = \"X-Signature\"`, or `query`, `json` or `form`");
        return None;
    } else if n_places > 1 {
        let help = "for the first of several headers write `header = [\"…\", \"…\"]`";
        table.problem_here("the signature stands in one place", help);
        return None;
    }
    if table.has("prefix") && table.has("list") {
        table.problem(
            "list",
            "a signature has a prefix or stands in a list, not both",
            "leave one of the two out",
        );
        return None;
    }
    headers.iter().flatten().for_each(|name| check_header(table, name));
    let mut places: Vec<FieldRef> =
        headers.iter().flatten().map(|name| FieldRef::header(name)).collect();
    places.extend(query.map(|name| FieldRef::Query(name.into())));
    if let Some(path) = &json {
        check_json_path(table, "json", path);
    }
    places.extend(json.map(|path| FieldRef::Json(path.into())));
    places.extend(form.map(|name| FieldRef::Form(name.into())));
    let is_basic = algorithm == Some(Algorithm::Basic);
    if is_basic && places.is_empty() {
        places.push(FieldRef::header("authorization"));
    }
    if places.is_empty() && needs_place {
        return None;
    }
    let default = if is_basic { "Basic " } else { "" };
    let format = match list {
        Some(list) => list?,
        None => {
            SignatureFormat::Whole { prefix: prefix.unwrap_or_else(|| default.to_owned()).into() }
        }
    };
    let encoding = encoding.unwrap_or(match algorithm {
        Some(Algorithm::Token) => Encoding::Plain,
        Some(Algorithm::Basic) => Encoding::Base64,
        _ => Encoding::Hex,
    });
    Some(SignatureRule { places, format, encoding })
}

/// `list = { item = ",", pair = "=", key = "v1" }`, with several keys of signatures where a sender
/// has them; without `pair` or `key` the items have no keys.
fn read_list(mut table: Table<'_>) -> Option<SignatureFormat> {
    let item = table.take_or("item", ",".to_owned());
    let pair = table.take::<String>("pair");
    let keys = table.one_or_many::<String>("key");
    let is_good = !item.is_empty();
    if !is_good {
        table.problem("item", "nothing separates nothing", "write a character, such as \",\"");
    }
    if table.has("key") && !table.has("pair") {
        let help = "write `pair = \"=\"`; or leave `key` out where the items have no keys";
        table.missing("pair", help);
        table.finish();
        return None;
    }
    let has_keys = pair.as_ref().is_some_and(|pair| !pair.is_empty());
    if has_keys && !table.has("key") {
        let help = "write `key = \"v1\"`; or leave `pair` out where the items have no keys";
        table.missing("key", help);
    }
    let format = if has_keys {
        let pair = pair.unwrap_or_default().into();
        let keys = keys.map(|keys| keys.into_iter().map(Into::into).collect());
        keys.map(|keys| SignatureFormat::List { item: item.into(), pair, keys })
    } else {
        read_place_in_list(&table, keys).map(|at| SignatureFormat::Items { item: item.into(), at })
    };
    table.finish();
    format.filter(|_| is_good)
}

/// Which item of a list without keys; `None` = a problem.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
fn read_place_in_list(table: &Table<'_>, keys: Option<Vec<String>>) -> Option<Option<usize>> {
    let Some(keys) = keys else { return (!table.has("key")).then_some(None) };
    let at = match keys.as_slice() {
        [key] => key.parse().ok(),
        _ => None,
    };
    if at.is_none() {
        let help = "write the signature's place, counted from 0: `key = \"1\"`; or leave it out";
        table.problem("key", "items without `pair` have no keys", help);
    }
    at.map(Some)
}

/// `timestamp = { header = "…", unit = "s", tolerance = "5m" }`; `None` = a problem.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
fn read_timestamp(table: &mut Table<'_>) -> Option<Option<TimestampRule>> {
    let Some(mut inner) = table.table("timestamp") else {
        return (!table.has("timestamp")).then_some(None);
    };
    let unit = inner.choice("unit", UNITS);
    let is_unit_wrong = unit.is_none() && inner.has("unit");
    let tolerance = inner.take_or("tolerance", TimestampRule::TOLERANCE);
    let at = read_field_ref(inner, PLACES)?;
    let rule = TimestampRule { at, unit: unit.unwrap_or(Unit::Seconds), tolerance };
    (!is_unit_wrong).then_some(Some(rule))
}

/// `type = { json = "event" }` or `type = { literal = "…" }`.
fn read_type(mut table: Table<'_>) -> Option<TypeRule> {
    let literal = table.take::<String>("literal");
    if table.has("literal") {
        table.finish();
        return literal.map(|text| match text.as_str() {
            "{method}" => TypeRule::Method,
            _ => TypeRule::Literal(text),
        });
    }
    let place = read_field_ref(table, &["header", "query", "json", "form"]);
    place.map(|place| TypeRule::At(vec![place]))
}

/// The template; nothing where nothing is signed. `None` = a problem.
#[expect(clippy::option_option, reason = "nothing to sign and a mistake are two things")]
fn read_template(
    table: &Table<'_>,
    algorithm: Option<Algorithm>,
    text: Option<String>,
) -> Option<Option<Template>> {
    if algorithm.is_some_and(|algorithm| !algorithm.signs()) {
        if table.has("signed") {
            let help = "leave `signed` out, or choose an algorithm that signs";
            table.problem("signed", "this algorithm signs nothing", help);
        }
        return Some(None);
    }
    let text = match text {
        Some(text) => text,
        None if table.has("signed") => return None,
        None => "{body}".to_owned(),
    };
    match Template::parse(&text) {
        Ok(template) => Some(Some(template)),
        Err(err) => {
            table.problem("signed", err, BadTemplate::HELP);
            None
        }
    }
}

/// Whether every variable of the template has a place to come from.
fn check_variables(table: &Table<'_>, scheme: &Scheme) -> bool {
    let mut is_good = true;
    let mut refuse = |key: &str, message: &str, help: &str| {
        table.problem(key, message, help);
        is_good = false;
    };
    let has = |part: Part| scheme.signed.as_ref().is_some_and(|signed| signed.has(&part));
    if has(Part::Timestamp) && scheme.timestamp.is_none() {
        let help = "write `timestamp = { header = \"X-Timestamp\" }`";
        refuse("signed", "`{timestamp}` is signed, but where does it stand?", help);
    }
    if has(Part::Id) && scheme.id.is_none() {
        let help = "write `id = { header = \"X-Id\" }`";
        refuse("signed", "`{id}` is signed, but where does it stand?", help);
    }
    if scheme.algorithm.is_digest() && !has(Part::Secret) {
        let help = "write `{secret}` where the sender puts it, or choose `hmac-…`";
        refuse("signed", "a plain digest without the secret can be made by anybody", help);
    }
    let in_list = |place: &FieldRef| matches!(place, FieldRef::List(_));
    let mut in_lists = [("timestamp", scheme.timestamp.as_ref().map(|rule| &rule.at))]
        .into_iter()
        .chain([("id", scheme.id.as_ref())]);
    let is_no_index = |place: Option<&FieldRef>| matches!(place, Some(FieldRef::List(key)) if key.parse::<usize>().is_err());
    if matches!(scheme.signature.format, SignatureFormat::Items { .. })
        && let Some((key, _)) = in_lists.find(|(_, place)| is_no_index(*place))
    {
        let help = "write its place, counted from 0: `list = \"0\"`";
        refuse(key, "the items of the signature's list have no keys", help);
    }
    if matches!(scheme.signature.format, SignatureFormat::Whole { .. }) {
        let help = "write `list = { item = \",\", pair = \"=\", key = \"…\" }`";
        if scheme.timestamp.as_ref().is_some_and(|rule| in_list(&rule.at)) {
            refuse("timestamp", "the signature stands in no list", help);
        }
        if scheme.id.as_ref().is_some_and(in_list) {
            refuse("id", "the signature stands in no list", help);
        }
    }
    is_good
}
