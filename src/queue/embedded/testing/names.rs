//! The names of files, and changes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::inode::Inode;

pub(super) type Node = Arc<Mutex<Inode>>;
pub(super) type Names = BTreeMap<PathBuf, Node>;

/// A name that was given or taken, and is not synced.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) removed: Option<PathBuf>,
    pub(super) added: Option<PathBuf>,
    pub(super) node: Node,
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        if let Some(removed) = &self.removed
            && names.get(removed).is_some_and(|node| Arc::ptr_eq(node, &self.node))
        {
            names.remove(removed);
        }
        if let Some(added) = &self.added {
            names.insert(added.clone(), Arc::clone(&self.node));
        }
    }

    pub(super) fn is_in(&self, folder: &Path) -> bool {
        [&self.removed, &self.added].into_iter().flatten().any(|path| path.parent() == Some(folder))
    }
}
