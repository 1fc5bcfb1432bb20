//! Who takes part, who may deliver to which handler, and which is paused: a function of the shared log's
//! units, and of nothing else. No clock is asked: whether a node is silent is what others find, and say by
//! a claim.

use std::collections::BTreeMap;

use crate::event::{HandlerName, Position};
use crate::queue::codec::{Put, Take};

use super::engine::Sequence;
use super::node::NodeName;
use super::unit::{Author, SpoolPlaces};

/// The layout of the note in which it is kept; the one before had no pauses, and 1 no newest unit.
const LAYOUT: u8 = 3;
const WITHOUT_PAUSES: u8 = 2;

/// Every node that was ever heard of, and every lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    nodes: BTreeMap<NodeName, Member>,
    leases: BTreeMap<HandlerName, Lease>,
    /// The handlers that get nothing, with the words of their pauses.
    pauses: BTreeMap<HandlerName, String>,
    /// The newest unit that this was made of, and its checksum (CRC-32C).
    newest: Option<(Sequence, u32)>,
}

/// What the log says of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    session: u64,
    /// Of its newest unit that counts.
    number: u64,
    /// The spool that its events come from; 0 = none yet.
    spool: u64,
    /// Up to here the spool's events were applied.
    forwarded: Position,
    /// How far it says it has applied the log.
    pub(super) applied: u64,
    /// The handlers that it is configured for.
    pub(super) handlers: Vec<HandlerName>,
    /// It was stopped in order.
    pub(super) has_left: bool,
}

/// Who may deliver to a handler and settle for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    /// `None` = it is free.
    pub(super) owner: Option<NodeName>,
    /// The place of the unit by which it was taken: later than any before.
    pub(super) epoch: u64,
}

impl Members {
    /// Notes the newest unit that was applied.
    pub(super) const fn note_newest(&mut self, at: Sequence, crc: u32) {
        self.newest = Some((at, crc));
    }

    /// The newest unit that was applied, and its checksum; `None` = it is not known.
    pub(super) const fn newest(&self) -> Option<(Sequence, u32)> {
        self.newest
    }

    /// Whether a node has begun anew with this unit.
    pub(super) fn is_new_session(&self, author: &Author) -> bool {
        self.nodes.get(&author.node).is_none_or(|member| author.session > member.session)
    }

    /// The newest session of a node; 0 = it is not known.
    pub(super) fn session(&self, node: &NodeName) -> u64 {
        self.nodes.get(node).map_or(0, |member| member.session)
    }

    /// Whether a unit counts: it did not come before, and its node has not begun anew since. The first
    /// one of a session frees what the session before held: that ended with its process.
    pub(super) fn admit(&mut self, author: &Author) -> bool {
        let member = self.nodes.entry(author.node.clone()).or_default();
        if author.session > member.session {
            (member.session, member.number) = (author.session, 0);
            member.has_left = false;
            self.free_leases(&author.node);
            return true;
        }
        author.session == member.session && author.number > member.number
    }

    /// Everything of a unit was applied: it is void from now on.
    pub(super) fn finish(&mut self, author: &Author) {
        if let Some(member) = self.nodes.get_mut(&author.node) {
            member.number = member.number.max(author.number);
        }
    }

    /// Whether all was applied that a node proposed of its spool before these places.
    pub(super) fn follows(&self, node: &NodeName, places: SpoolPlaces) -> bool {
        places.after <= self.forwarded(node, places.spool)
    }

    /// Whether an event of a node's spool is applied for the first time.
    pub(super) fn admit_spooled(&mut self, node: &NodeName, spool: u64, place: Position) -> bool {
        let Some(member) = self.nodes.get_mut(node) else { return false };
        if member.spool != spool {
            (member.spool, member.forwarded) = (spool, Position(0));
        }
        let is_first = place > member.forwarded;
        member.forwarded = member.forwarded.max(place);
        is_first
    }

    /// Up to here the events of a node's spool were applied.
    pub(super) fn forwarded(&self, node: &NodeName, spool: u64) -> Position {
        let member = self.nodes.get(node).filter(|member| member.spool == spool);
        member.map(|member| member.forwarded).unwrap_or_default()
    }

    /// Gives a lease to a node that has named its newest epoch, the lease's epoch being the place of its
    /// unit; `false` = another was faster.
    pub(super) fn claim(
        &mut self,
        node: &NodeName,
        handler: &HandlerName,
        before: u64,
        at: Sequence,
    ) -> bool {
        let lease = self.leases.entry(handler.clone()).or_default();
        if lease.epoch != before {
            return false;
        }
        *lease = Lease { owner: Some(node.clone()), epoch: at.0 };
        true
    }

    /// Frees a lease, if the node still has it.
    pub(super) fn release(&mut self, node: &NodeName, handler: &HandlerName, epoch: u64) -> bool {
        let is_held = self.holds(node, handler, epoch);
        if is_held && let Some(lease) = self.leases.get_mut(handler) {
            lease.owner = None;
        }
        is_held
    }

    /// Whether what a node settles for a handler counts.
    pub(super) fn holds(&self, node: &NodeName, handler: &HandlerName, epoch: u64) -> bool {
        let lease = self.leases.get(handler);
        lease.is_some_and(|lease| lease.owner.as_ref() == Some(node) && lease.epoch == epoch)
    }

    /// A sign of life.
    pub(super) fn beat(&mut self, node: &NodeName, applied: Sequence, handlers: Vec<HandlerName>) {
        if let Some(member) = self.nodes.get_mut(node) {
            (member.applied, member.handlers) = (applied.0, handlers);
        }
    }

    /// The node was stopped in order.
    pub(super) fn leave(&mut self, node: &NodeName) {
        if let Some(member) = self.nodes.get_mut(node) {
            member.has_left = true;
            member.handlers.clear();
        }
        self.free_leases(node);
    }

    fn free_leases(&mut self, node: &NodeName) {
        for lease in self.leases.values_mut().filter(|lease| lease.owner.as_ref() == Some(node)) {
            lease.owner = None;
        }
    }

    /// A handler's lease; one that was never taken is free.
    pub(super) fn lease(&self, handler: &HandlerName) -> Lease {
        self.leases.get(handler).cloned().unwrap_or_default()
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = (&HandlerName, &Lease)> {
        self.leases.iter()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.nodes.iter()
    }

    /// Pauses a handler, changes the words of its pause, or ends it; `false` = nothing is changed. `of` =
    /// only while its pause says so.
    pub(super) fn set_pause(
        &mut self,
        handler: &HandlerName,
        of: Option<&str>,
        pause: Option<String>,
    ) -> bool {
        let before = self.pauses.get(handler).map(String::as_str);
        if before == pause.as_deref() || of.is_some_and(|of| before != Some(of)) {
            return false;
        }
        match pause {
            Some(pause) => self.pauses.insert(handler.clone(), pause),
            None => self.pauses.remove(handler),
        };
        true
    }

    /// The words of a handler's pause; `None` = it gets deliveries.
    pub(super) fn pause_of(&self, handler: &HandlerName) -> Option<&str> {
        self.pauses.get(handler).map(String::as_str)
    }

    pub(super) const fn pauses(&self) -> &BTreeMap<HandlerName, String> {
        &self.pauses
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        let (at, crc) = self.newest.map_or((0, 0), |(at, crc)| (at.0, crc));
        out.put_varint(at);
        out.put_varint(crc.into());
        out.put_varint(self.nodes.len() as u64);
        for (name, member) in &self.nodes {
            out.put_bytes(name.as_str().as_bytes());
            let Member { session, number, spool, forwarded, applied, handlers, has_left } = member;
            for value in [*session, *number, *spool, forwarded.0, *applied] {
                out.put_varint(value);
            }
            out.put_varint(handlers.len() as u64);
            for handler in handlers {
                out.put_bytes(handler.as_str().as_bytes());
            }
            out.put_u8((*has_left).into());
        }
        out.put_varint(self.leases.len() as u64);
        for (handler, Lease { owner, epoch }) in &self.leases {
            out.put_bytes(handler.as_str().as_bytes());
            // No node has an empty name.
            out.put_bytes(owner.as_ref().map_or("", NodeName::as_str).as_bytes());
            out.put_varint(*epoch);
        }
        out.put_varint(self.pauses.len() as u64);
        for (handler, pause) in &self.pauses {
            out.put_bytes(handler.as_str().as_bytes());
            out.put_bytes(pause.as_bytes());
        }
        out
    }

    /// Reads what [`Members::encode`] wrote; `None` = a newer version did.
    pub(super) fn decode(note: &[u8]) -> Option<Self> {
        let mut take = Take(note);
        let mut members = Self::default();
        let layout = take.u8()?;
        match layout {
            1 => {}
            WITHOUT_PAUSES | LAYOUT => {
                let (at, crc) = (take.varint()?, u32::try_from(take.varint()?).ok()?);
                members.newest = (at > 0).then_some((Sequence(at), crc));
            }
            _ => return None,
        }
        for _ in 0..take.varint()? {
            let name = NodeName::parse(take.text()?).ok()?;
            let (session, number, spool) = (take.varint()?, take.varint()?, take.varint()?);
            let (forwarded, applied) = (Position(take.varint()?), take.varint()?);
            let mut handlers = Vec::new();
            for _ in 0..take.varint()? {
                handlers.push(HandlerName::parse(take.text()?).ok()?);
            }
            let has_left = take.u8()? != 0;
            let member = Member { session, number, spool, forwarded, applied, handlers, has_left };
            members.nodes.insert(name, member);
        }
        for _ in 0..take.varint()? {
            let handler = HandlerName::parse(take.text()?).ok()?;
            let owner = Some(take.text()?).filter(|name| !name.is_empty());
            let owner = owner.map(NodeName::parse).transpose().ok()?;
            members.leases.insert(handler, Lease { owner, epoch: take.varint()? });
        }
        let n_pauses = if layout == LAYOUT { take.varint()? } else { 0 };
        for _ in 0..n_pauses {
            let handler = HandlerName::parse(take.text()?).ok()?;
            members.pauses.insert(handler, take.text()?.to_owned());
        }
        take.0.is_empty().then_some(members)
    }
}
