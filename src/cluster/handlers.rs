//! The handlers that this node is configured for, and what is on its way for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::local_node::OperationAnswer;
use super::locks::{HandlersMutex, HoldMutex};
use crate::clock::Timestamp;
use crate::event::HandlerName;
use crate::queue::embedded::SharedSession;

/// Every handler that had a subscription in this process.
#[derive(Debug, Default)]
pub(super) struct LocalHandlers(HandlersMutex<BTreeMap<HandlerName, LocalHandler>>);

#[derive(Debug, Default)]
struct LocalHandler {
    is_subscribed: bool,
    /// Since when one delivery is to be tried at once, by the steady clock.
    try_asked_at: Option<Timestamp>,
    shared: Arc<HandlerHold>,
}

/// What a handler's subscription shares with those that look after its lease.
#[derive(Debug, Default)]
pub(super) struct HandlerHold {
    pub(super) hold: HoldMutex<HoldState>,
    pub(super) settling: Settling,
    /// The next hold begins with the delivery that is due next, at once.
    pub(super) is_hasty: AtomicBool,
}

/// Whether deliveries may be given out and not settled.
#[derive(Debug, Default)]
pub(super) enum HoldState {
    #[default]
    Free,
    /// From the first delivery under a lease on.
    Held(Hold),
    /// The subscription is gone from the log: until its worker begins anew nothing is given out.
    TakenBack,
}

/// A hold on the copy's state under a lease.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) epoch: u64,
    pub(super) session: Arc<SharedSession>,
}

/// Settlements that are proposed and not applied: how many changes each makes, and what comes of it.
pub(super) type Settling = Mutex<VecDeque<(u64, OperationAnswer)>>;

impl LocalHandlers {
    /// Subscribes a handler; `None` = it has a subscription. What an earlier one has left on its way has to
    /// arrive before this one gives out anything.
    pub(super) fn subscribe(&self, handler: &HandlerName) -> Option<Arc<HandlerHold>> {
        let mut handlers = self.0.lock();
        let local = handlers.entry(handler.clone()).or_default();
        let is_new = !std::mem::replace(&mut local.is_subscribed, true);
        is_new.then(|| Arc::clone(&local.shared))
    }

    /// Its subscription is gone.
    pub(super) fn unsubscribe(&self, handler: &HandlerName) {
        if let Some(local) = self.0.lock().get_mut(handler) {
            (local.is_subscribed, local.try_asked_at) = (false, None);
            *local.shared.hold.lock() = HoldState::Free;
        }
    }

    pub(super) fn names(&self) -> Vec<HandlerName> {
        let handlers = self.0.lock();
        let subscribed = handlers.iter().filter(|(_, local)| local.is_subscribed);
        subscribed.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn is_wanted(&self, handler: &HandlerName) -> bool {
        self.0.lock().get(handler).is_some_and(|local| local.is_subscribed)
    }

    /// One delivery of a handler is to be tried at once, if it is configured here; `at` = since when.
    pub(super) fn ask_try(&self, handler: &HandlerName, at: Timestamp) {
        if let Some(local) = self.0.lock().get_mut(handler).filter(|local| local.is_subscribed) {
            local.try_asked_at = local.try_asked_at.max(Some(at));
        }
    }

    /// The handlers of which one delivery is to be tried at once. What was asked before `since` is not wanted
    /// any more.
    pub(super) fn tries(&self, since: Timestamp) -> Vec<HandlerName> {
        let mut handlers = self.0.lock();
        let asked = handlers.iter_mut().filter_map(|(name, local)| {
            local.try_asked_at = local.try_asked_at.filter(|at| *at >= since);
            local.try_asked_at.is_some().then(|| name.clone())
        });
        asked.collect()
    }

    /// What was asked is done.
    pub(super) fn end_try(&self, handler: &HandlerName) {
        if let Some(local) = self.0.lock().get_mut(handler) {
            local.try_asked_at = None;
        }
    }

    fn shared(&self, handler: &HandlerName) -> Option<Arc<HandlerHold>> {
        self.0.lock().get(handler).map(|local| Arc::clone(&local.shared))
    }

    /// Whether deliveries of a handler may be given out and not settled.
    pub(super) fn has_hold(&self, handler: &HandlerName) -> bool {
        self.shared(handler).is_some_and(|it| matches!(*it.hold.lock(), HoldState::Held(_)))
    }

    /// Ends a hold whose handler no node has any more, without waiting for the calls under way: they
    /// may wait for the log, which goes on only when the hold is gone.
    pub(super) fn take_back(&self, handler: &HandlerName) {
        let Some(shared) = self.shared(handler) else { return };
        let mut hold = shared.hold.lock();
        if matches!(*hold, HoldState::Held(_)) {
            *hold = HoldState::TakenBack;
        }
    }
}
