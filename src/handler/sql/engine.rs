//! What differs from one database to the other in words: names, types and the making of tables.

use super::cell::ColumnType;

/// The table of the events that are in.
pub(super) const LEDGER: &str = "gatepost_ledger";
/// The table of the newest versions.
pub(super) const VERSIONS: &str = "gatepost_versions";

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite, built in.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Engine {
    /// The engine's name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
        }
    }

    /// `name` as an identifier, whatever is in it.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MySql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// The longest identifier, in bytes (PostgreSQL cuts, MySQL refuses).
    pub(super) const fn name_bytes_max(self) -> usize {
        match self {
            Self::Sqlite => 255,
            Self::Postgres => 63,
            Self::MySql => 64,
        }
    }

    /// Whether two column names are the same column.
    pub(super) fn same_name(self, left: &str, right: &str) -> bool {
        match self {
            Self::Postgres => left == right,
            Self::Sqlite | Self::MySql => left.eq_ignore_ascii_case(right),
        }
    }

    /// The column type that `create_table` writes.
    fn type_name(self, column: ColumnType, role: Role) -> &'static str {
        match (self, column) {
            (Self::Sqlite, ColumnType::Text | ColumnType::Json) => "TEXT",
            (Self::Sqlite, ColumnType::Integer) => "INTEGER",
            (Self::Sqlite, ColumnType::Real) => "REAL",
            (Self::Sqlite, ColumnType::Bool) => "BOOLEAN",
            // Any name with `TEXT` in it keeps text as text; this one also says what is in it.
            (Self::Sqlite, ColumnType::Timestamp) => "TIMESTAMP_TEXT",
            (_, ColumnType::Date) => "date",
            (Self::Postgres, ColumnType::Text) => "text",
            (Self::Postgres | Self::MySql, ColumnType::Integer) => "bigint",
            (Self::Postgres, ColumnType::Real) => "double precision",
            (Self::Postgres | Self::MySql, ColumnType::Bool) => "boolean",
            (Self::Postgres, ColumnType::Json) => "jsonb",
            (Self::Postgres, ColumnType::Timestamp) => "timestamp with time zone",
            (Self::MySql, ColumnType::Text) => match role {
                // An index needs a bounded length, and a key tells `a` from `A`.
                Role::Key => "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                Role::Plain => "longtext CHARACTER SET utf8mb4",
            },
            (Self::MySql, ColumnType::Real) => "double",
            (Self::MySql, ColumnType::Json) => "json",
            // `timestamp` ends in 2038.
            (Self::MySql, ColumnType::Timestamp) => "datetime(6)",
        }
    }

    /// What a column of this real type holds. The owner's own types, and the words of an `enum`, may be
    /// called like any other.
    pub(super) fn class_of(self, real_type: &str) -> ColumnType {
        let lower = real_type.to_ascii_lowercase();
        let first = lower.split(['(', ' ']).next().unwrap_or_default();
        match self {
            Self::Sqlite => class_by_affinity(&lower),
            Self::MySql => match first {
                "tinyint" | "bit" if lower.contains("(1)") => ColumnType::Bool,
                "bool" | "boolean" => ColumnType::Bool,
                // Of bits, too: as text MySQL would take the codes of the digits for them.
                "int" | "integer" | "tinyint" | "smallint" | "mediumint" | "bigint" | "bit" => {
                    ColumnType::Integer
                }
                "real" | "float" | "double" | "decimal" | "dec" | "numeric" | "fixed" => {
                    ColumnType::Real
                }
                "json" => ColumnType::Json,
                "date" => ColumnType::Date,
                "datetime" | "timestamp" => ColumnType::Timestamp,
                _ => ColumnType::Text,
            },
            Self::Postgres => match lower.as_str() {
                "boolean" | "bool" => ColumnType::Bool,
                "smallint" | "integer" | "bigint" => ColumnType::Integer,
                "real" | "double precision" | "numeric" => ColumnType::Real,
                "json" | "jsonb" => ColumnType::Json,
                "date" => ColumnType::Date,
                "timestamp" | "timestamp with time zone" | "timestamp without time zone" => {
                    ColumnType::Timestamp
                }
                _ => ColumnType::Text,
            },
        }
    }

    /// `CREATE TABLE` for a handler's table. `table` is quoted.
    pub(super) fn create_table(self, table: &str, columns: &[NewColumn<'_>]) -> String {
        let mut parts: Vec<String> = columns
            .iter()
            .map(|column| {
                let name = self.quote(column.name);
                let type_name = self.type_name(column.holds, column.role);
                match column.role {
                    Role::Key => format!("{name} {type_name} NOT NULL"),
                    Role::Plain => format!("{name} {type_name}"),
                }
            })
            .collect();
        let key: Vec<String> = columns
            .iter()
            .filter(|column| column.role == Role::Key)
            .map(|column| self.quote(column.name))
            .collect();
        if !key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "))
    }

    /// `ALTER TABLE` for a column that is not there yet. `table` is quoted.
    pub(super) fn add_column(self, table: &str, column: &NewColumn<'_>) -> String {
        let name = self.quote(column.name);
        format!(
            "ALTER TABLE {table} ADD COLUMN {name} {}",
            self.type_name(column.holds, Role::Plain)
        )
    }

    /// `CREATE TABLE` for the ledger: which events this database has taken in.
    pub(super) fn create_ledger(self, ledger: &str) -> String {
        let (text, id, moment, tail) = self.own_types();
        let at = self.quote("at");
        format!(
            "CREATE TABLE IF NOT EXISTS {ledger} (handler {text} NOT NULL, event_id {id} NOT NULL, \
             {at} {moment} NOT NULL, PRIMARY KEY (handler, event_id)){tail}"
        )
    }

    /// The default of a column, as it may stand in a statement. SQLite tells it as it was written, where
    /// a word or a text in double quotation marks is a text.
    pub(super) fn default_sql(self, told: String) -> String {
        const WORDS: [&str; 6] =
            ["current_timestamp", "current_date", "current_time", "true", "false", "null"];
        if self != Self::Sqlite {
            return told;
        }
        let quoted = [('"', '"'), ('`', '`'), ('[', ']')].into_iter().find_map(|(open, close)| {
            let text = told.strip_prefix(open)?.strip_suffix(close)?;
            (!text.contains(close)).then_some(text)
        });
        let is_word = told.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !told.starts_with(|c: char| c.is_ascii_digit())
            && !WORDS.contains(&told.to_ascii_lowercase().as_str());
        match quoted.or(is_word.then_some(told.as_str())) {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            // It may end in a comment.
            None => format!("({told}\n)"),
        }
    }

    /// `CREATE TABLE` for the newest version of each row, kept also for deleted rows so that a late
    /// event does not bring one back.
    pub(super) fn create_versions(self, versions: &str) -> String {
        let (text, _, moment, tail) = self.own_types();
        format!(
            "CREATE TABLE IF NOT EXISTS {versions} (handler {text} NOT NULL, row_key {text} NOT \
             NULL, version {text} NOT NULL, deleted_at {moment}, PRIMARY KEY (handler, \
             row_key)){tail}"
        )
    }

    /// The types of our own tables: text, event id, moment; and the clause behind the columns.
    const fn own_types(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Sqlite => ("TEXT", "TEXT", "TEXT", " WITHOUT ROWID"),
            Self::Postgres => ("text", "uuid", "timestamp with time zone", ""),
            Self::MySql => (
                "varchar(64) CHARACTER SET ascii COLLATE ascii_bin",
                "char(36) CHARACTER SET ascii COLLATE ascii_bin",
                "datetime(6)",
                " ENGINE=InnoDB",
            ),
        }
    }
}

/// SQLite takes any word for a type, and goes by what is in it.
fn class_by_affinity(lower: &str) -> ColumnType {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["bool"]) {
        ColumnType::Bool
    } else if has(&["timestamp", "datetime"]) || lower == "date" {
        // It has no days: what is called so holds whatever it gets.
        ColumnType::Timestamp
    } else if has(&["json"]) {
        ColumnType::Json
    } else if has(&["char", "text", "clob", "enum", "set("]) {
        ColumnType::Text
    } else if has(&["serial"]) || (has(&["int"]) && !has(&["interval", "point"])) {
        ColumnType::Integer
    } else if has(&["real", "floa", "doub", "dec", "numeric"]) {
        ColumnType::Real
    } else {
        ColumnType::Text
    }
}

/// What a column is to its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Plain,
}

/// A column to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewColumn<'a> {
    pub(super) name: &'a str,
    pub(super) holds: ColumnType,
    pub(super) role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_cannot_end_itself() {
        assert_eq!(Engine::Postgres.quote("a\"; DROP TABLE x"), "\"a\"\"; DROP TABLE x\"");
        assert_eq!(Engine::MySql.quote("a`b"), "`a``b`");
    }

    #[test]
    fn a_default_of_sqlite_is_an_expression_in_any_statement() {
        for (told, expected) in [
            ("'it''s'", "('it''s'\n)"),
            ("-1", "(-1\n)"),
            ("007", "(007\n)"),
            ("1 -- one", "(1 -- one\n)"),
            ("CURRENT_TIMESTAMP", "(CURRENT_TIMESTAMP\n)"),
            ("anon", "'anon'"),
            ("größe", "'größe'"),
            ("\"a'b\"", "'a''b'"),
            ("`a b`", "'a b'"),
            ("[a b]", "'a b'"),
            ("\"a\" || \"b\"", "(\"a\" || \"b\"\n)"),
        ] {
            assert_eq!(Engine::Sqlite.default_sql(told.to_owned()), expected);
        }
    }

    #[test]
    fn a_real_type_is_known_by_its_name() {
        let check = |engine: Engine, real_type: &str, expected| {
            assert_eq!(engine.class_of(real_type), expected, "{real_type} in {engine:?}");
        };
        for (real_type, expected) in [
            ("bigint", ColumnType::Integer),
            ("character varying", ColumnType::Text),
            ("timestamp without time zone", ColumnType::Timestamp),
            ("date", ColumnType::Date),
            ("jsonb", ColumnType::Json),
            ("numeric", ColumnType::Real),
            ("uuid", ColumnType::Text),
            ("interval", ColumnType::Text),
            ("text[]", ColumnType::Text),
            ("int4range", ColumnType::Text),
            ("int8multirange", ColumnType::Text),
            // Types of the owner's own.
            ("sprint_state", ColumnType::Text),
            ("decision", ColumnType::Text),
            ("bool_word", ColumnType::Text),
        ] {
            check(Engine::Postgres, real_type, expected);
        }
        check(Engine::MySql, "date", ColumnType::Date);
        check(Engine::Sqlite, "DATE", ColumnType::Timestamp);
        check(Engine::MySql, "tinyint(1)", ColumnType::Bool);
        check(Engine::MySql, "bit(1)", ColumnType::Bool);
        check(Engine::MySql, "bit(8)", ColumnType::Integer);
        check(Engine::MySql, "int(11) unsigned", ColumnType::Integer);
        check(Engine::MySql, "enum('a','b')", ColumnType::Text);
        check(Engine::MySql, "enum('bool','json','timestamp')", ColumnType::Text);
        check(Engine::MySql, "set('date','int')", ColumnType::Text);
        check(Engine::MySql, "year(4)", ColumnType::Text);
        check(Engine::MySql, "decimal(10,2) unsigned", ColumnType::Real);
        check(Engine::MySql, "point", ColumnType::Text);
        check(Engine::Sqlite, "", ColumnType::Text);
        for engine in [Engine::Sqlite, Engine::Postgres, Engine::MySql] {
            for (_, made) in ColumnType::NAMES {
                // SQLite keeps JSON as text.
                let read = if made == ColumnType::Json && engine == Engine::Sqlite {
                    ColumnType::Text
                } else {
                    made
                };
                check(engine, engine.type_name(made, Role::Plain), read);
            }
        }
    }

    #[test]
    fn a_made_table_has_the_key_as_its_primary_key() {
        let columns = [
            NewColumn { name: "id", holds: ColumnType::Integer, role: Role::Key },
            NewColumn { name: "body", holds: ColumnType::Text, role: Role::Plain },
        ];
        assert_eq!(
            Engine::Sqlite.create_table("\"t\"", &columns),
            r#"CREATE TABLE IF NOT EXISTS "t" ("id" INTEGER NOT NULL, "body" TEXT, PRIMARY KEY ("id"))"#
        );
        assert_eq!(
            Engine::MySql.add_column("`t`", &columns[1]),
            "ALTER TABLE `t` ADD COLUMN `body` longtext CHARACTER SET utf8mb4"
        );
    }
}
