//! A folder of a test whose threads may outlive the test's own values.

use std::cell::RefCell;
use std::path::Path;

use tempfile::TempDir;

thread_local! {
    /// Folders whose tests are over but for their runtime, which is dropped on this thread.
    static DONE: RefCell<Vec<TempDir>> = const { RefCell::new(Vec::new()) };
}

/// A folder that is removed at the end of the test's thread: behind the runtime, whose tasks hold queues
/// that would make it again.
pub(crate) struct TestFolder(Option<TempDir>);

impl TestFolder {
    pub(crate) fn new() -> Self {
        Self(Some(TempDir::new().unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let folder = self.0.take();
        // Where the thread ends already, it is removed at once.
        let _kept = DONE.try_with(|done| done.borrow_mut().extend(folder));
    }
}
