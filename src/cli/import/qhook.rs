//! qhook's YAML: its webhook and event sources, its HTTP handlers and its alerts.

use serde_json::Value;

use super::imported::{ImportedConfig, list, name_of, note_default, quoted, unchecked, variable};
use super::transform;
use crate::settings::parse_duration;
use crate::text::put;

/// Parts of the file that have no like here.
const LOST: [(&str, &str); 4] = [
    ("database", "the queue is files in `data/queue`"),
    ("worker", "see `retention` in `[queue]` and `concurrency` of each handler"),
    ("queues", "there is no pulling: let an `http`, `sql` or `command` handler bring events"),
    ("workflows", "one handler is one step: let a `command` worker do what comes after another"),
];

/// `verify`, and the preset that is the same.
const PRESETS: [(&str, &str); 6] = [
    ("github", "github"),
    ("gitlab", "gitlab"),
    ("linear", "linear"),
    ("shopify", "shopify"),
    ("standard-webhooks", "standard-webhooks"),
    ("stripe", "stripe"),
];

/// `verify`, and what it checks.
const SCHEMES: [(&str, &str); 4] = [
    ("grafana", "algorithm = \"hmac-sha256\"\nheader = \"X-Grafana-Alerting-Signature\"\n"),
    ("hmac", "algorithm = \"hmac-sha256\"\nheader = \"X-Webhook-Signature\"\n"),
    (
        "pagerduty",
        "algorithm = \"hmac-sha256\"\nheader = \"X-PagerDuty-Signature\"\n\
         list = { item = \",\", pair = \"=\", key = \"v1\" }\ntype = { json = \"event.event_type\" }\n",
    ),
    ("terraform", "algorithm = \"hmac-sha512\"\nheader = \"X-TFE-Notification-Signature\"\n"),
];

pub(super) fn convert(file: &Value) -> Result<ImportedConfig, String> {
    if !file.is_object() {
        return Err("expected a table with `sources` and `handlers`".to_owned());
    }
    let mut imported = ImportedConfig::default();
    server(file, &mut imported);
    for (key, why) in LOST {
        if file.get(key).is_some() {
            imported.add(key, String::new(), vec![why.to_owned()]);
        }
    }
    let mut sources = Vec::new();
    for (name, source) in table(file, "sources") {
        let mut notes = Vec::new();
        let ours = name_of(name, &mut notes);
        match source_text(file, source, &ours, &mut imported, &mut notes) {
            Some(text) => {
                sources.push((name.as_str(), ours.clone()));
                imported.add(&format!("source `{ours}`"), text, notes);
            }
            None => imported.add(&format!("source `{name}`"), String::new(), notes),
        }
    }
    for (name, handler) in table(file, "handlers") {
        let mut notes = Vec::new();
        let ours = name_of(name, &mut notes);
        let source = text(handler, "source").unwrap_or_default();
        let Some((_, source)) = sources.iter().find(|(theirs, _)| *theirs == source) else {
            notes.push(format!("its source `{source}` was not carried over, so it was left out"));
            imported.add(&format!("handler `{name}`"), String::new(), notes);
            continue;
        };
        let text = handler_text(file, handler, (&ours, source), &mut imported, &mut notes);
        imported.add(&format!("handler `{ours}`"), text, notes);
    }
    alerts(file, &mut imported);
    Ok(imported)
}

fn table<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// What stands there, whatever it is: a secret of digits only is a number in YAML.
fn given(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn server(file: &Value, imported: &mut ImportedConfig) {
    let Some(server) = file.get("server") else { return };
    let number = |key: &str| server.get(key).and_then(Value::as_u64);
    let mut text = String::from("[server]\n");
    let mut notes = Vec::new();
    match (number("port"), given(server, "port")) {
        (Some(port), _) => put(&mut text, format_args!("listen = \"0.0.0.0:{port}\"\n")),
        (None, Some(port)) => {
            notes.push(format!(
                "its port is `{port}`, a variable: write `listen = \"0.0.0.0:PORT\"`"
            ));
        }
        (None, None) => {}
    }
    match (number("max_body_size"), given(server, "max_body_size")) {
        (Some(bytes), _) => put(&mut text, format_args!("body_max = \"{bytes}B\"\n")),
        (None, Some(bytes)) => {
            notes.push(format!("its `max_body_size` is `{bytes}`, no number: write `body_max`"));
        }
        (None, None) => {}
    }
    if server.get("trust_proxy") == Some(&Value::Bool(true)) {
        text.push_str("trusted_proxies = [\"127.0.0.1\"]\n");
        notes.push(
            "only a proxy on this machine is believed: name others in `trusted_proxies`".to_owned(),
        );
    }
    if number("ip_rate_limit").is_some_and(|limit| limit > 0) {
        notes.push(
            "`ip_rate_limit`: what fails verification is limited by itself; good requests are by the \
             `rate_limit` of each source"
                .to_owned(),
        );
    }
    imported.add("server", text, notes);
}

/// A source; `None` = there is no like of it.
fn source_text(
    file: &Value,
    source: &Value,
    name: &str,
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> Option<String> {
    let mut out = format!("[source.{name}]\n");
    let verify = match text(source, "type").unwrap_or("webhook") {
        "webhook" => webhook(source, name, &mut out, imported, notes),
        "event" => event((file, source), name, &mut out, imported, notes),
        other => {
            notes.push(format!("there are no sources of the kind `{other}`: it was left out"));
            return None;
        }
    };
    let allowed = strings(source, "allowed_ips");
    if !allowed.is_empty() {
        put(&mut out, format_args!("allow = {}\n", list(allowed)));
    }
    if source.get("schema").is_some() {
        notes.push("`schema`: bodies are stored as they come; ask for fields in `when`".to_owned());
    }
    if !verify.is_empty() {
        put(&mut out, format_args!("[source.{name}.verify]\n{verify}"));
    }
    Some(out)
}

fn webhook(
    source: &Value,
    name: &str,
    out: &mut String,
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> String {
    notes.push(format!("its address is /hooks/{name} now"));
    let secret = given(source, "secret");
    let verify = given(source, "verify");
    if secret.is_none() && verify.is_none() {
        notes.push(unchecked(!strings(source, "allowed_ips").is_empty()).to_owned());
        return "algorithm = \"none\"\n".to_owned();
    }
    // Whatever else it is: a source that is to be checked is never open.
    let verify = verify.unwrap_or_default();
    let secret = secret.unwrap_or_default();
    note_default(&secret, "its secret", notes);
    let secret = imported.secret(name, &secret);
    if let Some((_, preset)) = PRESETS.iter().find(|(theirs, _)| verify == *theirs) {
        put(out, format_args!("provider = \"{preset}\"\nsecrets = [{secret}]\n"));
        return String::new();
    }
    put(out, format_args!("secrets = [{secret}]\n"));
    if let Some((_, scheme)) = SCHEMES.iter().find(|(theirs, _)| verify == *theirs) {
        return (*scheme).to_owned();
    }
    notes.push(format!("`verify: {verify}` is not known here: what stands here is a guess"));
    "algorithm = \"hmac-sha256\"\nheader = \"X-Webhook-Signature\"\n".to_owned()
}

fn event(
    (file, source): (&Value, &Value),
    name: &str,
    out: &mut String,
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> String {
    notes.push(format!(
        "events come to /hooks/{name}?type=order.created now, with the type in the address"
    ));
    let token = file.get("api").and_then(|api| given(api, "auth_token"));
    let Some(token) = token else {
        notes.push(unchecked(!strings(source, "allowed_ips").is_empty()).to_owned());
        return "algorithm = \"none\"\ntype = { query = \"type\" }\n".to_owned();
    };
    let secret = imported.secret(name, &token);
    put(out, format_args!("secrets = [{secret}]\n"));
    "algorithm = \"token\"\nheader = \"Authorization\"\nprefix = \"Bearer \"\n\
     type = { query = \"type\" }\n"
        .to_owned()
}

fn handler_text(
    file: &Value,
    handler: &Value,
    (name, source): (&str, &str),
    imported: &mut ImportedConfig,
    notes: &mut Vec<String>,
) -> String {
    let n_before = notes.len();
    let mut out = format!("[handler.{name}]\n");
    let events = strings(handler, "events");
    let events = if events.is_empty() { vec!["*"] } else { events };
    let globs: Vec<String> = events.iter().map(|event| format!("{source}:{event}")).collect();
    put(&mut out, format_args!("on = {}\n", list(globs.iter().map(String::as_str))));
    if let Some(filter) = text(handler, "filter") {
        match transform::filter(filter) {
            Ok(when) => put(&mut out, format_args!("when = {}\n", quoted(&when))),
            Err(why) => notes.push(format!("`filter`: {why}")),
        }
    }
    let url = text(handler, "url").unwrap_or_default();
    let url = url_of(url, notes);
    let body = text(handler, "transform").and_then(|text| match transform::transform(text) {
        Ok(body) => Some(body),
        Err(why) => {
            notes.push(format!("`transform`: {why}"));
            None
        }
    });
    let headers = headers(handler, notes);
    if text(handler, "type").is_some_and(|kind| kind != "http") {
        notes.push("only deliveries by HTTP are carried over".to_owned());
    }
    if notes.len() > n_before {
        notes.push("so it is switched off: look at it, and take `enabled = false` out".to_owned());
        out.push_str("enabled = false\n");
    }
    policy(file, handler, &mut out, notes);
    put(&mut out, format_args!("[handler.{name}.http]\nurl = {}\n", quoted(&url)));
    if let Some(method) = text(handler, "method").filter(|method| *method != "POST") {
        put(&mut out, format_args!("method = {}\n", quoted(method)));
    }
    if let Some(limit) = handler.get("rate_limit").and_then(Value::as_u64) {
        put(&mut out, format_args!("rate_limit = \"{limit}/s\"\n"));
    }
    if let Some(body) = body {
        put(&mut out, format_args!("body = {}\nescape = \"json\"\n", quoted(&body)));
    }
    signing_secret(file, name, imported, (&mut out, notes));
    if !headers.is_empty() {
        put(&mut out, format_args!("headers = {{ {} }}\n", headers.join(", ")));
    }
    if handler.get("idempotency_key").is_some() {
        notes.push(
            "`idempotency_key`: what is a repeat is said by `dedupe` of the source".to_owned(),
        );
    }
    out
}

fn signing_secret(
    file: &Value,
    name: &str,
    imported: &mut ImportedConfig,
    (out, notes): (&mut String, &mut Vec<String>),
) {
    let delivery = file.get("delivery");
    let Some(secret) = delivery.and_then(|delivery| text(delivery, "signing_secret")) else {
        return;
    };
    let secret = imported.secret(&format!("{name}-signing"), secret);
    put(out, format_args!("secret = {secret}\n"));
    notes.push("it is signed as Standard Webhooks says: webhook-signature".to_owned());
}

fn policy(file: &Value, handler: &Value, out: &mut String, notes: &mut Vec<String>) {
    let delivery = file.get("delivery").unwrap_or(&Value::Null);
    let retry = |key: &str| {
        let of = |table: Option<&Value>| table.and_then(|table| table.get(key)).cloned();
        of(handler.get("retry")).or_else(|| of(delivery.get("default_retry")))
    };
    let attempts = retry("max").and_then(|max| max.as_u64()).unwrap_or(5).max(1);
    let first = retry("interval").and_then(|one| one.as_str().map(str::to_owned));
    let first = first.filter(|first| is_time(first, "interval", notes));
    let first = first.unwrap_or_else(|| "30s".to_owned());
    let is_fixed = retry("backoff").is_some_and(|backoff| backoff == "fixed");
    let max = if is_fixed { format!(", max = {}", quoted(&first)) } else { String::new() };
    put(out, format_args!("retry = {{ attempts = {attempts}, min = {}{max} }}\n", quoted(&first)));
    let timeout = text(handler, "timeout").or_else(|| text(delivery, "timeout"));
    if let Some(timeout) = timeout.filter(|timeout| is_time(timeout, "timeout", notes)) {
        put(out, format_args!("timeout = {}\n", quoted(timeout)));
    }
}

/// Whether it can stand where a time does; else it is told.
fn is_time(said: &str, key: &str, notes: &mut Vec<String>) -> bool {
    let is_one = parse_duration(said).is_ok_and(|time| !time.is_zero());
    if !is_one {
        notes.push(format!("`{key}: {said}` is no time, as in `30s`: it is left out"));
    }
    is_one
}

/// Variables are none in addresses here: their default counts, and without one the address is a place
/// that is nowhere.
fn url_of(url: &str, notes: &mut Vec<String>) -> String {
    let Some((before, rest)) = url.split_once("${") else { return url.to_owned() };
    let (inner, behind) = rest.split_once('}').unwrap_or((rest, ""));
    let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
    notes.push(format!("its address has the variable `{name}`: write what it is"));
    let value = match (default, before) {
        ("", "") => "http://127.0.0.1:1/",
        ("", _) => "VARIABLE",
        (default, _) => default,
    };
    url_of(&format!("{before}{value}{behind}"), notes)
}

fn headers(handler: &Value, notes: &mut Vec<String>) -> Vec<String> {
    let mut headers = Vec::new();
    for (name, value) in table(handler, "headers") {
        let Some(value) = value.as_str() else { continue };
        let key = quoted(name);
        match value.find("${") {
            None => headers.push(format!("{key} = {}", quoted(value))),
            Some(at) => {
                let (prefix, secret) = value.split_at(at);
                note_default(secret, &format!("the header `{name}`"), notes);
                match variable(secret) {
                    Some(variable) => headers.push(format!(
                        "{key} = {{ secret = {{ env = {} }}, prefix = {} }}",
                        quoted(variable),
                        quoted(prefix)
                    )),
                    None => notes.push(format!("the header `{name}` has more behind its variable")),
                }
            }
        }
    }
    headers
}

fn alerts(file: &Value, imported: &mut ImportedConfig) {
    let Some(alerts) = file.get("alerts") else { return };
    let mut notes = Vec::new();
    let on: Vec<&str> = strings(alerts, "on")
        .into_iter()
        .filter_map(|one| match one {
            "dlq" => Some("gatepost:dead_letter"),
            "verification_failure" => Some("gatepost:signature.rejected"),
            other => {
                notes.push(format!("there is no alert `{other}`"));
                None
            }
        })
        .collect();
    let on = if on.is_empty() { vec!["gatepost:*"] } else { on };
    let mut out = format!("[handler.alerts]\non = {}\n", list(on));
    let url = text(alerts, "url").unwrap_or_default();
    let kind = text(alerts, "type").unwrap_or("generic");
    if ["slack", "discord"].contains(&kind) {
        let secret = imported.secret("alerts", url);
        put(
            &mut out,
            format_args!(
                "[handler.alerts.chat]\n{kind} = {{ url = {secret} }}\n\
                 text = \"{{{{ event.type }}}}: {{{{ payload | tojson }}}}\"\n"
            ),
        );
    } else {
        let n_before = notes.len();
        let url = url_of(url, &mut notes);
        if notes.len() > n_before {
            out.push_str("enabled = false\n");
        }
        put(&mut out, format_args!("[handler.alerts.http]\nurl = {}\n", quoted(&url)));
    }
    imported.add("handler `alerts`", out, notes);
}
