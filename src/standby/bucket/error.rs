//! What the storage says.

/// Why the storage gives or takes nothing.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    #[error("`{0}` names no place in S3-compatible storage: write s3://BUCKET/PREFIX")]
    Address(String),
    #[error("`{0}` is no address of S3-compatible storage: write https://HOST")]
    Endpoint(String),
    #[error(
        "there are no credentials for the storage: set `AWS_ACCESS_KEY_ID` and \
         `AWS_SECRET_ACCESS_KEY`, or name a file with them by `--credentials-file`"
    )]
    NoCredentials,
    #[error(
        "the credentials file has no `{0}`: it is one of AWS's form, with `aws_access_key_id = …` and \
         `aws_secret_access_key = …`"
    )]
    CredentialsFile(&'static str),
    #[error(transparent)]
    Secret(#[from] crate::secret::SecretError),
    #[error("the storage cannot be asked: {0}")]
    Client(String),
    #[error(
        "the bucket `{0}` does not exist there: make it first, or mend `--endpoint` or `--region`"
    )]
    NoBucket(String),
    #[error(
        "the storage refuses {what}: {told}. The credentials must allow reading, writing, listing \
         and deleting below the prefix"
    )]
    Denied { what: String, told: String },
    #[error("the storage refuses what is signed by this machine's clock: {0}. Set the clock")]
    Clock(String),
    #[error("the storage cannot do {what}: {told}")]
    Refused { what: String, told: String },
    #[error("the storage cannot do {what} just now: {told}")]
    Unavailable { what: String, told: String },
    /// It has another manifest by now.
    #[error(
        "another standby writes to `{0}`: give each one a prefix of its own, and end the one that is \
         not wanted"
    )]
    OtherWriter(String),
    #[error("`{0}` holds `{1}`, which is no part of a copy: name an empty prefix")]
    NotEmpty(String, String),
    #[error("the manifest in `{0}` cannot be read")]
    Manifest(String, #[source] serde_json::Error),
    #[error("the copy in `{place}` has format {found}, this version has {ours}")]
    Format { place: String, found: u32, ours: u32 },
    #[error("the object `{0}` is {1}")]
    Damaged(String, &'static str),
}

impl BucketError {
    /// What `err` means, when `what` was tried in `bucket`.
    pub(super) fn of(bucket: &str, what: String, err: &object_store::Error) -> Self {
        let text = chain(err);
        let code = between(&text, "<Code>", "</Code>").unwrap_or_default().to_owned();
        let told = match between(&text, "<Message>", "</Message>") {
            Some(message) => format!("{code}: {message}"),
            // An answer to anything but a GET may have no body.
            None => text.chars().filter(|c| !c.is_control()).take(300).collect(),
        };
        match code.as_str() {
            "NoSuchBucket" => return Self::NoBucket(bucket.to_owned()),
            "RequestTimeTooSkewed" => return Self::Clock(told),
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "InvalidBucketName"
            | "NotImplemented" => return Self::Refused { what, told },
            "ExpiredToken" | "InvalidToken" => return Self::Denied { what, told },
            _ => {}
        }
        match err {
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Denied { what, told },
            object_store::Error::InvalidPath { .. }
            | object_store::Error::NotImplemented { .. }
            | object_store::Error::NotSupported { .. }
            | object_store::Error::UnknownConfigurationKey { .. } => Self::Refused { what, told },
            _ if text.contains("incorrectly configured region") => Self::Refused { what, told },
            _ => Self::Unavailable { what, told },
        }
    }

    pub(in crate::standby) fn may_pass(&self) -> bool {
        match self {
            // Keys are exchanged and rights are changed while a standby runs: it is told, and tried
            // again.
            Self::NoBucket(_)
            | Self::Denied { .. }
            | Self::Clock(_)
            | Self::Refused { .. }
            | Self::Unavailable { .. }
            | Self::Damaged(..) => true,
            Self::Address(_)
            | Self::Endpoint(_)
            | Self::NoCredentials
            | Self::CredentialsFile(_)
            | Self::Secret(_)
            | Self::Client(_)
            | Self::OtherWriter(_)
            | Self::NotEmpty(..)
            | Self::Manifest(..)
            | Self::Format { .. } => false,
        }
    }

    /// Whether it may pass soon: only then does a start wait for it.
    pub(super) fn passes_soon(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Clock(_))
    }
}

/// `err` and its causes in one line.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let more = err.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = err.source();
    }
    text
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    Some(rest.split_once(close)?.0)
}
