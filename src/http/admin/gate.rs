//! Who may ask over TCP.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tracing::warn;

use crate::api::Actor;
use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;
use crate::throttle::Throttle;

use super::login_limiter::LoginLimiter;
use super::session::{self, Role, Sessions};
use crate::http::problem::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// May do everything.
    Owner(Actor),
    /// May look at everything.
    Reader,
    /// May have a copy of the queue.
    Standby,
    /// Is given what is open to all.
    Anybody,
}

/// What opens the admin listener.
#[derive(Debug)]
pub struct Tokens {
    /// To everything.
    pub owner: Secret,
    /// To looking only.
    pub reader: Option<Secret>,
    /// To a copy of the queue only.
    pub standby: Option<Secret>,
}

impl Tokens {
    fn role_of(&self, given: &[u8]) -> Option<Role> {
        let is = |secret: &Secret| bool::from(given.ct_eq(secret.expose()));
        // Both are compared, whichever it is.
        let (is_owner, is_reader) = (is(&self.owner), self.reader.as_ref().is_some_and(is));
        match (is_owner, is_reader) {
            (true, _) => Some(Role::Owner),
            (false, true) => Some(Role::Reader),
            (false, false) => None,
        }
    }

    fn is_standby(&self, given: &[u8]) -> bool {
        self.standby.as_ref().is_some_and(|secret| bool::from(given.ct_eq(secret.expose())))
    }

    /// What sessions are bound to: the tokens that begin them, by a hash of both.
    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"gatepost sessions");
        for token in [Some(&self.owner), self.reader.as_ref()] {
            let token = token.map(|token| Sha256::digest(token.expose()));
            hash.update(token.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// The rules of the admin listener.
#[derive(Debug)]
pub struct Gate {
    /// Replaced by a reload.
    tokens: ArcSwap<Tokens>,
    sessions: Sessions,
    logins: LoginLimiter,
    wrong_tokens: Throttle,
    /// The address that the listener is bound to.
    listen: IpAddr,
    /// Names by which browsers may come, in small letters; replaced by a reload.
    hosts: ArcSwap<Vec<String>>,
}

impl Gate {
    /// A gate that opens to `tokens`, for a listener bound to `listen`.
    pub fn new(tokens: Tokens, listen: IpAddr) -> Self {
        Self {
            tokens: ArcSwap::from_pointee(tokens),
            sessions: Sessions::default(),
            logins: LoginLimiter::default(),
            wrong_tokens: Throttle::default(),
            listen,
            hosts: ArcSwap::default(),
        }
    }

    /// The same, for browsers that come by these names, too.
    #[must_use]
    pub fn with_hosts(self, hosts: Vec<String>) -> Self {
        self.set_hosts(hosts);
        self
    }

    /// The same, with sessions that outlive the process in the file at `path`.
    #[must_use]
    pub fn with_sessions(self, path: PathBuf, steady: Timestamp) -> Self {
        self.sessions.keep_in(path, self.tokens.load().fingerprint(), steady);
        self
    }

    /// Answers to these names from now on.
    pub fn set_hosts(&self, hosts: Vec<String>) {
        self.hosts.store(Arc::new(hosts));
    }

    /// Opens to `tokens` from now on, and to no other. Where they are others, every session ends.
    pub fn set_tokens(&self, tokens: Tokens, steady: Timestamp) {
        let fingerprint = tokens.fingerprint();
        if self.tokens.load().fingerprint() != fingerprint {
            self.sessions.set_tokens(fingerprint, steady);
        }
        self.tokens.store(Arc::new(tokens));
    }

    /// Logs that a wrong token was given, and waits as long as its client's are answered late.
    pub(super) async fn delay_wrong_token(&self, request: &HttpRequest, clock: &dyn Clock) {
        let client = client(request);
        if let Some(n_silent) = self.wrong_tokens.open(clock.now()) {
            let client = client.map(tracing::field::display);
            warn!(client, n_silent, "Somebody gave the admin listener a wrong token");
        }
        if let Some(client) = client {
            let late = self.logins.fail(client, clock.steady());
            tokio::time::sleep(late.delay).await;
        }
    }

    /// Refuses to look at a token while too many wrong ones of its client are being answered.
    pub(super) fn check_guesses(&self, request: &HttpRequest) -> Result<(), Problem> {
        client(request).map_or(Ok(()), |client| self.logins.check(client)).map_err(Problem::TooMany)
    }

    /// Begins a session for the owner of a token; gives its cookie. `None` = the token is wrong.
    pub(super) fn log_in(&self, token: &str, steady: Timestamp) -> io::Result<Option<String>> {
        let role = self.tokens.load().role_of(token.trim().as_bytes());
        role.map(|role| self.sessions.begin(role, steady)).transpose()
    }

    /// Ends the session that the request belongs to; gives the cookie that takes it away.
    pub(super) fn log_out(&self, request: &HttpRequest, steady: Timestamp) -> String {
        if let Some(id) = session::id_of(request.headers()) {
            self.sessions.end(id, steady);
        }
        session::no_cookie()
    }

    /// Refuses names that are not ours: a stranger's page whose name was pointed at this address
    /// (DNS rebinding) sends its own name.
    pub(super) fn check_host(&self, request: &HttpRequest) -> Result<(), Problem> {
        match text(request.headers(), header::HOST) {
            Some(host) if self.is_ours(name_of(host)) => Ok(()),
            Some(_) | None => Err(Problem::Misdirected),
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        let is_named = |host: &String| name.eq_ignore_ascii_case(host);
        if name.eq_ignore_ascii_case("localhost") || self.hosts.load().iter().any(is_named) {
            return true;
        }
        // An address cannot be pointed elsewhere; where the listener is bound to one address, it
        // must be that one, or loopback by way of a tunnel.
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| {
            address.is_loopback() || address == self.listen || self.listen.is_unspecified()
        })
    }

    /// Wants a token or a session; on loopback not for what `is_open`, unless a proxy there asks
    /// for a client elsewhere.
    pub(super) fn check_caller(
        &self,
        request: &HttpRequest,
        is_open: bool,
        steady: Timestamp,
    ) -> Result<Caller, Problem> {
        let peer = client(request);
        let is_local = peer.is_some_and(|peer| peer.is_loopback()) && !is_passed_on(request);
        if is_open && is_local {
            return Ok(Caller::Anybody);
        }
        if let Some(value) = text(request.headers(), header::AUTHORIZATION) {
            self.check_guesses(request)?;
            let token = value.split_once(' ');
            let token = token.filter(|(word, _)| word.eq_ignore_ascii_case("bearer"));
            let token = token.map(|(_, token)| token.trim().as_bytes());
            let tokens = self.tokens.load();
            if token.is_some_and(|token| tokens.is_standby(token)) {
                return Ok(Caller::Standby);
            }
            return match token.and_then(|token| tokens.role_of(token)) {
                Some(Role::Owner) => Ok(Caller::Owner(Actor::Token)),
                Some(Role::Reader) => Ok(Caller::Reader),
                None => Err(Problem::Unauthorized),
            };
        }
        let id = session::id_of(request.headers());
        match id.and_then(|id| self.sessions.role_of(id, steady)) {
            Some(Role::Owner) => Ok(Caller::Owner(Actor::Dashboard)),
            Some(Role::Reader) => Ok(Caller::Reader),
            None => Err(Problem::Unauthorized),
        }
    }

    /// Refuses changes that another site's page asks for. Programs send neither header.
    pub(super) fn check_origin(request: &HttpRequest) -> Result<(), Problem> {
        let headers = request.headers();
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_same_site = site.is_none_or(|site| site == b"same-origin" || site == b"none");
        let host = text(headers, header::HOST).unwrap_or_default();
        let is_same_origin = match headers.get(header::ORIGIN) {
            None => true,
            Some(origin) => origin
                .to_str()
                .ok()
                .and_then(|origin| origin.split_once("://"))
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)),
        };
        if is_same_site && is_same_origin { Ok(()) } else { Err(Problem::Forbidden) }
    }
}

fn client(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// What proxies add.
const PASSED_ON: &[&str] =
    &["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

fn is_passed_on(request: &HttpRequest) -> bool {
    PASSED_ON.iter().any(|name| request.headers().contains_key(*name))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        // `[::1]` has colons, but none of them is followed by a port.
        Some((name, port)) if !port.ends_with(']') => name,
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn gate(listen: &str) -> Gate {
        let tokens = Tokens {
            owner: Secret::new("right"),
            reader: Some(Secret::new("look")),
            standby: None,
        };
        Gate::new(tokens, listen.parse().unwrap())
    }

    fn host(listen: &str, host: &str) -> bool {
        let request = TestRequest::get().insert_header(("host", host)).to_http_request();
        gate(listen).check_host(&request).is_ok()
    }

    #[test]
    fn only_our_own_hosts_are_answered() {
        for ours in ["127.0.0.1:8081", "localhost:1", "LOCALHOST", "[::1]:8081", "[::1]"] {
            assert!(host("127.0.0.1", ours), "{ours}");
        }
        for strange in ["evil.example", "evil.example:8081", "192.0.2.1:8081", "", "localhost.evil"]
        {
            assert!(!host("127.0.0.1", strange), "{strange}");
        }
        assert!(host("192.0.2.1", "192.0.2.1:8081"));
        assert!(host("0.0.0.0", "192.0.2.1:8081"));
    }

    #[test]
    fn configured_hosts_are_answered_too_and_only_those() {
        let gate = gate("127.0.0.1").with_hosts(vec!["hooks.example.com".to_owned()]);
        let is_answered = |host: &'static str| {
            let request = TestRequest::get().insert_header(("host", host)).to_http_request();
            gate.check_host(&request).is_ok()
        };
        for ours in ["hooks.example.com", "HOOKS.example.com:443", "localhost:8081"] {
            assert!(is_answered(ours), "{ours}");
        }
        for strange in ["example.com", "evil.hooks.example.com", "hooks.example.com.evil", ""] {
            assert!(!is_answered(strange), "{strange}");
        }
        gate.set_hosts(Vec::new());
        assert!(!is_answered("hooks.example.com"), "a reload takes a name away");
    }

    fn caller(peer: &str, authorization: Option<&str>, is_open: bool) -> bool {
        let mut request = TestRequest::get().peer_addr(peer.parse().unwrap());
        if let Some(value) = authorization {
            request = request.insert_header(("authorization", value));
        }
        gate("127.0.0.1").check_caller(&request.to_http_request(), is_open, NOW).is_ok()
    }

    #[test]
    fn the_token_is_wanted_except_for_figures_on_loopback() {
        assert!(caller("127.0.0.1:1", None, true));
        assert!(!caller("192.0.2.1:1", None, true));
        assert!(caller("192.0.2.1:1", Some("Bearer right"), true));
        assert!(caller("127.0.0.1:1", Some("bearer right"), false));
        let wrong =
            [None, Some("Bearer wrong"), Some("Bearer "), Some("right"), Some("Basic right")];
        for wrong in wrong {
            assert!(!caller("127.0.0.1:1", wrong, false), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_open_on_loopback_is_not_open_to_whom_a_proxy_there_serves() {
        for name in PASSED_ON {
            let request = TestRequest::get()
                .peer_addr("127.0.0.1:1".parse().unwrap())
                .insert_header((*name, "203.0.113.7"))
                .to_http_request();
            assert!(gate("127.0.0.1").check_caller(&request, true, NOW).is_err(), "{name}");
        }
    }

    #[test]
    fn a_session_is_as_much_as_its_token_and_ends_with_it() {
        let gate = gate("127.0.0.1");
        let caller = |cookie: &str| {
            let request = TestRequest::get().insert_header(("cookie", cookie)).to_http_request();
            gate.check_caller(&request, false, NOW)
        };
        let cookie = |token: &str| {
            let cookie = gate.log_in(token, NOW).unwrap()?;
            assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
            cookie.split(';').next().map(str::to_owned)
        };
        let (owner, reader) = (cookie("right").unwrap(), cookie(" look\n").unwrap());
        assert_eq!(caller(&owner), Ok(Caller::Owner(Actor::Dashboard)));
        assert_eq!(caller(&format!("a=b; {reader}")), Ok(Caller::Reader));
        assert_eq!(cookie("wrong"), None);
        assert!(caller(&format!("{owner}0")).is_err());
        gate.set_tokens(Tokens { owner: Secret::new("right"), reader: None, standby: None }, NOW);
        assert!(caller(&owner).is_err(), "other tokens end all sessions");
    }

    fn origin(headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = TestRequest::post().insert_header(("host", "localhost:8081"));
        for header in headers {
            request = request.insert_header(*header);
        }
        Gate::check_origin(&request.to_http_request()).is_ok()
    }

    #[test]
    fn changes_come_from_programs_or_our_own_pages() {
        assert!(origin(&[]));
        assert!(origin(&[("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")]));
        assert!(!origin(&[("origin", "http://evil.example")]));
        assert!(!origin(&[("origin", "null")]));
        assert!(!origin(&[("sec-fetch-site", "cross-site")]));
        assert!(!origin(&[("origin", "http://localhost:80812")]));
    }
}
