//! Whether another try can help, from what a database said.
//!
//! Permanent is what the same row will always meet: a constraint, a value that does not fit. A foreign key is
//! none: senders tell of a child before its parent, which comes a second later.
//! Everything else is transient, also a missing table or right: that is about the database and not
//! about the event, and its owner can mend it. A message of the database is passed on only where it
//! cannot hold a value, for values come from bodies.

use std::io::ErrorKind;

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::table::PrepareError;
use super::{DatabaseUrl, Settings};
use crate::event::{ErrorText, Failure, FailureClass, FailureKind};

/// Schema mismatch: transient, because the owner can fix it.
pub(super) fn of_prepare(err: &PrepareError, url: &DatabaseUrl) -> Failure {
    match err {
        PrepareError::Objections(_) => Failure::transient(err),
        PrepareError::Statement { number, source } => of_statement(*number, &of(source, url), ""),
        PrepareError::Database(source) => of(source, url),
    }
}

/// The failure that `err` of the database at `url` is. Which one cannot be reached, or refuses the log-in, is said:
/// there may be several.
pub(super) fn of(err: &sqlx::Error, url: &DatabaseUrl) -> Failure {
    let failure = without_place(err);
    let code = err.as_database_error().and_then(DatabaseError::code);
    let is_log_in =
        code.is_some_and(|code| ["28", "3D"].iter().any(|class| code.starts_with(class)));
    let is_of_server = err.as_database_error().is_none() && failure.kind == FailureKind::Transient;
    if is_log_in || is_of_server || failure.class == Some(FailureClass::Connection) {
        let text = ErrorText::new(format!("{}: {}", url.place(), failure.text));
        return Failure { text, ..failure };
    }
    failure
}

/// The same where rows were written. A column that the settings give no value, and that a trigger may fill, is
/// theirs to mend, as it is where no trigger is.
pub(super) fn of_rows(err: &sqlx::Error, settings: &Settings) -> Failure {
    let failure = of(err, &settings.url);
    let source = err.as_database_error();
    let source = source.and_then(|err| err.try_downcast_ref::<PgDatabaseError>());
    let column = source.filter(|err| err.code() == "23502").and_then(PgDatabaseError::column);
    match column {
        Some(column) if settings.columns.iter().all(|one| one.name != column) => {
            Failure { kind: FailureKind::Transient, ..failure }
        }
        _ => failure,
    }
}

fn without_place(err: &sqlx::Error) -> Failure {
    match err {
        sqlx::Error::Database(source) => of_database(source.as_ref()),
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => {
            Failure::permanent("a value cannot be sent to the database")
        }
        sqlx::Error::PoolTimedOut => {
            Failure::transient("it cannot be reached").with_class(FailureClass::Connection)
        }
        sqlx::Error::Io(err) if err.kind() == ErrorKind::TimedOut => {
            Failure::transient(err).with_class(FailureClass::Timeout)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => {
            Failure::transient(err).with_class(FailureClass::Connection)
        }
        other => Failure::transient(other),
    }
}

/// The failure that `failure` is where one of the owner's own statements made it. `at` ends its text.
pub(super) fn of_statement(number: usize, failure: &Failure, at: &str) -> Failure {
    let text = ErrorText::new(format!("statement {number}: {}{at}", failure.text));
    Failure { text, ..failure.clone() }
}

/// Whether the database gave this transaction up for another one's sake, so that the same one may succeed at
/// once: a deadlock (1213 of MySQL has the state 40001), or an order in which both cannot be.
pub(super) fn is_for_another(err: &sqlx::Error) -> bool {
    let code = err.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["40001", "40P01"].contains(&&*code))
}

/// Whether MySQL says that a column has no default, and the statement no value for it.
pub(super) fn is_unfilled(err: &sqlx::Error) -> bool {
    let err = err.as_database_error().and_then(|err| err.try_downcast_ref::<MySqlDatabaseError>());
    err.is_some_and(|err| err.number() == 1364)
}

/// PostgreSQL's code, where it refused a value and not the row.
pub(super) fn refused_value(err: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(source) = err else { return None };
    let err = source.try_downcast_ref::<PgDatabaseError>()?;
    let code = err.code();
    // The check of a domain, whose column it does not name; that of a table is about the row.
    let is_of_type = code == "23514" && err.data_type().is_some();
    (code.starts_with("22") || is_of_type).then(|| code.to_owned())
}

/// The failure that a value which PostgreSQL refused is, once its column is known.
pub(super) fn of_column(column: &str, full_type: &str, code: &str) -> Failure {
    Failure::permanent(format_args!(
        "PostgreSQL refused the value for column `{column}`: it does not fit `{full_type}` ({code})"
    ))
}

fn of_database(err: &dyn DatabaseError) -> Failure {
    if let Some(err) = err.try_downcast_ref::<PgDatabaseError>() {
        of_postgres(err)
    } else if let Some(err) = err.try_downcast_ref::<MySqlDatabaseError>() {
        of_mysql(err)
    } else {
        of_sqlite(err)
    }
}

fn of_postgres(err: &PgDatabaseError) -> Failure {
    let code = err.code();
    match code.get(..2).unwrap_or_default() {
        // Data exceptions: their messages repeat the value.
        "22" => Failure::permanent(format_args!(
            "PostgreSQL refused a value: it does not fit its column ({code})"
        )),
        // What a trigger raises may hold anything.
        "P0" => Failure::permanent(format_args!("a trigger refused the row ({code})")),
        _ if code == "23503" => absent_parent("PostgreSQL", err.message(), code),
        // Constraints, two rows of one statement with the same key, a check option, a row too large
        // for its index.
        "23" | "21" | "44" | "54" => Failure::permanent(format_args!(
            "PostgreSQL refused the row: {} ({code})",
            err.message()
        )),
        class => {
            let failure =
                Failure::transient(format_args!("PostgreSQL: {} ({code})", err.message()));
            match (class, code) {
                // Cancelled after `statement_timeout`, a lock that was not had, an idle transaction.
                (_, "57014" | "55P03" | "25P03") => failure.with_class(FailureClass::Timeout),
                // Connection exceptions, shut down or starting, too many connections.
                ("08", _) | (_, "57P01" | "57P02" | "57P03" | "53300") => {
                    failure.with_class(FailureClass::Connection)
                }
                _ => failure,
            }
        }
    }
}

/// Errors of MySQL and MariaDB about a value or a row whose SQLSTATE does not say so. 1364 is none: a column
/// of the table gets no value from the settings.
const MYSQL_PERMANENT: [u16; 13] =
    [1048, 1062, 1118, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1690, 3819, 4025];
/// Those whose message repeats the value: `Duplicate entry '…' for key '…'`.
const MYSQL_WITH_VALUE: [u16; 8] = [1062, 1264, 1265, 1292, 1366, 1367, 1411, 1690];

/// A row that another refers to, or that refers to none. 1216 and 1217 name no tables.
const MYSQL_FOREIGN_KEY: [u16; 4] = [1216, 1217, 1451, 1452];
/// A lock or a statement took too long (MySQL, and MariaDB's `max_statement_time`).
const MYSQL_TIMEOUT: [u16; 4] = [1205, 1969, 3024, 3572];
/// Too many connections, shutting down, connection lost or killed.
const MYSQL_CONNECTION: [u16; 7] = [1040, 1053, 1152, 1203, 1927, 2006, 2013];

fn of_mysql(err: &MySqlDatabaseError) -> Failure {
    let number = err.number();
    let state = err.code().unwrap_or_default();
    let message = err.message();
    if MYSQL_FOREIGN_KEY.contains(&number) {
        return absent_parent("MySQL", message, &number.to_string());
    }
    let is_permanent = ["22", "23", "45"].iter().any(|class| state.starts_with(class))
        || MYSQL_PERMANENT.contains(&number)
        || (3140..=3160).contains(&number);
    if !is_permanent {
        let failure = Failure::transient(format_args!("MySQL: {message} ({number})"));
        return match number {
            _ if MYSQL_TIMEOUT.contains(&number) => failure.with_class(FailureClass::Timeout),
            _ if MYSQL_CONNECTION.contains(&number) => failure.with_class(FailureClass::Connection),
            _ => failure,
        };
    }
    if state.starts_with("45") {
        return Failure::permanent(format_args!("a trigger refused the row ({number})"));
    }
    if MYSQL_WITH_VALUE.contains(&number) || state.starts_with("22") {
        // Behind the last ` for ` stand names only.
        let place = message.rsplit_once(" for ").map_or("a column", |(_, place)| place);
        return Failure::permanent(format_args!("MySQL refused a value for {place} ({number})"));
    }
    Failure::permanent(format_args!("MySQL refused the row: {message} ({number})"))
}

/// `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`.
const SQLITE_PERMANENT: [i32; 3] = [18, 19, 20];

/// What functions say of a value: by its code it could be anything.
const SQLITE_ABOUT_VALUES: [&str; 2] = ["malformed JSON", "integer overflow"];

/// `SQLITE_CONSTRAINT_FOREIGNKEY`.
const SQLITE_FOREIGN_KEY: i32 = 787;

/// A row that refers to one which may be on its way, or is referred to by one that may go.
fn absent_parent(database: &str, message: &str, code: &str) -> Failure {
    Failure::transient(format_args!("{database} refused the row for now: {message} ({code})"))
}

fn of_sqlite(err: &dyn DatabaseError) -> Failure {
    let code = err.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    // SQLite's messages name tables and columns, never values.
    if code == SQLITE_FOREIGN_KEY {
        absent_parent("SQLite", err.message(), &code.to_string())
    } else if SQLITE_PERMANENT.contains(&(code & 0xff))
        || SQLITE_ABOUT_VALUES.contains(&err.message())
    {
        Failure::permanent(format_args!("SQLite refused the row: {} ({code})", err.message()))
    } else {
        let failure = Failure::transient(format_args!("SQLite: {} ({code})", err.message()));
        // Another program held the file's lock for all of `statement_timeout`.
        let is_busy = matches!(code & 0xff, 5 | 6);
        if is_busy { failure.with_class(FailureClass::Timeout) } else { failure }
    }
}
