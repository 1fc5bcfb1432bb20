//! Lives of the process that it does not survive.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::handler::testing::numbered;

const TIMEOUT: Duration = Duration::from_secs(30);

fn handler() -> HandlerName {
    HandlerName::parse("said").unwrap()
}

fn other() -> HandlerName {
    HandlerName::parse("other").unwrap()
}

/// Begins a call that does not end in this life of the process.
async fn begin(attempts: &Attempts, handler: &HandlerName, of: &[Delivery]) -> &'static str {
    let begun = attempts.begin(handler, of, TIMEOUT).await;
    let text = match &begun {
        Beginning::Begun(_) => "begun",
        Beginning::OneByOne => "one by one",
        Beginning::Later => "later",
        Beginning::SetAside => "set aside",
    };
    std::mem::forget(begun);
    text
}

/// Begins a call in a life of the process that it does not survive.
async fn dies(path: &Path, deliveries: &[Delivery]) -> &'static str {
    let attempts = Attempts::open(path.to_owned()).unwrap();
    begin(&attempts, &handler(), deliveries).await
}

#[tokio::test]
async fn what_the_process_did_not_survive_twice_is_not_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts");
    let bad = [numbered(1, "{}")];
    for expected in ["begun", "begun", "begun", "set aside", "begun"] {
        assert_eq!(dies(&path, &bad).await, expected);
    }
    Attempts::close(&path).unwrap();
    for _ in 0..3 {
        assert_eq!(dies(&path, &bad).await, "begun");
        Attempts::close(&path).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_alone_in_its_handler_and_no_suspect_any_more_once_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts");
    let both = [numbered(1, "1"), numbered(2, "2")];
    let fresh = [numbered(3, "3")];
    assert_eq!(dies(&path, &[]).await, "begun");
    assert_eq!(dies(&path, &both).await, "begun");
    let attempts = Attempts::open(path.clone()).unwrap();
    assert_eq!(begin(&attempts, &handler(), &both).await, "one by one");
    let one = attempts.begin(&handler(), &both[..1], TIMEOUT).await;
    for waits in [&fresh[..], &both[1..]] {
        let began = Instant::now();
        assert_eq!(begin(&attempts, &handler(), waits).await, "later");
        assert_eq!(began.elapsed(), TIMEOUT);
    }
    drop(attempts.begin(&other(), &fresh, TIMEOUT).now_or_never().expect("others go on"));
    drop(one);
    let again = attempts.begin(&handler(), &both[..1], TIMEOUT).await;
    assert!(matches!(again, Beginning::Begun(_)));
    drop(again);
    drop(attempts);
    let attempts = Attempts::open(path).unwrap();
    let left = lock(attempts.log.as_ref().unwrap()).begun.clone();
    assert_eq!(left, BTreeMap::from([((handler(), both[1].event.id), 1)]));
}

#[tokio::test(start_paused = true)]
async fn of_several_handlers_suspects_only_the_one_that_ends_the_process_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts");
    let (slow, bad) = ([numbered(1, "1")], [numbered(2, "2")]);
    drop(Attempts::open(path.clone()).unwrap());
    for _ in 0..2 {
        let attempts = Attempts::open(path.clone()).unwrap();
        assert_eq!(begin(&attempts, &other(), &slow).await, "begun");
        assert_eq!(begin(&attempts, &handler(), &bad).await, "begun");
    }
    let attempts = Attempts::open(path.clone()).unwrap();
    let under_way = attempts.begin(&other(), &slow, TIMEOUT).await;
    assert!(matches!(under_way, Beginning::Begun(_)));
    assert_eq!(begin(&attempts, &handler(), &bad).await, "later");
    drop(under_way);
    assert_eq!(begin(&attempts, &handler(), &bad).await, "begun");
    let attempts = Attempts::open(path).unwrap();
    assert_eq!(begin(&attempts, &handler(), &bad).await, "set aside");
    assert_eq!(begin(&attempts, &other(), &slow).await, "begun");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_lived_for_a_while_notes_suspects_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts");
    drop(Attempts::open(path.clone()).unwrap());
    let (suspect, fresh) = ([numbered(1, "1")], [numbered(2, "2")]);
    assert_eq!(dies(&path, &suspect).await, "begun");
    let attempts = Attempts::open(path.clone()).unwrap();
    tokio::time::advance(NOTED_FOR).await;
    assert_eq!(begin(&attempts, &other(), &fresh).await, "begun");
    assert_eq!(begin(&attempts, &handler(), &suspect).await, "begun");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&fresh[0].event.id.to_string()), "{text}");
    assert_eq!(dies(&path, &suspect).await, "set aside");
}

#[tokio::test]
async fn the_file_of_many_calls_stays_small_and_says_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempts");
    drop(Attempts::open(path.clone()).unwrap());
    let attempts = Attempts::open(path.clone()).unwrap();
    let bad = [numbered(1, "1")];
    assert_eq!(begin(&attempts, &handler(), &bad).await, "begun");
    for number in 2..20_000 {
        drop(attempts.begin(&other(), &[numbered(number, "{}")], TIMEOUT).await);
    }
    assert!(path.metadata().unwrap().len() <= (1 << 20) + 200);
    drop(attempts);
    assert_eq!(dies(&path, &bad).await, "begun");
    assert_eq!(dies(&path, &bad).await, "set aside");
}
