//! Headers that are never passed on: what a proxy says of who sent a request, and what decides there what
//! is asked for. No signature covers them, and a receiver that believes its proxy would believe a
//! stranger.

/// In lower case.
const CLAIMS: &[&str] = &[
    // Whose address it is.
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-vercel-ip",
    // Who it is.
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "x-id-token",
    "x-jwt-assertion",
    "x-userinfo",
    "x-webauth-user",
    // What is asked for.
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-sendfile-type",
    "x-accel-mapping",
];

/// The beginnings of names of that sort: of access services (Cloudflare, Google, Amazon, Azure, Tailscale,
/// oauth2-proxy, Authelia, authentik, Pomerium), and of what servers say of a client's certificate.
const BEGINNINGS: &[&str] = &[
    "cf-access-",
    "client-cert",
    "proxy-user",
    "ssl-client-",
    "tailscale-app-capabilities",
    "tailscale-headers-",
    "tailscale-user-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-appengine-",
    "x-arr-clientcert",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-forwarded-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-pomerium-",
    "x-remote-user",
    "x-ssl-",
    "x-vouch-",
];

/// Whether a header of this name, in lower case, is one of them. Servers in between may make `-` of `_`.
pub(super) fn is_claim(name: &str) -> bool {
    let name = name.replace('_', "-");
    CLAIMS.contains(&name.as_str()) || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_known_however_they_are_written() {
        for name in [
            "tailscale-user-login",
            "x-goog-iap-jwt-assertion",
            "x-goog-authenticated-user-email",
            "cf-access-jwt-assertion",
            "cf-access-authenticated-user-email",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-auth-request-user",
            "x-remote-user",
            "x_remote_user",
            "remote-user",
            "remote_user",
            "x-ms-client-principal-name",
            "client-cert",
            "x-forwarded_for",
        ] {
            assert!(is_claim(name), "{name}");
        }
        for name in [
            "x-github-event",
            "x-goog-channel-id",
            "x-goog-resource-state",
            "x-amz-sns-message-type",
            "x-ms-request-id",
            "cf-ray",
            "x-hook-user-agent",
            "tailscale-webhook-signature",
            "x-user-agent",
            "x-authorization-note",
            "clients",
        ] {
            assert!(!is_claim(name), "{name}");
        }
    }
}
