//! The names of gateways that share a log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is no node's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a node's name: use 1 to 32 of a-z, 0-9 and `-`, with a letter or digit first"
)]
pub struct BadNodeName(pub String);

/// What one gateway is called among those that share a log: no two may have the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 32;

    /// Checks `text` once; the type is the proof from then on.
    pub fn parse(text: &str) -> Result<Self, BadNodeName> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_good = text.chars().next().is_some_and(is_plain)
            && text.len() <= Self::BYTES_MAX
            && text.chars().all(|c| is_plain(c) || c == '-');
        if is_good { Ok(Self(text.into())) } else { Err(BadNodeName(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
