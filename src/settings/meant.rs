//! What was probably meant by durations and sizes that are none.

const BYTES_MIN: u64 = 1024;

/// How units are written elsewhere.
const LONG_UNITS: [(&str, &str); 6] = [
    ("msec", "ms"),
    ("millisecond", "ms"),
    ("sec", "s"),
    ("min", "m"),
    ("hour", "h"),
    ("day", "d"),
];

/// `"30s"` of 30, `"3d"` of `3 days`.
pub(super) fn meant_duration(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    let unit = unit.to_ascii_lowercase();
    if unit == "w" || unit.starts_with("week") {
        return number.parse().ok().map(|number: u64| format!("\"{}d\"", number * 7));
    }
    let known = LONG_UNITS.iter().find(|(long, _)| unit.starts_with(long));
    let unit = match (unit.as_str(), known) {
        ("" | "s", _) => "s",
        (_, Some((_, short))) => short,
        ("ms" | "m" | "h" | "d", None) => &unit,
        (_, None) => return None,
    };
    Some(format!("\"{number}{unit}\""))
}

/// `"0.0.0.0:8080"` of `:8080`, which other programs take for every address of the machine.
pub(super) fn meant_address(text: &str) -> Option<String> {
    let (host, port) = text.split_once(':')?;
    let ip = match host {
        "" | "*" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        _ => return None,
    };
    let port: u16 = port.parse().ok()?;
    Some(format!("\"{ip}:{port}\""))
}

/// `"512B"` of 512.
pub(super) fn meant_size(text: &str) -> Option<String> {
    let (number, unit) = number_and_unit(text)?;
    // So few bytes were hardly meant: which unit was, is not known.
    let is_large = number.parse().is_ok_and(|number: u64| number >= BYTES_MIN);
    (unit.is_empty() && is_large).then(|| format!("\"{number}B\""))
}

/// A whole number that a duration or a size may have, and what is behind it.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let is_fit = (1..=9).contains(&number.len()) && number.bytes().any(|digit| digit != b'0');
    is_fit.then_some((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse_duration;

    #[test]
    fn what_was_meant_by_a_number_and_by_long_units_is_a_duration() {
        for (text, meant) in [
            ("30", Some("30s")),
            ("10 seconds", Some("10s")),
            ("2 Minutes", Some("2m")),
            ("3 days", Some("3d")),
            ("250 msec", Some("250ms")),
            ("5 h", Some("5h")),
            ("1w", Some("7d")),
            ("2 weeks", Some("14d")),
            ("0", None),
            ("-5", None),
            ("soon", None),
            ("3 fortnights", None),
            ("99999999999", None),
        ] {
            let quoted = meant.map(|meant| format!("\"{meant}\""));
            assert_eq!(meant_duration(text), quoted, "{text}");
            assert!(meant.is_none_or(|meant| parse_duration(meant).is_ok()), "{text}");
        }
        for (text, meant) in
            [(":8080", "0.0.0.0"), ("*:8080", "0.0.0.0"), ("localhost:8080", "127.0.0.1")]
        {
            assert_eq!(meant_address(text), Some(format!("\"{meant}:8080\"")));
        }
        assert_eq!((meant_address("site.com:1"), meant_address(":x")), (None, None));
        assert_eq!(meant_size("1048576").as_deref(), Some("\"1048576B\""));
        assert_eq!((meant_size("1 mib"), meant_size("10")), (None, None));
    }
}
