//! Are the objects still what they were, and is there any that no manifest needs?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::warn;

use super::copy::BucketCopy;
use super::error::BucketError;
use super::manifest::{CopiedPart, MANIFEST, is_part_of_a_copy};
use super::objects::ListedObject;

/// How often all objects are listed: one request for a thousand of them.
const EVERY: Duration = Duration::from_mins(10);

impl BucketCopy {
    /// Looks at all objects, where it is time to.
    pub(super) async fn sweep_in_time(&mut self) -> Result<(), BucketError> {
        if self.clock.steady().since(self.swept_at) < EVERY {
            return Ok(());
        }
        self.sweep_now().await
    }

    /// Looks at all objects.
    pub(super) async fn sweep_now(&mut self) -> Result<(), BucketError> {
        let listed = self.place.list().await?;
        // Another standby may write here by now. Where it does not yet, none of the objects that were
        // listed is its.
        self.recall().await?;
        self.sweep(&listed).await
    }

    /// Notes what is missing or another object than it was, so that it comes again; removes what no
    /// manifest needs.
    pub(super) async fn sweep(&mut self, listed: &[ListedObject]) -> Result<(), BucketError> {
        self.swept_at = self.clock.steady();
        let there: BTreeMap<&str, &ListedObject> =
            listed.iter().map(|object| (object.name.as_str(), object)).collect();
        // What stands in the manifest is not removed before another one does not name it.
        let needed: BTreeSet<String> =
            self.manifest.objects().map(|part| part.object.clone()).collect();
        let is_there = |part: &CopiedPart| {
            there.get(part.object.as_str()).is_some_and(|object| {
                let etags = object.etag.as_ref().zip(part.etag.as_ref());
                object.bytes == part.bytes && etags.is_none_or(|(now, then)| now == then)
            })
        };
        for file in self.manifest.files.values_mut() {
            let whole = file.parts.iter().take_while(|part| is_there(part));
            let end = whole.map(|part| part.used).sum();
            if end < file.len() {
                warn!(file = ?file.name, "The copy is damaged: it is fetched again");
                self.left_over.extend(file.cut(end));
                (self.is_changed, self.manifest.is_complete) = (true, false);
            }
        }
        let needed_no_more = listed.iter().filter(|object| {
            is_part_of_a_copy(&object.name)
                && object.name != MANIFEST
                && !needed.contains(&object.name)
        });
        for object in needed_no_more {
            self.place.remove(&object.name).await?;
        }
        Ok(())
    }
}
