//! What only the configuration in force can tell: what handlers say to an event, where things are, and
//! whether a signed sample gets through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::api::{
    ApiError, EventLine, KeyOrigin, PlanView, SeenValue, Surroundings, TestView, WantsView, Wish,
    error_chain,
};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, HandlerSettings};
use crate::deliver::{self, Match};
use crate::event::{Delivery, Event, EventId, EventType, HandlerName};
use crate::expr::{Expression, Field, Scope};
use crate::http::public::HOOKS;
use crate::source::Source;

use super::trial::Trial;

/// The longest value that is shown.
const VALUE_CHARS_MAX: usize = 80;
/// The most fields of one expression that are shown.
const FIELDS_MAX: usize = 8;
/// Longer than the listener takes for a durable commit.
const TEST_TIMEOUT: Duration = Duration::from_secs(15);

/// What each configured handler says to `event`.
pub(super) fn wants(config: &Config, event: &Arc<Event>) -> Vec<WantsView> {
    let handlers = config.handlers.iter();
    handlers.map(|(name, settings)| one(name, settings, event)).collect()
}

/// Whether a handler would be called with `event`. One that is not configured may be again.
pub(super) fn is_wanted(config: &Config, handler: &HandlerName, event: &Arc<Event>) -> bool {
    config.handlers.get(handler).is_none_or(|settings| settings.policy.wants(event))
}

/// What a handler would do with `event`.
pub(super) fn plan(
    config: &Config,
    name: &HandlerName,
    event: &Arc<Event>,
    clock: &Arc<dyn Clock>,
) -> Result<PlanView, ApiError> {
    let missing = || ApiError::NotFound(format!("handler `{name}` is not configured"));
    let settings = config.handlers.get(name).ok_or_else(missing)?;
    let trial = Trial::new(config, name, clock).ok_or_else(missing)?;
    let wants = one(name, settings, event);
    let (steps, text, failure) = match trial.plan(&[Delivery::first(Arc::clone(event))]) {
        Ok(plan) => (serde_json::to_value(&plan).ok(), plan.to_string(), None),
        Err(failure) => (None, String::new(), Some(failure.to_string())),
    };
    Ok(PlanView { wants, steps, text, failure })
}

fn one(name: &HandlerName, settings: &HandlerSettings, event: &Arc<Event>) -> WantsView {
    let policy = &settings.policy;
    let on = || {
        let globs = config_list(&settings.policy);
        if globs.is_empty() { "on is left out: all but gatepost:*".to_owned() } else { globs }
    };
    let (answer, because) = match deliver::evaluate(policy, event) {
        _ if !settings.is_enabled => (Wish::Disabled, "enabled = false".to_owned()),
        Match::Take(_) => (Wish::Wanted, String::new()),
        Match::Skip if !deliver::is_named(&policy.on, event) => (Wish::NotNamed, on()),
        Match::Skip => {
            let when = policy.when.as_ref().map_or("", |when| when.source());
            (Wish::Filtered, format!("when = {when}"))
        }
        Match::Error(reason) => (Wish::Unclear, reason.to_string()),
    };
    let values = match answer {
        Wish::Filtered | Wish::Unclear => policy.when.as_ref().map(|when| values(when, event)),
        Wish::Wanted | Wish::NotNamed | Wish::Disabled => None,
    };
    let values = values.unwrap_or_default();
    let line = (answer == Wish::Wanted).then(|| line(name, policy, event)).flatten();
    let (handler, kind) = (name.clone(), settings.kind_name.into());
    WantsView { handler, kind, answer, because, values, line }
}

/// The line that an event is in for a handler, where a search can find the others.
fn line(name: &HandlerName, policy: &deliver::Policy, event: &Arc<Event>) -> Option<EventLine> {
    let order_by = policy.order_by.as_ref()?;
    let scope = Scope::of(event);
    let mut words = Vec::new();
    for field in order_by.fields() {
        let word = word(&field.dotted()?, event, &scope)?;
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() || words.len() > FIELDS_MAX {
        return None;
    }
    let (handlers, values) = (vec![name.clone()], values(order_by, event));
    Some(EventLine { handlers, values, q: words.join(" ") })
}

/// The word of a search that finds events with the same value in a field.
fn word(field: &str, event: &Event, scope: &Scope) -> Option<String> {
    let (root, path) = field.split_once('.')?;
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let value = Expression::compile(field).ok()?.text(scope).ok().flatten()?;
    let is_said = !value.is_empty()
        && value.chars().count() <= VALUE_CHARS_MAX
        && !value.contains(|c: char| c == '"' || c.is_control());
    if !is_said || !path.chars().all(is_sign) {
        return None;
    }
    let value = if value.contains(char::is_whitespace) { format!("\"{value}\"") } else { value };
    match (root, path, event.data_root.field()) {
        ("event", "type" | "source", _) => Some(format!("{path}:{value}")),
        ("payload", _, _) | ("data", _, None) => Some(format!("$.{path}:{value}")),
        ("data", _, Some(data)) => Some(format!("$.{data}.{path}:{value}")),
        (_, _, _) => None,
    }
}

/// `on` as it is written.
fn config_list(policy: &deliver::Policy) -> String {
    let globs = policy.on.iter();
    let globs =
        globs.map(|glob| format!("\"{}:{}\"", glob.source.as_str(), glob.event_type.as_str()));
    let globs = globs.collect::<Vec<_>>().join(", ");
    if globs.is_empty() { globs } else { format!("on = [{globs}]") }
}

/// What an expression sees in an event.
fn values(when: &Expression, event: &Arc<Event>) -> Vec<SeenValue> {
    let scope = Scope::of(event);
    let mut values: Vec<SeenValue> = Vec::new();
    for field in when.fields().iter().filter_map(Field::dotted) {
        if values.iter().any(|seen| seen.field == field) || values.len() == FIELDS_MAX {
            continue;
        }
        let json = Expression::compile(&format!("{field} | tojson"));
        let value = json.ok().and_then(|json| json.text(&scope).ok().flatten());
        let is_there = Expression::compile(&format!("{field} is defined"));
        let is_there = is_there.is_ok_and(|one| one.is_true(&scope).unwrap_or(false));
        let value = value.filter(|_| is_there).unwrap_or_else(|| "missing".to_owned());
        values.push(SeenValue { field, value: value.chars().take(VALUE_CHARS_MAX).collect() });
    }
    values
}

/// Where things are: the public listener, and where senders reach it. `config` is what was taken over last by a process that
/// began with `started`.
pub(super) fn surroundings(
    (started, config): (&Config, &Config),
    path: &Path,
    read_at: Timestamp,
    (listener, public_url): (Option<(&str, SocketAddr)>, Option<String>),
) -> Surroundings {
    let disk = rustix::fs::statvfs(&started.queue.path).ok();
    let origins = config.origins();
    let origins =
        origins.map(|(key, line, secrets)| KeyOrigin { key: key.to_owned(), line, secrets });
    Surroundings {
        config: path.display().to_string(),
        read_at,
        keys: config.keys_since(started),
        origins: origins.collect(),
        address: listener.map(|(scheme, at)| format!("{scheme}://{at}")).unwrap_or_default(),
        public_url,
        disk_free: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
        disk_max: started.queue.disk_max.0,
        retention_seconds: started.queue.retention.as_secs(),
        token: config.admin.token.display().to_string(),
    }
}

/// Signs a sample with the source's own secret and posts it to the public listener at `address`.
pub(super) async fn send_test(
    source: &Source,
    event_type: &str,
    (scheme, address): (&str, SocketAddr),
    clock: &dyn Clock,
) -> Result<TestView, ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<EventId>,
    }
    let path = format!("{HOOKS}{}", source.name());
    let body = source.sample(event_type, clock.now());
    let signed = source.sign(&EventType::new(event_type), body, &path, clock.now());
    let signed = signed.map_err(|err| ApiError::Conflict(error_chain(&err)))?;
    let failed = |err: reqwest::Error| ApiError::Conflict(error_chain(&err));
    // No certificate is for the address of this machine's own listener.
    let client = reqwest::Client::builder().timeout(TEST_TIMEOUT).no_proxy().tls_certs_only([]);
    let client = client.tls_danger_accept_invalid_certs(true).build().map_err(failed)?;
    let address = reachable(address);
    let mut request = client.post(format!("{scheme}://{address}{}", signed.address(&path)));
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let began = clock.steady();
    let response = request.body(signed.body).send().await.map_err(failed)?;
    let millis = clock.steady().since(began).as_millis();
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(failed)?;
    let id = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.id);
    Ok(TestView { status, millis: u64::try_from(millis).unwrap_or(u64::MAX), id })
}

/// An address that is any of this machine's is reached by loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}
