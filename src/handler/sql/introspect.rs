//! A table as the database tells it.

use std::collections::BTreeMap;

use super::cell::ColumnType;
use super::engine::Engine;
use super::session::Session;
use super::statement::{Param, Statement};
use super::target::{ONE_BIT, Shape, TargetColumn};
use super::{Column, Settings};

/// A table as the database tells it.
#[derive(Debug, Default)]
pub(super) struct TableSchema {
    pub(super) columns: Vec<SchemaColumn>,
    /// The columns of each unique index that holds for every row.
    pub(super) unique: Vec<Vec<String>>,
}

#[derive(Debug)]
pub(super) struct SchemaColumn {
    pub(super) name: String,
    pub(super) real_type: String,
    /// The type with its length or precision, where the engine tells it apart.
    pub(super) full_type: String,
    /// Whether a row must bring a value: not NULL, no default, not generated, and no trigger that is known
    /// runs before the insert.
    pub(super) must_be_given: bool,
    /// Whether rows that bring no value never meet in a unique index: the column counts by itself,
    /// or is NULL then.
    pub(super) is_apart_by_itself: bool,
    /// What stands for a missing value, as SQL: of a column that is not NULL and has a default.
    pub(super) default: Option<String>,
}

impl SchemaColumn {
    /// What the statements need to know of it, where it is called `name` and declared so.
    pub(super) fn target(
        &self,
        engine: Engine,
        name: &str,
        declared: Option<ColumnType>,
    ) -> TargetColumn {
        let item_type = self.real_type.strip_suffix("[]").filter(|_| engine == Engine::Postgres);
        let one_type = item_type.unwrap_or(&self.real_type);
        let holds = column_class(engine, declared, one_type);
        let is_one_bit = engine == Engine::Postgres && self.full_type == ONE_BIT;
        TargetColumn {
            quoted: engine.quote(name),
            holds: if is_one_bit { ColumnType::Bool } else { holds },
            shape: if item_type.is_some() { Shape::List } else { Shape::One },
            real_type: self.real_type.clone(),
            full_type: self.full_type.clone(),
            default: self.default.clone(),
        }
    }

    /// One of this type, of which nothing else is known.
    pub(super) fn of_type(name: &str, real_type: &str, full_type: &str) -> Self {
        Self {
            name: name.to_owned(),
            real_type: real_type.to_owned(),
            full_type: full_type.to_owned(),
            must_be_given: false,
            is_apart_by_itself: false,
            default: None,
        }
    }

    /// Whether it is the text that MariaDB makes of its type `json`.
    fn may_be_json(&self) -> bool {
        self.real_type.eq_ignore_ascii_case("longtext")
    }
}

impl TableSchema {
    pub(super) fn column(&self, engine: Engine, name: &str) -> Option<&SchemaColumn> {
        self.columns.iter().find(|column| engine.same_name(&column.name, name))
    }

    /// Whether a unique index is over just these columns.
    fn has_unique(&self, engine: Engine, key: &[String]) -> bool {
        let is_in = |columns: &[String], name: &String| {
            columns.iter().any(|column| engine.same_name(column, name))
        };
        self.unique
            .iter()
            .any(|index| index.len() == key.len() && key.iter().all(|name| is_in(index, name)))
    }

    /// What keeps this table from being written as `settings` say, in words for people.
    pub(super) fn objections(&self, settings: &Settings) -> Vec<String> {
        let engine = settings.url.engine();
        let table = &settings.table;
        if self.columns.is_empty() {
            return vec![format!(
                "table `{table}` does not exist: create it, or write `create_table = true`"
            )];
        }
        let mut objections = Vec::new();
        for Column { name, .. } in &settings.columns {
            if self.column(engine, name).is_none() {
                objections.push(format!("table `{table}` has no column `{name}`"));
            }
        }
        // MySQL tells its triggers only to those who may make some, and one may fill the column. Where none
        // does, the insert's own error names the column.
        if engine != Engine::MySql {
            objections.extend(self.unfilled(settings));
        }
        if !settings.key.is_empty() && !self.has_unique(engine, &settings.key) {
            objections.push(format!(
                "table `{table}` has no unique index over just ({}), which `key` needs",
                settings.key.join(", ")
            ));
        }
        let others = self.unique.iter().filter(|index| self.may_meet_in(index, settings));
        objections.extend(others.map(|index| {
            format!(
                "the unique index over ({}) of table `{table}` is not `key`: MySQL would replace \
                 the row that has the same values there, whatever its key; drop the index or make \
                 it no unique one",
                index.join(", ")
            )
        }));
        objections
    }

    /// The columns for which each row lacks a value, as far as is known: NOT NULL, without a default, and
    /// nothing else that fills them.
    pub(super) fn unfilled<'a>(
        &'a self,
        settings: &'a Settings,
    ) -> impl Iterator<Item = String> + 'a {
        let engine = settings.url.engine();
        let is_given =
            move |name: &str| settings.columns.iter().any(|one| engine.same_name(&one.name, name));
        let unfilled = self.columns.iter().filter(|column| column.must_be_given);
        unfilled.filter(move |column| !is_given(&column.name)).map(move |column| {
            let (name, table) = (&column.name, &settings.table);
            format!("column `{name}` of table `{table}` must have a value and gets none")
        })
    }

    /// Whether a row with a new key may meet another one in this unique index of MySQL, which knows
    /// no `ON CONFLICT` for a key alone.
    fn may_meet_in(&self, index: &[String], settings: &Settings) -> bool {
        let engine = settings.url.engine();
        if engine != Engine::MySql || settings.key.is_empty() {
            return false;
        }
        let is_in_index = |name: &String| index.iter().any(|own| engine.same_name(own, name));
        let is_apart = |name: &String| {
            settings.columns.iter().all(|ours| !engine.same_name(&ours.name, name))
                && self.column(engine, name).is_some_and(|column| column.is_apart_by_itself)
        };
        !settings.key.iter().all(is_in_index) && !index.iter().any(is_apart)
    }

    /// The columns, quoted, that the next event adds with `create_table`.
    pub(super) fn unmade(&self, settings: &Settings) -> Vec<String> {
        let engine = settings.url.engine();
        let names = settings.columns.iter().map(|column| &column.name);
        let unmade = names.filter(|name| self.column(engine, name).is_none());
        unmade.map(|name| engine.quote(name)).collect()
    }

    /// As `create_table` would make it.
    pub(super) fn add_missing(&mut self, settings: &Settings, types: &[ColumnType]) {
        let engine = settings.url.engine();
        if self.columns.is_empty() {
            self.unique = vec![settings.key.clone()];
        }
        for (Column { name, .. }, holds) in settings.columns.iter().zip(types) {
            if self.column(engine, name).is_none() {
                self.columns.push(SchemaColumn::of_type(name, holds.as_str(), holds.as_str()));
            }
        }
    }

    /// What will go wrong with some rows, though not with all.
    pub(super) fn warnings(&self, settings: &Settings) -> Vec<String> {
        let engine = settings.url.engine();
        let mut warnings = Vec::new();
        for Column { name, declared, .. } in &settings.columns {
            if let (Some(declared), Some(real)) = (declared, self.column(engine, name))
                && !declared.fits(column_class(engine, Some(*declared), &real.real_type))
            {
                let (declared, real) = (declared.as_str(), &real.real_type);
                warnings
                    .push(format!("column `{name}` is of type `{real}`: it takes no {declared}"));
            }
        }
        warnings
    }
}

/// SQLite tells JSON columns of its own making as text: there the declaration is the better word.
pub(super) fn column_class(
    engine: Engine,
    declared: Option<ColumnType>,
    real_type: &str,
) -> ColumnType {
    let real = engine.class_of(real_type);
    match (engine, declared) {
        (Engine::Sqlite, Some(ColumnType::Json)) if real == ColumnType::Text => ColumnType::Json,
        _ => real,
    }
}

/// The table `name` in the configured schema; without columns where there is none.
pub(super) async fn read(
    session: &mut Session,
    settings: &Settings,
    name: &str,
) -> Result<TableSchema, sqlx::Error> {
    read_table(session, settings.url.engine(), settings.table_parts().0, name).await
}

/// The table `name` in `schema`, or where the user's tables are; without columns where there is none.
pub(super) async fn read_table(
    session: &mut Session,
    engine: Engine,
    schema: Option<&str>,
    name: &str,
) -> Result<TableSchema, sqlx::Error> {
    let params = || match engine {
        Engine::Sqlite => vec![Param::Text(name.to_owned())],
        Engine::Postgres => {
            let quoted = schema.map(|schema| format!("{}.", engine.quote(schema)));
            vec![Param::Text(format!("{}{}", quoted.unwrap_or_default(), engine.quote(name)))]
        }
        Engine::MySql => vec![
            schema.map_or(Param::Null, |schema| Param::Text(schema.to_owned())),
            Param::Text(name.to_owned()),
        ],
    };
    let rows = session.fetch(Statement::new(columns_sql(engine), params())).await?;
    let columns = rows.into_iter().filter_map(|row| {
        let mut fields = row.into_iter();
        let name = fields.next()??;
        let real_type = fields.next()?.unwrap_or_default();
        let mut is_yes = || Some(fields.next()?.as_deref() == Some("1"));
        let (must_be_given, is_apart_by_itself) = (is_yes()?, is_yes()?);
        let full_type = fields.next()?.unwrap_or_else(|| real_type.clone());
        let default = fields.next()?.map(|text| engine.default_sql(text));
        Some(SchemaColumn {
            name,
            real_type,
            full_type,
            must_be_given,
            is_apart_by_itself,
            default,
        })
    });
    let mut columns: Vec<SchemaColumn> = columns.collect();
    if engine == Engine::MySql && columns.iter().any(SchemaColumn::may_be_json) {
        for name in json_columns(session, params()).await? {
            let column = columns.iter_mut().find(|column| engine.same_name(&column.name, &name));
            if let Some(column) = column.filter(|column| column.may_be_json()) {
                "json".clone_into(&mut column.real_type);
            }
        }
    }
    let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in session.fetch(Statement::new(unique_sql(engine), params())).await? {
        let mut fields = row.into_iter();
        if let (Some(Some(index)), Some(Some(column))) = (fields.next(), fields.next()) {
            unique.entry(index).or_default().push(column);
        }
    }
    Ok(TableSchema { columns, unique: unique.into_values().collect() })
}

/// The columns that MariaDB checks to be JSON: its type of that name is a text with such a check. None
/// where the server tells no checks of a table (MySQL, where JSON is a type of its own).
async fn json_columns(
    session: &mut Session,
    params: Vec<Param>,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT CAST(check_clause AS CHAR) FROM information_schema.check_constraints WHERE \
               constraint_schema = COALESCE(?, DATABASE()) AND table_name = ?";
    let rows = match session.fetch(Statement::new(sql, params)).await {
        Ok(rows) => rows,
        Err(sqlx::Error::Database(_)) => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let name_of = |clause: &str| {
        let (_, name) = clause.split_once("json_valid(`")?;
        name.split_once('`').map(|(name, _)| name.to_owned())
    };
    let clauses = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    Ok(clauses.filter_map(|clause| name_of(&clause)).collect())
}

/// Name, type, `1` where a row must bring a value, `1` where rows without a value never meet in a
/// unique index (asked of MySQL only), the type in full (PostgreSQL, and bytes of SQLite), and the default
/// of a column that is not NULL. MariaDB writes the default NULL as a word. Of PostgreSQL's triggers only
/// those for each row, before the insert, fill columns: 1, 2 and 4 of `tgtype`.
const fn columns_sql(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "SELECT name, type, CAST(\"notnull\" = 1 AND dflt_value IS NULL AND pk = 0 AS TEXT), \
             '0', CASE WHEN type = 'BLOB' COLLATE NOCASE AND (SELECT max(strict) FROM \
             pragma_table_list(?1)) = 1 THEN 'BLOB (STRICT)' END, CASE WHEN \"notnull\" = 1 THEN \
             dflt_value END FROM pragma_table_info(?1)"
        }
        Engine::Postgres => {
            "SELECT attname::text, format_type(atttypid, -1)::text, (attnotnull AND NOT \
             atthasdef AND attidentity = '' AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE \
             tgrelid = attrelid AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 7 = \
             7))::int::text, '0', format_type(atttypid, \
             atttypmod)::text || repeat('[]', greatest(attndims - 1, 0)), CASE WHEN attnotnull AND \
             atthasdef THEN (SELECT pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef WHERE \
             adrelid = attrelid AND adnum = attnum) END FROM pg_catalog.pg_attribute WHERE \
             attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        }
        Engine::MySql => {
            "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR), CAST(is_nullable = 'NO' \
             AND column_default IS NULL AND extra NOT LIKE '%auto_increment%' AND extra NOT LIKE \
             '%GENERATED%' AND NOT EXISTS (SELECT 1 FROM information_schema.triggers WHERE \
             event_object_schema = c.table_schema AND event_object_table = c.table_name AND \
             action_timing = 'BEFORE' AND event_manipulation = 'INSERT') AS CHAR), \
             CAST(extra LIKE '%auto_increment%' OR (is_nullable = 'YES' AND \
             COALESCE(column_default, 'NULL') = 'NULL' AND extra NOT LIKE '%GENERATED%') AS CHAR), \
             NULL, IF(is_nullable = 'NO' AND column_default IS NOT NULL, 'DEFAULT', NULL) FROM \
             information_schema.columns AS c WHERE table_schema = COALESCE(?, DATABASE()) AND \
             table_name = ? ORDER BY ordinal_position"
        }
    }
}

/// Index and column, for every unique index that holds for all rows; `()` stands for what is not a
/// whole column.
const fn unique_sql(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "SELECT 'primary key', name FROM pragma_table_info(?1) WHERE pk > 0 UNION ALL SELECT \
             l.name, COALESCE(i.name, '()') FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i WHERE \
             l.\"unique\" = 1 AND l.partial = 0 AND l.origin <> 'pk'"
        }
        Engine::Postgres => {
            "SELECT i.indexrelid::text, a.attname::text FROM pg_catalog.pg_index AS i JOIN \
             pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY \
             ((i.indkey::int2[])[0:i.indnkeyatts - 1]) WHERE i.indrelid = to_regclass($1) AND \
             i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"
        }
        Engine::MySql => {
            "SELECT CAST(index_name AS CHAR), CAST(IF(sub_part IS NULL, COALESCE(column_name, '()'), \
             '()') AS CHAR) FROM information_schema.statistics WHERE table_schema = COALESCE(?, \
             DATABASE()) AND table_name = ? AND non_unique = 0"
        }
    }
}
