//! Whose requests are counted together.

use std::net::IpAddr;

/// An address, as far as one person has it to himself: of IPv6 that is a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientNetwork {
    V4(u32),
    V6(u64),
    /// A /48.
    Site(u64),
}

impl ClientNetwork {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                Self::V6(u64::try_from(network).unwrap_or(u64::MAX))
            }
        }
    }

    /// The larger network that it is in, where one person can have all of it.
    pub(crate) fn site(self) -> Option<Self> {
        match self {
            Self::V4(_) | Self::Site(_) => None,
            Self::V6(network) => Some(Self::Site(network >> 16)),
        }
    }
}
