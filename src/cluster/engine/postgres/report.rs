//! What `check` says of a PostgreSQL server.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::failure::PgFailure;
use super::statements::{LAYOUT, Statements, VERSION_MIN, older};
use crate::cluster::engine::contract::{EngineReport, removed_by_hand};

/// What the server says of itself.
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of the server's own")]
#[derive(Clone, Debug)]
struct PgFacts {
    number: i32,
    version: String,
    synchronous_commit: String,
    standbys: String,
    fsync: bool,
    full_page_writes: bool,
    is_standby: bool,
    has_schema: bool,
    may_use_schema: bool,
    may_make_schema: bool,
    may_make_tables: bool,
    may_use_tables: bool,
    is_read_only: bool,
}

/// What the log's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoundHead {
    /// There are no tables.
    Missing,
    /// They are of this layout.
    Layout(i32),
    /// There is no reading them.
    Unreadable,
}

pub(super) async fn read(
    connection: &mut PgConnection,
    statements: &Statements,
    schema: &str,
) -> Result<EngineReport, PgFailure> {
    let report = AssertSqlSafe(statements.report.clone());
    let facts = PgFacts::of(&sqlx::raw_sql(report).fetch_one(&mut *connection).await?)?;
    let head = AssertSqlSafe(statements.head.clone());
    let head = match sqlx::raw_sql(head).fetch_optional(&mut *connection).await {
        Ok(Some(row)) => row.try_get(0).map_or(FoundHead::Unreadable, FoundHead::Layout),
        Ok(None) => FoundHead::Unreadable,
        Err(err) => {
            let code = err.as_database_error().and_then(sqlx::error::DatabaseError::code);
            match code.as_deref() {
                Some("42P01" | "3F000") => FoundHead::Missing,
                Some(_) => FoundHead::Unreadable,
                None => return Err(err.into()),
            }
        }
    };
    let mut problems = facts.problems(head, schema);
    if problems.is_empty() && head == FoundHead::Layout(LAYOUT) {
        problems.extend(removed(connection, statements, schema).await?);
    }
    let version = format!("PostgreSQL {}", facts.version);
    Ok(EngineReport { version, durability: facts.durability(), problems })
}

/// Which units are gone that no node let go.
async fn removed(
    connection: &mut PgConnection,
    statements: &Statements,
    schema: &str,
) -> Result<Option<String>, PgFailure> {
    let front = AssertSqlSafe(statements.front.clone());
    let Some(row) = sqlx::raw_sql(front).fetch_optional(connection).await? else { return Ok(None) };
    let (first, there): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let place = format!("schema `{schema}`");
    let is_removed = there > first;
    Ok(is_removed.then(|| removed_by_hand(first.unsigned_abs(), there.unsigned_abs(), &place)))
}

impl PgFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let is_on = |column: usize| Ok::<_, sqlx::Error>(row.try_get::<String, _>(column)? == "on");
        Ok(Self {
            number: row.try_get(0)?,
            version: row.try_get(1)?,
            synchronous_commit: row.try_get(2)?,
            standbys: row.try_get(3)?,
            fsync: is_on(4)?,
            full_page_writes: is_on(5)?,
            is_standby: row.try_get(6)?,
            has_schema: row.try_get(7)?,
            may_use_schema: row.try_get(8)?,
            may_make_schema: row.try_get(9)?,
            may_make_tables: row.try_get(10)?,
            may_use_tables: row.try_get(11)?,
            is_read_only: is_on(12)?,
        })
    }

    fn durability(&self) -> String {
        if self.is_standby {
            return "unknown: this server is a standby, and what the primary promises cannot be seen \
                    from here"
                .to_owned();
        }
        if !self.fsync {
            return "an acknowledged unit is in the memory of the database's machine only: fsync is off"
                .to_owned();
        }
        let session = match self.synchronous_commit.as_str() {
            "on" | "remote_apply" => String::new(),
            other => format!(
                " (synchronous_commit is {other} here; Gatepost's own transactions set it to on)"
            ),
        };
        if self.standbys.trim().is_empty() {
            return format!(
                "an acknowledged unit is on the disk of this one server; a failover to a standby, \
                 which is asynchronous, may lose the newest ones{session}"
            );
        }
        format!(
            "an acknowledged unit is on the disk of this server and of its synchronous standbys \
             `{}`{session}",
            self.standbys
        )
    }

    fn problems(&self, head: FoundHead, schema: &str) -> Vec<String> {
        let mut problems = self.problems_of_server();
        problems.extend(self.problems_of_schema(head, schema));
        problems
    }

    fn problems_of_server(&self) -> Vec<String> {
        let problems = [
            (self.number < VERSION_MIN, older(&self.version)),
            (
                self.is_standby,
                "this server is a standby and takes no writes: let the URL lead to the primary"
                    .to_owned(),
            ),
            (
                self.is_read_only && !self.is_standby,
                "transactions of this role only read: set default_transaction_read_only = off for it"
                    .to_owned(),
            ),
            (
                !self.fsync,
                "a crash of the machine may lose what was acknowledged or the whole database: set fsync \
                 = on"
                    .to_owned(),
            ),
            (
                !self.full_page_writes,
                "a crash of the machine may damage pages, unless the file system never tears them: set \
                 full_page_writes = on"
                    .to_owned(),
            ),
        ];
        problems.into_iter().filter_map(|(is_wrong, problem)| is_wrong.then_some(problem)).collect()
    }

    fn problems_of_schema(&self, head: FoundHead, schema: &str) -> Option<String> {
        let may_make = if self.has_schema { self.may_make_tables } else { self.may_make_schema };
        if !self.may_use_schema {
            return Some(format!(
                "this role may not use schema `{schema}`: GRANT USAGE ON SCHEMA {schema} to it"
            ));
        }
        match head {
            FoundHead::Missing if !may_make && !self.is_standby => Some(format!(
                "the log's tables are not there and this role may not make them: run CREATE SCHEMA IF \
                 NOT EXISTS {schema}, and GRANT USAGE, CREATE ON SCHEMA {schema} to it"
            )),
            FoundHead::Layout(layout) if layout != LAYOUT => Some(format!(
                "the log in schema `{schema}` has layout {layout}, this version of Gatepost has \
                 {LAYOUT}: run the same version on all nodes"
            )),
            FoundHead::Layout(_) | FoundHead::Unreadable if !self.may_use_tables => Some(format!(
                "this role lacks permissions: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN \
                 SCHEMA {schema} to it"
            )),
            FoundHead::Layout(_) | FoundHead::Missing => None,
            FoundHead::Unreadable => Some(format!(
                "`{schema}.log_head` is not a log's head: restore it, or name another schema"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> PgFacts {
        PgFacts {
            number: 170_002,
            version: "17.2".to_owned(),
            synchronous_commit: "on".to_owned(),
            standbys: String::new(),
            fsync: true,
            full_page_writes: true,
            is_standby: false,
            has_schema: true,
            may_use_schema: true,
            may_make_schema: false,
            may_make_tables: false,
            may_use_tables: true,
            is_read_only: false,
        }
    }

    #[test]
    fn promise_is_what_the_server_says() {
        let said = |facts: PgFacts| facts.durability();
        assert!(said(facts()).contains("this one server"), "{}", said(facts()));
        let with_standby = PgFacts { standbys: "ANY 1 (a, b)".to_owned(), ..facts() };
        assert!(said(with_standby.clone()).contains("standbys `ANY 1 (a, b)`"));
        let off = PgFacts { synchronous_commit: "off".to_owned(), ..with_standby };
        assert!(said(off).contains("is off here"));
        assert!(said(PgFacts { fsync: false, ..facts() }).contains("memory"));
        assert!(said(PgFacts { is_standby: true, ..facts() }).starts_with("unknown"));
    }

    #[test]
    fn each_fault_is_a_problem_with_its_remedy() {
        let good = FoundHead::Layout(LAYOUT);
        assert_eq!(facts().problems(good, "s"), Vec::<String>::new());
        let faults = [
            (
                PgFacts { number: 130_000, version: "13.0".to_owned(), ..facts() },
                good,
                "14 or newer",
            ),
            (PgFacts { is_standby: true, ..facts() }, good, "primary"),
            (PgFacts { is_read_only: true, ..facts() }, good, "read_only = off"),
            (PgFacts { fsync: false, ..facts() }, good, "fsync = on"),
            (PgFacts { full_page_writes: false, ..facts() }, good, "full_page_writes = on"),
            (facts(), FoundHead::Missing, "GRANT USAGE, CREATE"),
            (PgFacts { may_use_tables: false, ..facts() }, good, "GRANT SELECT"),
            (PgFacts { may_use_schema: false, ..facts() }, good, "GRANT USAGE"),
            (facts(), FoundHead::Unreadable, "restore it"),
            (facts(), FoundHead::Layout(7), "layout 7"),
        ];
        for (facts, head, remedy) in faults {
            let problems = facts.problems(head, "s");
            assert!(problems.len() == 1 && problems[0].contains(remedy), "{remedy}: {problems:?}");
        }
        let may_make = PgFacts { may_make_tables: true, ..facts() };
        assert_eq!(may_make.problems(FoundHead::Missing, "s"), Vec::<String>::new());
    }
}
