//! The forms of dates that senders write, and names of zones.

/// Forms that are neither ISO 8601 nor RFC 2822, each with an offset behind it or without one:
/// Rails, GitLab and git; with slashes; ctime, with the year at the end or before the offset, as
/// JavaScript has it; web servers' logs; names of months, with the time behind or, as `PayPal` has
/// it, before the date; points between day, month and year. With slashes the month is first, and only
/// before AM or PM: by itself `01/02/2026 15:04` is February with some and January with others.
pub(super) const FORMS: &[&str] = &[
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S",
    "%a, %d %b %Y %H:%M",
    "%A, %d-%b-%y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b %d, %Y %I:%M %p",
    "%b %d, %Y %H:%M:%S",
    "%d %b %Y %I:%M:%S %p",
    "%d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M",
    "%d-%b-%Y %I:%M:%S %p",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y %H:%M",
    "%B %d, %Y %I:%M:%S %p",
    "%B %d, %Y %I:%M %p",
    "%B %d, %Y %H:%M:%S",
    "%d %B %Y %I:%M:%S %p",
    "%d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%H:%M:%S %b %d, %Y",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y, %H:%M:%S",
    "%d.%m.%Y, %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y, %I:%M:%S %p",
    "%m/%d/%Y, %I:%M %p",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%A, %B %d, %Y %I:%M:%S %p",
    "%A, %B %d, %Y %I:%M %p",
    "%A, %B %d, %Y %H:%M",
    "%A, %d %B %Y %H:%M:%S",
    "%A, %d %B %Y %H:%M",
    "%a, %b %d, %Y %I:%M %p",
];
pub(super) const DAYS: &[&str] = &[
    "%Y/%m/%d",
    "%b %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%d.%m.%Y",
    "%A, %B %d, %Y",
    "%A, %d %B %Y",
];
/// With the offset in the middle: `date(1)`, Ruby and Twitter.
pub(super) const OFFSET_WITHIN: &str = "%a %b %d %H:%M:%S %z %Y";

/// The names of zones that RFC 2822 knows, what `PayPal` and Go write, and those of the rest of the
/// world that mean one offset only: `IST` is India's, Ireland's and Israel's.
pub(super) const ZONES: [(&str, &str); 26] = [
    ("UTC", "+0000"),
    ("GMT", "+0000"),
    ("UT", "+0000"),
    ("Z", "+0000"),
    ("EST", "-0500"),
    ("EDT", "-0400"),
    ("CST", "-0600"),
    ("CDT", "-0500"),
    ("MST", "-0700"),
    ("MDT", "-0600"),
    ("PST", "-0800"),
    ("PDT", "-0700"),
    ("WET", "+0000"),
    ("WEST", "+0100"),
    ("CET", "+0100"),
    ("CEST", "+0200"),
    ("EET", "+0200"),
    ("EEST", "+0300"),
    ("MSK", "+0300"),
    ("SAST", "+0200"),
    ("JST", "+0900"),
    ("KST", "+0900"),
    ("AEST", "+1000"),
    ("AEDT", "+1100"),
    ("NZST", "+1200"),
    ("NZDT", "+1300"),
];

/// The first years of databases and languages, which stand for no date: MySQL's zero date, the zero
/// values of Go and .NET.
pub(super) const ZERO_DATES: [&str; 2] = ["0000-00-00", "0001-01-01"];
