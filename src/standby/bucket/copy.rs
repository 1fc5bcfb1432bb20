//! A copy that a standby holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tracing::warn;

use super::super::held::HeldCopy;
use super::super::local::CopyError;
use super::super::wire::{CopyStand, FileName, KeptPart, KeyPart, PulledParts};
use super::error::BucketError;
use super::manifest::{BucketManifest, MANIFEST, is_part_of_a_copy};
use super::objects::{BucketPlace, NotReplaced};
use crate::clock::{Clock, Timestamp};

/// From one manifest to the next, while the copy has all that there is: two requests each.
const EVERY: Duration = Duration::from_secs(1);
/// How long a start waits before the storage is asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// A copy in S3-compatible storage, written by this process.
#[derive(Debug)]
pub struct BucketCopy {
    pub(super) place: BucketPlace,
    /// What stands there.
    pub(super) manifest: BucketManifest,
    /// The version of the object that says so; `None` = there is none yet.
    etag: Option<String>,
    /// Names this process, and with a number each of its objects.
    pub(super) run: String,
    pub(super) n_objects: u64,
    /// What to let go of once the log is far enough.
    pub(super) lists: Option<PulledParts>,
    /// Objects that are needed no more once the next manifest is written.
    pub(super) left_over: Vec<String>,
    /// What of the manifest was found to be no longer so, and is to be written.
    pub(super) is_changed: bool,
    pub(super) clock: Arc<dyn Clock>,
    /// By the steady clock.
    pub(super) saved_at: Timestamp,
    pub(super) swept_at: Timestamp,
    /// There is more to come: it is asked for at once.
    pub(super) is_behind: bool,
}

impl BucketCopy {
    /// Takes up the copy at `place`, or begins one there. Waits while the storage does not answer.
    pub async fn open(place: BucketPlace, clock: Arc<dyn Clock>) -> Result<Self, BucketError> {
        let mut is_told = false;
        loop {
            match Self::take(place.clone(), Arc::clone(&clock)).await {
                Err(err) if err.passes_soon() => {
                    if !is_told {
                        warn!(why = %err, "The storage is tried again");
                    }
                    is_told = true;
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn take(place: BucketPlace, clock: Arc<dyn Clock>) -> Result<Self, BucketError> {
        let found = BucketManifest::read(&place).await?;
        let is_new = found.is_none();
        let (manifest, etag) = found.unwrap_or_default();
        let now = clock.steady();
        let mut copy = Self {
            place,
            manifest,
            etag,
            run: format!("{:08x}", rand::random::<u32>()),
            n_objects: 0,
            lists: None,
            left_over: Vec::new(),
            is_changed: true,
            clock,
            saved_at: now,
            swept_at: now,
            is_behind: true,
        };
        let listed = copy.place.list().await?;
        if let Some(other) = listed.iter().find(|one| is_new && !is_part_of_a_copy(&one.name)) {
            return Err(BucketError::NotEmpty(copy.place.to_string(), other.name.clone()));
        }
        // From here on a standby that wrote here before ends: what it wrote and no manifest names is
        // left over.
        let manifest = copy.manifest.clone();
        copy.save(manifest, Vec::new()).await?;
        copy.sweep(&listed).await?;
        Ok(copy)
    }

    /// Makes `next` what is there, and removes what only the manifest before it needed.
    pub(super) async fn save(
        &mut self,
        mut next: BucketManifest,
        mut gone: Vec<String>,
    ) -> Result<(), BucketError> {
        next.writer.clone_from(&self.run);
        let bytes = next.encode()?;
        match self.place.replace(MANIFEST, bytes, self.etag.as_deref()).await {
            Ok(etag) => self.etag = etag,
            Err(NotReplaced::Failed(err)) => {
                self.recall().await?;
                return Err(err);
            }
            Err(NotReplaced::Other) => {
                self.recall().await?;
                let (what, told) = ("writing the manifest".to_owned(), "it changed".to_owned());
                return Err(BucketError::Unavailable { what, told });
            }
        }
        (self.manifest, self.is_changed, self.saved_at) = (next, false, self.clock.steady());
        gone.append(&mut self.left_over);
        let needed: BTreeSet<&str> =
            self.manifest.objects().map(|part| part.object.as_str()).collect();
        for object in gone.iter().filter(|object| !needed.contains(object.as_str())) {
            // What stays is found by the next sweep.
            if let Err(err) = self.place.remove(object).await {
                warn!(why = %err, "An object that is needed no more stays for now");
            }
        }
        Ok(())
    }

    /// Whether what stands there is ours still; after a write whose outcome is not known, what it is.
    pub(super) async fn recall(&mut self) -> Result<(), BucketError> {
        match BucketManifest::read(&self.place).await? {
            Some((_, etag)) if etag.is_some() && self.etag == etag => Ok(()),
            // It was written, and the answer was lost.
            Some((found, etag)) if found.writer == self.run => {
                (self.manifest, self.etag) = (found, etag);
                Ok(())
            }
            Some(_) => Err(BucketError::OtherWriter(self.place.to_string())),
            None => {
                // It was removed by hand: all of it comes anew.
                (self.manifest, self.etag) = (BucketManifest::default(), None);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl HeldCopy for BucketCopy {
    fn gateway(&self) -> Option<&str> {
        self.manifest.gateway.as_deref()
    }

    fn is_complete(&self) -> bool {
        self.manifest.is_complete
    }

    fn stand(&self) -> Option<CopyStand> {
        self.manifest.stand()
    }

    fn kept_parts(&self) -> Vec<KeptPart> {
        let parts = self.manifest.files.values().filter_map(|file| match &file.name {
            FileName::Kept(name) => {
                let bytes = u32::try_from(file.len().min(file.settled)).unwrap_or(u32::MAX);
                Some(KeptPart { name: *name, bytes })
            }
            FileName::Log(_) | FileName::Keys(_) => None,
        });
        parts.collect()
    }

    fn key_parts(&self) -> Vec<KeyPart> {
        let parts = self.manifest.files.values().filter_map(|file| match &file.name {
            FileName::Keys(name) => Some(KeyPart { name: name.clone(), bytes: file.len() }),
            FileName::Log(_) | FileName::Kept(_) => None,
        });
        parts.collect()
    }

    async fn checked_end(&self) -> Result<Option<(CopyStand, u32)>, CopyError> {
        let newest = self.manifest.log().next_back();
        Ok(newest.and_then(|(name, file)| {
            // Of the objects' checksums, which the storage checked when it took them.
            let (bytes, checksum) = file.tail(0)?;
            Some((CopyStand { name, end: u32::try_from(bytes).ok()? }, checksum))
        }))
    }

    async fn begin(&mut self, gateway: &str) -> Result<(), CopyError> {
        if self.manifest.gateway.is_none() {
            let mut next = self.manifest.clone();
            next.gateway = Some(gateway.to_owned());
            self.save(next, Vec::new()).await?;
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        batch: PulledParts,
        parts: &[Bytes],
        now: Timestamp,
    ) -> Result<(), CopyError> {
        self.take_in(batch, parts, now).await
    }

    async fn look_again(&mut self) {
        if let Err(err) = self.sweep_in_time().await {
            warn!(why = %err, "The objects cannot be looked at just now");
        }
    }

    fn pause(&self) -> Duration {
        if self.is_behind {
            return Duration::ZERO;
        }
        EVERY.saturating_sub(self.clock.steady().since(self.saved_at))
    }
}
