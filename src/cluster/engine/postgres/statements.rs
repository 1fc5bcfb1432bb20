//! The statements, each a transaction of its own in one message, so that they work behind a pooler.
//!
//! ```text
//! log_head    one row: layout, id, first, next
//! log_units   sequence → bytes
//! ```

use super::settings::PostgresSettings;

/// The version of the tables' layout.
pub(super) const LAYOUT: i32 = 1;
/// 14 is the oldest version that its makers still mend.
pub(super) const VERSION_MIN: i32 = 140_000;
/// How long an append waits for those of others, in milliseconds: less than the caller waits, so that
/// what was given up does not queue in the server, a connection each.
const LOCK_TIMEOUT_MS: u32 = 2_000;
/// The most units of one read: below it the bytes decide.
const READ_MAX: u32 = 1_000;
/// The units of one step of a trim: each is a row and up to 4,200 rows behind it (8 MiB).
pub(super) const TRIM_STEP: u64 = 200;

/// The statements for one schema.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) look: String,
    pub(super) make: String,
    pub(super) append: String,
    pub(super) read: String,
    pub(super) head: String,
    pub(super) next: String,
    pub(super) front: String,
    pub(super) move_first: String,
    pub(super) remove: String,
    pub(super) report: String,
}

impl Statements {
    pub(super) fn new(settings: &PostgresSettings) -> Self {
        let schema = &settings.schema;
        Self {
            look: look(schema),
            make: make(schema),
            append: append(schema),
            read: read(schema),
            head: format!("SELECT layout, id, first, next FROM {schema}.log_head"),
            next: format!("SELECT next FROM {schema}.log_head"),
            front: front(schema),
            move_first: move_first(schema),
            remove: remove(schema),
            report: report(schema),
        }
    }
}

/// Where the log can be written: a lock is not waited for for ever, and a commit waits for the disk and for
/// the standbys, whatever the session says. `set_config` with `true` is for this transaction only, so it
/// reaches no other user of a pooler's connection.
const GIVEN: &str = "given AS MATERIALIZED (SELECT set_config('lock_timeout', 'MS', true) AS a, \
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true) AS b)";

fn given() -> String {
    GIVEN.replace("'MS'", &format!("'{LOCK_TIMEOUT_MS}'"))
}

fn look(schema: &str) -> String {
    format!(
        "SELECT current_setting('server_version_num')::integer, \
         current_setting('server_version'), \
         to_regclass('{schema}.log_head') IS NOT NULL, to_regclass('{schema}.log_units') IS NOT NULL, \
         coalesce((SELECT string_agg(relpersistence::text, '') FROM pg_class WHERE oid IN \
         (to_regclass('{schema}.log_head'), to_regclass('{schema}.log_units'))), ''), \
         coalesce(has_function_privilege(to_regprocedure('pg_catalog.pg_control_system()'), \
         'EXECUTE'), false)"
    )
}

fn make(schema: &str) -> String {
    // Fillfactor 10: the one row is written anew on its own page, without a trace in the index.
    format!(
        "DO $make$ BEGIN \
         PERFORM pg_advisory_xact_lock(hashtextextended('gatepost shared log {schema}', 0)); \
         IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF; \
         IF to_regclass('{schema}.log_head') IS NULL THEN \
         CREATE TABLE {schema}.log_head (one boolean PRIMARY KEY DEFAULT true CHECK (one), \
         layout integer NOT NULL, id text NOT NULL, first bigint NOT NULL, next bigint NOT NULL) \
         WITH (fillfactor = 10); \
         CREATE TABLE {schema}.log_units (sequence bigint PRIMARY KEY, bytes bytea NOT NULL); \
         ALTER TABLE {schema}.log_units ALTER bytes SET STORAGE EXTERNAL; \
         INSERT INTO {schema}.log_head (layout, id, first, next) \
         VALUES ({LAYOUT}, gen_random_uuid()::text, 1, 1); \
         END IF; END $make$"
    )
}

/// The head's row is locked until the commit: so sequences are in the order of commits, and a reader that
/// has seen one has seen all before it.
fn append(schema: &str) -> String {
    format!(
        "WITH {given}, head AS (UPDATE {schema}.log_head AS h SET next = h.next + 1 FROM given \
         WHERE given.a IS NOT NULL AND given.b IS NOT NULL AND h.layout = {LAYOUT} \
         RETURNING h.next - 1 AS sequence) \
         INSERT INTO {schema}.log_units (sequence, bytes) SELECT sequence, $1 FROM head \
         RETURNING sequence",
        given = given()
    )
}

/// Head and units out of one snapshot: what is missing between them is missing. The length of a unit is
/// known without reading it.
fn read(schema: &str) -> String {
    format!(
        "SELECT h.layout, h.first, h.next, u.sequence, u.bytes FROM {schema}.log_head AS h \
         LEFT JOIN LATERAL (SELECT sequence, bytes FROM (SELECT sequence, bytes, \
         sum(octet_length(bytes)) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) \
         - octet_length(bytes) AS before FROM (SELECT sequence, bytes FROM {schema}.log_units \
         WHERE sequence >= $1 AND sequence < h.next ORDER BY sequence LIMIT $3) AS page) AS sized \
         WHERE before < $2) AS u ON true ORDER BY u.sequence"
    )
}

/// The most units of one read.
pub(super) const fn read_max() -> i64 {
    READ_MAX as i64
}

/// Where the log begins by its head, and by its units.
fn front(schema: &str) -> String {
    format!(
        "SELECT h.first, coalesce((SELECT min(sequence) FROM {schema}.log_units \
         WHERE sequence >= h.first), h.next) FROM {schema}.log_head AS h"
    )
}

/// What is before `first` counts as gone from here on.
fn move_first(schema: &str) -> String {
    format!(
        "WITH {given} UPDATE {schema}.log_head AS h SET first = least($1, h.next) FROM given \
         WHERE given.a IS NOT NULL AND given.b IS NOT NULL AND h.layout = {LAYOUT} \
         AND h.first < least($1, h.next)",
        given = given()
    )
}

fn remove(schema: &str) -> String {
    format!(
        "DELETE FROM {schema}.log_units WHERE sequence IN (SELECT sequence FROM {schema}.log_units \
         WHERE sequence < (SELECT first FROM {schema}.log_head) ORDER BY sequence LIMIT {TRIM_STEP})"
    )
}

/// Everything that the report is made of; nothing in it needs more than to log in.
fn report(schema: &str) -> String {
    // A table is not even looked up in a schema that the role may not use.
    let may = |table: &str, what: &str| {
        format!(
            "coalesce(CASE WHEN has_schema_privilege(to_regnamespace('{schema}'), 'USAGE') \
             THEN has_table_privilege(to_regclass('{schema}.{table}'), '{what}') END, true)"
        )
    };
    format!(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), \
         current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
         current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(), \
         to_regnamespace('{schema}') IS NOT NULL, \
         coalesce(has_schema_privilege(to_regnamespace('{schema}'), 'USAGE'), true), \
         has_database_privilege(current_database(), 'CREATE'), \
         coalesce(has_schema_privilege(to_regnamespace('{schema}'), 'CREATE'), true), \
         {} AND {} AND {} AND {} AND {}, \
         current_setting('default_transaction_read_only')",
        may("log_head", "SELECT"),
        may("log_head", "UPDATE"),
        may("log_units", "SELECT"),
        may("log_units", "INSERT"),
        may("log_units", "DELETE"),
    )
}

/// Why `version` is none to be used.
pub(super) fn older(version: &str) -> String {
    format!("PostgreSQL {version} is too old: the shared log needs 14 or newer")
}
