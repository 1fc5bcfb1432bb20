//! Makes a queue of a copy in S3-compatible storage.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::local::CopyError;
use super::super::manifest::Manifest;
use super::super::promote::{Promoted, TellBytes, Thoroughness, finish};
use super::super::restore::{begin, discard};
use super::super::wire::{FileName, Seal};
use super::error::BucketError;
use super::manifest::{BucketManifest, CopiedFile};
use super::merge::fetch;
use super::objects::BucketPlace;

/// How often it is begun anew where a standby goes on writing meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// Brings the copy at `from` into the queue's folder `to`, which is empty, and makes a queue of it.
/// Blocks in between. `tell` counts twice: what is fetched, then what is looked at.
pub async fn restore_from_bucket(
    from: &BucketPlace,
    to: &Path,
    how: Thoroughness,
    tell: TellBytes<'_>,
) -> Result<Promoted, CopyError> {
    let mut attempt = 1;
    loop {
        let place = || PathBuf::from(from.to_string());
        let found = BucketManifest::read(from).await?;
        let (manifest, etag) = found.ok_or_else(|| CopyError::NoCopy(place()))?;
        if !manifest.is_complete && !how.force {
            return Err(CopyError::Incomplete(place()));
        }
        let target = begin(to)?;
        let (local, damage) = match bring(from, &manifest, to, tell).await {
            Ok(brought) => brought,
            Err(err) => {
                discard(&target)?;
                return Err(err);
            }
        };
        // A standby that goes on writing removes what its newer manifest needs no more.
        if !damage.is_empty() && attempt < ATTEMPTS_MAX {
            let now = BucketManifest::read(from).await?;
            if now.is_some_and(|(_, now)| now != etag) {
                discard(&target)?;
                attempt += 1;
                continue;
            }
        }
        if let Some(damage) = damage.first().filter(|_| !how.force) {
            let (folder, damage) = (place(), damage.clone());
            discard(&target)?;
            return Err(CopyError::Damaged { folder, damage });
        }
        let mut finished = finish(&target, local, how, tell);
        match &mut finished {
            Ok(promoted) => drop(promoted.damage.splice(0..0, damage)),
            Err(_) => discard(&target)?,
        }
        return finished;
    }
}

/// Writes all files; gives what is known of them, and what is not as it was.
async fn bring(
    from: &BucketPlace,
    manifest: &BucketManifest,
    to: &Path,
    tell: TellBytes<'_>,
) -> Result<(Manifest, Vec<String>), CopyError> {
    let (mut sealed, mut damage) = (Vec::new(), Vec::new());
    let in_all = manifest.files.values().map(CopiedFile::len).sum();
    let mut fetched = 0;
    for file in manifest.files.values() {
        let path = match &file.name {
            FileName::Log(name) => to.join("log").join(name.file_name()),
            FileName::Kept(name) => to.join("kept").join(name.file_name()),
            // One that had not all come is none.
            FileName::Keys(_) if file.len() < file.capacity => continue,
            FileName::Keys(name) => to.join("keys").join(name),
        };
        if let (FileName::Log(name), Some(checksum)) = (&file.name, file.seal) {
            let end = u32::try_from(file.len()).unwrap_or(u32::MAX);
            sealed.push(Seal { name: *name, end, checksum });
        }
        let tell_part = |n_bytes| {
            fetched += n_bytes;
            tell(fetched, in_all);
        };
        let bytes = whole(from, file, &mut damage, tell_part).await?;
        let capacity = if matches!(file.name, FileName::Log(_)) { file.capacity } else { 0 };
        write(&path, capacity, &bytes)
            .map_err(CopyError::io(format!("writing `{}`", path.display())))?;
    }
    for folder in ["log", "kept", "keys"] {
        let synced = std::fs::File::open(to.join(folder)).and_then(|folder| folder.sync_all());
        synced.map_err(CopyError::io(format!("writing `{folder}`")))?;
    }
    let BucketManifest { gateway, is_complete, head, next_position, heard_at, .. } =
        manifest.clone();
    let local = Manifest { gateway, is_complete, sealed, head, next_position, heard_at };
    local.write(to).map_err(CopyError::io("noting what the copy is"))?;
    Ok((local, damage))
}

/// All parts of a file up to the first that is not what it was, with zeros in place of that one and
/// what follows: places in the file stay what they are.
async fn whole(
    from: &BucketPlace,
    file: &CopiedFile,
    damage: &mut Vec<String>,
    mut tell: impl FnMut(u64),
) -> Result<Vec<Bytes>, BucketError> {
    let mut bytes = Vec::with_capacity(file.parts.len());
    for part in &file.parts {
        match fetch(from, part).await {
            Ok(fetched) => bytes.push(fetched),
            Err(err @ BucketError::Damaged(..)) => {
                damage.push(err.to_string());
                let used = usize::try_from(part.used).unwrap_or(0);
                bytes.push(Bytes::from(vec![0; used]));
            }
            Err(err) => return Err(err),
        }
        tell(part.used);
    }
    Ok(bytes)
}

fn write(path: &Path, capacity: u64, parts: &[Bytes]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Room for all that it will become.
    let flags = rustix::fs::FallocateFlags::empty();
    if capacity > 0 {
        rustix::fs::fallocate(&file, flags, 0, capacity)?;
    }
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}
