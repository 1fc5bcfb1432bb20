//! Headers of requests that we make, whose values are secrets.

use reqwest::header::{HeaderName, HeaderValue, InvalidHeaderValue};

use super::Value;
use super::secret_names::{behind_scheme, is_literal_secret};
use crate::secret::{Secret, SecretError, SecretRef};

/// `{ secret = { … }, prefix = "Bearer " }`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretHeader {
    /// As in `Bearer `.
    pub prefix: String,
    secret: SecretRef,
}

/// Why there is no value to be sent.
#[derive(Debug, thiserror::Error)]
pub enum SecretHeaderError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the secret fits into no header")]
    Unfit(#[from] InvalidHeaderValue),
}

impl SecretHeader {
    /// Reads the table that `value` is. `None` = a problem was recorded.
    pub fn read(value: &Value<'_>) -> Option<Self> {
        let mut table = value.table()?;
        let prefix = table.take_or("prefix", String::new());
        let secret = table.require("secret");
        table.finish();
        secret.map(|secret| Self { prefix, secret })
    }

    /// Warns of a header whose name says that `value`, a text, should be one of these.
    pub fn warn_of_plain(name: &HeaderName, value: &Value<'_>) {
        if is_literal_secret(name.as_str(), value.as_str()) {
            // Others have the secret as it is.
            let text = value.as_str().unwrap_or_default();
            let prefix = match behind_scheme(name.as_str(), text)
                .and_then(|place| text.get(..place.start))
            {
                Some(scheme) => format!("prefix = \"{scheme}\", "),
                None if name.as_str().ends_with("authorization") => {
                    "prefix = \"Bearer \", ".to_owned()
                }
                None => String::new(),
            };
            value.warning(
                "a secret does not stand in the configuration: whoever reads the file has it",
                format_args!("write `{{ {prefix}secret = {{ file = \"data/secrets/…\" }} }}`"),
            );
        }
    }

    /// The value as it is sent, which no log shows.
    pub fn value(&self) -> Result<HeaderValue, SecretHeaderError> {
        Ok(self.value_of(&self.secret.resolve()?)?)
    }

    /// Where its secret is.
    pub fn secret(&self) -> &SecretRef {
        &self.secret
    }

    /// The same with `secret`, which was read from there.
    pub fn value_of(&self, secret: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
        let bytes = [self.prefix.as_bytes(), secret.expose()].concat();
        let mut value = HeaderValue::from_bytes(&bytes)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
