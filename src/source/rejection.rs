//! Why a request is not believed.

/// Why a request was not believed. The caller is never told which: 401 for each. Later variants
/// came closer to being believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The header (or field) that should carry the signature is not there.
    #[error("no signature")]
    Missing,
    /// What is around the signature (a prefix, a list's key) is not there.
    #[error("the signature does not stand in the expected form")]
    NotWrapped,
    #[error("the signature cannot be decoded")]
    Undecodable,
    /// No signature of the algorithm is as long as this.
    #[error("the signature has the wrong length")]
    WrongLength,
    /// A timestamp, an id or another value that is signed is not there.
    #[error("no {0}")]
    NoVariable(String),
    #[error("the {0} is repeated")]
    Repeated(String),
    /// More fields than any sender has: they are not sorted for a stranger.
    #[error("the form has too many fields")]
    TooManyFields,
    #[error("the body cannot be unpacked")]
    NotUnpacked,
    /// The address of the key leads elsewhere than to the sender: nothing was fetched.
    #[error("the key's address in {0} is none of its sender's")]
    ForeignKey(String),
    /// It was signed with another secret, or it is not what was signed.
    #[error("the signature does not match")]
    Mismatch,
    /// A token (or a signature's parameters) says something else than it must.
    #[error("its `{0}` is not the expected one")]
    Claim(String),
    /// Whether it is signed cannot be said yet: the sender is asked to come again.
    #[error("its key could not be fetched: {0}")]
    KeyNotFetched(String),
    #[error("the timestamp cannot be read")]
    BadTimestamp,
    /// The signature is good, but not of this hour.
    #[error("the timestamp is {}", lies(*.seconds))]
    Stale {
        /// How many seconds before the receiving it was sent; negative where after it.
        seconds: i64,
    },
}

/// Where a timestamp lies. How far off it is says `explain`: requests of one cause have one reason.
const fn lies(seconds: i64) -> &'static str {
    if seconds < 0 { "in the future" } else { "too old" }
}

impl Rejection {
    /// Whether the request has a signature, whatever is wrong with it.
    pub fn shows_signature(&self) -> bool {
        !matches!(self, Self::Missing | Self::NoVariable(_))
    }

    /// A word for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotWrapped
            | Self::Undecodable
            | Self::WrongLength
            | Self::TooManyFields
            | Self::NotUnpacked => "malformed",
            Self::NoVariable(_) | Self::Repeated(_) | Self::BadTimestamp => "incomplete",
            Self::ForeignKey(_) | Self::Mismatch | Self::Claim(_) => "mismatch",
            Self::KeyNotFetched(_) => "no_key",
            Self::Stale { .. } => "stale",
        }
    }
}
