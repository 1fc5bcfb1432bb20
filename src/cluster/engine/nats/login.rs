//! What the servers are shown at each connection: the secrets as they are by then. They may have been changed
//! at the servers and in their files since the start.

use async_nats::Auth;
use nkeys::KeyPair;

use super::settings::NatsLogin;
use crate::secret::{Secret, SecretError, SecretRef};
use crate::text::error_chain;

const NO_CREDENTIALS: &str = "the credentials are not as `nsc` writes them";

impl NatsLogin {
    /// Whether its secret is there.
    pub(super) fn probe(&self) -> Result<(), SecretError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Credentials(secret) | Self::User(_, secret) | Self::Token(secret) => {
                secret.resolve().map(drop)
            }
        }
    }
}

/// The answer to a server that has sent `nonce`; an error is for people, and repeats nothing of a secret.
pub(super) fn auth(login: &NatsLogin, nonce: &[u8]) -> Result<Auth, String> {
    let read = |secret: &SecretRef| {
        let secret = secret.resolve().map_err(|err| error_chain(&err))?;
        Ok::<_, String>(text(&secret))
    };
    let mut auth = Auth::new();
    match login {
        NatsLogin::Nothing => {}
        NatsLogin::Credentials(secret) => {
            let credentials = read(secret)?;
            let (jwt, seed) = fenced(&credentials).ok_or(NO_CREDENTIALS)?;
            let key = KeyPair::from_seed(seed).map_err(|_| NO_CREDENTIALS)?;
            auth.signature = Some(key.sign(nonce).map_err(|err| error_chain(&err))?);
            auth.jwt = Some(jwt.to_owned());
        }
        NatsLogin::User(user, password) => {
            (auth.username, auth.password) = (Some(user.clone()), Some(read(password)?));
        }
        NatsLogin::Token(token) => auth.token = Some(read(token)?),
    }
    Ok(auth)
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

/// The JWT and the seed of a credentials file: each on a line of its own between two of dashes.
fn fenced(credentials: &str) -> Option<(&str, &str)> {
    let lines: Vec<&str> = credentials.lines().map(str::trim).collect();
    let is_fence = |line: &str, word: &str| line.starts_with("---") && line.contains(word);
    let mut fenced = lines.windows(3).filter_map(|lines| match lines {
        [begin, line, end] if is_fence(begin, "BEGIN") && is_fence(end, "END") => Some(*line),
        _ => None,
    });
    Some((fenced.next()?, fenced.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jwt_and_seed_are_read_as_nsc_writes_them() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0.eyJq\n------END NATS USER JWT------\n\n\
                    ************************* IMPORTANT *************************\n\
                    NKEY Seed printed below can be used to sign and prove identity.\n\n\
                    -----BEGIN USER NKEY SEED-----\nSUAIO3\n------END USER NKEY SEED------\n";
        assert_eq!(fenced(text), Some(("eyJ0.eyJq", "SUAIO3")));
        assert_eq!(fenced(&text.replace('\n', "\r\n")), Some(("eyJ0.eyJq", "SUAIO3")));
        assert_eq!(fenced("hunter2"), None);
        let (first, _) = text.split_once("***").unwrap();
        assert_eq!(fenced(first), None);
    }

    #[test]
    fn what_is_wrong_with_credentials_repeats_nothing_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creds");
        let login = NatsLogin::Credentials(SecretRef::File { path: path.clone(), create: false });
        let bad_seed = "--BEGIN--\njwt\n--END--\n--BEGIN--\nhunter2\n--END--";
        for text in ["hunter2", &bad_seed.replace("--", "---")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(auth(&login, b"nonce").err().as_deref(), Some(NO_CREDENTIALS), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(auth(&login, b"nonce").err().unwrap().contains("cannot be read"));
    }

    #[test]
    fn a_secret_that_is_another_one_by_now_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let secret = SecretRef::File { path: path.clone(), create: false };
        let login = NatsLogin::User("gate".to_owned(), secret);
        for password in ["hunter1", "hunter2"] {
            std::fs::write(&path, password).unwrap();
            assert_eq!(auth(&login, b"").ok().unwrap().password.as_deref(), Some(password));
        }
    }
}
