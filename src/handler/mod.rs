//! SEAM: what is done with an event. A kind is one file and one line in [`KINDS`].
//!
//! The way of a kind: its table in the configuration is read by [`Kind::read`], which opens
//! nothing and reports every problem at once; [`KindSettings::build`] then opens what is needed,
//! at start and on reload; the [`Handler`] it gives is called until each event is settled. A call
//! is two steps: a pure one that works out what is to be done ([`KindSettings::plan`] shows it), and
//! one that does it.

mod build;
pub mod chat;
pub mod command;
mod contract;
pub mod email;
mod envelope;
mod exempt;
pub mod file;
pub mod http;
pub mod log;
mod plan;
mod rate_limit;
pub mod sql;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod trust;
mod unread;
mod web;

pub use build::{BuildContext, BuildError, Purpose};
pub use contract::{Handler, Kind, KindSettings};
pub use exempt::Exempt;
pub use plan::{Content, Plan, SECRET, Step, Unshown};
pub(crate) use texts::expression as read_expression;
pub use texts::{Text, Words};
pub use unread::UnreadKind;
pub use web::Downloader;
pub(crate) use web::parse_retry_after;

/// All kinds, in the order in which help texts name them.
pub static KINDS: &[&Kind] =
    &[&log::KIND, &file::KIND, &email::KIND, &sql::KIND, &http::KIND, &command::KIND, &chat::KIND];

/// The kind whose table is called `name`.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for (index, one) in KINDS.iter().enumerate() {
            assert!(std::ptr::eq(kind(one.name).unwrap(), *one), "{}", one.name);
            assert!(one.batch_max >= 1, "{}", one.name);
            assert!(KINDS.iter().skip(index + 1).all(|other| other.name != one.name));
        }
        assert!(kind("nothing").is_none());
    }
}
