//! `[server.tls]` and `[server.acme]`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use instant_acme::LetsEncrypt;

use crate::secret::{self, SecretError, SecretRef};
use crate::settings::{PemKeyRef, PemRef, Table};

use super::{Certificate, CertificateError};

/// Where the public listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// Another program renews it.
    Files(TlsFiles),
    /// It is ordered from an authority.
    Acme(AcmeSettings),
}

/// A certificate and its key, each a file or a systemd credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM form, the server's own certificate first.
    pub cert: SecretRef,
    /// The private key in PEM form.
    pub key: SecretRef,
}

/// What is ordered, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The host names and addresses that the certificate is for.
    pub domains: Vec<String>,
    /// Whom the authority writes to: `mailto:…`.
    pub contact: Option<String>,
    /// The authority's address.
    pub directory: String,
    /// The certificate of an authority that this machine does not know by itself.
    pub ca: Option<PathBuf>,
    /// How the names are shown to be this machine's.
    pub challenge: AcmeChallenge,
    /// Where the authority looks (HTTP-01).
    pub http: Vec<SocketAddr>,
    /// Which of the authority's kinds of certificates.
    pub profile: Option<String>,
    /// Where the account and the certificate are kept.
    pub folder: PathBuf,
}

/// How a name is shown to be this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By an answer on port 80.
    Http01,
    /// By a certificate that the public listener, on port 443, shows.
    TlsAlpn01,
}

const FOLDER: &str = "data/acme";
/// Less than a file system's limit of 255 bytes.
const FOLDER_CHARS_MAX: usize = 200;
const HTTP_PORT: u16 = 80;
/// The only kind of Let's Encrypt's that is for addresses: six days.
const SHORT_LIVED: &str = "shortlived";

impl TlsFiles {
    /// Reads the table. `None` = a problem was recorded.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let cert = table.require::<PemRef>("cert");
        let key = table.require::<PemKeyRef>("key");
        Some(Self { cert: cert?.0, key: key?.0 })
    }

    /// Whether only the service can see them: systemd passed no credentials to this process.
    pub fn is_unseen(&self) -> bool {
        self.cert.is_unseen_credential() || self.key.is_unseen_credential()
    }

    /// What of it only a start of the service can change: systemd passes credentials then.
    pub fn passed_by_systemd(&self) -> Option<String> {
        let passed = [&self.cert, &self.key].into_iter().find(|one| one.is_passed_by_systemd());
        passed.map(|one| format!("the {one}"))
    }

    /// Reads both files as they are now.
    pub fn load(&self) -> Result<Certificate, CertificateError> {
        let read = |key: &'static str, file: &SecretRef| {
            let unread = |err| CertificateError::Unread(key, file.clone(), cause(&err));
            file.resolve().map_err(unread)
        };
        Certificate::from_pem(read("cert", &self.cert)?.expose(), read("key", &self.key)?.expose())
    }
}

/// The reason without the file's name, which the caller says.
fn cause(err: &SecretError) -> String {
    if matches!(err, SecretError::Empty(_)) {
        return "it is empty".to_owned();
    }
    std::error::Error::source(err).map_or_else(|| err.to_string(), ToString::to_string)
}

impl AcmeSettings {
    /// Reads the table of a listener on these addresses. `None` = a problem was recorded.
    pub fn read(table: &mut Table<'_>, listen: &[SocketAddr]) -> Option<Self> {
        if !table.has("domains") {
            table.missing("domains", "write `domains = [\"hooks.example.com\"]`");
        }
        let domains = table.checked("domains", check_domains);
        let contact = table.checked("contact", |text: String| check_contact(&text));
        let directory = table.checked("directory", check_directory);
        let ca = table.take("ca");
        let challenges =
            [("http-01", AcmeChallenge::Http01), ("tls-alpn-01", AcmeChallenge::TlsAlpn01)];
        let challenge = table.choice("challenge", &challenges);
        let challenge = challenge.unwrap_or(AcmeChallenge::Http01);
        let http = table.one_or_many::<SocketAddr>("http");
        let profile = table.take("profile");
        let folder = table.take_or("folder", table.folder().join(FOLDER));
        match challenge {
            AcmeChallenge::Http01 => {}
            AcmeChallenge::TlsAlpn01 => {
                if table.has("http") {
                    table.problem("http", "TLS-ALPN-01 needs no port 80", "leave `http` out");
                }
                if listen.iter().all(|address| ![0, 443].contains(&address.port())) {
                    table.warning(
                        "challenge",
                        "the authority looks on port 443, and the public listener has another",
                        "write `listen = \"0.0.0.0:443\"` in `[server]`, or pass the port on",
                    );
                }
            }
        }
        let domains: Vec<String> = domains?;
        let directory = directory.unwrap_or_else(|| LetsEncrypt::Production.url().to_owned());
        let has_address = domains.iter().any(|name| name.parse::<IpAddr>().is_ok());
        let is_short = has_address && directory.contains("letsencrypt.org");
        let profile = profile.or(is_short.then(|| SHORT_LIVED.to_owned()));
        let http = http.unwrap_or_else(|| beside(listen));
        Some(Self { domains, contact, directory, ca, challenge, http, profile, folder })
    }

    /// With the folder of its own directory: the configured one, unless that holds the account of another authority. Then
    /// it is a folder in it, so that what is kept of the other one (Let's Encrypt's staging, say) is neither shown to
    /// senders nor lost. An error with the file that cannot be read.
    pub(super) fn in_its_folder(mut self) -> Result<Self, (PathBuf, io::Error)> {
        let path = self.account();
        let account = match secret::read_own(&path) {
            Ok(account) => account,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(self),
            Err(err) => return Err((path, err)),
        };
        // What is no account is told where it is needed; one of an older layout does not say whose it is.
        let account: Option<serde_json::Value> = serde_json::from_slice(account.expose()).ok();
        let of = account.as_ref().and_then(|account| account.get("directory")?.as_str());
        if of.is_some_and(|of| of != self.directory) {
            self.folder.push(folder_name(&self.directory));
        }
        Ok(self)
    }

    /// The file with the account's key.
    pub(super) fn account(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// The file with the certificate and its key.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

/// `at-acme.example-directory` for `https://acme.example/directory`.
fn folder_name(directory: &str) -> String {
    let name = directory.strip_prefix("https://").unwrap_or(directory);
    let sign = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().take(FOLDER_CHARS_MAX).map(sign).collect();
    format!("at-{name}")
}

/// Port 80 of the addresses that are listened on.
fn beside(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut http: Vec<SocketAddr> =
        listen.iter().map(|address| SocketAddr::new(address.ip(), HTTP_PORT)).collect();
    http.sort_unstable();
    http.dedup();
    http
}

fn check_domains(domains: Vec<String>) -> Result<Vec<String>, String> {
    if domains.is_empty() {
        return Err("there is no name that a certificate could be for".to_owned());
    }
    domains.into_iter().map(|name| check_domain(&name)).collect()
}

fn check_domain(name: &str) -> Result<String, String> {
    let shown = name.escape_debug();
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if name.starts_with("*.") {
        return Err(format!(
            "`{shown}`: a name with `*` needs DNS-01, which is not available: write each name"
        ));
    }
    if name.contains("://") || name.contains(['/', ':']) {
        return Err(format!("`{shown}`: write the name alone, as in \"hooks.example.com\""));
    }
    let name = name.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(is_label) {
        return Err(format!(
            "`{shown}` is not a public host name (of other scripts: its xn-- form)"
        ));
    }
    Ok(name)
}

fn check_contact(contact: &str) -> Result<String, String> {
    let address = contact.strip_prefix("mailto:").unwrap_or(contact);
    let has_parts = address.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !address.contains(char::is_whitespace)
    });
    if has_parts {
        Ok(format!("mailto:{address}"))
    } else {
        Err(format!("`{}` is not a mail address", contact.escape_debug()))
    }
}

fn check_directory(directory: String) -> Result<String, String> {
    match directory.as_str() {
        "letsencrypt" => Ok(LetsEncrypt::Production.url().to_owned()),
        "letsencrypt-staging" => Ok(LetsEncrypt::Staging.url().to_owned()),
        url if url.starts_with("https://") => Ok(directory),
        _ => {
            Err("write \"letsencrypt\", \"letsencrypt-staging\" or an address with https://"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &std::path::Path, directory: &str) -> AcmeSettings {
        AcmeSettings {
            domains: vec!["hooks.example.com".to_owned()],
            contact: None,
            directory: directory.to_owned(),
            ca: None,
            challenge: AcmeChallenge::TlsAlpn01,
            http: Vec::new(),
            profile: None,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn each_authority_has_an_account_and_a_certificate_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let of = |directory| settings(folder, directory).in_its_folder().unwrap().folder;
        let (staging, production) = (LetsEncrypt::Staging.url(), LetsEncrypt::Production.url());
        // The first one takes the folder itself.
        assert_eq!(of(staging), folder);
        std::fs::write(folder.join("account.json"), format!("{{\"directory\":\"{staging}\"}}"))
            .unwrap();
        assert_eq!(of(staging), folder, "what is there goes on being used");
        assert_eq!(of(production), folder.join("at-acme-v02.api.letsencrypt.org-directory"));
        // One of which nothing can be said is left to where it is needed.
        std::fs::write(folder.join("account.json"), "{}").unwrap();
        assert_eq!(of(production), folder);
    }

    #[test]
    fn names_are_hosts_or_addresses_and_nothing_around_them() {
        for (name, expected) in [
            ("Hooks.Example.com", Some("hooks.example.com")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("*.example.com", None),
            ("https://example.com", None),
            ("example.com/hooks", None),
            ("example.com:443", None),
            ("localhost", None),
            ("müller.example", None),
            ("a..example", None),
            ("", None),
        ] {
            assert_eq!(check_domain(name).ok().as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn contact_is_a_mail_address() {
        for contact in ["me@example.com", "mailto:me@example.com"] {
            assert_eq!(check_contact(contact).unwrap(), "mailto:me@example.com");
        }
        for contact in ["me", "@example.com", "me you@example.com"] {
            assert!(check_contact(contact).is_err(), "{contact}");
        }
    }
}
