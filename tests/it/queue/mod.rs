//! The conformance suite of the `Queue` seam: every promise is one function here, and runs over
//! every backend. A backend is a file with a [`Backend`] and one line of `conformance!`: `one_by_one`,
//! each a test of its own, or `together`, where what they need is slow to start.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gatepost::clock::{Clock, ManualClock, Timestamp};
use gatepost::event::{Delivery, EventId, Outcome};
use gatepost::queue::{Backlog, DeadFilter, Queue, Start, Subscription};

use crate::support::clock::BEGINNING;
use crate::support::events::{End, handler, new_event, settle, tried};
use crate::support::folder::TestFolder;

mod append;
mod closing;
mod dead;
mod order;
mod reading;
mod retry;
mod subscribe;

mod cluster;
mod embedded;
mod engines;
mod inline;

/// Opens queues of one kind.
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// The queue in `folder`, a new one where there is none. It is not open now.
    async fn open(&self, folder: &Path, clock: Arc<dyn Clock>) -> Arc<dyn Queue>;
}

/// A queue under test, with a clock that stands.
pub(crate) struct World<B> {
    backend: B,
    clock: Arc<ManualClock>,
    queue: Arc<dyn Queue>,
    folder: TestFolder,
}

impl<B: Backend> World<B> {
    async fn on(backend: B) -> Self {
        let clock = Arc::new(ManualClock::new(BEGINNING));
        let folder = TestFolder::new();
        let queue = backend.open(folder.path(), clock.clone()).await;
        Self { backend, clock, queue, folder }
    }

    /// Closes the queue and opens it again. Subscriptions must be gone by then.
    async fn reopen(&mut self) {
        let clock = self.clock.clone();
        self.reopen_with(clock).await;
    }

    async fn reopen_with(&mut self, clock: Arc<ManualClock>) {
        self.queue.close().await.unwrap();
        self.clock = clock;
        self.queue = self.backend.open(self.folder.path(), self.clock.clone()).await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn in_secs(&self, secs: u64) -> Timestamp {
        self.clock.steady().after(Duration::from_secs(secs))
    }

    fn advance_secs(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// Appends an event of this type.
    async fn append(&self, event_type: &str) -> EventId {
        let event = new_event(event_type, r#"{"n":1}"#, self.now());
        let id = self.queue.append(event).await.unwrap().id();
        // A node that shares its log takes an event before a slow engine has it.
        let is_in_log = async {
            while self.queue.get(id).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), is_in_log).await.expect("the log has it");
        id
    }

    async fn append_all(&self, event_types: &[&str]) {
        for event_type in event_types {
            self.append(event_type).await;
        }
    }

    async fn subscribe(&self, name: &str, start: Start) -> Box<dyn Subscription> {
        self.queue.subscribe(&handler(name), start).await.unwrap()
    }

    /// The subscription of handler `h`, from the oldest event on.
    async fn oldest(&self) -> Box<dyn Subscription> {
        self.subscribe("h", Start::Oldest).await
    }

    /// Asserts that nothing is due but what is appended by this. `next` gives entries first and
    /// the log in order, so whatever were due would come before it.
    async fn assert_nothing_due(&self, subscription: &dyn Subscription) {
        self.append("marker").await;
        let marker = take_types(subscription, &["marker"]).await;
        settle_all(subscription, marker, &Outcome::Delivered).await;
    }

    fn backlog(&self, name: &str) -> Backlog {
        let stats = self.queue.stats();
        stats.handlers.into_iter().find(|(found, _)| *found == handler(name)).unwrap().1
    }

    /// Dies of `error`.
    fn dead(&self, error: &str) -> End {
        tried(Outcome::Dead { order_key: None }, self.now(), error)
    }

    /// To be tried again in `secs`.
    fn retry(&self, secs: u64) -> End {
        tried(Outcome::Retry { at: self.in_secs(secs), order_key: None }, self.now(), "refused")
    }

    async fn n_dead(&self) -> usize {
        self.queue.dead(DeadFilter::default()).await.unwrap().len()
    }
}

/// The next `n` deliveries.
async fn take(subscription: &dyn Subscription, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < n {
        let next = subscription.next(n - taken.len());
        // Far beyond what any backend needs: a promise is broken, not late.
        let more = tokio::time::timeout(Duration::from_mins(1), next).await;
        let more = more.expect("something is due").unwrap();
        assert!(!more.is_empty());
        taken.extend(more);
    }
    assert_eq!(taken.len(), n);
    taken
}

async fn take_one(subscription: &dyn Subscription) -> Delivery {
    take(subscription, 1).await.remove(0)
}

fn types(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.event.event_type.as_str()).collect()
}

/// The next deliveries, which must be of these types, in this order.
async fn take_types(subscription: &dyn Subscription, expected: &[&str]) -> Vec<Delivery> {
    let taken = take(subscription, expected.len()).await;
    assert_eq!(types(&taken), expected);
    taken
}

async fn settle_all(subscription: &dyn Subscription, deliveries: Vec<Delivery>, outcome: &Outcome) {
    for delivery in deliveries {
        settle(subscription, delivery, outcome.clone()).await;
    }
}

/// Whether a promise is kept: it panics where it is not.
type Kept = Pin<Box<dyn Future<Output = ()>>>;

/// A promise, and what it is called.
struct Promise<B> {
    name: &'static str,
    keep: fn(World<B>) -> Kept,
}

/// All promises for `$backend`, by the macro `$how`.
macro_rules! conformance {
    ($how:ident $backend:ty) => {
        $crate::queue::$how! { $backend:
            append {
                positions_ascend_by_one_and_ids_with_them,
                ids_ascend_when_the_clock_is_set_back,
                an_event_comes_back_byte_for_byte,
                appends_at_once_each_get_a_place_of_their_own,
                positions_and_ids_go_on_after_a_restart,
                a_copy_within_the_window_answers_the_first_id,
                a_copy_after_the_window_is_a_new_event,
                two_copies_at_once_are_one_event,
                a_key_is_remembered_across_a_restart,
                without_a_key_equal_events_are_two,
                events_of_one_call_are_stored_in_order_each_with_its_own_key,
                events_of_one_call_are_one_commit,
            }
            subscribe {
                a_new_handler_begins_at_the_oldest_event_or_behind_the_newest,
                a_place_outlives_restarts_and_its_start_is_asked_once,
                every_handler_sees_every_event_whatever_the_others_do,
                a_handler_has_one_subscription_at_a_time,
                next_waits_for_an_append,
                next_gives_no_more_than_asked_for,
                next_stops_when_the_bodies_get_large,
                dropping_a_waiting_next_takes_nothing,
                what_is_taken_is_not_given_out_again,
                what_was_taken_and_not_settled_comes_back_at_the_next_start,
                what_was_taken_and_not_settled_comes_back_to_the_next_subscription,
                what_was_settled_out_of_order_does_not_come_back,
                a_released_delivery_is_due_again_at_once,
            }
            retry {
                a_retry_comes_when_it_is_due_and_counts_up,
                a_settlement_without_a_try_does_not_count,
                a_hastened_retry_comes_at_once,
                a_hastened_retry_that_is_not_tried_stays_due,
                retries_come_in_due_order_before_the_log,
                a_retry_does_not_keep_the_log_waiting,
                a_retry_survives_a_restart,
                next_wakes_when_a_retry_is_due,
                a_jump_of_the_wall_clock_neither_fires_nor_stalls_a_retry,
                a_clock_that_was_set_back_before_a_start_does_not_stall_a_retry,
            }
            order {
                a_held_delivery_waits_until_it_is_let_go,
                only_the_first_of_a_line_is_let_go,
                other_keys_go_on,
                letting_go_does_not_pass_a_retry,
                a_key_waits_for_earlier_entries_that_are_not_taken,
                a_settled_entry_lets_the_next_one_go,
                a_dead_letter_that_lets_go_frees_its_line,
                a_dead_letter_that_holds_keeps_its_line_until_it_is_dropped,
                a_redriven_dead_letter_stays_in_front_of_its_line,
                a_line_keeps_its_order_across_a_restart,
                the_first_of_a_line_goes_after_a_restart_when_nothing_is_before_it,
                a_held_delivery_does_not_overtake_the_log_after_a_restart,
            }
            dead {
                a_dead_letter_says_what_it_was_and_why,
                a_dead_letter_does_not_come_back_by_itself,
                dead_letters_are_found_by_each_filter,
                dead_letters_that_are_named_come_in_their_order,
                a_redriven_dead_letter_begins_at_attempt_1,
                only_what_matches_is_redriven,
                a_dropped_dead_letter_is_gone,
                a_replayed_event_is_a_new_delivery_for_one_handler,
                a_replay_survives_a_restart,
                a_replay_of_what_is_pending_changes_nothing,
                a_replay_for_nobody_or_of_nothing_says_so,
                many_events_are_replayed_at_once_in_the_order_of_the_log,
            }
            reading {
                an_event_is_found_by_its_id,
                events_are_listed_from_either_end,
                a_list_goes_on_where_the_last_page_ended,
                a_list_is_narrowed_by_source_type_and_time,
                a_list_has_at_least_one_place_and_at_most_the_limit,
                a_list_ends_where_the_bodies_get_large,
                history_tells_every_try_and_how_each_handler_stands,
                history_survives_a_restart,
                stats_count_what_waits_and_what_is_dead,
                many_settled_at_once_are_each_settled,
                the_oldest_pending_event_is_the_oldest_not_settled,
            }
            closing {
                a_forgotten_handler_begins_anew,
                a_subscribed_handler_is_not_forgotten,
                after_closing_every_call_says_closed,
                closing_ends_a_waiting_next,
                an_open_queue_takes_a_probe,
            }
        }
    };
}

/// One test per promise; `$backend` is made of nothing.
macro_rules! one_by_one {
    ($backend:ty: $($module:ident { $($promise:ident,)* })*) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $promise() {
                    let backend = <$backend>::default();
                    $crate::queue::$module::$promise($crate::queue::World::on(backend).await).await;
                }
            )*
        }
    )*};
}

/// A list of them, `PROMISES`.
macro_rules! together {
    ($backend:ty: $($module:ident { $($promise:ident,)* })*) => {
        const PROMISES: &[$crate::queue::Promise<$backend>] = &[$($($crate::queue::Promise {
            name: concat!(stringify!($module), "::", stringify!($promise)),
            keep: |world| Box::pin($crate::queue::$module::$promise(world)),
        },)*)*];
    };
}

use {conformance, one_by_one, together};
