//! Secret material: where it is kept, and the only place that reads it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files;

mod made;
mod written;

use written::as_plain_text;

/// What is shown in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// A secret's bytes. Wiped from memory when dropped; never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Wraps bytes that are a secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves: for a signature or a log-in, never for a log.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Eight hexadecimal digits by which people tell two secrets apart. They say nothing of the
    /// secret: 32 bits of a digest that is made for this alone.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new_with_prefix(b"gatepost fingerprint\0").chain_update(self.expose());
        hex::encode(digest.finalize().get(..4).unwrap_or_default())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Tells whether a secret is still the same, without keeping it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// The variable in which systemd names the folder of a service's credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret is kept. This is what the configuration holds; the value is read at start and
/// on reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a byte order mark and one newline at its end are not part of the secret.
    File {
        /// Its path, already made absolute or relative to the working folder.
        path: PathBuf,
        /// Whether a missing file is made, with a random secret and mode 0600.
        create: bool,
    },
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
    Credential(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File { path, .. } => write!(f, "secret file `{}`", path.display()),
            Self::Credential(name) => write!(f, "systemd credential `{name}`"),
        }
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    #[error("environment variable `{0}` is not set")]
    NotSet(String),
    #[error(
        "systemd credential `{0}` cannot be found: $CREDENTIALS_DIRECTORY is not set \
         (add `LoadCredential={0}:/path` to the unit)"
    )]
    NoCredentials(String),
    #[error("secret file `{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("secret file `{}` cannot be created", .0.display())]
    NotCreated(PathBuf, #[source] std::io::Error),
    /// There is nothing in it: an empty key proves nothing.
    #[error("{0} is empty")]
    Empty(SecretRef),
}

impl SecretError {
    /// Whether `err`, or what is behind it, is that systemd passed no credentials to this process.
    pub fn is_of_unseen_credential(err: &(dyn std::error::Error + 'static)) -> bool {
        let chain = std::iter::successors(Some(err), |err| err.source());
        chain.filter_map(|err| err.downcast_ref()).any(|err| matches!(err, Self::NoCredentials(_)))
    }
}

impl SecretRef {
    /// Reads the secret; makes the file first where `create` asks for it.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let secret = match self {
            Self::Env(name) => {
                read_env(name).ok_or_else(|| SecretError::NotSet(name.clone()))?.into()
            }
            Self::File { path, create } => {
                if *create {
                    create_if_missing(path)?;
                }
                read_file(path)?
            }
            Self::Credential(name) => {
                let folder = read_env(CREDENTIALS)
                    .ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
                read_file(&Path::new(OsStr::from_bytes(&folder)).join(name))?
            }
        };
        if secret.is_empty() { Err(SecretError::Empty(self.clone())) } else { Ok(Secret(secret)) }
    }

    /// What is there at this moment; `None` = nothing that is one. Makes no file, which a secret that is yet to be
    /// learned must not be.
    pub fn existing(&self) -> Option<Secret> {
        if self.is_missing_file() { None } else { self.resolve().ok() }
    }

    /// What every user of this machine may do with its file; nothing where they may do nothing.
    pub fn open_to_others(&self) -> Option<&'static str> {
        let Self::File { path, .. } = self else { return None };
        // A folder is no secret, and without the right to enter it nothing in it could be read.
        let mode =
            std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.permissions().mode();
        match (mode & 0o004 != 0, mode & 0o002 != 0) {
            (_, true) => Some("change"),
            (true, false) => Some("read"),
            (false, false) => None,
        }
    }

    /// Whether a secret has yet to be learned: see [`SecretRef::learn`].
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::File { path, .. } if path.try_exists().is_ok_and(|is_there| !is_there))
    }

    /// Writes a secret that its sender chose into the file, unless there is one: the first counts.
    /// Tells whether it was written.
    pub fn learn(&self, secret: &Secret) -> Result<bool, SecretError> {
        let Self::File { path, .. } = self else { return Ok(false) };
        let written = made::write_if_missing(path, secret.expose());
        written.map_err(|err| SecretError::NotCreated(path.clone(), err))
    }

    /// Writes `secret` into the file in place of what is there, mode 0600.
    pub fn replace(&self, secret: &Secret) -> Result<(), SecretError> {
        let Self::File { path, .. } = self else { return Ok(()) };
        // Made anew, so that a world-readable file does not keep its mode.
        let written =
            files::remove(path).and_then(|()| made::write_if_missing(path, secret.expose()));
        written.map(drop).map_err(|err| SecretError::NotCreated(path.clone(), err))
    }

    /// What the secret is at this moment; `None` where there is none.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        // What is wrong with it is reported where the secret is needed.
        let secret = self.resolve().ok()?;
        Some(Fingerprint(Sha256::digest(secret.expose()).into()))
    }

    /// The same for a process that is not the service: a credential that systemd passes to that one alone
    /// is taken for good.
    pub fn probe_outside(&self) -> Result<(), SecretError> {
        if self.is_unseen_credential() { Ok(()) } else { self.probe() }
    }

    /// Whether it is a credential, and systemd passed none to this process.
    pub fn is_unseen_credential(&self) -> bool {
        matches!(self, Self::Credential(_)) && read_env(CREDENTIALS).is_none()
    }

    /// Whether systemd passed it to this process, by its name or by a path into the folder of its credentials: then
    /// it stays as it was when the service was started.
    pub fn is_passed_by_systemd(&self) -> bool {
        match self {
            Self::Env(_) => false,
            Self::Credential(_) => true,
            Self::File { path, .. } => {
                let folder = read_env(CREDENTIALS).map(OsString::from_vec);
                folder.is_some_and(|folder| !folder.is_empty() && path.starts_with(folder))
            }
        }
    }

    /// Whether [`SecretRef::resolve`] would succeed, found out without making or keeping anything.
    pub fn probe(&self) -> Result<(), SecretError> {
        self.look().map(drop)
    }

    /// Like [`SecretRef::resolve`], without making or keeping anything: in place of a file that would be made it is
    /// a secret such as that would have.
    pub fn look(&self) -> Result<Secret, SecretError> {
        match self {
            Self::File { path, create: true } if !path.exists() => {
                let failed = |err| SecretError::NotCreated(path.clone(), err);
                match files::no_file_at(path) {
                    Some(why) => Err(failed(std::io::Error::other(why))),
                    None => Ok(Secret::new(random_hex().map_err(failed)?.as_bytes())),
                }
            }
            Self::Env(_) | Self::File { .. } | Self::Credential(_) => self.resolve(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn read_env(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(OsStringExt::into_vec)
}

/// The file's bytes without what editors and shells add: a byte order mark, and one newline (`\n` or
/// `\r\n`) at the end.
fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let bytes = std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|err| SecretError::Unreadable(path.to_owned(), err))?;
    let mut bytes = as_plain_text(bytes);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// Makes the file with 32 random bytes in hex, unless it is there.
fn create_if_missing(path: &Path) -> Result<(), SecretError> {
    if path.exists() {
        return Ok(());
    }
    let text = random_hex().map_err(|err| SecretError::NotCreated(path.to_owned(), err))?;
    let made = made::write_if_missing(path, text.as_bytes());
    made.map(drop).map_err(|err| SecretError::NotCreated(path.to_owned(), err))
}

/// Reads a secret that Gatepost wrote for itself, such as a certificate's key.
pub fn read_own(path: &Path) -> std::io::Result<Secret> {
    std::fs::read(path).map(Secret::new)
}

/// Puts `secret` in place of what the file holds, for its owner only (mode 0600), durable once this
/// returns. The folder is made with mode 0700.
pub fn write_own(path: &Path, secret: &Secret) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.exists() {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    let staging = files::staging(path);
    // One that is left of a crash may have another mode.
    files::remove(&staging)?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staging)?;
    file.write_all(secret.expose())?;
    file.sync_all()?;
    std::fs::rename(&staging, path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// 32 bytes of the system's randomness as 64 hex digits.
pub fn random_hex() -> Result<Zeroizing<String>, std::io::Error> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::rngs::OsRng.try_fill_bytes(bytes.as_mut()).map_err(std::io::Error::other)?;
    Ok(Zeroizing::new(hex::encode(bytes.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_file_holds_64_hex_digits_and_is_only_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/hyvor");
        let reference = SecretRef::File { path: path.clone(), create: true };
        reference.probe().unwrap();
        assert!(!path.exists(), "probing makes nothing");
        let secret = reference.resolve().unwrap();
        assert_eq!(secret.expose().len(), 64);
        assert!(secret.expose().iter().all(u8::is_ascii_hexdigit));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(reference.resolve().unwrap().expose(), secret.expose(), "made once only");
    }

    #[test]
    fn one_newline_at_the_end_of_a_file_is_not_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, expected) in [("k", "k"), ("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n")] {
            std::fs::write(&path, content).unwrap();
            let secret = SecretRef::File { path: path.clone(), create: false }.resolve().unwrap();
            assert_eq!(secret.expose(), expected.as_bytes());
        }
    }

    #[test]
    fn first_learned_secret_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/asana");
        let reference = SecretRef::File { path: path.clone(), create: true };
        assert!(reference.existing().is_none());
        assert!(reference.is_missing_file());
        assert!(reference.learn(&Secret::new("first")).unwrap());
        assert!(!reference.learn(&Secret::new("second")).unwrap());
        assert!(!reference.is_missing_file());
        assert!(reference.existing().is_some());
        assert_eq!(reference.resolve().unwrap().expose(), b"first");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!SecretRef::Env("A".into()).learn(&Secret::new("x")).unwrap());
    }

    #[test]
    fn own_secret_is_replaced_as_a_whole_and_only_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme/account.json");
        std::fs::create_dir(folder.path().join("acme")).unwrap();
        std::fs::write(files::staging(&path), "of a crash, for everybody").unwrap();
        for text in ["a longer one", "short"] {
            write_own(&path, &Secret::new(text)).unwrap();
            assert_eq!(read_own(&path).unwrap().expose(), text.as_bytes());
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!files::staging(&path).exists());
        let path = folder.path().join("new/key");
        write_own(&path, &Secret::new("k")).unwrap();
        let folder = path.parent().unwrap();
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_empty_or_missing_secret_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let reference = SecretRef::File { path: path.clone(), create: false };
        assert!(matches!(reference.resolve(), Err(SecretError::Unreadable(..))));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(reference.resolve(), Err(SecretError::Empty(_))));
        let missing = SecretRef::Env("GATEPOST_TEST_NO_SUCH_VARIABLE".into());
        assert!(matches!(missing.resolve(), Err(SecretError::NotSet(_))));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
