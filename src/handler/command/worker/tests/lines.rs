//! One line for each event in a process, however often the event comes.

use std::num::NonZeroUsize;

use super::*;

/// Notes the id in each line that it reads, and answers once there is a file of that name.
const ON_REQUEST: &str = r#"
    while read -r line; do
        id=${line#*'"id":"'}; id=${id%%'"'*}
        echo "$id" >> seen
        while [ ! -e "$id" ]; do sleep 0.01; done
        read -r answer < "$id"
        echo '{"id":"'$id'",'"$answer"'}'
    done"#;

struct OnRequest {
    folder: tempfile::TempDir,
    handler: Box<dyn Handler>,
}

impl OnRequest {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let batch = NonZeroUsize::new(4);
        let context = BuildContext { concurrency: 1, batch, ..hasty(folder.path()) };
        let text = format!("{}\nmode = 'worker'\n{more}", sh(ON_REQUEST));
        let handler = settings("command", &text, folder.path()).build(&context).unwrap();
        Self { folder, handler }
    }

    /// Lets the worker answer event `number`.
    fn let_go(&self, number: u64, answer: &str) {
        let path = self.folder.path().join(id(number).to_string());
        let part = path.with_extension("part");
        std::fs::write(&part, format!("{answer}\n")).unwrap();
        std::fs::rename(part, path).unwrap();
    }

    fn seen(&self) -> Vec<String> {
        let seen = std::fs::read_to_string(self.folder.path().join("seen")).unwrap();
        seen.lines().map(str::to_owned).collect()
    }

    async fn wait_until_seen(&self, number: u64) {
        while !self.folder.path().join("seen").exists()
            || !self.seen().contains(&id(number).to_string())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn try_handle(&self, numbers: &[u64], attempt: u32) -> Result<(), Failure> {
        let delivery = |number: &u64| Delivery { attempt, ..numbered(*number, "1") };
        let deliveries: Vec<Delivery> = numbers.iter().map(delivery).collect();
        self.handler.handle(&deliveries).await.map(drop)
    }
}

const OK: &str = r#""ok":true"#;

#[tokio::test]
async fn event_that_comes_again_waits_for_the_answer_to_its_line() {
    let bench = OnRequest::new("");
    bench.let_go(1, OK);
    // The worker answers one of them, so it does not hang; it is at the second.
    let failure = bench.try_handle(&[1, 2, 3, 4], 1).await.unwrap_err();
    let (late, waits) = (FailureKind::Transient, FailureKind::Deferred);
    assert_eq!(each(&failure), [(id(2), late), (id(3), waits), (id(4), waits)]);
    for number in [2, 3, 4] {
        bench.let_go(number, OK);
    }
    bench.try_handle(&[3, 4], 1).await.unwrap();
    bench.try_handle(&[2], 2).await.unwrap();
    // Each was done once, and a replay does it once more.
    assert_eq!(bench.seen(), [1, 2, 3, 4].map(|number| id(number).to_string()));
    bench.try_handle(&[3], 1).await.unwrap();
    assert_eq!(bench.seen().len(), 5);
}

#[tokio::test]
async fn event_that_is_late_again_is_the_one_that_the_worker_is_at() {
    let bench = OnRequest::new("");
    bench.let_go(1, OK);
    let failure = bench.try_handle(&[1, 2, 3], 1).await.unwrap_err();
    let (late, waits) = (FailureKind::Transient, FailureKind::Deferred);
    assert_eq!(each(&failure), [(id(2), late), (id(3), waits)]);
    // The third was not begun, though the second is not waited for just now.
    let again = bench.try_handle(&[3], 1);
    let answers = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.let_go(2, OK);
        bench.wait_until_seen(3).await;
    };
    let (failure, ()) = tokio::join!(again, answers);
    assert_eq!(failure.unwrap_err().kind, late, "it is at the third by now");
    bench.let_go(3, OK);
    bench.try_handle(&[2, 3], 2).await.unwrap();
    assert_eq!(bench.seen().len(), 3);
}

#[tokio::test]
async fn answer_that_comes_between_two_deliveries_counts_for_the_second() {
    let bench = OnRequest::new("");
    bench.let_go(1, OK);
    bench.try_handle(&[1, 2, 3, 4], 1).await.unwrap_err();
    bench.let_go(2, OK);
    bench.let_go(3, r#""dead":"no such user""#);
    bench.let_go(4, r#""retry_after":30"#);
    bench.let_go(5, OK);
    bench.try_handle(&[5], 1).await.unwrap();
    bench.try_handle(&[2], 2).await.unwrap();
    let failure = bench.try_handle(&[3, 4], 1).await.unwrap_err();
    let (dead, later) = (FailureKind::Permanent, FailureKind::Transient);
    assert_eq!(each(&failure), [(id(3), dead), (id(4), later)]);
    assert_eq!(bench.seen().len(), 5);
}

#[tokio::test]
async fn worker_that_is_far_behind_takes_no_new_events() {
    let bench = OnRequest::new("");
    // It answers one event in each call, and so does not hang.
    for (numbers, number) in [([1, 2, 3, 4], 1), ([5, 6, 7, 8], 2)] {
        let answers = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            bench.let_go(number, OK);
        };
        let (failure, ()) = tokio::join!(bench.try_handle(&numbers, 1), answers);
        failure.unwrap_err();
    }
    let failure = bench.try_handle(&[9, 10], 1).await.unwrap_err();
    assert_eq!((failure.kind, failure.each.len()), (FailureKind::Paused, 0), "at once");
    assert_eq!(failure.text.as_str(), "the worker has 4 late events or more to answer");
    for number in 3..=12 {
        bench.let_go(number, OK);
    }
    bench.try_handle(&[2], 2).await.unwrap();
    bench.try_handle(&[3, 4, 5, 6, 7, 8], 1).await.unwrap();
    bench.try_handle(&[9, 10, 11, 12], 1).await.unwrap();
    assert_eq!(bench.seen().len(), 12);
}

#[tokio::test]
async fn several_workers_do_each_event_once() {
    let bench = OnRequest::new("workers = 2");
    for number in [1, 3] {
        bench.let_go(number, OK);
    }
    // One to each worker.
    let (one, two) = ([1, 2], [3, 4]);
    let (one, two) = tokio::join!(bench.try_handle(&one, 1), bench.try_handle(&two, 1));
    let late = FailureKind::Transient;
    assert_eq!(
        [one, two].map(|failure| each(&failure.unwrap_err())),
        [[(id(2), late)], [(id(4), late)]]
    );
    let answers = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for number in [2, 4] {
            bench.let_go(number, OK);
        }
    };
    let (again, ()) = tokio::join!(bench.try_handle(&[4, 2], 2), answers);
    again.unwrap();
    assert_eq!(bench.seen().len(), 4);
    bench.try_handle(&[2, 4], 1).await.unwrap();
    assert_eq!(bench.seen().len(), 6, "a replay");
}

#[tokio::test]
async fn worker_that_is_stuck_holds_up_none_of_the_others() {
    let bench = OnRequest::new("workers = 2");
    let others = async {
        bench.wait_until_seen(1).await;
        for number in 2..=9 {
            bench.let_go(number, OK);
            bench.try_handle(&[number], 1).await.unwrap();
        }
        bench.let_go(1, OK);
    };
    // It gets no second event while the other one has nothing to do.
    let (stuck, ()) = tokio::join!(bench.try_handle(&[1], 1), others);
    stuck.unwrap();
    assert_eq!(bench.seen().len(), 9);
}

#[tokio::test]
async fn answer_to_a_try_that_failed_is_none_to_a_replay() {
    let bench = OnRequest::new("");
    bench.let_go(1, OK);
    let failure = bench.try_handle(&[1, 2], 3).await.unwrap_err();
    assert_eq!(each(&failure), [(id(2), FailureKind::Transient)]);
    bench.let_go(2, OK);
    // Behind it in the same worker, so that one has been answered.
    bench.let_go(3, OK);
    bench.try_handle(&[3], 1).await.unwrap();
    bench.try_handle(&[2], 1).await.unwrap();
    assert_eq!(bench.seen(), [1, 2, 3, 2].map(|number| id(number).to_string()));
}
