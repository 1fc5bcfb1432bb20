//! A process group that ends with its owner.

use rustix::process::{Pid, Signal, kill_process_group};

/// Kills the group when dropped, unless it was let go before.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that process `id` leads and that is not waited for yet: until then no other
    /// group can have its number.
    pub(super) fn led_by(id: Option<u32>) -> Self {
        Self(id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks every process of the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process of the group, at once.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0
            && let Err(err) = kill_process_group(group, signal)
            // No such process: it has ended by itself.
            && err != rustix::io::Errno::SRCH
        {
            tracing::warn!(error = %err, "A process could not be ended");
        }
    }

    /// Leaves the group alone from here on.
    pub(super) fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
