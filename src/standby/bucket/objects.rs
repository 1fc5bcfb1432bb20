//! Objects below a prefix.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};

use super::error::BucketError;

/// A prefix in a bucket.
#[derive(Clone)]
pub struct BucketPlace {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    prefix: Path,
}

/// An object with its version.
#[derive(Clone, Debug)]
pub(super) struct FetchedObject {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
}

/// An object in a list.
#[derive(Clone, Debug)]
pub(super) struct ListedObject {
    /// Its name below the prefix.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) etag: Option<String>,
}

/// Why a conditional write was not done.
#[derive(Debug)]
pub(super) enum NotReplaced {
    /// Another version stands there.
    Other,
    Failed(BucketError),
}

impl BucketPlace {
    /// The objects of `store`, which is the bucket of that name, below `prefix`.
    pub(super) fn new(store: Arc<dyn ObjectStore>, bucket: String, prefix: Path) -> Self {
        Self { store, bucket, prefix }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn failed(&self, what: &str, name: &str) -> impl FnOnce(object_store::Error) -> BucketError {
        let what = format!("{what} `{name}`");
        move |err| BucketError::of(&self.bucket, what, &err)
    }

    /// An object; `None` = there is none of this name.
    pub(super) async fn get(&self, name: &str) -> Result<Option<FetchedObject>, BucketError> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(err @ object_store::Error::NotFound { .. }) => {
                // The same status says that there is no such bucket.
                return match self.failed("reading", name)(err) {
                    err @ BucketError::NoBucket(_) => Err(err),
                    _ => Ok(None),
                };
            }
            Err(err) => return Err(self.failed("reading", name)(err)),
        };
        let etag = found.meta.e_tag.clone();
        let bytes = found.bytes().await.map_err(self.failed("reading", name))?;
        Ok(Some(FetchedObject { bytes, etag }))
    }

    /// Writes an object; gives its version.
    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
    ) -> Result<Option<String>, BucketError> {
        let put = self.store.put(&self.path(name), bytes.into()).await;
        put.map(|put| put.e_tag).map_err(self.failed("writing", name))
    }

    /// Writes an object in place of the version `known`, or where there is none yet.
    pub(super) async fn replace(
        &self,
        name: &str,
        bytes: Bytes,
        known: Option<&str>,
    ) -> Result<Option<String>, NotReplaced> {
        let path = self.path(name);
        let mode = known.map_or(PutMode::Create, |etag| {
            PutMode::Update(UpdateVersion { e_tag: Some(etag.to_owned()), version: None })
        });
        let put = self.store.put_opts(&path, bytes.clone().into(), mode.into()).await;
        match put {
            Ok(put) => Ok(put.e_tag),
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::NotModified { .. },
            ) => Err(NotReplaced::Other),
            Err(err) => match self.failed("writing", name)(err) {
                // Some storage knows no conditions.
                BucketError::Refused { told, .. } if told.starts_with("NotImplemented") => {
                    self.put(name, bytes).await.map_err(NotReplaced::Failed)
                }
                err => Err(NotReplaced::Failed(err)),
            },
        }
    }

    /// Removes an object, where there is one.
    pub(super) async fn remove(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(err) => Err(self.failed("removing", name)(err)),
        }
    }

    /// All objects below the prefix.
    pub(super) async fn list(&self) -> Result<Vec<ListedObject>, BucketError> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let listed = self.store.list(prefix).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(self.failed("listing", "the prefix"))?;
        let objects = listed.into_iter().map(|object| {
            let path = object.location.as_ref();
            let name = path.strip_prefix(self.prefix.as_ref()).unwrap_or(path);
            let name = name.trim_start_matches('/').to_owned();
            ListedObject { name, bytes: object.size, etag: object.e_tag }
        });
        Ok(objects.collect())
    }
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, .. } = self;
        let slash = if prefix.as_ref().is_empty() { "" } else { "/" };
        write!(f, "s3://{bucket}{slash}{prefix}")
    }
}

// The store's own form may show what it signs with.
impl fmt::Debug for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
