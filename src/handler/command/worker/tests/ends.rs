//! How workers end, and what is kept of their last words.

use super::*;
use crate::event::Excerpt;

#[tokio::test]
async fn a_worker_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let context = hasty(folder.path());
    let handler = build(OBEDIENT, &context);
    let failure = handler.handle(&batch(&["silent"])).await.unwrap_err();
    let expected = Failure::transient(
        "no answer after 2s700ms of its 3s: a worker has to flush each line that it prints",
    );
    assert_eq!(failure, expected.with_class(FailureClass::Timeout));
    wait_until_gone(read_number(&folder.path().join("pid")).await).await;
}

#[tokio::test]
async fn worker_that_hangs_may_tidy_up_and_what_comes_meanwhile_waits() {
    let folder = tempfile::tempdir().unwrap();
    let context = hasty(folder.path());
    let tidy_up = "while [ ! -e go ]; do sleep 0.01; done; echo > tidy; exit 1";
    let script = format!("trap '{tidy_up}' TERM; sleep 1000 & while :; do wait; done");
    let handler = build(&script, &context);
    handler.handle(&batch(&["silent"])).await.unwrap_err();
    let failure = handler.handle(&batch(&["silent"])).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Paused, "{failure}");
    std::fs::write(folder.path().join("go"), "").unwrap();
    let tidy = folder.path().join("tidy");
    while !tidy.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_worker_said_on_stderr_is_kept_with_its_failure() {
    let bench = Bench::new(
        r#"
        while read -r line; do
            id=${line#*'"id":"'}; id=${id%%'"'*}
            case "$line" in
                *'"payload":"bad"'*) echo "trace of $id" >&2; sleep 1
                    echo '{"id":"'$id'","ok":false,"error":"no"}';;
                *) echo "fine" >&2; sleep 1; echo '{"id":"'$id'","ok":true}';;
            esac
        done"#,
    );
    assert!(bench.handler.handle(&batch(&["ok"])).await.unwrap().is_empty());
    let failure = bench.handle(&["bad"]).await.unwrap_err();
    let said: Vec<&str> = failure.output.excerpts().iter().map(Excerpt::text).collect();
    assert_eq!(said, [format!("trace of {}", id(1))], "and nothing from before");
    let failure = bench.handle(&["ok", "bad"]).await.unwrap_err();
    let said: Vec<&str> = failure.each[0].1.output.excerpts().iter().map(Excerpt::text).collect();
    assert_eq!(said, [format!("fine\ntrace of {}", id(2))]);
}

#[tokio::test]
async fn closing_lets_the_worker_finish() {
    let bench = Bench::new(OBEDIENT);
    bench.handle(&["ok"]).await.unwrap();
    bench.handler.close().await;
    assert!(bench.folder.path().join("closed").exists());
}

#[tokio::test]
async fn a_worker_that_does_not_finish_is_killed() {
    let bench = Bench::new(
        r#"
        read -r line; id=${line#*'"id":"'}; id=${id%%'"'*}
        echo $$ > pid
        echo '{"id":"'$id'","ok":true}'
        trap : TERM
        sleep 1000; sleep 1000"#,
    );
    bench.handle(&["ok"]).await.unwrap();
    let pid = bench.pid().await;
    // The time passes at once.
    tokio::time::pause();
    bench.handler.close().await;
    tokio::time::resume();
    wait_until_gone(pid).await;
}

#[tokio::test]
async fn a_worker_that_does_not_see_the_end_of_its_input_is_asked_to_end() {
    let bench = Bench::new(
        r#"
        trap 'echo > asked; exit 0' TERM
        echo $$ > pid
        read -r line; id=${line#*'"id":"'}; id=${id%%'"'*}
        echo '{"id":"'$id'","ok":true}'
        sleep 1000 & while :; do wait; done"#,
    );
    bench.handle(&["ok"]).await.unwrap();
    bench.handler.close().await;
    assert!(bench.folder.path().join("asked").exists());
}

#[tokio::test]
async fn worker_that_runs_does_what_another_cannot_be_started_for() {
    let folder = tempfile::tempdir().unwrap();
    let context = BuildContext { clock: Arc::new(SystemClock::new()), ..context(folder.path()) };
    let text = format!("{}\nmode = 'worker'\nworkers = 2", sh(OBEDIENT));
    let handler = settings("command", &text, folder.path()).build(&context).unwrap();
    handler.handle(&batch(&["ok"])).await.unwrap();
    // No other one starts where there is no folder for it.
    std::fs::remove_dir_all(folder.path()).unwrap();
    for _ in 0..3 {
        handler.handle(&batch(&["ok"])).await.unwrap();
    }
}
