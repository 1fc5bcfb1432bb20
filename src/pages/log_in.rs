//! Signing in.

use askama::Template;

use super::assets::{ICON, SCRIPT, STYLE};
use super::fields::{Fields, address};
use super::rendered;
use crate::api::ApiError;

#[derive(Debug)]
pub struct LogIn {
    pub token: String,
    /// Where to go then: an address of ours.
    pub next: String,
}

impl LogIn {
    /// Out of a form's body.
    pub fn parse(body: &str) -> Self {
        let fields = Fields::parse(body);
        Self { token: fields.text("token").unwrap_or_default(), next: next(&fields) }
    }
}

/// The sign-in page, which leads on to `there`.
pub fn log_in_address(there: &str) -> String {
    if there == "/" { "/login".to_owned() } else { address("/login", [("next", there)]) }
}

/// Nothing but a path of ours: `//evil.example` and `/\evil.example` are other hosts to a browser.
fn next(fields: &Fields) -> String {
    let next = fields.get("next").unwrap_or("/");
    let is_ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_ours { next.to_owned() } else { "/".to_owned() }
}

#[derive(Template)]
#[template(path = "log_in.html")]
struct LogInPage {
    style: &'static str,
    script: &'static str,
    icon: &'static str,
    version: &'static str,
    next: String,
    has_failed: bool,
}

/// The form. `failed` = a wrong token was given on the way there.
pub fn log_in(query: &str, failed: Option<&str>) -> Result<String, ApiError> {
    rendered(&LogInPage {
        style: &STYLE.path,
        script: &SCRIPT.path,
        icon: &ICON.path,
        version: env!("CARGO_PKG_VERSION"),
        next: failed.map_or_else(|| next(&Fields::parse(query)), str::to_owned),
        has_failed: failed.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_our_own_pages_only() {
        let next =
            |next: &str| LogIn::parse(address("", [("next", next)]).trim_start_matches('?')).next;
        assert_eq!(next("/events?q=a%20b"), "/events?q=a%20b");
        for other in ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nX: y", ""]
        {
            assert_eq!(next(other), "/", "{other}");
        }
        assert_eq!(log_in_address("/dead?handler=a"), "/login?next=%2Fdead%3Fhandler%3Da");
    }
}
