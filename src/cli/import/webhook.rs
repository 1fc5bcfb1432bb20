//! Hooks of adnanh/webhook: each becomes a source and a handler that runs its program.

use std::borrow::Cow;

use serde_json::Value;

use super::form_json::{packed, unwrapped};
use super::imported::{ImportedConfig, commented, list, name_of, quoted, unchecked};
use super::rules::{HookCaller, TriggerRule};
use super::script::HookCommand;
use crate::source::SourceSettings;
use crate::text::put;

/// Keys that have no like here, each with what that means.
const LOST: [(&str, &str); 8] = [
    ("response-headers", "the answer has no headers of its own"),
    ("include-command-output-in-response", "the answer is sent before the program runs"),
    ("include-command-output-in-response-on-error", "the answer is sent before the program runs"),
    ("incoming-payload-content-type", "a body is read as what it is"),
    ("parse-parameters-as-json", "write `from_json` where such a field is asked for"),
    ("pre-hook-command", "there is no program before the signature is checked"),
    ("trigger-rule-mismatch-http-response-code", "an event that is not wanted is answered 200"),
    ("trigger-signature-soft-failures", "a wrong signature is always refused"),
];

/// Keys without which the program does not get what it needs.
const NEEDED: [(&str, &str); 1] =
    [("pass-file-to-command", "no file is made for it: the body is on standard input")];

const CARRIED: [&str; 9] = [
    "id",
    "execute-command",
    "command-working-directory",
    "http-methods",
    "pass-arguments-to-command",
    "pass-environment-to-command",
    "response-message",
    "success-http-response-code",
    "trigger-rule",
];

/// What is otherwise for every hook.
const OF_ALL: [&str; 3] = [
    "webhook runs a program once, however long it takes: `retry` and `timeout` say so. Without them one that fails is run \
     again for three days, and one that takes longer than 30 s is ended",
    "webhook listens at 0.0.0.0:9000 unless `-ip` and `-port` say otherwise; here `listen` in `[server]` does, 127.0.0.1:8080 \
     where it is left out",
    "a program gets PATH, HOME, LANG and TZ of the environment and what `env` names, and runs in the folder of this file \
     unless `cwd` names another",
];

/// What a program of webhook may take and how often it is run.
const ONCE: &str = "retry = { attempts = 1 }\ntimeout = \"1h\"\n";

/// Reads a list of hooks, or one hook.
pub(super) fn convert(hooks: &Value) -> Result<ImportedConfig, String> {
    let hooks = match hooks {
        Value::Array(hooks) => hooks.as_slice(),
        Value::Object(_) => std::slice::from_ref(hooks),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err("expected a list of hooks".to_owned());
        }
    };
    let mut imported = ImportedConfig::default();
    imported.add("hooks", String::new(), OF_ALL.map(str::to_owned).to_vec());
    let mut names = Vec::new();
    for (number, hook) in (1..).zip(hooks) {
        let text =
            |key: &str| hook.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(id), Some(program)) = (text("id"), text("execute-command")) else {
            let why = "it has no `id` or no `execute-command`, and was left out".to_owned();
            imported.add(&format!("hook {number}"), String::new(), vec![why]);
            continue;
        };
        if program.contains("{{") {
            let why = "its program stands in a template and was left out: import what that becomes once it is \
                       filled in";
            imported.add(&format!("hook `{id}`"), String::new(), vec![why.to_owned()]);
            continue;
        }
        let mut notes = Vec::new();
        let name = name_of(id, &mut notes);
        if names.contains(&name) {
            let why = "another hook has this `id`: it was left out".to_owned();
            imported.add(&format!("hook `{id}`"), String::new(), vec![why]);
            continue;
        }
        let (hook, rule) = &read_rule(hook);
        let source = source(hook, &name, rule, &mut imported, &mut notes);
        notes.extend(rule.told.iter().cloned());
        let is_closed = rule.keeps_out_no_more();
        let source = if is_closed { commented(&source) } else { source };
        imported.add(&format!("source `{name}`"), source, notes);
        let (handler, mut notes) = handler(hook, &name, program, rule);
        let handler = if is_closed {
            notes.push("it stands in comments, as its source does".to_owned());
            commented(&handler)
        } else {
            handler
        };
        imported.add(&format!("handler `{name}`"), handler, notes);
        names.push(name);
    }
    Ok(imported)
}

/// The hook and its rule, both as the body is read here.
fn read_rule(hook: &Value) -> (Cow<'_, Value>, TriggerRule) {
    let rule = |hook: &Value| hook.get("trigger-rule").map(TriggerRule::read).unwrap_or_default();
    let read = rule(hook);
    if read.caller.as_ref().and_then(preset) == Some("github")
        && let Some(hook) = unwrapped(hook)
    {
        let read = rule(&hook);
        return (Cow::Owned(hook), read);
    }
    (Cow::Borrowed(hook), read)
}

fn source(
    hook: &Value,
    name: &str,
    rule: &TriggerRule,
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> String {
    let mut text = format!("[source.{name}]\n");
    let verify = if let Some(caller) = &rule.caller {
        verify(caller, name, &mut text, imported, notes)
    } else if rule.keeps_out_no_more() {
        notes.push(
            "what its `trigger-rule` asks of a sender cannot be carried over, so nothing is taken for \
             it: say in `verify` how its sender shows who it is, and take the `#` away"
                .to_owned(),
        );
        put(
            &mut text,
            format_args!("secrets = [{{ file = \"data/secrets/{name}\", create = true }}]\n"),
        );
        // No algorithm: it is refused until its owner has named one.
        "algorithm = \"\"\n".to_owned()
    } else {
        notes.push(unchecked(!rule.allow.is_empty()).to_owned());
        "algorithm = \"none\"\n".to_owned()
    };
    if !rule.allow.is_empty() {
        put(&mut text, format_args!("allow = {}\n", list(rule.allow.iter().map(String::as_str))));
    }
    methods(hook, &mut text, notes, !verify.is_empty(), rule);
    answer(hook, &mut text, notes);
    for (key, why) in LOST {
        let is_off = |value: &Value| *value == Value::Bool(false);
        if hook.get(key).is_some_and(|value| !is_off(value)) {
            notes.push(format!("`{key}`: {why}"));
        }
    }
    let is_known = |key: &&String| {
        CARRIED.contains(&key.as_str()) || LOST.iter().chain(&NEEDED).any(|(lost, _)| lost == key)
    };
    let keys = hook.as_object().into_iter().flatten().map(|(key, _)| key);
    notes.extend(keys.filter(|key| !is_known(key)).map(|key| format!("`{key}` is not known here")));
    if !verify.is_empty() {
        put(&mut text, format_args!("[source.{name}.verify]\n{verify}"));
    }
    text
}

/// The preset whose senders show who they are so.
fn preset(caller: &HookCaller) -> Option<&'static str> {
    let place = caller.place();
    let header =
        if place.source == "header" { place.name.to_ascii_lowercase() } else { String::new() };
    match (caller, header.as_str()) {
        (HookCaller::Hmac { .. }, "x-hub-signature" | "x-hub-signature-256") => Some("github"),
        (HookCaller::Token { .. }, "x-gitlab-token") => Some("gitlab"),
        (
            HookCaller::Hmac { algorithm: "hmac-sha256", .. },
            "x-gitea-signature" | "x-forgejo-signature",
        ) => Some("gitea"),
        (_, _) => None,
    }
}

/// Who is believed: puts provider and secrets into `text`, and gives the `verify` table, empty where a
/// preset does.
fn verify(
    caller: &HookCaller,
    name: &str,
    text: &mut String,
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> String {
    let place = caller.place();
    let secrets = caller.secrets().iter().enumerate().map(|(index, secret)| match index {
        0 => imported.secret(name, secret),
        _ => imported.secret(&format!("{name}-{}", index + 1), secret),
    });
    let secrets = secrets.collect::<Vec<_>>().join(", ");
    if let Some(preset) = preset(caller) {
        if place.name.eq_ignore_ascii_case("x-hub-signature") {
            notes.push("GitHub's X-Hub-Signature-256 is checked, in place of SHA-1".to_owned());
        }
        put(text, format_args!("provider = \"{preset}\"\nsecrets = [{secrets}]\n"));
        return String::new();
    }
    let algorithm = match caller {
        HookCaller::Hmac { algorithm, .. } => *algorithm,
        HookCaller::Token { .. } => "token",
    };
    put(text, format_args!("secrets = [{secrets}]\n"));
    let at = match place.source.as_str() {
        "url" | "query" => "query",
        "payload" => "json",
        _ => "header",
    };
    if matches!(caller, HookCaller::Hmac { .. }) {
        let word = algorithm.trim_start_matches("hmac-");
        notes.push(format!(
            "where the sender writes `{word}=` before it, add `prefix = \"{word}=\"`"
        ));
    }
    format!("algorithm = \"{algorithm}\"\n{at} = {}\n", quoted(&place.name))
}

fn methods(
    hook: &Value,
    text: &mut String,
    notes: &mut Vec<String>,
    has_verify: bool,
    rule: &TriggerRule,
) {
    let named =
        hook.get("http-methods").and_then(Value::as_array).filter(|named| !named.is_empty());
    let Some(named) = named else {
        let is_as_safe = match &rule.caller {
            // What is in the query or in a header comes with a GET as well.
            Some(HookCaller::Token { place, .. }) => place.source != "payload",
            Some(HookCaller::Hmac { .. }) => false,
            None => !rule.keeps_out_no_more(),
        };
        if has_verify && is_as_safe {
            put(
                text,
                format_args!("methods = {}\n", list(SourceSettings::METHODS.iter().copied())),
            );
        } else if has_verify {
            notes.push(
                "no `http-methods`: GET was taken too; where it is called so, add `methods = [\"GET\", \
                 \"POST\"]`"
                    .to_owned(),
            );
        }
        return;
    };
    let named = named.iter().filter_map(Value::as_str).map(|one| one.trim().to_ascii_uppercase());
    let (taken, others): (Vec<String>, Vec<String>) =
        named.partition(|one| SourceSettings::METHODS.contains(&one.as_str()));
    if !others.is_empty() {
        notes.push(format!("an event does not come by {}", others.join(" or ")));
    }
    let has = |method: &str| taken.iter().any(|one| one == method);
    // A preset's sender posts.
    if has_verify || (!taken.is_empty() && !has("POST")) {
        if !taken.is_empty() {
            put(text, format_args!("methods = {}\n", list(taken.iter().map(String::as_str))));
        }
    } else if has("GET") {
        notes.push(
            "its provider posts, so GET is not taken; where it is called so, add `methods = \
             [\"GET\", \"POST\"]`"
                .to_owned(),
        );
    }
}

fn answer(hook: &Value, text: &mut String, notes: &mut Vec<String>) {
    let message = hook.get("response-message").and_then(Value::as_str);
    let status = hook.get("success-http-response-code").and_then(Value::as_u64);
    let status = status.unwrap_or(200);
    if !(200..300).contains(&status) {
        notes.push(format!("the answer {status}: it is a status of success, 200"));
    }
    let status = if (200..300).contains(&status) { status } else { 200 };
    if message.is_none() && status == 200 {
        return;
    }
    let message = message.unwrap_or_default();
    // It is a template here.
    let is_plain = !["{{", "{%", "{#"].iter().any(|sign| message.contains(sign));
    let body =
        if is_plain { message.to_owned() } else { format!("{{% raw %}}{message}{{% endraw %}}") };
    put(
        text,
        format_args!(
            "answer = {{ status = {status}, type = \"text/plain; charset=utf-8\", body = {} }}\n",
            quoted(&body)
        ),
    );
}

fn handler(hook: &Value, name: &str, program: &str, rule: &TriggerRule) -> (String, Vec<String>) {
    let command = HookCommand::read(hook, program, rule.caller.as_ref());
    let mut notes: Vec<String> = rule.lost.iter().chain(&command.lost).cloned().collect();
    let needed = NEEDED.iter().filter(|(key, _)| hook.get(key).is_some());
    notes.extend(needed.map(|(key, why)| format!("`{key}`: {why}")));
    notes.extend(packed(hook));
    let mut text = format!("[handler.{name}]\non = [\"{name}:*\"]\n{ONCE}");
    if !rule.conditions.is_empty() {
        let when = rule.conditions.join(" and ");
        put(&mut text, format_args!("when = {}\n", quoted(&when)));
    }
    if !notes.is_empty() {
        notes.push("so it is switched off: look at it, and take `enabled = false` out".to_owned());
        text.push_str("enabled = false\n");
    }
    let folder = hook.get("command-working-directory").and_then(Value::as_str).unwrap_or_default();
    let command_text = hook.get("execute-command").and_then(Value::as_str).unwrap_or_default();
    for text in [command_text, folder].into_iter().filter(|text| text.contains("${")) {
        notes.push(format!("`{text}` stands as it is: nothing fills it in"));
    }
    put(&mut text, format_args!("[handler.{name}.command]\n"));
    command.render(&mut text);
    if !folder.is_empty() {
        put(&mut text, format_args!("cwd = {}\n", quoted(folder)));
    }
    (text, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_gitea_and_forgejo_are_their_presets() {
        for (header, kind, expected) in [
            ("X-Gitea-Signature", "payload-hmac-sha256", "provider = \"gitea\"\n"),
            ("X-Forgejo-Signature", "payload-hash-sha256", "provider = \"gitea\"\n"),
            ("X-Gitea-Signature", "payload-hmac-sha1", "algorithm = \"hmac-sha1\"\n"),
        ] {
            let hook = serde_json::json!({ "id": "deploy", "execute-command": "/bin/true",
                "trigger-rule": { "match": { "type": kind, "secret": "of the tests",
                    "parameter": { "source": "header", "name": header } } } });
            let imported = convert(&hook).unwrap().render();
            assert!(imported.contains(expected), "{header} {kind}: {imported}");
        }
    }
}
