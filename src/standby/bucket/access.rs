//! Where the storage is, and what opens it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, RetryConfig};

use super::error::BucketError;
use super::objects::BucketPlace;
use crate::secret::{Secret, SecretRef};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A segment of 16 MiB over a line of half a megabit per second.
const TIMEOUT: Duration = Duration::from_mins(5);
/// What AWS's own programs take where nothing is said; other storage rarely looks at it.
const REGION: &str = "us-east-1";

/// Where S3-compatible storage is, and what opens it.
#[derive(Clone, Debug, Default)]
pub struct BucketAccess {
    /// Its address, where that is not AWS's own.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// A file of AWS's form with the keys; `None` = they are in the environment.
    pub credentials_file: Option<PathBuf>,
}

/// What requests are signed with.
struct BucketKeys {
    id: String,
    secret: String,
    session: Option<String>,
}

impl BucketAccess {
    /// The prefix that `address` names: `s3://BUCKET/PREFIX`.
    pub fn open(&self, address: &str) -> Result<BucketPlace, BucketError> {
        let no_place = || BucketError::Address(address.to_owned());
        let rest = address.strip_prefix("s3://").ok_or_else(no_place)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(no_place());
        }
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|_| no_place())?;
        let keys = self.keys()?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(self.region.as_deref().unwrap_or(REGION))
            .with_access_key_id(keys.id)
            .with_secret_access_key(keys.secret)
            // What fails is told and tried again by who follows.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        if let Some(session) = keys.session {
            builder = builder.with_token(session);
        }
        let mut client =
            ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            let is_plain = endpoint.starts_with("http://");
            let is_address = reqwest::Url::parse(endpoint).is_ok_and(|url| url.has_host());
            if !is_address || !(is_plain || endpoint.starts_with("https://")) {
                return Err(BucketError::Endpoint(endpoint.clone()));
            }
            builder =
                builder.with_endpoint(endpoint.trim_end_matches('/')).with_allow_http(is_plain);
            // Without TLS a machine without root certificates is no reason to fail.
            client = client.with_allow_http(is_plain).with_no_system_certificates(is_plain);
        }
        let store = builder.with_client_options(client).build();
        let store = store.map_err(|err| BucketError::Client(err.to_string()))?;
        Ok(BucketPlace::new(Arc::new(store), bucket.to_owned(), prefix))
    }

    fn keys(&self) -> Result<BucketKeys, BucketError> {
        if let Some(path) = &self.credentials_file {
            let file = SecretRef::File { path: path.clone(), create: false }.resolve()?;
            return BucketKeys::read(&file);
        }
        let variable = |name: &str| {
            let secret = SecretRef::Env(name.to_owned()).resolve().ok()?;
            Some(String::from_utf8_lossy(secret.expose()).into_owned())
        };
        let id = variable("AWS_ACCESS_KEY_ID").ok_or(BucketError::NoCredentials)?;
        let secret = variable("AWS_SECRET_ACCESS_KEY").ok_or(BucketError::NoCredentials)?;
        Ok(BucketKeys { id, secret, session: variable("AWS_SESSION_TOKEN") })
    }
}

impl BucketKeys {
    /// Those of the first profile of a file of AWS's form.
    fn read(file: &Secret) -> Result<Self, BucketError> {
        let text = String::from_utf8_lossy(file.expose());
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let (_, value) = lines.find(|(name, _)| name.trim() == key)?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let needed = |key| value(key).ok_or(BucketError::CredentialsFile(key));
        Ok(Self {
            id: needed("aws_access_key_id")?,
            secret: needed("aws_secret_access_key")?,
            session: value("aws_session_token"),
        })
    }
}
