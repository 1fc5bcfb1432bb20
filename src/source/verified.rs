//! What a request is once it is believed.

use std::net::IpAddr;

use crate::event::{DataRoot, EventType};

use super::algorithm::Algorithm;
use super::identity::Identity;
use super::items::ItemList;

/// Proof that a request's signature was good.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) event_type: EventType,
    pub(super) identity: Identity,
    /// The request's method where it is another than POST.
    pub(super) method: Option<String>,
    /// What its query says, but for passwords, signatures and the time of sending.
    pub(super) query: String,
    /// What stands in the place of a body that is missing: its query, as far as that is believed.
    pub(super) form_for_body: Option<String>,
    pub(super) data_root: DataRoot,
    pub(super) is_json: bool,
    /// How it was believed.
    pub(super) algorithm: Algorithm,
    /// Whether by a key that its sender publishes, and by none of the source's secrets.
    pub(super) is_by_fetched: bool,
    pub(super) secret_index: usize,
    /// Its sender's address, where that is known.
    pub(super) client: Option<IpAddr>,
    /// The items of its list, where each becomes an event.
    pub(super) items: Option<Box<ItemList>>,
    /// It is a list that stays one event, against the source's `split`.
    pub(super) is_unsplit: bool,
}

impl Verified {
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// What the sender calls this delivery: the same when it tries again.
    pub fn delivery_id(&self) -> Option<&str> {
        self.identity.id()
    }

    #[must_use]
    pub fn from_client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// What is the payload of a request without a body: what its query says, a form, without passwords and
    /// signatures. Beside a signature only what that covers: who saw such a request could write another query.
    pub fn form_for_body(&self) -> Option<&str> {
        self.form_for_body.as_deref()
    }

    /// Whether its sender showed who it is, by a signature or a password.
    pub fn is_of_known_sender(&self) -> bool {
        self.algorithm != Algorithm::None
    }

    /// Whether the body came under a signature, as opposed to beside a password.
    pub(super) fn is_signed(&self) -> bool {
        self.algorithm.signs()
    }

    pub fn data_root(&self) -> DataRoot {
        self.data_root
    }

    /// Whether it carries a list that was to become one event for each item, and stays one event.
    pub fn is_unsplit(&self) -> bool {
        self.is_unsplit
    }

    /// Which of the source's secrets it was signed with, counted from 0.
    pub fn secret_index(&self) -> usize {
        self.secret_index
    }
}
