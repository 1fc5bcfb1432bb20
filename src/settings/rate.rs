//! Rates: so many in a time.

use std::num::NonZeroU32;
use std::time::Duration;

/// At most so many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub n_requests: NonZeroU32,
    pub per: Duration,
}

/// Text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rate")]
pub struct BadRate(String);

impl RateLimit {
    /// What can be written instead.
    pub const HELP: &'static str =
        "write a whole number and a unit: \"50/s\", \"600/m\" or \"1000/h\"";

    /// Reads `50/s`.
    pub fn parse(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.to_owned());
        let (number, unit) = text.split_once('/').ok_or_else(bad)?;
        let per = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(bad()),
        };
        Ok(Self { n_requests: number.trim().parse().map_err(|_| bad())?, per })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        let rate = RateLimit::parse("50/s").unwrap();
        assert_eq!((rate.n_requests.get(), rate.per), (50, Duration::from_secs(1)));
        assert_eq!(RateLimit::parse("600 / m").unwrap().per, Duration::from_mins(1));
        for bad in ["", "50", "0/s", "-1/s", "50/d", "a/s", "1.5/s"] {
            assert_eq!(RateLimit::parse(bad), Err(BadRate(bad.to_owned())));
        }
    }
}
