//! Reads `[source.NAME.handshake]`.

use std::borrow::Cow;
use std::sync::Arc;

use crate::expr::{self, Escape};
use crate::secret::SecretRef;
use crate::settings::Table;

use super::super::field_ref::FieldRef;
use super::super::handshake::{Answer, AnswerTemplate, Handshake, HashRule, NAMES, Signing};
use super::super::keys::Algorithm;
use super::super::settings::SigningProfile;
use super::super::signature::Encoding;
use super::super::template::{BadTemplate, Part, Template};
use super::answer::{
    ANSWER_HEADER_HELP, NO_JSON, NO_JSON_HELP, answer_header, read_methods, read_status,
    writes_json,
};
use super::field_ref::read_field_ref;
use super::verify::ENCODINGS;

const KINDS: &[&str] = &["header", "query", "json", "form"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "OPTIONS"];

/// What a question is hashed by.
const HASHES: &[(&str, Algorithm)] = &[
    ("sha256", Algorithm::Sha256),
    ("sha512", Algorithm::Sha512),
    ("hmac-sha1", Algorithm::HmacSha1),
    ("hmac-sha256", Algorithm::HmacSha256),
    ("hmac-sha512", Algorithm::HmacSha512),
];

/// `hash` in either of its forms.
enum Hash {
    /// That of a sender whose form is known: the place of the text.
    At(FieldRef),
    /// One for the answer's template.
    Rule(HashRule),
}

/// `when` with or without a text.
enum When {
    Is(FieldRef, Cow<'static, str>),
    Given(FieldRef),
}

/// `[source.NAME.handshake]`, or several `[[source.NAME.handshake]]`; those with a problem are left out.
pub(super) fn read_handshakes(table: &mut Table<'_>) -> Vec<Handshake> {
    let tables = table.one_or_many_tables("handshake").into_iter();
    let read = tables.filter_map(|mut table| {
        let handshake = take_handshake(&mut table);
        table.finish();
        handshake
    });
    let handshakes: Vec<Handshake> = read.collect();
    if handshakes.iter().any(|handshake| handshake.token.is_some()) && !table.has("verify_token") {
        table.missing("verify_token", "write `verify_token = { file = \"data/secrets/…\" }`");
    }
    handshakes
}

fn take_handshake(table: &mut Table<'_>) -> Option<Handshake> {
    let echo = table.table("echo").map(|table| read_field_ref(table, KINDS));
    let hash = table.table("hash").map(read_hash);
    let token = table.table("token").map(|table| read_field_ref(table, KINDS));
    let when = table.table("when").map(read_when);
    let text = table.take::<String>("answer");
    let header =
        table.checked_or("answer_header", ANSWER_HEADER_HELP, |text: String| answer_header(&text));
    let is_signed = table.take::<bool>("signed");
    let methods = read_methods(table, METHODS);
    let learns = table.take_or("learn", false);
    let status = read_status(table, "status", 200..=299, "a status of 200 to 299 is needed here");
    let refuse_status =
        read_status(table, "refuse_status", 400..=499, "a status of 400 to 499 is needed here");
    // Everything is taken: from here on nothing new is asked.
    let (echo, hash, when) = (all(echo)?, all(hash)?, all(when)?);
    if text.is_none() && table.has("answer_header") {
        table.missing("answer", "write what stands in that header: `answer = \"{{ hash }}\"`");
        return None;
    }
    let answer = match (echo, hash, text) {
        (Some(place), None, None) => Answer::Echo(place),
        (None, Some(Hash::At(place)), None) => Answer::Hash(place),
        (None, None, Some(text)) => Answer::Template(read_template(table, &text, None, header)?),
        (None, Some(Hash::Rule(rule)), Some(text)) => {
            Answer::Template(read_template(table, &text, Some(rule), header)?)
        }
        (None, Some(Hash::Rule(_)), None) => {
            let help = "write `answer = '{\"challengeResponse\": {{ hash }}}'`";
            table.problem("hash", "the hash needs an answer that it stands in", help);
            return None;
        }
        (_, _, _) => {
            let help = "write `echo = { query = \"challenge\" }`, `hash = { json = \"…\" }` or \
                        `answer = '{\"challenge\": {{ payload.challenge }}}'`";
            table.problem_here("a handshake has one of `echo`, `hash` and `answer`", help);
            return None;
        }
    };
    let (when, given) = match when {
        Some(When::Is(place, text)) => (Some((place, text)), None),
        Some(When::Given(place)) => (None, Some(place)),
        None => (None, None),
    };
    if token.is_none() && table.has("refuse_status") {
        let help = "name the place of the token, as in `token = { query = \"verify\" }`";
        table.missing("token", help);
        return None;
    }
    let handshake = Handshake {
        when,
        given,
        answer,
        token: all(token)?,
        methods: methods?.unwrap_or_default(),
        learns,
        status: status?,
        refuse_status: refuse_status?,
        ..Handshake::SIGNED
    };
    read_signing(table, is_signed, handshake)
}

/// What was found, where nothing was wrong with it.
#[expect(clippy::option_option, reason = "absent, wrong and there are three different things")]
fn all<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    found.map_or(Some(None), |found| found.map(Some))
}

fn read_when(mut table: Table<'_>) -> Option<When> {
    let text = table.take::<String>("is");
    let is_wrong = text.is_none() && table.has("is");
    let place = read_field_ref(table, KINDS).filter(|_| !is_wrong)?;
    Some(match text {
        Some(text) => When::Is(place, text.into()),
        None => When::Given(place),
    })
}

fn read_hash(mut table: Table<'_>) -> Option<Hash> {
    if !table.has("signed") {
        // Asked for the list of all keys only: they belong to the other form.
        table.take::<String>("signed");
        if !table.has("algorithm") && !table.has("encoding") {
            table.choice("algorithm", HASHES);
            table.choice("encoding", ENCODINGS);
            return read_field_ref(table, KINDS).map(Hash::At);
        }
    }
    let algorithm = table.choice("algorithm", HASHES);
    if !table.has("algorithm") {
        table.missing("algorithm", "write `algorithm = \"sha256\"`");
    }
    let encoding = table.choice("encoding", ENCODINGS);
    let is_encoding_wrong = encoding.is_none() && table.has("encoding");
    let text = table.require::<String>("signed");
    let signed = text.and_then(|text| match Template::parse(&text) {
        Ok(template) => Some(template),
        Err(err) => {
            table.problem("signed", err, BadTemplate::HELP);
            None
        }
    });
    table.finish();
    let algorithm = algorithm.filter(|_| !is_encoding_wrong)?;
    let (signed, encoding) = (signed?, encoding.unwrap_or(Encoding::Hex));
    Some(Hash::Rule(HashRule { algorithm, encoding, signed }))
}

fn read_template(
    table: &Table<'_>,
    text: &str,
    hash: Option<HashRule>,
    header: Option<String>,
) -> Option<AnswerTemplate> {
    let is_json = text.trim_start().starts_with(['{', '[']) && !text.starts_with("{{");
    let is_json = is_json && header.is_none();
    let (content_type, escape) = match (is_json, &header) {
        (true, _) => ("application/json", Escape::Json),
        (false, None) => ("text/plain; charset=utf-8", Escape::None),
        (false, Some(_)) => ("", Escape::None),
    };
    if is_json && !writes_json(text) {
        table.problem("answer", NO_JSON, NO_JSON_HELP);
        return None;
    }
    match expr::Template::compile_for(text, escape, &NAMES) {
        Ok(text) => Some(AnswerTemplate { text: Arc::new(text), content_type, header, hash }),
        Err(err) => {
            table.problem("answer", &err.message, &err.help);
            None
        }
    }
}

/// Whether the question is signed. A stranger must get nothing that a secret of events made.
fn read_signing(
    table: &Table<'_>,
    is_signed: Option<bool>,
    handshake: Handshake,
) -> Option<Handshake> {
    let is_outside = match handshake.place() {
        Some(place) => matches!(place, FieldRef::Query(_) | FieldRef::Header(_)),
        // What is always answered the same is no secret of events; a request without a body is never signed.
        None => is_asked_without_body(&handshake),
    };
    let needs_signature =
        matches!(handshake.answer, Answer::Hash(_)) && !handshake.hashes_for_strangers();
    // A question that shows `verify_token`, or brings the secret, has no need of a signature.
    let is_plain = is_outside || handshake.token.is_some() || handshake.learns;
    let is_open = !is_signed.unwrap_or(needs_signature || !is_plain);
    if needs_signature && is_open {
        let message = "anybody could have text of his own hashed with the secret";
        table.problem("signed", message, "leave `signed` out");
        return None;
    }
    let signing = if is_open { Signing::Open } else { Signing::Signed };
    Some(Handshake { signing, ..handshake })
}

/// Whether it is asked by methods alone whose requests have no body, and always answered the same.
fn is_asked_without_body(handshake: &Handshake) -> bool {
    let is_fixed = match &handshake.answer {
        Answer::Template(answer) => answer.hash.is_none() && !has_template(answer.text.source()),
        Answer::Json(_) | Answer::Nothing(_) => true,
        Answer::Echo(_) | Answer::Hash(_) => false,
    };
    let mut methods = handshake.methods.iter();
    let is_bodyless = !handshake.methods.is_empty()
        && methods.all(|method| ["GET", "HEAD", "OPTIONS"].contains(method));
    is_bodyless && is_fixed
}

fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Headers that every sender's requests have.
const EVERYWHERE: [&str; 7] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
];

/// Reports what of a handshake does not go with its source.
pub(super) fn check_handshake(
    table: &mut Table<'_>,
    profile: &SigningProfile,
    handshake: &Handshake,
    (secrets, verify_token): (&[SecretRef], Option<&SecretRef>),
    methods: &[&'static str],
) {
    if handshake.takes_all_by(methods) {
        let message = "without `when` or `echo` every request is answered, and no event is stored";
        let help = "say what tells a question from an event: `when = { json = \"type\", is = \"…\" }`; or \
                    `methods = [\"GET\"]` where it is asked by GET";
        table.problem("handshake", message, help);
        return;
    }
    let is_signed = profile.schemes.iter().any(|scheme| scheme.algorithm.signs());
    check_hash(table, profile, handshake, is_signed);
    if is_signed && verify_token.is_some_and(|token| secrets.contains(token)) {
        check_shared_secret(table, profile, handshake);
    }
    if handshake.learns {
        check_learning(table, profile, handshake, secrets);
    }
    if warn_of_header(table, handshake, is_signed) {
        return;
    }
    let is_looked_at = handshake.signing == Signing::Signed || !is_signed;
    let Some(place) = handshake.place().filter(|_| is_looked_at) else { return };
    let mut signatures = profile.schemes.iter().flat_map(|scheme| &scheme.signature.places);
    let mut of_events = profile.event_type.places().iter().chain(&profile.delivery_id);
    // With `is` the place of the type is a good one to tell a question by.
    let is_of_events = handshake.when.is_none()
        && handshake.token.is_none()
        && of_events.any(|one| one == place || Some(one) == handshake.given.as_ref());
    let is_everywhere = is_of_events || signatures.any(|signature| signature == place);
    // Beside a password what says more than the question is an event.
    let is_narrow = match place {
        FieldRef::Query(_) => handshake.methods.is_empty() || !is_signed,
        FieldRef::Json(_) | FieldRef::Form(_) | FieldRef::Header(_) => !is_signed,
        FieldRef::List(_) => false,
    };
    if !is_narrow && (is_everywhere || handshake.is_unconditional()) {
        let message = format!(
            "this handshake takes every request with the {place} for a question: it is answered \
             and not stored"
        );
        let help =
            "say what tells a question from an event: `when = { json = \"type\", is = \"…\" }`";
        table.warning("handshake", message, help);
    }
}

/// Reports what a hash lacks.
fn check_hash(table: &Table<'_>, profile: &SigningProfile, handshake: &Handshake, is_signed: bool) {
    let rule = match &handshake.answer {
        Answer::Template(answer) => answer.hash.as_ref(),
        Answer::Echo(_) | Answer::Hash(_) | Answer::Json(_) | Answer::Nothing(_) => None,
    };
    // What signs events is there already.
    let has_own = profile.may_hash(handshake);
    let is_asked = handshake.hashes_for_strangers() && is_signed && !has_own;
    let hashes = rule.is_some() || is_asked;
    if hashes && handshake.signing == Signing::Open && !table.has("verify_token") {
        table.missing(
            "verify_token",
            "a stranger's question is hashed with `verify_token = { file = \"…\" }`, not with the \
             secret that signs events; or write `signed = true` where the question is signed",
        );
    }
    let has_url = || profile.schemes.iter().any(|scheme| scheme.url().is_some());
    if rule.is_some_and(|rule| rule.signed.has(&Part::Url)) && !has_url() {
        let help = "write the address itself in place of `{url}`, as the sender has it";
        table.problem("handshake", "`{url}` is hashed, and no `url` is given", help);
    }
}

/// Tells of a hash for strangers with what signs events.
fn check_shared_secret(table: &Table<'_>, profile: &SigningProfile, handshake: &Handshake) {
    let is_open = handshake.signing == Signing::Open;
    if is_open && handshake.hashes_like_events() && !profile.may_hash(handshake) {
        table.problem(
            "verify_token",
            "what signs events would hash what strangers ask, who could have events of their own signed",
            "name a secret of its own; X and LinkedIn sign the body and nothing else",
        );
    }
    let Answer::Template(AnswerTemplate { hash: Some(_), .. }) = &handshake.answer else { return };
    if handshake.signing == Signing::Open {
        let message =
            "what signs events hashes what strangers ask: they may have events of their own signed";
        let help = "for X write `handshake = { hash = { query = \"crc_token\" } }`, for LinkedIn \
                    `\"challengeCode\"`: of those only what can be no event is hashed";
        table.warning("verify_token", message, help);
    }
}

/// Warns of a question that is known by nothing but a header that every request has.
fn warn_of_header(table: &mut Table<'_>, handshake: &Handshake, is_signed: bool) -> bool {
    let name = match handshake.given.as_ref().or(handshake.place()) {
        Some(FieldRef::Header(name)) if EVERYWHERE.contains(&name.as_ref()) => name,
        _ => return false,
    };
    if handshake.when.is_some() || handshake.token.is_some() {
        return false;
    }
    let which = match (is_signed, handshake.signing) {
        (true, Signing::Signed) => "that is signed",
        (true, Signing::Open) => "that is not signed",
        (false, _) => "without a body",
    };
    let message =
        format!("every request has the header `{name}`: each {which} is answered and not stored");
    let help = "name a field that the question alone has, or its text: `is = \"…\"`";
    table.warning("handshake", message, help);
    true
}

/// A secret can be learned where one file is to hold it and nothing else signs.
fn check_learning(
    table: &mut Table<'_>,
    profile: &SigningProfile,
    handshake: &Handshake,
    secrets: &[SecretRef],
) {
    let is_file = matches!(secrets, [SecretRef::File { create: true, .. }]);
    if !is_file {
        let help = "write `secrets = [{ file = \"data/secrets/…\", create = true }]`: the file is \
                    made when the sender's secret comes";
        table.problem("secrets", "`learn` needs one file that the secret is written into", help);
    }
    let signs = profile.schemes.iter().any(|scheme| scheme.signed.as_ref().is_some_and(has_body));
    if !matches!(handshake.answer, Answer::Echo(_)) || !signs {
        let message = "`learn` is for a secret that is given back and then signs events";
        table.problem("handshake", message, "leave `learn` out");
    }
}

fn has_body(signed: &Template) -> bool {
    signed.covers_body() || signed.has(&Part::Body)
}
