//! Proxies that are believed.

use super::problems;

#[test]
fn proxies_that_are_everybody_are_a_warning() {
    let said =
        |net: &str| problems(&format!("[server]\ntrusted_proxies = [\"127.0.0.1\", \"{net}\"]\n"));
    for (net, whom) in [
        ("0.0.0.0/0", "everybody"),
        ("::/0", "everybody"),
        ("128.0.0.0/1", "a large part of the internet"),
    ] {
        let said = said(net);
        assert!(said[0].starts_with(&format!("`{net}` trusts {whom}: ")), "{said:?}");
    }
    for net in ["10.0.0.0/8", "fc00::/7", "172.16.0.0/12"] {
        assert_eq!(said(net), [""; 0], "{net}");
    }
}
