//! Whether the user may do what the handler does: asked by statements that touch no row, in a transaction
//! that is given up.

use sqlx::mysql::MySqlDatabaseError;

use super::engine::Engine;
use super::engine::{LEDGER, VERSIONS};
use super::introspect::read;
use super::session::Session;
use super::statement::{Param, Statement};
use super::target::{Target, TargetColumn};
use super::{OnConflict, Settings, failure};

/// The first thing that the user may not do; `None` where all is allowed, and for SQLite, where the
/// file's owner decides.
/// `unmade` = columns, quoted, that the table lacks and the next event adds.
pub(super) async fn objection(
    session: &mut Session,
    settings: &Settings,
    target: &Target,
    unmade: &[String],
) -> Result<Option<String>, sqlx::Error> {
    if target.engine == Engine::Sqlite {
        return Ok(None);
    }
    let own = settings.table_parts().1;
    let mut tables = vec![(LEDGER, of_ledger(target))];
    if settings.statements.is_empty() {
        tables.insert(0, (own, of_rows(settings, target, unmade)));
    }
    if settings.newer_by.is_some() {
        tables.push((VERSIONS, of_versions(target)));
    }
    if !unmade.is_empty() && target.engine == Engine::Postgres && !owns(session, target).await? {
        let (columns, table) = (unmade.join(", "), &target.table);
        return Ok(Some(format!(
            "table {table} lacks {columns}, and the user may not add that: only the table's owner may"
        )));
    }
    if !unmade.is_empty()
        && target.engine == Engine::MySql
        && !has_right(session, settings, "ALTER", own).await?
    {
        let (columns, table) = (unmade.join(", "), &target.table);
        return Ok(Some(format!(
            "table {table} lacks {columns}, and the user may not add that: `GRANT ALTER ON {table} TO …`"
        )));
    }
    for (name, statements) in tables {
        let objection = of_table(session, settings, target.engine, (name, statements)).await?;
        if objection.is_some() {
            return Ok(objection);
        }
    }
    Ok(None)
}

/// The first of a table's statements that the user may not run; where it is not there, that the user may not
/// make it.
async fn of_table(
    session: &mut Session,
    settings: &Settings,
    engine: Engine,
    (name, statements): (&str, Vec<String>),
) -> Result<Option<String>, sqlx::Error> {
    let absent = format!("there is no table `{name}`, and the user may not make it: ");
    if engine == Engine::Postgres && read(session, settings, name).await?.columns.is_empty() {
        let help = "grant CREATE on the schema, or let its owner start the handler once";
        let is_refused = !may_create(session, settings).await?;
        return Ok(is_refused.then(|| absent + help));
    }
    for sql in statements {
        match session.execute(Statement::new(sql, Vec::new())).await {
            Ok(()) => {}
            // The user may. Whether a column lacks its value, a trigger may decide.
            Err(err) if failure::is_unfilled(&err) => {}
            Err(err) if is_absent(&err) => {
                let help = format!("`GRANT CREATE ON {name} TO …`");
                let is_refused = !has_right(session, settings, "CREATE", name).await?;
                return Ok(is_refused.then(|| absent + &help));
            }
            Err(err @ sqlx::Error::Database(_)) => {
                let told = failure::of(&err, &settings.url);
                return Ok(Some(format!("the user may not use table `{name}`: {told}")));
            }
            Err(err) => return Err(err),
        }
    }
    Ok(None)
}

/// Whether the user may make a table where the handler's tables are, in PostgreSQL.
async fn may_create(session: &mut Session, settings: &Settings) -> Result<bool, sqlx::Error> {
    let sql =
        "SELECT has_schema_privilege(COALESCE($1::text, current_schema()), 'CREATE')::int::text";
    let schema = settings.table_parts().0;
    let schema = schema.map_or(Param::Null, |schema| Param::Text(schema.to_owned()));
    let rows = session.fetch(Statement::new(sql, vec![schema])).await?;
    Ok(rows.into_iter().flatten().next().flatten().as_deref() == Some("1"))
}

/// Whether the user may add columns to the table, in PostgreSQL.
async fn owns(session: &mut Session, target: &Target) -> Result<bool, sqlx::Error> {
    let sql = "SELECT pg_has_role(relowner, 'USAGE')::int::text FROM pg_catalog.pg_class WHERE oid = \
               to_regclass($1)";
    let table = Param::Text(target.table.clone());
    let rows = session.fetch(Statement::new(sql, vec![table])).await?;
    Ok(rows.into_iter().flatten().next().flatten().as_deref() == Some("1"))
}

/// Whether the user has the right (`ALTER`, `CREATE`) to the table beside the handler's own, in MySQL, where
/// trying would be doing. What comes by a role is not listed for the user: with one it is taken to be allowed.
async fn has_right(
    session: &mut Session,
    settings: &Settings,
    right: &str,
    table: &str,
) -> Result<bool, sqlx::Error> {
    let role = Statement::new("SELECT CAST(CURRENT_ROLE() AS CHAR)", Vec::new());
    let role = match session.fetch(role).await {
        Ok(rows) => rows.into_iter().flatten().next().flatten(),
        // A server that is too old for roles.
        Err(sqlx::Error::Database(_)) => None,
        Err(err) => return Err(err),
    };
    if role.is_some_and(|role| role != "NONE") {
        return Ok(true);
    }
    // `'site'@'localhost'`; what MariaDB grants to all its users is granted to PUBLIC.
    let granted = format!(
        "privilege_type = '{right}' AND (grantee LIKE '%PUBLIC%' OR grantee = CONCAT('''', LEFT(\
         CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - LOCATE('@', REVERSE(CURRENT_USER()))), '''@''', \
         SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))"
    );
    let sql = format!(
        "SELECT CAST(COUNT(*) AS CHAR) FROM (SELECT 1 FROM information_schema.user_privileges WHERE \
         {granted} UNION ALL SELECT 1 FROM information_schema.schema_privileges WHERE {granted} AND \
         COALESCE(?, DATABASE()) LIKE table_schema UNION ALL SELECT 1 FROM \
         information_schema.table_privileges WHERE {granted} AND table_schema = COALESCE(?, DATABASE()) \
         AND table_name = ?) AS grants"
    );
    let schema = settings.table_parts().0;
    let schema = schema.map_or(Param::Null, |schema| Param::Text(schema.to_owned()));
    let params = vec![schema.clone(), schema, Param::Text(table.to_owned())];
    let rows = session.fetch(Statement::new(sql, params)).await?;
    Ok(rows.into_iter().flatten().next().flatten().is_none_or(|n_grants| n_grants != "0"))
}

/// MySQL's "no such table": it is made at the first event.
fn is_absent(err: &sqlx::Error) -> bool {
    const NO_SUCH_TABLE: u16 = 1146;
    let err = err.as_database_error().and_then(|err| err.try_downcast_ref::<MySqlDatabaseError>());
    err.is_some_and(|err| err.number() == NO_SUCH_TABLE)
}

fn of_rows(settings: &Settings, target: &Target, unmade: &[String]) -> Vec<String> {
    let table = &target.table;
    let is_there = |column: &&TargetColumn| !unmade.contains(&column.quoted);
    let columns = target.columns.iter().filter(is_there);
    let columns: Vec<&str> = columns.map(|column| column.quoted.as_str()).collect();
    if columns.is_empty() {
        return Vec::new();
    }
    let key: Vec<&str> = target.key_columns().map(|column| column.quoted.as_str()).collect();
    let mut statements = vec![insert(target.engine, table, &columns)];
    if !key.is_empty() && target.on_conflict == OnConflict::Update {
        // PostgreSQL wants the right to read what is taken from the refused row; MySQL does not.
        let set = target.plain_columns().filter(is_there).map(|column| match target.engine {
            Engine::MySql => format!("{} = NULL", column.quoted),
            Engine::Sqlite | Engine::Postgres => format!("{0} = {0}", column.quoted),
        });
        let set: Vec<String> = set.collect();
        if !set.is_empty() {
            statements.push(format!("UPDATE {table} SET {} WHERE 1 = 0", set.join(", ")));
        }
    }
    if let (false, Some(first)) = (settings.deletes.is_empty(), key.first()) {
        statements.push(format!("DELETE FROM {table} WHERE {first} IS NULL AND 1 = 0"));
    }
    statements
}

fn of_ledger(target: &Target) -> Vec<String> {
    let at = target.engine.quote("at");
    let columns = ["handler", "event_id", at.as_str()];
    let table = &target.ledger;
    vec![select(target.engine, table, &columns), insert(target.engine, table, &columns)]
}

fn of_versions(target: &Target) -> Vec<String> {
    let columns = ["handler", "row_key", "version", "deleted_at"];
    let table = &target.versions;
    vec![
        select(target.engine, table, &columns),
        insert(target.engine, table, &columns),
        format!("UPDATE {table} SET version = version WHERE 1 = 0"),
    ]
}

fn select(engine: Engine, table: &str, columns: &[&str]) -> String {
    // As the handler reads it: see `ledger::known`.
    let lock = if engine == Engine::MySql { " FOR UPDATE" } else { "" };
    format!("SELECT {} FROM {table} WHERE 1 = 0{lock}", columns.join(", "))
}

fn insert(engine: Engine, table: &str, columns: &[&str]) -> String {
    let from = if engine == Engine::MySql { " FROM DUAL" } else { "" };
    let values = vec!["NULL"; columns.len()].join(", ");
    format!("INSERT INTO {table} ({}) SELECT {values}{from} WHERE 1 = 0", columns.join(", "))
}
