//! What nodes tell each other: what was done on any is kept by all, and how each does is known to the others.

use std::pin::pin;

use gatepost::cluster::{ACTION_BYTES_MAX, LOGGED_ACTIONS_MAX, NodeName, REPORT_MAX, SharedReport};
use gatepost::queue::{Queue, QueueError};

use super::{Cluster, ClusterQueue, append, until, until_stored};

/// Number, node and text of each.
fn numbered(node: &ClusterQueue) -> Vec<(u64, String, String)> {
    let actions = node.logged_actions().into_iter();
    actions.map(|one| (one.number, one.node.to_string(), one.text.clone())).collect()
}

/// Node and text of each.
fn logged(node: &ClusterQueue) -> Vec<(String, String)> {
    numbered(node).into_iter().map(|(_, node, text)| (node, text)).collect()
}

async fn log(node: &ClusterQueue, id: u64, text: &str) {
    node.log_action(id, text.to_owned()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn action_of_a_node_is_the_same_on_all_and_outlives_them() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    log(&a, 7, "pause").await;
    log(&b, 7, "its own seventh").await;
    append(&a, "between").await;
    log(&a, 8, "import, 1 part").await;
    log(&b, 8, "redrive").await;
    log(&a, 8, "import, 2 parts").await;
    let expected: Vec<(String, String)> =
        [("a", "pause"), ("b", "its own seventh"), ("a", "import, 2 parts"), ("b", "redrive")]
            .map(|(node, text)| (node.to_owned(), text.to_owned()))
            .to_vec();
    until("b has them", || logged(&b) == expected).await;
    assert_eq!(logged(&a), expected);
    assert_eq!(numbered(&a), numbered(&b));
    assert!(numbered(&a).is_sorted());
    // One that comes late reads them from the log, one that is killed has them on its disk.
    let late = cluster.node("late").await;
    until("the late one has them", || logged(&late) == expected).await;
    drop(a);
    cluster.released("a").await;
    cluster.engine.set_away(true);
    let a = cluster.node("a").await;
    assert_eq!(logged(&a), expected);
    cluster.engine.set_away(false);
    log(&late, 1, "behind").await;
    until("it goes on", || logged(&a).len() == 5 && numbered(&a) == numbered(&late)).await;
    let too_long = b.log_action(9, "x".repeat(ACTION_BYTES_MAX + 1)).await;
    assert!(matches!(too_long, Err(QueueError::Full(_))), "{too_long:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn action_done_while_the_log_is_away_is_there_once_it_is_back() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    append(&a, "first").await;
    until_stored(&b, 1).await;
    cluster.engine.set_away(true);
    let before = a.log_action(1, "before it is found to be away".to_owned());
    let found = async {
        until("it is found to be away", || !a.is_log_there()).await;
        // What is known to wait is kept too.
        let since = a.log_action(2, "since".to_owned());
        let back = async {
            assert_eq!(logged(&a), []);
            cluster.engine.set_away(false);
        };
        tokio::join!(since, back).0
    };
    let (before, since) = tokio::join!(before, found);
    before.and(since).unwrap();
    until("both have both", || logged(&a).len() == 2 && logged(&a) == logged(&b)).await;
}

/// The bound is one of each node's disk and of what a page reads.
#[tokio::test(flavor = "multi_thread")]
async fn newest_actions_are_kept_and_numbered_alike_on_all() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    for id in 0..LOGGED_ACTIONS_MAX as u64 + 20 {
        log(&a, id, &id.to_string()).await;
    }
    until("b has the newest", || numbered(&b).last() == numbered(&a).last()).await;
    assert_eq!(numbered(&a), numbered(&b));
    assert_eq!((logged(&a).len(), logged(&a)[0].1.as_str()), (LOGGED_ACTIONS_MAX, "20"));
}

/// By this no two gateways take one number.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_tell_at_the_same_moment_one_alone_sees_what_the_other_told() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let has = |told: Vec<SharedReport>| told.iter().any(|report| report.text == "here I am");
    let mut of_a = pin!(a.report_behind("here I am".to_owned()));
    // Mostly the answer is yet on the way here; the threads of the node may be quicker.
    let answered = tokio::select! {
        biased;
        reports = of_a.as_mut() => Some(reports),
        () = std::future::ready(()) => None,
    };
    let b_saw_a = has(b.report_behind("here I am".to_owned()).await.unwrap());
    // What comes while its answer is on the way is behind it all the same.
    until("a has applied both", || has(a.reports())).await;
    let a_saw_b = match answered {
        Some(reports) => has(reports.unwrap()),
        None => has(of_a.await.unwrap()),
    };
    assert_ne!(a_saw_b, b_saw_a);
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_report_of_a_node_is_known_to_the_others_also_once_it_has_left() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    a.report("well".to_owned()).await.unwrap();
    a.report("failing".to_owned()).await.unwrap();
    let told = |node: &ClusterQueue| -> Vec<(NodeName, String)> {
        node.reports().into_iter().map(|report| (report.node, report.text)).collect()
    };
    let expected = vec![(NodeName::parse("a").unwrap(), "failing".to_owned())];
    until("b knows it", || told(&b) == expected).await;
    assert_eq!(b.n_reports(), 2, "each is news");
    assert_eq!(told(&a), [], "what it knows of itself is not told to it");
    // One that begins knows of nothing, which the others find out.
    let n_sessions = a.n_sessions();
    let late = cluster.node("late").await;
    until("a sees it begin", || a.n_sessions() > n_sessions).await;
    a.report("failing yet".to_owned()).await.unwrap();
    until("the late one knows it", || told(&late).len() == 1).await;
    let too_long = a.report("x".repeat(REPORT_MAX + 1)).await;
    assert!(matches!(too_long, Err(QueueError::Full(_))), "{too_long:?}");
    a.close().await.unwrap();
    until("it has left", || b.view().nodes.len() == 2).await;
    let last = vec![(NodeName::parse("a").unwrap(), "failing yet".to_owned())];
    assert_eq!((told(&b), told(&late)), (last.clone(), last), "what it told last stands");
}
