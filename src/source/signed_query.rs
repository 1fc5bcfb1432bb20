//! What a signature covers of a request's query.

/// What a signature covers of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SignedQuery {
    All,
    /// The parameters of these names, each of which the request has once.
    Parameters(Vec<Vec<u8>>),
}

impl Default for SignedQuery {
    /// Nothing of it.
    fn default() -> Self {
        Self::Parameters(Vec::new())
    }
}

impl SignedQuery {
    pub(super) fn has(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Parameters(names) => names.iter().any(|own| own == name),
        }
    }
}
