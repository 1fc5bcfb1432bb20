//! The address that is signed, where the sender knows it in another form than the configuration.

use std::collections::BTreeSet;

use super::super::scheme::{Envelope, Scheme};
use super::super::template::Part;
use super::case::{Case, Explanation, because};
use super::found::{HASH_COST, HASHED_BYTES_MAX};

/// So many values of a header are looked at.
const FORWARDED_MAX: usize = 4;
/// The most addresses that are tried: two proxies that both tell hosts and ports make some 2,000.
pub(super) const URLS_MAX: usize = 4_000;
/// Longer paths are not those of a sender.
const PATH_BYTES_MAX: usize = 2_048;
/// Ports of TLS and of programs behind no proxy, where no header tells the public one.
const PORTS: [&str; 10] =
    ["8443", "4443", "9443", "10443", "444", "8080", "8000", "8888", "3000", "5000"];

impl Case<'_> {
    /// The address that is signed, known to the sender in another form.
    pub(super) fn other_url(&self) -> Option<Explanation> {
        let profile = self.profile();
        let signs_url = |scheme: &&Scheme| {
            let is_in_text = scheme.signed.as_ref().is_some_and(|signed| signed.has(&Part::Url));
            is_in_text || matches!(scheme.envelope, Envelope::HttpMessage(_))
        };
        let scheme = profile.schemes.iter().find(signs_url)?;
        let configured = profile.schemes.iter().find_map(|scheme| scheme.url.clone());
        let is_configured = configured.is_some();
        // A message signature takes host and path from the request where no address is known.
        let is_message = matches!(scheme.envelope, Envelope::HttpMessage(_));
        let asked = || self.asked_url().filter(|_| is_message);
        for url in self.urls(&configured.or_else(asked)?) {
            let mut other = profile.clone();
            for scheme in &mut other.schemes {
                scheme.url = Some(url.clone());
            }
            if self.any_fits(&other) {
                let line = format!("it matches with the address `{url}`, which the sender knows");
                let at_sender =
                    if is_configured { "change it at the sender, or write" } else { "write" };
                let change = format!("{at_sender} `url = \"{url}\"`");
                return Some(match profile.provider {
                    Some(_) => {
                        let hint = format!("{change} in [source.{}]", self.source.name());
                        because(&line, Some(&hint))
                    }
                    None => self.with_scheme(&line, &change, other.schemes.first()?),
                });
            }
        }
        None
    }

    /// A message signature over the whole address, where no `url` says what that is. `what` is the component that is
    /// missing.
    pub(super) fn unknown_url(&self, what: &str) -> Option<Explanation> {
        let mut schemes = self.source.settings.profile.schemes.iter();
        let is_unknown = |scheme: &Scheme| {
            scheme.url.is_none() && matches!(scheme.envelope, Envelope::HttpMessage(_))
        };
        if what.trim_matches('"') != "@target-uri" || !schemes.any(is_unknown) {
            return None;
        }
        self.other_url().or_else(|| {
            let line = "its signature covers the whole address (`@target-uri`), and no `url` says what that is";
            let table = match self.source.settings.profile.provider {
                Some(_) => format!("[source.{}]", self.source.name()),
                None => self.table(),
            };
            // The one by which the request came was tried, in many forms.
            let hint = format!(
                "`url = \"https://…\"` in {table}: the address that the sender has, with the path before a proxy took a \
                 part of it away"
            );
            Some(because(line, Some(&hint)))
        })
    }

    /// The address by which the request came in, as far as it says so.
    fn asked_url(&self) -> Option<String> {
        let host = std::str::from_utf8(self.rejected.request.headers.get("host")?).ok()?;
        let path = self.rejected.request.path_and_query.split('?').next()?;
        Some(format!("https://{}{path}", host.trim().escape_debug()))
    }

    /// Other forms of an address: scheme, host, with and without `www`, port, a slash at its end or a second one at its
    /// beginning, and the query. The likeliest come first.
    pub(super) fn urls(&self, configured: &str) -> Vec<String> {
        let rest = configured.split_once("://").map_or(configured, |(_, rest)| rest);
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let (hosts, more_hosts) = self.hosts(host);
        let paths = self.paths(path);
        // One slash too many is tolerated in an address, and proxies take it away.
        let doubled = paths.iter().filter(|path| path.starts_with('/'));
        let doubled: BTreeSet<String> =
            doubled.map(|path| format!("//{}", path.trim_start_matches('/'))).collect();
        // That of the request goes before both.
        let queries = BTreeSet::from([query, None]);
        let body_bytes = self.rejected.request.body.len();
        let n_max = URLS_MAX.min(HASHED_BYTES_MAX / body_bytes.saturating_add(HASH_COST));
        // Made one after the other, so that no stranger's headers can ask for more than are tried.
        let urls = joined(&hosts, &paths, &queries)
            .chain(joined(&hosts, &doubled, &queries))
            .chain(joined(&more_hosts, &paths, &queries));
        urls.take(n_max).collect()
    }

    /// The hosts that the sender may know, and the same at ports that no header tells.
    fn hosts(&self, configured: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let headers = ["host", "x-forwarded-host", "x-original-host"].into_iter();
        let named = headers.filter_map(|name| self.rejected.request.headers.get(name));
        let named = named.filter_map(|value| std::str::from_utf8(value).ok());
        let mut hosts: BTreeSet<String> = named.map(|host| host.trim().to_owned()).collect();
        hosts.insert(configured.to_owned());
        hosts.insert(
            configured.strip_prefix("www.").map_or(format!("www.{configured}"), str::to_owned),
        );
        let (more, ports) = self.forwarded();
        hosts.extend(more);
        let mut at_ports = BTreeSet::new();
        for host in hosts.clone() {
            let port = host
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|one| one.is_ascii_digit()));
            let bare = port.map_or(host.as_str(), |(bare, _)| bare).to_owned();
            hosts.extend(ports.iter().map(|port| format!("{bare}:{port}")));
            at_ports.extend(PORTS.iter().map(|port| format!("{bare}:{port}")));
            hosts.extend([format!("{bare}:443"), format!("{bare}:80"), bare]);
        }
        (hosts, at_ports)
    }

    /// The paths that the sender may know.
    fn paths(&self, configured: &str) -> BTreeSet<String> {
        let sent = self.rejected.request.path_and_query;
        let sent = sent.split_once('?').map_or(sent, |(path, _)| path);
        let mut paths = BTreeSet::new();
        for path in [configured, sent] {
            let bare = path.trim_end_matches('/');
            paths.extend([path.to_owned(), bare.to_owned(), format!("{bare}/")]);
        }
        paths.extend(self.paths_before_proxies(sent));
        paths.retain(|path| path.len() <= PATH_BYTES_MAX);
        paths
    }

    /// The hosts and the ports that proxies say they were asked at.
    fn forwarded(&self) -> (Vec<String>, Vec<String>) {
        let all = |name: &'static str| {
            let values = self.rejected.request.headers.get_all(name);
            let values = values.filter_map(|value| std::str::from_utf8(value).ok());
            values.flat_map(|value| value.split(',')).map(str::trim).take(FORWARDED_MAX)
        };
        let mut hosts: Vec<String> = Vec::new();
        // Of several proxies each added its own.
        for name in ["x-forwarded-host", "x-original-host", "x-forwarded-server"] {
            hosts.extend(all(name).map(str::to_owned));
        }
        let elements = all("forwarded").flat_map(|element| element.split(';'));
        for element in elements.take(4 * FORWARDED_MAX) {
            if let Some((name, host)) = element.split_once('=')
                && name.trim().eq_ignore_ascii_case("host")
            {
                hosts.push(host.trim().trim_matches('"').to_owned());
            }
        }
        let is_port = |port: &&str| {
            (1..=5).contains(&port.len()) && port.bytes().all(|one| one.is_ascii_digit())
        };
        let named = ["x-forwarded-port", "x-original-port"].into_iter().flat_map(all);
        let mut ports: Vec<String> = named.filter(is_port).map(str::to_owned).collect();
        let of_hosts = hosts.iter().filter_map(|host| host.rsplit_once(':'));
        ports.extend(of_hosts.map(|(_, port)| port).filter(is_port).map(str::to_owned));
        hosts.retain(|host| !host.is_empty());
        (hosts, ports)
    }

    /// The paths that proxies say they were asked for, before they took a part away.
    fn paths_before_proxies(&self, sent: &str) -> Vec<String> {
        let header = |name: &&str| {
            let value = self.rejected.request.headers.get(name)?;
            Some(std::str::from_utf8(value).ok()?.trim().to_owned())
        };
        let prefixes = ["x-forwarded-prefix", "x-script-name"];
        let prefixes = prefixes.iter().filter_map(header);
        let restored = prefixes.map(|prefix| format!("{}{sent}", prefix.trim_end_matches('/')));
        let whole = ["x-original-uri", "x-original-url", "x-forwarded-uri", "x-replaced-path"];
        let whole = whole.iter().filter_map(header).map(|uri| {
            let path = uri.split_once("://").map_or(&*uri, |(_, rest)| rest);
            let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or(path);
            path.split('?').next().unwrap_or(path).to_owned()
        });
        restored.chain(whole).filter(|path| path.starts_with('/')).collect()
    }
}

/// Each host with each path and query, over TLS and without.
fn joined<'a>(
    hosts: &'a BTreeSet<String>,
    paths: &'a BTreeSet<String>,
    queries: &'a BTreeSet<Option<&'a str>>,
) -> impl Iterator<Item = String> + 'a {
    let places = hosts.iter().flat_map(move |host| paths.iter().map(move |path| (host, path)));
    let asked = places.flat_map(move |place| queries.iter().map(move |query| (place, query)));
    asked.flat_map(|((host, path), query)| {
        let query = query.map_or(String::new(), |query| format!("?{query}"));
        ["https", "http"].map(|scheme| format!("{scheme}://{host}{path}{query}"))
    })
}
