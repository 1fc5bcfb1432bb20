//! The handlers that this node is configured for, and what is on its way for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::local_node::OperationAnswer;
use crate::event::HandlerName;
use crate::sync::lock;

/// Every handler that had a subscription in this process.
#[derive(Debug, Default)]
pub(super) struct LocalHandlers(Mutex<BTreeMap<HandlerName, LocalHandler>>);

#[derive(Debug, Default)]
struct LocalHandler {
    is_subscribed: bool,
    /// Its subscription has hold of the copy's state.
    has_hold: bool,
    settling: Arc<Settling>,
}

/// Settlements that are proposed and not applied: how many changes each makes, and what comes of it.
pub(super) type Settling = Mutex<VecDeque<(u64, OperationAnswer)>>;

impl LocalHandlers {
    /// Subscribes a handler; `None` = it has a subscription. What an earlier one has left on its way has to
    /// arrive before this one gives out anything.
    pub(super) fn subscribe(&self, handler: &HandlerName) -> Option<Arc<Settling>> {
        let mut handlers = lock(&self.0);
        let local = handlers.entry(handler.clone()).or_default();
        let is_new = !std::mem::replace(&mut local.is_subscribed, true);
        is_new.then(|| Arc::clone(&local.settling))
    }

    /// Its subscription is gone.
    pub(super) fn unsubscribe(&self, handler: &HandlerName) {
        if let Some(local) = lock(&self.0).get_mut(handler) {
            (local.is_subscribed, local.has_hold) = (false, false);
        }
    }

    pub(super) fn names(&self) -> Vec<HandlerName> {
        let handlers = lock(&self.0);
        let subscribed = handlers.iter().filter(|(_, local)| local.is_subscribed);
        subscribed.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn is_wanted(&self, handler: &HandlerName) -> bool {
        lock(&self.0).get(handler).is_some_and(|local| local.is_subscribed)
    }

    /// Whether deliveries of a handler may be given out and not settled.
    pub(super) fn has_hold(&self, handler: &HandlerName) -> bool {
        lock(&self.0).get(handler).is_some_and(|local| local.has_hold)
    }

    /// Notes that its subscription takes hold, or lets go.
    pub(super) fn note_hold(&self, handler: &HandlerName, has_hold: bool) {
        if let Some(local) = lock(&self.0).get_mut(handler) {
            local.has_hold = has_hold;
        }
    }
}
