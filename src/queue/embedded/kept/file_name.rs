//! What the files of the kept log are called: `0000000007-0123456789abcdef.log`.

use std::path::{Path, PathBuf};

use super::super::record::SegmentId;

pub(super) fn file_name(SegmentId { number, salt }: SegmentId) -> String {
    format!("{number:010}-{salt:016x}.log")
}

pub(super) fn path(folder: &Path, id: SegmentId) -> PathBuf {
    folder.join(file_name(id))
}

pub(super) fn parse_name(path: &Path) -> Option<SegmentId> {
    let (number, salt) = path.file_name()?.to_str()?.strip_suffix(".log")?.split_once('-')?;
    Some(SegmentId { number: number.parse().ok()?, salt: u64::from_str_radix(salt, 16).ok()? })
}
