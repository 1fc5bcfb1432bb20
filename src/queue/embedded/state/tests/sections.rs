//! Sections of handlers that were forgotten, or of an epoch that is over.

use super::*;

fn section(subscribed: u64, epoch: u64, changes: Vec<DeliveryRecord>) -> Section {
    let handler = HandlerName::parse("mail").unwrap();
    Section { handler, incarnation: incarnation(subscribed), epoch, changes }
}

fn delivered(subscribed: u64, epoch: u64, position: u64) -> Section {
    section(subscribed, epoch, vec![change(position, 1, NewState::Delivered)])
}

fn high_of(states: &HandlerStates) -> Option<Position> {
    states.states().get(&HandlerName::parse("mail").unwrap()).map(HandlerState::high)
}

#[test]
fn sections_of_another_incarnation_are_void() {
    let handler = HandlerName::parse("mail").unwrap();
    let mut states = HandlerStates::default();
    states.subscribed(&handler, incarnation(100), 1);
    assert!(states.section(&delivered(100, 1, 5)));
    assert_eq!(high_of(&states), Some(Position(6)));

    states.forgotten(&handler, Lsn(100));
    assert!(!states.section(&delivered(100, 1, 6)), "it was forgotten");
    assert_eq!(high_of(&states), None);

    states.subscribed(&handler, incarnation(200), 1);
    assert!(!states.section(&delivered(100, 1, 7)), "recorded late for the one before");
    assert_eq!(high_of(&states), Some(SINCE));
}

#[test]
fn handlers_whose_subscribed_record_is_unreadable_are_made_again() {
    let mut states = HandlerStates::default();
    assert!(states.section(&delivered(100, 1, 9)), "by its first section");
    assert_eq!(high_of(&states), Some(Position(10)));
    assert!(states.section(&delivered(200, 1, 5)), "forgotten and subscribed, neither readable");
    assert_eq!(high_of(&states), Some(Position(6)));

    let handler = HandlerName::parse("mail").unwrap();
    let mut states = HandlerStates::default();
    states.head(&[HandlerHead { handler, incarnation: incarnation(100) }]);
    assert_eq!(high_of(&states), Some(SINCE), "by a segment's head");
    states.head(&[]);
    assert_eq!(high_of(&states), None, "forgotten");
    assert!(!states.section(&delivered(100, 1, 9)));
}

#[test]
fn sections_of_an_epoch_that_is_over_are_void() {
    let mut states = HandlerStates::default();
    assert!(states.section(&delivered(100, 2, 5)));
    assert!(!states.section(&delivered(100, 1, 6)));
    assert_eq!(high_of(&states), Some(Position(6)));
    assert!(states.section(&delivered(100, 2, 6)));
    assert!(states.section(&delivered(100, 3, 7)));
    assert_eq!(high_of(&states), Some(Position(8)));
}
