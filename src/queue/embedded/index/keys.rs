//! The keys of the index's tables. A position is in front of each: facts about events that
//! are gone are then one range of each table.

use std::ops::Range;

use super::store::StoreError;
use crate::event::{HandlerName, Position};
use crate::queue::codec::{Put, Take};
use crate::queue::embedded::record::{Incarnation, Lsn};

/// Whose delivery of which event. Facts of an earlier subscription of the same name have another
/// key: they say nothing of this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeliveryKey {
    pub(crate) position: Position,
    pub(crate) handler: HandlerName,
    /// Where the `Subscribed` record of its incarnation is.
    pub(crate) subscribed: Lsn,
}

impl DeliveryKey {
    pub(crate) fn new(position: Position, handler: &HandlerName, incarnation: Incarnation) -> Self {
        Self { position, handler: handler.clone(), subscribed: incarnation.subscribed }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut key = position_key(self.position);
        key.put_raw(self.handler.as_str().as_bytes());
        // No name has a zero byte.
        key.put_u8(0);
        key.put_raw(&self.subscribed.0.to_be_bytes());
        key
    }

    /// Reads the front of a key; the rest comes with it.
    pub(super) fn split(key: &[u8]) -> Result<(Self, Take<'_>), StoreError> {
        let split = || {
            let mut take = Take(key);
            let position = Position(take_u64(&mut take)?);
            let end = take.0.iter().position(|byte| *byte == 0)?;
            let name = std::str::from_utf8(take.raw(end)?).ok()?;
            let handler = HandlerName::parse(name).ok()?;
            take.u8()?;
            let subscribed = Lsn(take_u64(&mut take)?);
            Some((Self { position, handler, subscribed }, take))
        };
        split().ok_or(StoreError::Bad)
    }
}

/// The front of every key about an event.
pub(super) fn position_key(position: Position) -> Vec<u8> {
    position.0.to_be_bytes().to_vec()
}

/// The position in front of a key.
pub(super) fn position_of(key: &[u8]) -> Result<Position, StoreError> {
    take_u64(&mut Take(key)).map(Position).ok_or(StoreError::Bad)
}

/// From the first key that begins with `prefix` to behind the last one.
pub(super) fn keys_with(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    // Longer than what follows any prefix.
    end.put_raw(&[0xff; 32]);
    prefix..end
}

pub(super) fn take_u64(take: &mut Take<'_>) -> Option<u64> {
    take.array().map(u64::from_be_bytes)
}

/// A time as a number that sorts like it.
pub(super) fn sortable(millis: i64) -> u64 {
    millis.cast_unsigned() ^ (1 << 63)
}

/// The time that [`sortable`] was made of.
pub(super) fn unsortable(number: u64) -> i64 {
    (number ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delivery_keys_come_back_and_sort_by_position(
            a in any::<u64>(),
            b in any::<u64>(),
            name in "[a-z][a-z0-9_-]{0,20}",
            subscribed in any::<u64>(),
        ) {
            let handler = HandlerName::parse(&name).unwrap();
            let key = |position| DeliveryKey {
                position: Position(position), handler: handler.clone(), subscribed: Lsn(subscribed),
            };
            let bytes = key(a).to_bytes();
            let (read, rest) = DeliveryKey::split(&bytes).unwrap();
            prop_assert_eq!(read, key(a));
            prop_assert!(rest.0.is_empty());
            prop_assert_eq!(position_of(&bytes).unwrap(), Position(a));
            prop_assert_eq!(a.cmp(&b), bytes.cmp(&key(b).to_bytes()));
            let keys = keys_with(position_key(Position(a)));
            prop_assert_eq!(keys.contains(&key(b).to_bytes()), a == b);
        }

        #[test]
        fn times_sort_like_their_numbers(a: i64, b: i64) {
            prop_assert_eq!(a.cmp(&b), sortable(a).cmp(&sortable(b)));
            prop_assert_eq!(unsortable(sortable(a)), a);
        }

        #[test]
        fn any_bytes_are_a_key_or_none(bytes: Vec<u8>) {
            if let Ok((key, rest)) = DeliveryKey::split(&bytes) {
                let mut whole = key.to_bytes();
                whole.put_raw(rest.0);
                prop_assert_eq!(whole, bytes);
            }
        }
    }
}
