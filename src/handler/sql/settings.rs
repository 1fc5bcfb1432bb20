//! `[handler.NAME.sql]`, read and checked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::engine::{Engine, LEDGER, VERSIONS};
use super::own_keys::{read_statements, refuse_keys_of_rows};
use super::url::DatabaseUrl;
use super::{BadUrl, ColumnType, StatementTemplate};
use crate::event::Glob;
use crate::expr::Expression;
use crate::handler::{Exempt, Text, texts};
use crate::secret::SecretRef;
use crate::settings::{Table, Value, unexpanded};

/// The keys whose values show in a plan.
pub(super) const PLANNED: &[&str] = &[
    "columns",
    "delete_on",
    "delete_when",
    "keep",
    "key",
    "newer_by",
    "on_conflict",
    "statements",
    "table",
];

/// How long one statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the ledger remembers an event: far longer than a retry lasts.
const LEDGER_RETENTION: Duration = Duration::from_hours(30 * 24);
/// The most columns: what one statement can bind, and more than a table of events needs.
const COLUMNS_MAX: usize = 200;

/// What the table says.
#[derive(Debug)]
pub struct Settings {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// The password, which does not stand in the URL.
    pub password: Option<SecretRef>,
    /// The owner's own statements, which run for each event. Where there are any, there is no table, and
    /// nothing of what belongs to one.
    pub statements: Vec<StatementTemplate>,
    /// The table's name; `schema.table` where the engine has schemas.
    pub table: String,
    /// Whether to make the table, and columns that it lacks.
    pub create_table: bool,
    /// The columns that tell one row from the other; empty = each event is a new row.
    pub key: Vec<String>,
    /// Which events delete their row.
    pub deletes: Exempt,
    /// The columns that only an insert writes.
    pub keep: Vec<String>,
    /// What becomes of an event whose row is there.
    pub on_conflict: OnConflict,
    /// What goes into which column, in the order of the text.
    pub columns: Vec<Column>,
    /// What tells an older event from a newer one.
    pub newer_by: Option<Arc<Expression>>,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long the ledger remembers an event.
    pub ledger_retention: Duration,
    /// The types of columns that are made, once they were worked out from the samples.
    pub(super) made: OnceLock<Vec<ColumnType>>,
}

/// What becomes of an event whose row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It updates the row.
    Update,
    /// It changes nothing: rows are only inserted.
    Ignore,
}

/// One entry of `columns`.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// What goes into it.
    pub value: Arc<Expression>,
    /// What it holds; `None` = what the real column holds, text where it is made.
    pub declared: Option<ColumnType>,
}

impl Settings {
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let url = read_url(table);
        let password = table.take::<SecretRef>("password");
        let statements = read_statements(table, url.as_ref().map(DatabaseUrl::engine));
        let has_rows = !table.has("statements");
        let is_either = has_rows || refuse_keys_of_rows(table);
        let name = table.take::<String>("table");
        if has_rows && !table.has("table") {
            let help = "write `table = \"comments\"`, or `statements` of your own";
            table.missing("table", help);
        }
        let create_table = table.take_or("create_table", false);
        let key = table.one_or_many::<String>("key").unwrap_or_default();
        let deletes = read_deletes(table);
        let keep = table.one_or_many::<String>("keep").unwrap_or_default();
        let choices = [("update", OnConflict::Update), ("ignore", OnConflict::Ignore)];
        let on_conflict = table.choice("on_conflict", &choices).unwrap_or(OnConflict::Update);
        let columns = read_columns(table, has_rows);
        let newer_by = texts::expression(table, "newer_by");
        let statement_timeout = table.take_or("statement_timeout", STATEMENT_TIMEOUT);
        let ledger_retention = table.take_or("ledger_retention", LEDGER_RETENTION);

        if table.has("password") && matches!(url, Some(DatabaseUrl::Sqlite(_))) {
            table.problem("password", "a SQLite file has no password", "leave `password` out");
        }
        let settings = Self {
            url: url?,
            password,
            statements: statements?,
            table: if has_rows { name? } else { String::new() },
            create_table,
            key,
            deletes,
            keep,
            on_conflict,
            columns: columns?,
            newer_by,
            statement_timeout,
            ledger_retention,
            made: OnceLock::new(),
        };
        (settings.check(table) && is_either).then_some(settings)
    }

    /// What is worked out for each event.
    pub(super) fn texts(&self) -> Vec<Text> {
        let column =
            |column: &Column| Text::expression(format!("columns.{}", column.name), &column.value);
        let others = [("newer_by", &self.newer_by), ("delete_when", &self.deletes.when)];
        let others = others
            .into_iter()
            .filter_map(|(key, expression)| Some(Text::expression(key, expression.as_ref()?)));
        let values = self.statements.iter().flat_map(|statement| &statement.values);
        let values = values.map(|value| Text::expression("statements", &value.expression));
        self.columns.iter().map(column).chain(others).chain(values).collect()
    }

    /// The schema, where one is given, and the table.
    pub(super) fn table_parts(&self) -> (Option<&str>, &str) {
        match self.table.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, &self.table),
        }
    }

    fn check(&self, table: &Table<'_>) -> bool {
        if self.statement_timeout.is_zero() {
            table.problem("statement_timeout", "no statement takes no time", "");
            return false;
        }
        !self.statements.is_empty() || self.check_rows(table)
    }

    fn check_rows(&self, table: &Table<'_>) -> bool {
        let mut is_good = true;
        let mut wrong = |key: &str, message: String, help: &str| {
            table.problem(key, message, help);
            is_good = false;
        };
        let engine = self.url.engine();
        let (schema, name) = self.table_parts();
        let longest = engine.name_bytes_max();
        if !is_name(name, longest) || schema.is_some_and(|schema| !is_name(schema, longest)) {
            wrong("table", "this is not the name of a table".to_owned(), "");
        } else if schema.is_some() && matches!(self.url, DatabaseUrl::Sqlite(_)) {
            wrong("table", "SQLite has no schemas here".to_owned(), "write the table's name alone");
        }
        if [LEDGER, VERSIONS].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            let message = format!("`{name}` is Gatepost's own table in this database");
            wrong("table", message, "write another name");
        }
        for message in self.problems_of_columns(engine) {
            wrong("columns", message, "");
        }
        if self.columns.is_empty() || self.columns.len() > COLUMNS_MAX {
            wrong("columns", format!("expected 1 to {COLUMNS_MAX} columns"), "");
        }
        for (index, name) in self.key.iter().enumerate() {
            if !self.columns.iter().any(|column| column.name == *name) {
                let message = format!("key column `{}` is none of `columns`", name.escape_debug());
                wrong("key", message, "give it a value in `columns`");
            } else if self.key.iter().take(index).any(|other| other == name) {
                wrong("key", format!("key column `{name}` stands here twice"), "");
            }
        }
        for (message, help) in self.problems_of_keep() {
            wrong("keep", message, help);
        }
        let only_with_key = [
            ("delete_on", "deleted"),
            ("delete_when", "deleted"),
            ("newer_by", "compared"),
            ("keep", "updated"),
            ("on_conflict", "found again"),
        ];
        for (other, what) in only_with_key {
            if self.key.is_empty() && table.has(other) {
                let message = format!("without `key` no row can be {what}");
                wrong(other, message, "write `key = [\"id\"]`, the columns that name a row");
            }
        }
        is_good
    }

    /// What is wrong with the names of `columns`.
    fn problems_of_columns(&self, engine: Engine) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let name = column.name.escape_debug();
            if !is_name(&column.name, engine.name_bytes_max()) {
                problems.push(format!("`{name}` is not the name of a column"));
            }
            let mut earlier = self.columns.iter().take(index);
            if let Some(same) = earlier.find(|other| engine.same_name(&other.name, &column.name)) {
                let (same, engine) = (same.name.escape_debug(), engine.as_str());
                problems.push(format!("`{same}` and `{name}` are the same column in {engine}"));
            }
        }
        problems
    }

    /// What is wrong with `keep`, and what helps.
    fn problems_of_keep(&self) -> Vec<(String, &'static str)> {
        let mut problems = Vec::new();
        for name in &self.keep {
            let name_shown = name.escape_debug();
            if !self.columns.iter().any(|column| column.name == *name) {
                let message = format!("column `{name_shown}` is none of `columns`");
                problems.push((message, "give it a value in `columns`"));
            } else if self.key.contains(name) {
                let message =
                    format!("column `{name_shown}` is part of `key`, which never changes");
                problems.push((message, "leave it out here"));
            }
        }
        if !self.keep.is_empty() && self.on_conflict == OnConflict::Ignore {
            let message = "with `on_conflict = \"ignore\"` no column of a row is ever updated";
            problems.push((message.to_owned(), "leave one of the two out"));
        }
        problems
    }
}

fn is_name(name: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn read_url(table: &mut Table<'_>) -> Option<DatabaseUrl> {
    let text = table.require::<String>("url")?;
    match DatabaseUrl::parse(&text, table.folder()) {
        Ok(url) => {
            let file = text.strip_prefix("sqlite:").unwrap_or(&text);
            let file = file.strip_prefix("//").unwrap_or(file);
            // Behind `?` there may be a secret.
            if let Some((message, help)) = file.split('?').next().and_then(unexpanded) {
                table.warning("url", message, help);
            }
            Some(url)
        }
        Err(err) => {
            let help = match err {
                BadUrl::Password => {
                    table.hide("url");
                    "write `password = { file = \"data/secrets/database\" }` and leave it out of the \
                     URL"
                        .to_owned()
                }
                // The path of a file; a host would have a port, a user or a name behind it.
                BadUrl::Scheme
                    if !text.contains("://")
                        && (text.ends_with("db") || text.contains(".sqlite")) =>
                {
                    format!("write `sqlite:{text}`")
                }
                BadUrl::Scheme => {
                    "for example `sqlite:data/site.db`, `postgres://user@localhost/site` or \
                                   `mysql://user@localhost/site`"
                        .to_owned()
                }
                BadUrl::File | BadUrl::Other(_) => String::new(),
            };
            table.problem("url", err, help);
            None
        }
    }
}

fn read_deletes(table: &mut Table<'_>) -> Exempt {
    let on = table.one_or_many::<String>("delete_on").unwrap_or_default();
    let on = on.iter().map(|text| Glob::new(text)).collect();
    Exempt { on, when: texts::expression(table, "delete_when") }
}

fn read_columns(table: &mut Table<'_>, has_rows: bool) -> Option<Vec<Column>> {
    let expected = "a table: column = \"expression\", or column = { value, type }";
    // Beside statements it is refused elsewhere, and asking for what is not there says nothing new of it.
    let is_asked = has_rows || table.has("columns");
    let columns = if is_asked { table.raw("columns", expected) } else { None };
    if !has_rows {
        return Some(Vec::new());
    }
    let Some(columns) = columns else {
        table.missing("columns", "write `columns = { id = \"data.comment.id\" }`");
        return None;
    };
    let columns: Vec<Option<Column>> = columns
        .table()?
        .entries()
        .into_iter()
        .map(|(name, value)| read_column(name, &value))
        .collect();
    columns.into_iter().collect()
}

fn read_column(name: &str, value: &Value<'_>) -> Option<Column> {
    let name = name.to_owned();
    if !value.is_table() {
        return texts::expression_of(value).map(|value| Column { name, value, declared: None });
    }
    let mut table = value.table()?;
    let declared = table.choice("type", &ColumnType::NAMES);
    let is_wrong = table.has("type") && declared.is_none();
    if !table.has("value") {
        table.missing("value", "write `value = \"data.comment.id\"`");
    }
    let value = texts::expression(&mut table, "value");
    table.finish();
    Some(Column { name, value: value.filter(|_| !is_wrong)?, declared })
}
