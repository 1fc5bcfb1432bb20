//! The same actions on the embedded queue alone, where the one in memory may rightly differ.

use futures_util::FutureExt;
use gatepost::event::Position;
use gatepost::queue::{DeadFilter, Queue};

use super::actions::Action;
use super::twins::{Twins, open};
use crate::queue_faults::record;
use crate::support::events::{handler, key};

impl Twins {
    /// The same without the one in memory.
    pub(super) async fn act_alone(&mut self, action: &Action) {
        match action {
            Action::Append { .. }
            | Action::AppendKeyed { .. }
            | Action::Advance { .. }
            | Action::Tidy
            | Action::Compact => self.act(action).await,
            Action::Take { max } => {
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                let taken = sled.next(*max).now_or_never().map_or_else(Vec::new, Result::unwrap);
                self.taken.extend(taken.into_iter().map(|delivery| (delivery, None)));
            }
            Action::Settle { which, how } if !self.taken.is_empty() => {
                let (delivery, _) = self.taken.remove(which % self.taken.len());
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.settle(delivery, self.settled(how)).await.unwrap();
            }
            Action::SettleAll { hows } => {
                let n = hows.len().min(self.taken.len());
                let taken: Vec<_> = self.taken.drain(..n).map(|(delivery, _)| delivery).collect();
                let settled = hows.iter().map(|how| self.settled(how));
                let settled = taken.into_iter().zip(settled).collect();
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.settle_all(settled).await.unwrap();
            }
            Action::Release { which } if !self.taken.is_empty() => {
                let (delivery, _) = self.taken.remove(which % self.taken.len());
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.release(delivery).await.unwrap();
            }
            Action::Settle { .. } | Action::Release { .. } => {}
            Action::ReleaseKey { key: n } => {
                let (sled, _) = self.subscriptions.as_ref().unwrap();
                sled.release_key(key(*n)).await.unwrap();
            }
            Action::Redrive { position } | Action::Drop { position } => {
                let position = Some(Position(*position));
                let filter = DeadFilter { position, ..DeadFilter::default() };
                if let Action::Drop { .. } = action {
                    self.sled.drop_dead(filter).await.unwrap();
                } else {
                    self.sled.redrive(filter).await.unwrap();
                }
            }
            Action::RedriveAll => drop(self.sled.redrive(DeadFilter::default()).await.unwrap()),
            Action::Replay { position } => {
                self.sled.replay(&handler("h"), &[Position(*position)]).await.unwrap();
            }
            Action::Record => record(&self.sled).await.unwrap(),
            Action::Resubscribe => self.subscribe().await,
            Action::Reopen { without_index } => {
                if *without_index {
                    self.subscriptions = None;
                    self.taken.clear();
                    self.sled.close().await.unwrap();
                    self.site.remove_index();
                    self.sled = open(&self.site);
                    self.subscribe().await;
                } else {
                    self.restart_alone().await;
                }
            }
            Action::Crash { seed, without_index } => {
                self.power_cut(*seed, *without_index);
                self.subscribe().await;
            }
        }
    }

    pub(super) async fn restart_alone(&mut self) {
        self.subscriptions = None;
        self.taken.clear();
        self.sled.close().await.unwrap();
        self.sled = open(&self.site);
        self.subscribe().await;
    }
}
