//! The table that events go to, as the statements need to know it: plain values.

use super::OnConflict;
use super::cell::ColumnType;
use super::engine::Engine;

/// The table that events go to, as the statements need it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) engine: Engine,
    /// Quoted, with its schema where one is given.
    pub(super) table: String,
    pub(super) ledger: String,
    pub(super) versions: String,
    /// In the order of the configuration.
    pub(super) columns: Vec<TargetColumn>,
    /// Which of the columns make the key, in the key's order.
    pub(super) key: Vec<usize>,
    /// Which of the columns only an insert writes.
    pub(super) kept: Vec<usize>,
    pub(super) on_conflict: OnConflict,
    /// For each of the owner's own statements what its values are bound as; `None` = as JSON has them.
    pub(super) statements: Vec<Vec<Option<TargetColumn>>>,
}

/// One column of the table.
#[derive(Clone, Debug)]
pub(super) struct TargetColumn {
    pub(super) quoted: String,
    pub(super) holds: ColumnType,
    pub(super) shape: Shape,
    /// The type's name in the database's own words, and with its length or precision.
    pub(super) real_type: String,
    pub(super) full_type: String,
    /// What stands for a missing value, as SQL. The row would be refused with NULL.
    pub(super) default: Option<String>,
}

/// The column of PostgreSQL that holds one bit.
pub(super) const ONE_BIT: &str = "bit(1)";

/// The column of bytes of a strict table of SQLite, which takes no text.
pub(super) const STRICT_BLOB: &str = "BLOB (STRICT)";

/// How many values a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// An array of PostgreSQL.
    List,
}

impl TargetColumn {
    /// Whether it holds whole numbers up to 2^64 - 1: `bigint unsigned` of MySQL.
    pub(super) fn is_unsigned(&self) -> bool {
        self.holds == ColumnType::Integer && self.real_type.contains("unsigned")
    }

    /// The bit that stands for true or false where PostgreSQL knows no other words for it.
    pub(super) fn bit(&self, yes: bool) -> Option<&'static str> {
        let is_written_as_text = self.real_type.starts_with("\"bit\"");
        let bit = if yes { "1" } else { "0" };
        (is_written_as_text && self.full_type == ONE_BIT).then_some(bit)
    }

    /// Whether it holds several bits of PostgreSQL, which are written as text.
    pub(super) fn is_bits(&self) -> bool {
        self.holds == ColumnType::Text && self.full_type.starts_with("bit")
    }

    /// The bits of a whole number, for a column of several bits of PostgreSQL.
    pub(super) fn bits(&self, number: u64) -> Option<String> {
        let (name, length) = self.full_type.split_once('(').unwrap_or((&self.full_type, ""));
        let length: Option<usize> = length.trim_end_matches(')').parse().ok();
        let bits = match name {
            "bit" => format!("{number:0>width$b}", width = length?),
            "bit varying" => format!("{number:b}"),
            _ => return None,
        };
        length.is_none_or(|length| bits.len() <= length).then_some(bits)
    }

    /// The words that a `set` or an `enum` of MySQL knows; `None` = it is of another type.
    fn words(&self) -> Option<Vec<String>> {
        let (name, words) = self.real_type.split_once('(')?;
        let is_of_words = ["set", "enum"].iter().any(|one| name.eq_ignore_ascii_case(one));
        let words = words.strip_suffix(')').filter(|_| is_of_words)?;
        let words = words.trim_matches('\'').split("','");
        Some(words.map(|word| word.replace("''", "'")).collect())
    }

    /// Whether it is a `set` of MySQL, which takes the words of a list with commas between them.
    pub(super) fn is_set(&self) -> bool {
        let begin = self.real_type.get(..3);
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case("set")) && self.words().is_some()
    }

    /// Whether MySQL would take a number that is none of the words for the place of one.
    pub(super) fn takes_for_place(&self, text: &str) -> bool {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number && self.words().is_some_and(|words| !words.iter().any(|word| word == text))
    }

    /// Whether it holds what a clock shows: `time`.
    pub(super) fn is_clock(&self) -> bool {
        let lower = self.real_type.to_ascii_lowercase();
        lower.split('(').next() == Some("time") || lower.starts_with("time with")
    }

    /// Whether it is written as text, and the empty text is none of its values.
    pub(super) fn refuses_blank(&self) -> bool {
        const TYPES: [&str; 19] = [
            "uuid", "interval", "inet", "inet4", "inet6", "cidr", "macaddr", "macaddr8", "year",
            "money", "point", "line", "lseg", "box", "path", "polygon", "circle", "oid", "\"bit\"",
        ];
        let lower = self.real_type.to_ascii_lowercase();
        let name = lower.split('(').next().unwrap_or_default();
        let is_range = lower.ends_with("range");
        let is_enum =
            name == "enum" && self.words().is_some_and(|words| !words.contains(&String::new()));
        TYPES.contains(&name) || self.is_clock() || is_range || is_enum
    }

    /// Whether it takes bytes and no text, or reads a text in a way of its own: PostgreSQL takes a backslash
    /// for the beginning of a byte's number.
    pub(super) fn is_bytes(&self) -> bool {
        self.real_type.trim_end_matches("[]") == "bytea" || self.full_type == STRICT_BLOB
    }

    /// Whether a list within its list is an array as well. In an array of texts or JSON it may be one
    /// of the values, unless the column was made for arrays of arrays.
    pub(super) fn nests(&self) -> bool {
        let is_value = matches!(self.holds, ColumnType::Text | ColumnType::Json);
        !is_value || self.full_type.ends_with("[][]")
    }

    /// The most characters that PostgreSQL takes here: `character varying(20)`. A cast would cut
    /// what is longer; an insert refuses it.
    pub(super) fn chars_max(&self) -> Option<usize> {
        let (name, rest) = self.full_type.split_once('(')?;
        let (n_chars, _) = rest.split_once(')')?;
        if name.starts_with("character") { n_chars.parse().ok() } else { None }
    }
}

impl Target {
    pub(super) fn key_columns(&self) -> impl Iterator<Item = &TargetColumn> {
        self.key.iter().filter_map(|index| self.columns.get(*index))
    }

    /// The columns that an update writes.
    pub(super) fn plain_columns(&self) -> impl Iterator<Item = &TargetColumn> {
        let is_plain = |index: &usize| !self.key.contains(index) && !self.kept.contains(index);
        self.columns.iter().enumerate().filter(move |(index, _)| is_plain(index)).map(|(_, c)| c)
    }
}
