//! Traces at a collector: what arrives there is decoded by the field numbers of OTLP, and, where `./test`
//! has installed it, by OpenTelemetry's own messages.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::bad_server::{BadServer, Request, status};
use crate::support::gateway::{Folder, Gateway, signature};
use crate::support::program::{printed, run};
use crate::support::servers::skip;

/// A field of a message of protobuf.
#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The fields of a message by their numbers.
struct Message(BTreeMap<u64, Vec<Field>>);

impl Message {
    fn decode(mut bytes: &[u8]) -> Self {
        let mut fields: BTreeMap<u64, Vec<Field>> = BTreeMap::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    Field::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => Field::Number(
                    u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into(),
                ),
                kind => panic!("wire type {kind}"),
            };
            fields.entry(tag >> 3).or_default().push(field);
        }
        Self(fields)
    }

    fn all(&self, field: u64) -> Vec<Self> {
        let fields = self.0.get(&field).into_iter().flatten();
        fields
            .map(|field| match field {
                Field::Bytes(bytes) => Self::decode(bytes),
                Field::Number(_) => panic!("not a message"),
            })
            .collect()
    }

    fn bytes(&self, field: u64) -> Vec<u8> {
        match self.0.get(&field).map(Vec::as_slice) {
            Some([Field::Bytes(bytes)]) => bytes.clone(),
            other => panic!("{field}: {other:?}"),
        }
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.bytes(field)).unwrap()
    }

    fn number(&self, field: u64) -> u64 {
        match self.0.get(&field).map(Vec::as_slice) {
            Some([Field::Number(number)]) => *number,
            other => panic!("{field}: {other:?}"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

/// What a test compares of a span.
#[derive(Debug)]
struct Span {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    kind: u64,
    millis: u64,
    attributes: BTreeMap<String, String>,
    status: u64,
    error: Option<String>,
}

fn span(message: &Message) -> Span {
    let value = |one: &Message| {
        let any = &one.all(2)[0];
        if any.0.contains_key(&1) { any.text(1) } else { any.number(3).to_string() }
    };
    let status = &message.all(15)[0];
    Span {
        trace: hex::encode(message.bytes(1)),
        id: hex::encode(message.bytes(2)),
        parent: message.0.contains_key(&4).then(|| hex::encode(message.bytes(4))),
        name: message.text(5),
        kind: message.number(6),
        millis: (message.number(8) - message.number(7)) / 1_000_000,
        attributes: message.all(9).iter().map(|one| (one.text(1), value(one))).collect(),
        status: status.number(3),
        error: status.0.contains_key(&2).then(|| status.text(2)),
    }
}

/// The spans in the requests that a collector got.
fn spans(requests: &[Request]) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in requests {
        assert_eq!(request.path, "/v1/traces");
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        for resource in Message::decode(&request.body).all(1) {
            let of = resource.all(1)[0].all(1);
            assert_eq!(
                (of[0].text(1), of[0].all(2)[0].text(1)),
                ("service.name".to_owned(), "hooks".to_owned())
            );
            for scope in resource.all(2) {
                assert_eq!(scope.all(1)[0].text(1), "gatepost");
                spans.extend(scope.all(2).iter().map(span));
            }
        }
    }
    spans
}

/// A gateway with a handler at `receiver` and a collector.
fn gateway(receiver: &BadServer, collector: &BadServer) -> Gateway {
    Gateway::serve(Folder::new("", &config(receiver, collector, "")))
}

/// The same as a configuration, with more tables behind `[traces]`.
fn config(receiver: &BadServer, collector: &BadServer, more: &str) -> String {
    format!(
        "[traces]\nendpoint = \"{}\"\nservice = \"hooks\"\n{more}[handler.app]\nstart = \"oldest\"\n\
         retry = {{ min = \"10ms\" }}\n[handler.app.http]\nurl = \"{}\"\n",
        collector.url("").trim_end_matches('/'),
        receiver.url("/")
    )
}

#[test]
fn event_has_one_trace_from_its_request_to_each_try_and_receivers_get_its_context() {
    let (receiver, collector) = (BadServer::start([status(503)]), BadServer::start([]));
    let gateway = gateway(&receiver, &collector);
    let own = gateway.send(br#"{"event":"comment.create"}"#).id();
    gateway.wait_until_delivered("app", 1);
    let body = br#"{"event":"comment.update"}"#;
    let headers = [
        ("X-Signature", &*signature(body)),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "vendor=of-the-sender"),
    ];
    let sent = gateway.post("hyvor", &headers, body).id();
    let not_sampled = br#"{"event":"comment.delete"}"#;
    let quiet = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00";
    let headers = [("X-Signature", &*signature(not_sampled)), ("traceparent", quiet)];
    gateway.post("hyvor", &headers, not_sampled).id();
    gateway.wait_until_delivered("app", 3);
    gateway.wait_until_delivered("all", 3);
    gateway.stop();

    let requests = collector.requests();
    let spans = spans(&requests);
    let of = |trace: &str| spans.iter().filter(|one| one.trace == trace).collect::<Vec<_>>();
    let names = |spans: &[&Span]| {
        let mut names: Vec<_> =
            spans.iter().map(|one| (one.name.clone(), one.kind, one.status)).collect();
        names.sort();
        names
    };
    let name = |name: &str, kind, status| (name.to_owned(), kind, status);
    let first = of(&own.replace('-', ""));
    assert_eq!(
        names(&first),
        [
            name("deliver all", 5, 1),
            name("deliver app", 5, 1),
            name("deliver app", 5, 2),
            name("receive hyvor", 2, 1)
        ]
    );
    let root = first.iter().find(|one| one.kind == 2).unwrap();
    assert_eq!(root.parent, None);
    assert_eq!(root.attributes["gatepost.event.id"], own);
    assert_eq!(root.attributes["gatepost.event.type"], "comment.create");
    assert_eq!(root.attributes["http.response.status_code"], "200");
    assert!(root.millis < 20_000, "{root:?}");
    for try_of in first.iter().filter(|one| one.kind == 5) {
        assert_eq!(try_of.parent.as_ref(), Some(&root.id));
    }
    let failed = first.iter().find(|one| one.status == 2).unwrap();
    assert!(failed.error.as_ref().unwrap().contains("503"), "{failed:?}");
    assert_eq!(failed.attributes["gatepost.answer"], "503");
    assert_eq!(failed.attributes["gatepost.attempt"], "1");

    let second = of("4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(names(&second).len(), 3);
    let root = second.iter().find(|one| one.kind == 2).unwrap();
    assert_eq!(root.parent.as_deref(), Some("00f067aa0ba902b7"), "the sender's own span");
    assert_eq!(root.attributes["gatepost.event.id"], sent);
    assert!(of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").is_empty(), "its sender wants no record");
    assert_eq!(spans.len(), 7);

    assert_told(&receiver.requests(), &spans);
    read_by_opentelemetry(&requests, spans.len());
}

/// What the receiver was told is what the collector knows.
fn assert_told(requests: &[Request], spans: &[Span]) {
    let told: Vec<_> = requests.iter().map(|one| header(one, "traceparent")).collect();
    for try_of in spans.iter().filter(|one| one.name == "deliver app") {
        let context = format!("00-{}-{}-01", try_of.trace, try_of.id);
        assert!(told.contains(&Some(context.clone())), "{context} in {told:?}");
    }
    let states: Vec<_> = requests.iter().filter_map(|one| header(one, "tracestate")).collect();
    assert_eq!(states, ["vendor=of-the-sender"]);
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.header(name).map(str::to_owned)
}

/// Another reader: OpenTelemetry's own messages, as Python has them.
fn read_by_opentelemetry(requests: &[Request], n_spans: usize) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dashboard/venv/bin/python");
    if !python.exists() {
        return skip("`opentelemetry-proto` is not installed (./test does it)");
    }
    let script = "import sys\n\
        from google.protobuf.unknown_fields import UnknownFieldSet\n\
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import \
        ExportTraceServiceRequest as Request\n\
        request = Request.FromString(sys.stdin.buffer.read())\n\
        spans = [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]\n\
        assert all(len(s.trace_id) == 16 and len(s.span_id) == 8 for s in spans)\n\
        assert all(s.end_time_unix_nano >= s.start_time_unix_nano > 10**18 for s in spans)\n\
        assert len(UnknownFieldSet(request)) == 0\n\
        print(len(spans))";
    let mut n_read = 0;
    for request in requests {
        let mut child = Command::new(&python)
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&request.body).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        n_read += String::from_utf8(output.stdout).unwrap().trim().parse::<usize>().unwrap();
    }
    assert_eq!(n_read, n_spans);
}

#[test]
fn collector_that_is_away_holds_up_nothing() {
    let receiver = BadServer::start([]);
    let collector = BadServer::start((0..40).map(|_| status(503)));
    let gateway = gateway(&receiver, &collector);
    for n in 0..20 {
        gateway.send(format!(r#"{{"n":{n}}}"#).as_bytes()).id();
    }
    gateway.wait_until_delivered("app", 20);
    gateway.stop();
}

#[test]
fn collector_gets_its_headers_out_of_files_and_nothing_shows_them() {
    let (receiver, collector) = (BadServer::start([]), BadServer::start([]));
    let headers = "[traces.headers]\nX-Scope-OrgID = \"site\"\n\
                   Authorization = { secret = { file = \"key\" }, prefix = \"Bearer \" }\n";
    let rest = config(&receiver, &collector, headers);
    let folder = Folder::new("", &rest);
    folder.write_secret("key", "of-the-collector\n");
    let gateway = Gateway::serve(folder);
    gateway.send(b"{}").id();
    gateway.wait_until_delivered("app", 1);
    let shown = gateway.ask("GET", "/api/v1/config", "").text();
    assert!(shown.contains("X-Scope-OrgID") && !shown.contains("of-the-collector"), "{shown}");
    let changed = config(&receiver, &collector, &headers.replace("\"site\"", "\"other\""));
    gateway.folder.write_config("", &changed);
    let reloaded = gateway.ask("POST", "/api/v1/reload", "").json();
    let line = "~ traces.headers.X-Scope-OrgID: \"site\" → \"other\"  (from the next start on)";
    assert_eq!(reloaded["changes"], serde_json::json!([line]));
    gateway.stop();
    for request in collector.requests() {
        assert_eq!(header(&request, "authorization").as_deref(), Some("Bearer of-the-collector"));
        assert_eq!(header(&request, "x-scope-orgid").as_deref(), Some("site"));
    }
    assert!(!collector.requests().is_empty());
}

#[test]
fn headers_of_a_collector_that_cannot_be_are_named_by_check() {
    let (receiver, collector) = (BadServer::start([]), BadServer::start([]));
    for (line, expected) in [
        ("Authorization = { secret = { file = \"nowhere\" } }", "secret file"),
        ("Content-Type = \"text/plain\"", "set by Gatepost itself"),
        ("\"a b\" = \"c\"", "not the name of a header"),
        ("X-Key = 5", "a header is a text"),
        ("X-Key = \"a\\nb\"", "no header can have this value"),
        ("X-Key = { secret = { env = \"K\" }, prefx = \"a\" }", "prefx"),
    ] {
        let rest = config(&receiver, &collector, &format!("[traces.headers]\n{line}\n"));
        let folder = Folder::new("", &rest);
        let output = run(&folder, &["check"]);
        printed(&output, 3);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(expected), "{line}: {told}");
    }
}
