//! All handlers' states, made out of the records of the log in their order.

use std::collections::BTreeMap;

use super::handler_state::HandlerState;
use crate::event::HandlerName;
use crate::queue::embedded::record::{HandlerHead, Incarnation, Lsn, Section};

/// The states as they are at one LSN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandlerStates {
    states: BTreeMap<HandlerName, HandlerState>,
    /// The newest opening (later: lease) under which anything was recorded of each handler.
    epochs: BTreeMap<HandlerName, u64>,
    /// The newest incarnation of each handler that was forgotten: what is recorded of it or of an
    /// earlier one afterwards is void.
    forgotten: BTreeMap<HandlerName, Lsn>,
}

impl HandlerStates {
    /// States out of a snapshot that was written in `opening`: all that is recorded behind it is of
    /// that opening or of a later one.
    pub(crate) fn restored(states: BTreeMap<HandlerName, HandlerState>, opening: u64) -> Self {
        let epochs = states.keys().map(|handler| (handler.clone(), opening)).collect();
        Self { states, epochs, forgotten: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(crate) const fn states(&self) -> &BTreeMap<HandlerName, HandlerState> {
        &self.states
    }

    /// The state of a handler, where `incarnation` is its newest one.
    pub(crate) fn state_mut(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
    ) -> Option<&mut HandlerState> {
        self.states.get_mut(handler).filter(|state| state.incarnation() == incarnation)
    }

    pub(crate) fn into_states(self) -> BTreeMap<HandlerName, HandlerState> {
        self.states
    }

    /// A handler's state as it is before the first record that tells of it; nothing where that was
    /// told already, or where its subscription is over.
    pub(crate) fn begin(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
        state: impl FnOnce() -> HandlerState,
    ) {
        let subscribed = incarnation.subscribed;
        let is_over = self.forgotten.get(handler).is_some_and(|newest| subscribed <= *newest);
        let is_known = |known: &HandlerState| known.incarnation().subscribed >= subscribed;
        if !is_over && !self.states.get(handler).is_some_and(is_known) {
            self.states.insert(handler.clone(), state());
        }
    }

    /// A `Subscribed` record.
    pub(crate) fn subscribed(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
        epoch: u64,
    ) {
        if self.state_of(handler, incarnation).is_some() {
            self.begin_epoch(handler, epoch);
        }
    }

    /// A `Forgotten` record of the incarnation that `subscribed` began.
    pub(crate) fn forgotten(&mut self, handler: &HandlerName, subscribed: Lsn) {
        let newest = self.forgotten.entry(handler.clone()).or_default();
        *newest = subscribed.max(*newest);
        let is_it = |state: &HandlerState| state.incarnation().subscribed <= subscribed;
        if self.states.get(handler).is_some_and(is_it) {
            self.states.remove(handler);
            self.epochs.remove(handler);
        }
    }

    /// The handlers that a segment's head names are all that there are: one that is missing was
    /// forgotten, and one that is new was subscribed, in a record that could not be read.
    pub(crate) fn head(&mut self, handlers: &[HandlerHead]) {
        let gone: Vec<(HandlerName, Lsn)> = self
            .states
            .iter()
            .filter(|(handler, _)| handlers.iter().all(|head| head.handler != **handler))
            .map(|(handler, state)| (handler.clone(), state.incarnation().subscribed))
            .collect();
        for (handler, subscribed) in gone {
            self.forgotten(&handler, subscribed);
        }
        for head in handlers {
            self.state_of(&head.handler, head.incarnation);
        }
    }

    /// A section of a settle record; `false` = it is void: of another incarnation than the
    /// handler's newest one, or of an epoch that is over.
    pub(crate) fn section(&mut self, section: &Section) -> bool {
        let Section { handler, incarnation, epoch, changes } = section;
        if self.state_of(handler, *incarnation).is_none() || !self.begin_epoch(handler, *epoch) {
            return false;
        }
        let Some(state) = self.states.get_mut(handler) else { return false };
        for change in changes {
            state.apply(change);
        }
        true
    }

    /// Takes over a newer epoch; `false` = `epoch` is an older one, whose settlements are void.
    fn begin_epoch(&mut self, handler: &HandlerName, epoch: u64) -> bool {
        if let Some(newest) = self.epochs.get_mut(handler) {
            *newest = epoch.max(*newest);
            return *newest == epoch;
        }
        self.epochs.insert(handler.clone(), epoch);
        true
    }

    /// The state of `incarnation`, which takes the place of an older one; `None` = it is over.
    fn state_of(
        &mut self,
        handler: &HandlerName,
        incarnation: Incarnation,
    ) -> Option<&mut HandlerState> {
        if self.forgotten.get(handler).is_some_and(|newest| incarnation.subscribed <= *newest) {
            return None;
        }
        if !self.states.contains_key(handler) {
            self.states.insert(handler.clone(), HandlerState::new(incarnation));
        }
        let state = self.states.get_mut(handler)?;
        if state.incarnation().subscribed < incarnation.subscribed {
            *state = HandlerState::new(incarnation);
            self.epochs.remove(handler);
        }
        (state.incarnation() == incarnation).then_some(state)
    }
}
