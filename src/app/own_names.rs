//! Whether a certificate can be ordered: names that lead here, an authority that answers, and the port
//! that it looks at. `gatepost check --online`.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use reqwest::Client;

use crate::config::Config;
use crate::http;
use crate::text::error_chain;
use crate::tls::{AcmeChallenge, AcmeSettings, TlsSettings};

/// How long a name server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What would keep an authority from finding this machine by the names of `[server.acme]`, one line each.
pub(super) async fn problems(config: &Config) -> Vec<String> {
    let Some(TlsSettings::Acme(acme)) = &config.server.tls else { return Vec::new() };
    let mut problems = Vec::new();
    for name in &acme.domains {
        let asked = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name.as_str(), 0)));
        problems.extend(match asked.await {
            Ok(Ok(found)) => problem(name, &found.map(|one| one.ip()).collect::<Vec<_>>()),
            Ok(Err(err)) => Some(format!(
                "`{name}` of `[server.acme]` cannot be resolved ({err}): give it an A or AAAA record \
                 with this machine's public address"
            )),
            Err(_elapsed) => Some(format!("`{name}` of `[server.acme]`: no name server answers")),
        });
    }
    if let Err(why) = ask_directory(acme).await {
        problems.push(format!("the authority at `{}` cannot be asked: {why}", acme.directory));
    }
    // A server that runs has the port itself.
    if acme.challenge == AcmeChallenge::Http01 && UnixStream::connect(&config.admin.socket).is_err()
    {
        problems.extend(acme.http.iter().filter_map(|address| port_problem(*address)));
    }
    problems
}

/// Asks the authority for its directory, which is all that is asked before an order.
async fn ask_directory(acme: &AcmeSettings) -> Result<(), String> {
    let agent = concat!("gatepost/", env!("CARGO_PKG_VERSION"));
    let mut client = Client::builder().timeout(TIMEOUT).user_agent(agent);
    if let Some(path) = &acme.ca {
        let unread = |err: &dyn std::fmt::Display| format!("`{}`: {err}", path.display());
        let pem = std::fs::read(path).map_err(|err| unread(&err))?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|err| unread(&err))?;
        client = client.tls_certs_only(trusted);
    }
    let client = client.build().map_err(|err| error_chain(&err))?;
    let answer = client.get(&acme.directory).send().await.map_err(|err| error_chain(&err))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|err| error_chain(&err))?;
    let directory = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    if status.is_success() && directory.get("newOrder").is_some() {
        return Ok(());
    }
    Err(format!("what it answers ({status}) is no directory of ACME"))
}

/// Why nothing could be shown to an authority at `address`.
fn port_problem(address: SocketAddr) -> Option<String> {
    let err = TcpListener::bind(address).err()?;
    let hint = match err.kind() {
        ErrorKind::AddrInUse => {
            "another program has it (`ss -ltnp` shows which): stop it, have it pass on \
             `/.well-known/acme-challenge/`, or write `challenge = \"tls-alpn-01\"`"
        }
        ErrorKind::PermissionDenied => http::PORT_IS_ROOTS,
        _ => "name addresses of this machine in `[server.acme] http`",
    };
    Some(format!("an authority cannot look at {address} (HTTP-01): {err}; {hint}"))
}

fn problem(name: &str, addresses: &[IpAddr]) -> Option<String> {
    if addresses.iter().any(|address| is_own(*address)) {
        return None;
    }
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Some(format!(
        "`{name}` of `[server.acme]` is {}, and no address of this machine: an authority looks there, so \
         its ports 80 or 443 must be passed on to here",
        shown.join(", ")
    ))
}

/// Whether it is an address of this machine: only then can a socket have it.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_that_is_taken_is_a_problem_and_a_free_one_is_none() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let told = port_problem(address).unwrap();
        assert!(told.contains(&address.to_string()) && told.contains("another program"), "{told}");
        drop(taken);
        assert_eq!(port_problem(address), None);
        assert!(
            port_problem("192.0.2.1:80".parse().unwrap()).unwrap().contains("[server.acme] http")
        );
    }

    #[test]
    fn name_with_an_address_of_this_machine_is_no_problem() {
        let [own, other]: [IpAddr; 2] =
            ["127.0.0.1", "192.0.2.1"].map(|address| address.parse().unwrap());
        assert_eq!(problem("a.example", &[other, own]), None);
        let told = problem("a.example", &[other]).unwrap();
        assert!(told.starts_with("`a.example` of `[server.acme]` is 192.0.2.1, and no"), "{told}");
    }
}
