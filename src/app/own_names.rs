//! Whether the names of a certificate are this machine's: `gatepost check --online`.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::config::Config;
use crate::tls::TlsSettings;

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
    problems
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
    fn name_with_an_address_of_this_machine_is_no_problem() {
        let [own, other]: [IpAddr; 2] =
            ["127.0.0.1", "192.0.2.1"].map(|address| address.parse().unwrap());
        assert_eq!(problem("a.example", &[other, own]), None);
        let told = problem("a.example", &[other]).unwrap();
        assert!(told.starts_with("`a.example` of `[server.acme]` is 192.0.2.1, and no"), "{told}");
    }
}
