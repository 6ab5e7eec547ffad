use rrm_spec::{JobId, JobState, UserName};
use rrm_store::{Cancel, Reuse, Store, StoreError, Strict, Submit};

use crate::bench::{Bench, single};

#[tokio::test]
async fn a_bad_change_does_not_take_its_neighbours_along() {
    let bench = Bench::new().await;
    let (one, two) = (single("one"), single("two"));
    let (first, bad, second) = tokio::join!(bench.submit(&one), bench.cancel(&[JobId(99)]), bench.submit(&two));
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(bad, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn of_many_that_write_at_once_each_gets_its_own_answer() {
    let bench = Bench::new().await;
    let submits: Vec<_> = (0..500)
        .map(|i| {
            let (store, plan) = (bench.store.clone(), single(&format!("plan {i}")));
            let request = format!("request-{i}").parse().unwrap();
            tokio::spawn(async move {
                let (client_version, host) = ("0".into(), "desk".into());
                let (reuse, owner, strict) = (Reuse::No, UserName::lab(), Strict::No);
                let write = Submit { request, plan, client_version, host, reuse, owner, strict };
                store.write(1, write).await.unwrap().submission
            })
        })
        .collect();
    let mut ids = Vec::new();
    for submit in submits {
        ids.push(submit.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 500);
}

#[tokio::test]
async fn waiters_are_woken_by_new_events_and_new_work() {
    let bench = Bench::new().await;
    let (mut events, mut queue) = (bench.store.watch_events(), bench.store.watch_queue());
    bench.submit(&single("a")).await.unwrap();
    events.changed().await.unwrap();
    queue.changed().await.unwrap();
    assert_eq!(*events.borrow_and_update(), bench.store.events(0, None, 100).await.unwrap().last().unwrap().seq);
    bench.cancel(&[JobId(1)]).await.unwrap();
    assert!(events.has_changed().unwrap() && !queue.has_changed().unwrap());
}

#[tokio::test]
async fn a_refused_change_wakes_nobody() {
    let bench = Bench::new().await;
    let mut plan = single("a");
    bench.submit_as("the-request", &plan).await.unwrap();
    let events = bench.store.watch_events();
    let before = *events.borrow();
    plan.name = "b".into();
    bench.submit_as("the-request", &plan).await.unwrap_err();
    assert_eq!(*events.borrow(), before);
}

#[tokio::test]
async fn events_come_in_order_and_by_plan() {
    let bench = Bench::new().await;
    let first = bench.submit(&single("a")).await.unwrap().submission;
    let second = bench.submit(&single("b")).await.unwrap().submission;
    let all = bench.store.events(0, None, 100).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let of_first = bench.store.events(0, Some(first), 100).await.unwrap();
    assert_eq!(of_first.len(), all.len() / 2);
    let rest = bench.store.events(all[1].seq, Some(second), 1).await.unwrap();
    assert_eq!((rest.len(), rest[0].kind.as_str()), (1, "submission"));
}

#[tokio::test]
async fn nothing_is_written_after_closing() {
    let bench = Bench::new().await;
    let job = bench.submitted(&single("a")).await[0];
    bench.store.close().await;
    assert!(matches!(bench.cancel(&[job]).await, Err(StoreError::Closed)));
    let wal = bench.folder.path().join("rrm.db-wal");
    assert!(!wal.exists() || wal.metadata().unwrap().len() == 0, "the log was not emptied");
    let again = Store::open(&bench.folder.path().join("rrm.db")).await.unwrap();
    assert_eq!(again.job(job).await.unwrap().summary.state, JobState::Queued);
    assert!(again.write(5, Cancel { jobs: vec![job] }).await.is_ok());
}
