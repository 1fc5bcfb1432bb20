//! Users and passwords in addresses of servers: `scheme://user:password@host`.

use crate::secret::Secret;
use crate::text::percent_decoded;

/// `url` without the password in it, and the password.
pub(super) fn without_password(url: &str) -> (String, Option<Secret>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (login, place) = rest.rsplit_once('@')?;
        let (user, password) = login.split_once(':')?;
        Some((format!("{scheme}://{user}@{place}"), Secret::new(percent_decoded(password))))
    });
    match parts {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}

/// The user who logs in, as it stands in `url`.
pub(super) fn user(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.rsplit_once('@').map(|(user, _)| user)
}

/// Whether the server is reached by a socket of this machine, where the system says who asks.
pub(super) fn is_socket(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
        ["host", "socket"].contains(&name) && percent_decoded(value).starts_with(b"/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_taken_out_of_an_address() {
        for (url, plain, password) in [
            ("smtp://localhost:25", "smtp://localhost:25", None),
            ("smtps://me%40a.org@mail.a.org", "smtps://me%40a.org@mail.a.org", None),
            (
                "smtps://me%40a.org:p%3Aw@mail.a.org:465",
                "smtps://me%40a.org@mail.a.org:465",
                Some("p:w"),
            ),
            ("postgres://site:a@b:c@db/site", "postgres://site@db/site", Some("a@b:c")),
            ("sqlite:data/site.db", "sqlite:data/site.db", None),
        ] {
            let (found, secret) = without_password(url);
            let secret = secret.map(|secret| secret.expose().to_vec());
            assert_eq!((found.as_str(), secret.as_deref()), (plain, password.map(str::as_bytes)));
        }
        assert_eq!(user("postgres://site@db/site"), Some("site"));
        assert_eq!(user("sqlite:data/a@b"), None);
        assert!(is_socket("postgres://site@localhost/site?host=%2Frun%2Fpostgresql"));
        assert!(is_socket("mysql://site@localhost/site?ssl-mode=DISABLED&socket=/run/my.sock"));
        assert!(!is_socket("postgres://site@db/site?host=other"));
    }
}
