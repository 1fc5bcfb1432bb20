//! Deliveries that were tried or settled in another queue, as they are carried into this one.

use super::cell::{HandlerCell, Wake};
use super::shared::SharedChange;
use crate::queue::embedded::state::Status;
use crate::sync::lock;

impl HandlerCell {
    /// Has open deliveries stand as they did elsewhere; says how many were open. They are recorded with the
    /// next settle record.
    pub(crate) fn carry(&self, changes: Vec<SharedChange>) -> (u64, Wake) {
        // A take reads the log between two looks at where it stands.
        let _reader = lock(&self.reader);
        let (mut n_open, mut wake) = (0, Wake::Nobody);
        let mut live = self.lock();
        for change in changes {
            let record = change.into_record();
            match live.state.status(record.first) {
                Status::Open | Status::Unread => {}
                Status::Settled
                | Status::Waiting
                | Status::Dead
                | Status::DeadHolding
                | Status::Lost => continue,
            }
            n_open += 1;
            if let Some(session) = &mut live.session {
                session.carried(record.first, &record.to);
            }
            wake = wake.and(self.record(&mut live, record));
        }
        drop(live);
        self.bell.notify_waiters();
        (n_open, wake)
    }
}
