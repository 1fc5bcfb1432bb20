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
}

/// The column of PostgreSQL that holds one bit.
pub(super) const ONE_BIT: &str = "bit(1)";

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

    /// Whether it is written as text, and the empty text is none of its values.
    pub(super) fn refuses_blank(&self) -> bool {
        const TYPES: [&str; 10] = [
            "uuid", "interval", "inet", "inet4", "inet6", "cidr", "macaddr", "macaddr8", "year",
            "money",
        ];
        let name = self.real_type.to_ascii_lowercase();
        TYPES.contains(&name.as_str()) || name == "time" || name.starts_with("time with")
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
