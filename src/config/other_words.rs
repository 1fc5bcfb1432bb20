//! What other programs call our keys and tables, and what of theirs there is nothing of here.

/// In which table which words stand, and what to write in their place. `{name}` is the source's or handler's.
pub(super) type Advice = (&'static str, &'static [&'static str], &'static str);

const LISTEN: &[&str] =
    &["addr", "address", "bind", "bind_address", "host", "interface", "ip", "port"];
const BODY_MAX: &[&str] =
    &["body_limit", "body_size", "client_max_body_size", "max_body", "max_body_size", "max_size"];
const TRIES: &[&str] =
    &["attempts", "backoff", "max_attempts", "max_retries", "retries", "retry", "retry_delay"];

pub(super) const ADVICE: &[Advice] = &[
    ("", &["log_level", "logger", "logging"], "`[log]` has `level` and `format`"),
    (
        "",
        &["database", "db", "mariadb", "mysql", "postgres", "postgresql", "sql", "sqlite"],
        "a database that events go into is a handler: `[handler.NAME.sql]`",
    ),
    (
        "",
        &["api", "dashboard", "metrics", "prometheus", "ui", "web"],
        "the dashboard, the API and `/metrics` are at the address of `[admin]`",
    ),
    (
        "",
        &["certificate", "https", "letsencrypt", "ssl", "tls"],
        "certificates are `[server.tls]` of files and `[server.acme]` of Let's Encrypt",
    ),
    ("", &["email", "mail", "smtp"], "mails are a handler: `[handler.NAME.email]`"),
    (
        "",
        &["chat", "discord", "matrix", "mattermost", "slack", "teams", "telegram"],
        "messages are a handler: `[handler.NAME.chat]`",
    ),
    ("", &["command", "exec", "script"], "programs are a handler: `[handler.NAME.command]`"),
    (
        "",
        &["forward", "target", "targets", "upstream"],
        "requests are a handler: `[handler.NAME.http]`",
    ),
    ("", LISTEN, "write `listen = \"0.0.0.0:8080\"` into `[server]`"),
    ("", &["gateway", "http", "listener"], "where it listens is said in `[server]`"),
    ("", TRIES, "each handler has its own: `[handler.NAME.retry]`"),
    (
        "",
        &["opentelemetry", "otel", "telemetry", "tracing"],
        "traces are `[traces]`, with `endpoint`",
    ),
    (
        "",
        &["data", "data_dir", "persistence", "storage", "store"],
        "events are kept in the folder that `path` in `[queue]` names",
    ),
    ("", &["cluster", "nats"], "gateways share a log that `backend` in `[queue]` names"),
    (
        "",
        &[
            "endpoint",
            "endpoints",
            "hook",
            "hooks",
            "provider",
            "providers",
            "route",
            "routes",
            "webhook",
            "webhooks",
        ],
        "each sender is a `[source.NAME]`",
    ),
    ("server", LISTEN, "write `listen = \"0.0.0.0:8080\"`"),
    ("server", BODY_MAX, "did you mean `body_max`?"),
    ("server", &["read_timeout", "timeout"], "did you mean `request_timeout`?"),
    (
        "server",
        &["cert_file", "certificate", "key_file", "ssl_certificate", "tls_cert", "tls_key"],
        "`cert` and `key` stand in `[server.tls]`",
    ),
    ("server", &["domain", "domains", "hostname"], "`domains` stands in `[server.acme]`"),
    ("server", &["log_level"], "`level` stands in `[log]`"),
    ("server", &["data", "data_dir", "storage"], "`path` stands in `[queue]`"),
    (
        "server",
        &["base_path", "path", "path_prefix", "prefix"],
        "a source's address is `/hooks/NAME`; what a proxy puts in front of that is said in `public_url`",
    ),
    ("server", &["base_url", "external_url", "site_url", "url"], "did you mean `public_url`?"),
    ("queue", &["data", "data_dir", "dir", "directory", "folder"], "did you mean `path`?"),
    ("queue", &["expire", "keep", "max_age", "ttl"], "did you mean `retention`?"),
    (
        "queue",
        &["disk_limit", "max_bytes", "max_disk", "max_size", "size_max"],
        "did you mean `disk_max`?",
    ),
    ("queue", &["driver", "engine", "kind", "type"], "did you mean `backend`?"),
    (
        "queue",
        &["durability", "flush_interval", "fsync", "sync", "sync_interval"],
        "there is nothing to choose: an event is on the disk before its sender is answered",
    ),
    ("queue", TRIES, "each handler has its own: `[handler.NAME.retry]`"),
    ("queue", &["url"], "`url` stands in `[queue.postgres]` or `[queue.nats]`"),
    (
        "admin",
        &["addr", "address", "bind", "bind_address", "interface", "ip", "port"],
        "write `listen = \"127.0.0.1:8081\"`",
    ),
    ("admin", &["path", "unix", "unix_socket"], "did you mean `socket`?"),
    (
        "admin",
        &["api_key", "auth", "login", "password", "user", "username"],
        "who logs in gives the token in the file that `token` names: `data/admin-token`",
    ),
    ("admin", &["tls"], "leave TLS to a proxy in front: the admin listener is for this machine"),
    (
        "log",
        &["dir", "file", "output", "path", "target"],
        "it is written to standard error: the journal of systemd keeps it, or `2> FILE`",
    ),
    ("log", &["json"], "write `format = \"json\"`"),
    ("log", &["verbose", "verbosity"], "write `level = \"debug\"`"),
    (
        "source",
        &["encoding", "header", "prefix", "signature", "signature_header"],
        "how a sender of your own signs stands in `verify = { … }`, in place of `provider`",
    ),
    (
        "source",
        &[
            "allow_ips",
            "allowed_ips",
            "allowlist",
            "cidr",
            "ip_allowlist",
            "ip_whitelist",
            "ips",
            "whitelist",
        ],
        "did you mean `allow`?",
    ),
    (
        "source",
        &["event", "event_types", "events", "on", "types"],
        "which events are wanted is said in `on` of a handler",
    ),
    ("source", BODY_MAX, "did you mean `body_max`?"),
    ("source", &["path", "route"], "its address is `/hooks/{name}`, by its own name"),
    (
        "source",
        &["kind", "platform", "preset", "sender", "service", "type"],
        "did you mean `provider`?",
    ),
    ("source", &["secret_env"], "write `secrets = [{ env = \"…\" }]`"),
    ("source", &["secret_file"], "write `secrets = [{ file = \"…\" }]`"),
    (
        "source",
        &["handler", "handlers", "to"],
        "handlers name their sources: write `on = [\"{name}:*\"]` into the handler",
    ),
    (
        "handler",
        &["kind", "name", "type"],
        "its name and its kind stand in the headings: `[handler.{name}]` and `[handler.{name}.email]`",
    ),
    (
        "handler",
        &["event", "event_types", "from", "source", "sources", "types"],
        "write `on = [\"SOURCE:TYPE\"]`, as in `on = [\"hyvor:comment.*\"]`",
    ),
    (
        "handler",
        &["backoff", "max_attempts", "max_retries", "retry_delay"],
        "how long it is tried stands in `[handler.{name}.retry]`",
    ),
    (
        "handler",
        &["max_concurrency", "parallel", "parallelism", "threads", "workers"],
        "did you mean `concurrency`?",
    ),
    (
        "handler",
        &["group_by", "key", "order", "ordered", "partition_by"],
        "did you mean `order_by`?",
    ),
    ("handler", &["batch_size", "max_batch"], "write `batch = { max = 100 }`"),
    ("handler", &["active"], "did you mean `enabled`?"),
    ("handler", &["disabled", "off"], "write `enabled = false`"),
    (
        "handler",
        &["dead_letter_queue", "dlq"],
        "its dead letters are kept: look at them by `gatepost dead list`",
    ),
    (
        "email",
        &["host", "hostname", "port", "server", "ssl", "starttls", "tls", "user", "username"],
        "write `smtp = \"smtps://USER@HOST:PORT\"`, or `smtp://` for STARTTLS; in the user's name `@` is `%40`",
    ),
    (
        "http",
        &["insecure", "insecure_skip_verify", "skip_verify", "tls_verify", "verify", "verify_ssl"],
        "the other side's certificate is always checked; one of your own authority is named by `ca = \"FILE\"`",
    ),
    ("handler", &["url"], "`url` stands in the table of its kind, as `[handler.{name}.http]`"),
];

/// What to write in place of the unknown key at `path`.
pub(super) fn advice(path: &str) -> Option<String> {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut steps = table.split('.');
    let (kind, name) = (steps.next()?, steps.next());
    // What most kinds of handlers take, or a table in a source, is not here.
    let has_name = matches!(kind, "source" | "handler");
    let place = match (kind, steps.next()) {
        (_, None) if has_name == name.is_some() => kind,
        ("handler", Some(its_kind @ ("email" | "http"))) if steps.next().is_none() => its_kind,
        _ => return None,
    };
    let is_meant = |(its_table, words, _): &&Advice| *its_table == place && words.contains(&key);
    let (_, _, advice) = ADVICE.iter().find(is_meant)?;
    Some(advice.replace("{name}", name.unwrap_or("NAME")))
}
