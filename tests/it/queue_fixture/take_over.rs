//! The embedded queue takes over what version 1 left.

use std::sync::Arc;
use std::time::Duration;

use gatepost::clock::{Clock, ManualClock};
use gatepost::queue::Queue;
use gatepost::queue::embedded::{EmbeddedQueue, Settings};
use tempfile::TempDir;

use super::describe::describe;
use super::{fixture, scenario, unpack};

/// The lines of one part of the text.
fn part<'t>(text: &'t str, title: &str) -> Vec<&'t str> {
    let from = text.lines().skip_while(|line| *line != title).skip(1);
    from.take_while(|line| !line.starts_with('#')).filter(|line| !line.is_empty()).collect()
}

async fn text_after(n_openings: usize) -> String {
    let folder = TempDir::new().unwrap();
    unpack(&fixture("v1"), folder.path());
    let clock = Arc::new(ManualClock::new(scenario::end()));
    let open = || {
        let retention = Duration::from_hours(24 * 10_000);
        let settings = Settings { retention, ..Settings::new(folder.path()) };
        EmbeddedQueue::open(settings, Arc::clone(&clock) as Arc<dyn Clock>).unwrap()
    };
    for _ in 1..n_openings {
        open().close().await.unwrap();
    }
    let queue = open();
    let text = describe(&queue, &clock).await;
    assert_eq!(queue.stats().damage, Vec::<String>::new());
    queue.close().await.unwrap();
    let journal: Vec<_> = std::fs::read_dir(folder.path().join("journal")).unwrap().collect();
    assert_eq!(journal.len(), 1, "the stub that keeps version 1 away");
    text
}

#[tokio::test]
async fn version_1_is_taken_over_with_its_events_keys_and_deliveries() {
    let expected = std::fs::read_to_string(fixture("v1").join("expected.txt")).unwrap();
    for n_openings in [1, 2] {
        let found = text_after(n_openings).await;
        for title in ["# Events that are there", "# Copies, and the event that each repeats"] {
            let (found, expected) = (part(&found, title), part(&expected, title));
            assert!(!expected.is_empty());
            assert_eq!(found, expected, "{title}");
        }
        let titles: Vec<&str> = expected.lines().filter(|line| line.starts_with("# ")).collect();
        let (handlers, deliveries): (Vec<&str>, Vec<&str>) =
            titles.into_iter().skip(2).partition(|title| title.starts_with("# Handler"));
        assert!(handlers.len() > 2 && !deliveries.is_empty());
        for title in handlers {
            // The tries of what had ended are not taken over; what stands is.
            let stands =
                |line: &&str| line.starts_with("dead letter") || line.contains("unsettled");
            let found: Vec<&str> = part(&found, title).into_iter().filter(stands).collect();
            let expected: Vec<&str> = part(&expected, title).into_iter().filter(stands).collect();
            assert_eq!(found, expected, "{title}");
        }
        for title in deliveries {
            assert_eq!(part(&found, title), part(&expected, title), "{title}");
        }
    }
}
