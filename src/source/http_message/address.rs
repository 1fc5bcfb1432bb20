//! The address that a signature covers.

use super::super::request::Inbound;

/// The request's address, as its sender knows it.
pub(super) struct Address<'a> {
    pub(super) scheme: &'a str,
    pub(super) authority: Option<String>,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

impl<'a> Address<'a> {
    /// Of the public address where that is configured; else as the request says, over TLS.
    pub(super) fn of(request: &Inbound<'a>, url: Option<&'a str>) -> Self {
        let host = request.headers.get("host").and_then(|host| std::str::from_utf8(host).ok());
        let (own_path, query) =
            request.path_and_query.split_once('?').unwrap_or((request.path_and_query, ""));
        let (scheme, rest) = url.and_then(|url| url.split_once("://")).unwrap_or(("https", ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let authority = if url.is_some() { Some(authority) } else { host };
        let path = if url.is_some() { path } else { own_path };
        Self {
            scheme,
            authority: authority.map(|host| without_default_port(scheme, host)),
            path: if path.is_empty() { "/" } else { path },
            query,
        }
    }

    pub(super) fn whole(&self) -> String {
        let Self { scheme, path, query, .. } = self;
        let authority = self.authority.as_deref().unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{authority}{path}{mark}{query}")
    }
}

fn without_default_port(scheme: &str, authority: &str) -> String {
    let port = if scheme == "http" { ":80" } else { ":443" };
    authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
}
