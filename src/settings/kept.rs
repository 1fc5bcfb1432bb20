//! What stands in the configuration, or is kept elsewhere: addresses, certificates and their keys.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::value::{FromToml, Value};
use crate::secret::SecretRef;

/// A text, or where a secret is kept that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrSecret {
    Text(String),
    Secret(SecretRef),
}

impl FromToml for TextOrSecret {
    fn expected() -> String {
        "a string, or a reference to a secret".to_owned()
    }

    fn example() -> String {
        String::example()
    }

    fn schema() -> Json {
        json!({ "anyOf": [String::schema(), SecretRef::schema()] })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        if value.is_table() {
            return value.clone().read().map(Self::Secret);
        }
        match value.as_str() {
            Some(text) => Some(Self::Text(text.to_owned())),
            None => value.mismatch(),
        }
    }
}

/// A file in PEM form, or a systemd credential that holds one: a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemRef(pub SecretRef);

impl FromToml for PemRef {
    fn expected() -> String {
        "a path, or `{ credential = \"NAME\" }`".to_owned()
    }

    fn example() -> String {
        "\"/etc/letsencrypt/live/…/fullchain.pem\"".to_owned()
    }

    fn schema() -> Json {
        json!({ "anyOf": [String::schema(), SecretRef::schema()] })
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        read_pem(value, "certificate file").map(Self)
    }
}

/// The place of what such a file is called.
fn read_pem(value: &Value<'_>, called: &str) -> Option<SecretRef> {
    if value.is_table() {
        return value.clone().read();
    }
    let path = value.clone().read::<PathBuf>()?;
    let is_empty = std::fs::metadata(&path).is_ok_and(|found| found.len() == 0);
    let help = if is_empty {
        "write it into that file in PEM form (`-----BEGIN`)"
    } else {
        "the user that Gatepost runs as must be able to read it"
    };
    let file = SecretRef::File { path, create: false };
    value.probe_file(&file, called, help);
    Some(file)
}

/// The same that holds a private key, which its owner alone may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemKeyRef(pub SecretRef);

impl FromToml for PemKeyRef {
    fn expected() -> String {
        PemRef::expected()
    }

    fn example() -> String {
        "\"/etc/letsencrypt/live/…/privkey.pem\"".to_owned()
    }

    fn schema() -> Json {
        PemRef::schema()
    }

    fn from_toml(value: &Value<'_>) -> Option<Self> {
        let file = read_pem(value, "key file")?;
        // As a table it is read as every secret is, with the same warning.
        if !value.is_table() {
            value.warn_if_open(&file);
        }
        Some(Self(file))
    }
}
