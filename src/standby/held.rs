//! What following needs of a copy, wherever that is kept.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::local::{CopyError, LocalCopy};
use super::wire::{CopyStand, KeptPart, KeyPart, PulledParts};
use crate::clock::Timestamp;

/// A copy of a gateway's queue, held by this process.
#[async_trait]
pub trait HeldCopy: Send + fmt::Debug {
    /// Whose copy it is; `None` = none yet.
    fn gateway(&self) -> Option<&str>;

    /// Whether it has had all that the gateway had.
    fn is_complete(&self) -> bool;

    /// Where in the log it goes on; everything before it is durable.
    fn stand(&self) -> Option<CopyStand>;

    /// What it has of the kept log.
    fn kept_parts(&self) -> Vec<KeptPart>;

    /// What it has of the dedupe keys.
    fn key_parts(&self) -> Vec<KeyPart>;

    /// Where its newest segment ends, with the checksum of that segment's bytes as they are kept.
    async fn checked_end(&self) -> Result<Option<(CopyStand, u32)>, CopyError>;

    /// Makes it that gateway's.
    async fn begin(&mut self, gateway: &str) -> Result<(), CopyError>;

    /// Takes what came, durably, and lets go of what the gateway has let go of.
    async fn apply(
        &mut self,
        batch: PulledParts,
        parts: &[Bytes],
        now: Timestamp,
    ) -> Result<(), CopyError>;

    /// Looks whether it is still what it was, while nothing comes.
    async fn look_again(&mut self);

    /// How long to wait before more is asked for.
    fn pause(&self) -> Duration;
}

#[async_trait]
impl HeldCopy for LocalCopy {
    fn gateway(&self) -> Option<&str> {
        self.gateway()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn stand(&self) -> Option<CopyStand> {
        self.stand()
    }

    fn kept_parts(&self) -> Vec<KeptPart> {
        self.kept_parts()
    }

    fn key_parts(&self) -> Vec<KeyPart> {
        self.key_parts()
    }

    async fn checked_end(&self) -> Result<Option<(CopyStand, u32)>, CopyError> {
        self.checked_end()
    }

    async fn begin(&mut self, gateway: &str) -> Result<(), CopyError> {
        self.begin(gateway)
    }

    async fn apply(
        &mut self,
        batch: PulledParts,
        parts: &[Bytes],
        now: Timestamp,
    ) -> Result<(), CopyError> {
        self.apply(batch, parts, now)
    }

    async fn look_again(&mut self) {
        self.scrub();
    }

    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}
