//! The API described for programs, as `OpenAPI` 3.1, out of the same tables that a test compares with
//! the routes, with what the questions take and with what is really answered.

use serde_json::{Map, Value, json};

mod actions;
mod answers;
mod cluster;
mod dead;
mod kinds;
mod parameters;
mod schemas;

use crate::api::{HandlerStatus, HandlerView};
use answers::EXTENDED;
use kinds::{reference, schema};
use schemas::{Field, SCHEMAS};

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// Below `/api/v1`.
    pub(super) path: &'static str,
    summary: &'static str,
    /// What the query takes, or the body of a change; the name of a question in [`SCHEMAS`].
    pub(super) ask: Option<&'static str>,
    /// The answer, in the words of [`SCHEMAS`].
    pub(super) answer: &'static str,
}

const fn get(
    path: &'static str,
    ask: Option<&'static str>,
    answer: &'static str,
    summary: &'static str,
) -> Operation {
    Operation { method: "get", path, summary, ask, answer }
}

const fn post(
    path: &'static str,
    ask: Option<&'static str>,
    answer: &'static str,
    summary: &'static str,
) -> Operation {
    Operation { method: "post", path, summary, ask, answer }
}

pub(super) const OPERATIONS: &[Operation] = &[
    get("/status", None, "Status", "How everything stands."),
    get("/cluster", None, "ClusterAnswer", "The gateways that share the log."),
    get(
        "/events",
        Some("EventsAsk"),
        "[Event]",
        "Events, newest first, or oldest first with `after`.",
    ),
    get("/events/{id}", None, "EventDetail", "One event with all that is known of it."),
    get(
        "/events/{id}/raw",
        None,
        "bytes",
        "One event's body, byte for byte; for a reader without what its sender proves itself by.",
    ),
    get(
        "/events/{id}/plan",
        Some("PlanAsk"),
        "Plan",
        "What a handler would do with an event; nothing is done.",
    ),
    get("/events/{id}/fixture", None, "Fixture", "One event as a test case, masked."),
    post("/events/{id}/replay", Some("ReplayAsk"), "ReplayedEvent", "Delivers one event again."),
    post(
        "/events/{id}/edit",
        Some("EditAsk"),
        "Edited",
        "Makes a new event of one, with another body.",
    ),
    post("/events/replay", Some("ReplayRange"), "Replayed", "Delivers a page of events again."),
    get(
        "/dead",
        Some("DeadAsk"),
        "[DeadLetter]|DeadGroups",
        "Dead letters, oldest first; with `group` their groups.",
    ),
    post("/dead/redrive", Some("DeadAsk"), "Changed", "Tries dead letters again."),
    post("/dead/drop", Some("DeadAsk"), "Changed", "Gives dead letters up for good."),
    get("/rollouts", None, "[Rollout]", "Redrives by stages, newest first."),
    post(
        "/rollouts",
        Some("RolloutAsk"),
        "Rollout",
        "Begins to redrive 1, 10, 100, then the rest.",
    ),
    get("/rollouts/{number}", None, "Rollout", "One rollout with its letters."),
    post("/rollouts/{number}/pause", None, "Rollout", "Lets nothing more go for now."),
    post("/rollouts/{number}/resume", None, "Rollout", "Goes on; after a failure with one letter."),
    post("/rollouts/{number}/cancel", None, "Rollout", "Ends it; what was let go stays so."),
    get("/rejected", Some("RejectedAsk"), "[Rejected]", "Rejected requests, newest first."),
    get(
        "/rejected/{number}",
        None,
        "RejectedDetail",
        "One rejected request with headers and body.",
    ),
    get(
        "/rejected/{number}/explain",
        None,
        "Explanation",
        "Why a request was rejected, and what to change.",
    ),
    post(
        "/rejected/release",
        Some("ReleaseAsk"),
        "Changed",
        "Verifies requests again, and stores those that pass.",
    ),
    post("/rejected/{number}/release", None, "Stored", "Verifies a request again, and stores it."),
    get("/handlers", None, "[Handler]", "Every handler and how it does."),
    get("/handlers/{name}", None, "HandlerDetail", "One handler with its next tries."),
    get("/sources", None, "[Source]", "Every source and what came of it."),
    get("/sources/{name}", None, "SourceDetail", "One source with its types and silences."),
    post(
        "/handlers/{name}/pause",
        Some("PauseAsk"),
        "RunChanged",
        "Gives no deliveries to a handler, for a while or until it is resumed.",
    ),
    post("/handlers/{name}/resume", None, "RunChanged", "Gives deliveries to a handler again."),
    post(
        "/handlers/{name}/retry",
        None,
        "Retried",
        "Tries a handler at once, whatever its breaker says.",
    ),
    post(
        "/handlers/{name}/forget",
        None,
        "Forgotten",
        "Removes the place of a handler that is gone.",
    ),
    get("/reload", None, "Reloaded", "What a reload would change."),
    post("/reload", None, "Reloaded", "Reads the configuration again."),
    get("/stream", Some("EventsAsk"), "stream", "New events as server-sent events."),
    get("/rates", None, "Rates", "How often something happened, by minute and hour."),
    get("/config", None, "Config", "The configuration in force; secrets are hidden."),
    get("/actions", Some("ActionsAsk"), "[Action]", "Who changed what, newest first."),
    get(
        "/export",
        Some("ExportAsk"),
        "[any]",
        "Events with all that is needed to store them elsewhere.",
    ),
    post("/import", None, "Imported", "Stores exported events."),
    post("/compact", None, "Queue", "Gives unused space back."),
    post("/standby/hello", None, "any", "Begins to follow: for `gatepost standby`."),
    post("/standby/pull", None, "bytes", "What comes next of the queue's files, checked."),
    get("/openapi.json", None, "any", "This description."),
];

pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = format!("/api/v1{}", operation.path);
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(operation.method.to_owned(), operation.describe());
        }
    }
    let schemas: Map<String, Value> = all_schemas()
        .map(|(name, own)| {
            ((*name).to_owned(), object(&all_fields(name, own), name.ends_with("Ask")))
        })
        .chain(NAMED.map(|(name, schema)| (name.to_owned(), schema())))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Gatepost", "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": "gatepost_session" },
            },
        },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let mut parameters: Vec<Value> = self.path.split('/').filter_map(path_parameter).collect();
        if self.path == "/stream" {
            parameters.push(parameters::last_event_id());
        }
        let ask = self.ask.and_then(fields_of);
        let mut done = json!({ "description": "Done.", "content": self.content() });
        if let ("get", Some(headers)) = (self.method, parameters::headers(self.path)) {
            set(&mut done, "headers", headers);
        }
        let mut operation = json!({
            "operationId": self.id(),
            "summary": self.summary,
            "responses": {
                "200": done,
                "default": {
                    "description": "It was not done; `detail` says why.",
                    "content": { "application/problem+json": { "schema": reference("Problem") } },
                },
            },
        });
        match (self.method, self.ask, ask) {
            ("get", Some(name), Some(fields)) => {
                parameters.extend(parameters::parameters(self.path, name, &fields));
            }
            (_, Some(name), Some(_)) => {
                let content = json!({ "application/json": { "schema": reference(name) } });
                set(&mut operation, "requestBody", json!({ "content": content }));
            }
            (_, _, _) => {}
        }
        if !parameters.is_empty() {
            set(&mut operation, "parameters", parameters.into());
        }
        operation
    }

    /// `get_events_id_raw`
    fn id(&self) -> String {
        let words = self.path.split(['/', '.']).map(|word| word.trim_matches(['{', '}']));
        let words = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
        format!("{}_{words}", self.method)
    }

    fn content(&self) -> Value {
        match self.answer {
            "bytes" => json!({ "application/octet-stream": {} }),
            "stream" => json!({ "text/event-stream": {} }),
            answer => json!({ "application/json": { "schema": schema(answer) } }),
        }
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn path_parameter(part: &str) -> Option<Value> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    let kind = match name {
        "id" => "id",
        "number" => "integer",
        _ => "string",
    };
    Some(json!({ "name": name, "in": "path", "required": true, "schema": schema(kind) }))
}

fn all_schemas() -> impl Iterator<Item = &'static (&'static str, &'static [Field])> {
    let others = [actions::SCHEMAS, answers::SCHEMAS, cluster::SCHEMAS, dead::SCHEMAS];
    SCHEMAS.iter().chain(others.into_iter().flatten())
}

fn fields_of(name: &str) -> Option<Vec<Field>> {
    all_schemas().find(|(known, _)| *known == name).map(|(_, own)| all_fields(name, own))
}

/// The fields that `name` has of the one that it extends, then its own.
fn all_fields(name: &str, own: &[Field]) -> Vec<Field> {
    let base = EXTENDED.iter().find(|(extended, _)| *extended == name);
    let base = base.and_then(|(_, base)| fields_of(base));
    base.into_iter().flatten().chain(own.iter().copied()).collect()
}

fn object(fields: &[Field], is_ask: bool) -> Value {
    let properties = fields.iter().map(|(name, kind)| ((*name).to_owned(), schema(kind)));
    let required = fields.iter().filter(|(_, kind)| !kind.ends_with('?')).map(|(name, _)| *name);
    let mut object = json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "required": required.collect::<Vec<_>>(),
    });
    if is_ask {
        // A filter with a slip must not become "all".
        set(&mut object, "additionalProperties", false.into());
    }
    object
}

/// A schema's name, and what makes it.
type NamedSchema = (&'static str, fn() -> Value);

/// Schemas that are no objects of fields.
const NAMED: [NamedSchema; 4] = [
    ("State", states),
    ("HandlerState", || json!({ "enum": HandlerStatus::ALL.map(HandlerStatus::as_str) })),
    ("HandlerCondition", conditions),
    ("Problem", problem),
];

/// How a handler does, as people read it.
fn conditions() -> Value {
    let states = HandlerStatus::ALL.into_iter().map(HandlerStatus::as_str);
    let all: Vec<&str> = states.chain(HandlerView::UNWELL).collect();
    json!({ "enum": all })
}

fn states() -> Value {
    json!({ "enum": ["pending", "delivered", "skipped", "retry", "held", "dead"] })
}

/// RFC 9457.
fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "title": schema("string"),
            "status": schema("integer"),
            "detail": schema("string?"),
        },
        "required": ["title", "status"],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::route::{Need, Route};
    use super::*;
    use crate::api::{
        ActionsAsk, DeadAsk, EditAsk, EventsAsk, ExportAsk, PauseAsk, PlanAsk, RejectedAsk,
        ReleaseAsk, ReplayAsk, ReplayRange, RolloutAsk,
    };

    fn route(operation: &Operation) -> Route {
        let id = "0199c3f6-5b5e-7000-8000-000000000001";
        let path = operation.path.replace("{id}", id).replace("{number}", "7");
        Route::parse(&format!("/api/v1{}", path.replace("{name}", "mail"))).unwrap()
    }

    #[test]
    fn every_operation_is_a_route_of_that_method_and_every_route_has_one() {
        for operation in OPERATIONS {
            let route = route(operation);
            let fits = match route.need() {
                Need::Get => operation.method == "get",
                Need::Post => operation.method == "post",
                Need::Both => true,
            };
            assert!(fits, "{} {}", operation.method, operation.path);
        }
        let described: BTreeSet<_> = OPERATIONS.iter().map(|one| one.path.to_owned()).collect();
        assert_eq!(described, Route::paths());
        assert_eq!(OPERATIONS.len(), described.len() + 2, "reload and rollouts read and posted");
    }

    #[test]
    fn questions_are_described_as_they_are_read() {
        let keys = |value: Value| -> BTreeSet<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        for (name, ask) in [
            ("EventsAsk", serde_json::to_value(EventsAsk::default()).unwrap()),
            ("DeadAsk", serde_json::to_value(DeadAsk::default()).unwrap()),
            ("RolloutAsk", serde_json::to_value(RolloutAsk::default()).unwrap()),
            ("PauseAsk", serde_json::to_value(PauseAsk::default()).unwrap()),
            ("PlanAsk", serde_json::to_value(PlanAsk::default()).unwrap()),
            ("ReplayAsk", serde_json::to_value(ReplayAsk::default()).unwrap()),
            ("EditAsk", serde_json::to_value(EditAsk::default()).unwrap()),
            ("ReplayRange", serde_json::to_value(ReplayRange::default()).unwrap()),
            ("ReleaseAsk", serde_json::to_value(ReleaseAsk::default()).unwrap()),
            ("RejectedAsk", serde_json::to_value(RejectedAsk::default()).unwrap()),
            ("ActionsAsk", serde_json::to_value(ActionsAsk::default()).unwrap()),
            ("ExportAsk", serde_json::to_value(ExportAsk::default()).unwrap()),
        ] {
            let fields = fields_of(name).unwrap().into_iter().map(|(name, _)| name.to_owned());
            assert_eq!(fields.collect::<BTreeSet<_>>(), keys(ask), "{name}");
        }
    }

    #[test]
    fn every_name_that_is_referred_to_is_there() {
        let text = document().to_string();
        let known =
            |name: &str| fields_of(name).is_some() || NAMED.iter().any(|(known, _)| *known == name);
        let names = text.split("#/components/schemas/").skip(1);
        for name in names.map(|rest| rest.split('"').next().unwrap()) {
            assert!(known(name), "{name}");
        }
    }
}
