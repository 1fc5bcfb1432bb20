//! Where the secrets of a configuration are.

use std::path::Path;

use super::Config;
use crate::event::HandlerName;
use crate::secret::SecretRef;

impl Config {
    /// The files of all secrets, each with the key that says so.
    pub fn secret_files(&self) -> impl Iterator<Item = (String, &Path)> {
        self.secrets.iter().filter_map(|(key, secret)| match secret {
            SecretRef::File { path, .. } => Some((key.clone(), path.as_path())),
            SecretRef::Env(_) | SecretRef::Credential(_) => None,
        })
    }

    /// Where the secrets of a handler are.
    pub fn secrets_of(&self, handler: &HandlerName) -> impl Iterator<Item = &SecretRef> {
        let part = format!("handler.{handler}.");
        let own = self.secrets.iter().filter(move |(key, _)| key.starts_with(&part));
        own.map(|(_, secret)| secret)
    }
}
