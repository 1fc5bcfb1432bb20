//! Many small parts become one: an open tail gets a part each second.

use bytes::{Bytes, BytesMut};
use tracing::warn;

use super::super::wire::FileName;
use super::copy::BucketCopy;
use super::error::BucketError;
use super::manifest::{CopiedFile, CopiedPart};
use super::objects::BucketPlace;
use super::write::NextCopy;

/// So many parts of one level become one of the next: a file has some hundred parts at most, and each
/// byte is written four times at most until its segment is complete.
pub(super) const PARTS_MAX: usize = 32;

impl BucketCopy {
    /// Puts parts together where there are many.
    pub(super) async fn put_together(&mut self, next: &mut NextCopy) -> Result<(), BucketError> {
        let has_many = |file: &&CopiedFile| alike_at_end(file) >= PARTS_MAX;
        let names: Vec<FileName> =
            next.manifest.files.values().filter(has_many).map(|file| file.name.clone()).collect();
        for name in names {
            let Some(file) = next.manifest.files.get(&name).cloned() else { continue };
            let from = file.parts.len().saturating_sub(alike_at_end(&file));
            let merged = self.one_part(&file, from).await?;
            let Some(file) = next.manifest.files.get_mut(&name) else { continue };
            next.is_changed = true;
            if let Some(merged) = merged {
                let parts = file.parts.split_off(from);
                next.gone.extend(parts.into_iter().map(|part| part.object));
                file.parts.push(merged);
            } else {
                warn!("Objects of the copy are damaged: that part is fetched again");
                let end = file.parts.iter().take(from).map(|part| part.used).sum();
                next.gone.extend(file.cut(end));
            }
        }
        Ok(())
    }

    /// The parts from number `from` on as one; `None` = one of them is not what it was.
    pub(super) async fn one_part(
        &mut self,
        file: &CopiedFile,
        from: usize,
    ) -> Result<Option<CopiedPart>, BucketError> {
        let parts = file.parts.get(from..).unwrap_or_default();
        if let [only] = parts
            && only.used == only.bytes
        {
            return Ok(Some(only.clone()));
        }
        let mut bytes = BytesMut::new();
        for part in parts {
            match fetch(&self.place, part).await {
                Ok(fetched) => bytes.extend_from_slice(&fetched),
                Err(BucketError::Damaged(..)) => return Ok(None),
                Err(err) => return Err(err),
            }
        }
        let level = parts.iter().map(|part| part.level).max().unwrap_or(0).saturating_add(1);
        Ok(Some(self.put_part(&file.name, bytes.freeze(), level).await?))
    }
}

/// How many parts of one level stand at the file's end.
fn alike_at_end(file: &CopiedFile) -> usize {
    let Some(last) = file.parts.last() else { return 0 };
    file.parts.iter().rev().take_while(|part| part.level == last.level).count()
}

/// The bytes of a part that count, checked by length and checksum.
pub(super) async fn fetch(place: &BucketPlace, part: &CopiedPart) -> Result<Bytes, BucketError> {
    let damaged = |what| BucketError::Damaged(part.object.clone(), what);
    let found = place.get(&part.object).await?.ok_or(damaged("missing"))?;
    if found.bytes.len() as u64 != part.bytes {
        return Err(damaged("of another length than it was written with"));
    }
    if crc32c::crc32c(&found.bytes) != part.checksum {
        return Err(damaged("no longer what was written: it has another checksum"));
    }
    let used = usize::try_from(part.used).unwrap_or(usize::MAX).min(found.bytes.len());
    Ok(found.bytes.slice(..used))
}
