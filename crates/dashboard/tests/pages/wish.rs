//! What users ask for is on the pages: holds, drains, retries, time limits.

use rrm_spec::{
    AttemptOutcome, Dependents, DrainHow, DrainTarget, JobChange, JobId, RetryBegin, RetryWish, TimeLimit, WorkerId,
};
use rrm_store::{Cancel, Drain, Retry, Undrain};

use crate::desk::{Desk, HOSTILE};

/// A part of a page, with what stands in it.
fn part<'a>(body: &'a str, id: &str) -> &'a str {
    let begin = body.find(&format!("<div id=\"{id}\">")).unwrap_or_else(|| panic!("there is {id}:\n{body}"));
    let rest = &body[begin + 1..];
    &rest[..rest.find("<div id=\"").unwrap_or(rest.len())]
}

fn names(part: &str, job: i64) -> bool {
    part.contains(&format!("<th scope=\"row\"><a href=\"/jobs/{job}\">"))
}

async fn drain(desk: &Desk, target: DrainTarget, how: DrainHow) {
    desk.write(Drain { target, how }).await;
}

#[tokio::test]
async fn a_held_job_says_so_and_how_it_is_released() {
    let desk = Desk::filled().await;
    desk.change(5, JobChange::Hold).await;
    let body = desk.get("/jobs/5").await.body;
    let facts = part(&body, "facts");
    assert!(facts.contains("waiting, held") && facts.contains("<code>rrm release 5</code>"), "{facts}");
    let parent = desk.get("/jobs/4").await.body;
    assert!(part(&parent, "facts").contains("waiting, held"), "where it is a link, too: {parent}");
    for path in ["/jobs", "/plans/2", "/compare?jobs=4,5"] {
        assert!(desk.get(path).await.body.contains(" waiting, held</span>"), "{path}");
    }
    desk.change(5, JobChange::Release).await;
    let body = desk.get("/jobs/5").await.body;
    let facts = part(&body, "facts");
    assert!(!facts.contains("held") && !facts.contains("rrm release"), "{facts}");
}

#[tokio::test]
async fn held_jobs_are_not_next_in_line_however_many_stand_before_the_others() {
    let desk = Desk::open().await;
    for _ in 0..12 {
        desk.submit().await;
    }
    // Each plan's teacher is queued, and all but the last are held: more than the list has rows.
    for plan in 0..11 {
        desk.change(3 * plan + 1, JobChange::Hold).await;
    }
    let body = desk.get("/").await.body;
    let queue = part(&body, "queue");
    assert!(names(queue, 34) && !names(queue, 1) && !names(queue, 31), "{queue}");
    assert!(queue.contains("Queued, but held: 11.") && queue.contains("rrm release"), "{queue}");
    assert!(desk.get("/jobs?state=queued").await.body.contains(" queued, held</span>"));
    desk.change(1, JobChange::Release).await;
    let body = desk.get("/").await.body;
    let places = [1, 34].map(|job| part(&body, "queue").find(&format!("href=\"/jobs/{job}\"")));
    assert!(places[0].is_some() && places[0] < places[1], "it has its old place: {body}");
}

#[tokio::test]
async fn a_retry_and_what_it_does_again_lead_to_each_other_and_its_time_limit_is_shown() {
    let desk = Desk::filled().await;
    let limit: TimeLimit = "2h".parse().unwrap();
    let wish = RetryWish { begin: RetryBegin::Scratch, dependents: Dependents::Leave, time_limit: Some(limit) };
    let retry = Retry { request: "again-and-again".parse().unwrap(), jobs: vec![JobId(1)], wish };
    let again = desk.write(retry).await[0].job;
    let body = desk.get("/jobs/1").await.body;
    let facts = part(&body, "facts");
    assert!(facts.contains("<dt>Retried as</dt>") && facts.contains(&format!("href=\"/jobs/{again}\"")), "{facts}");
    assert!(!facts.contains("Time limit") && !facts.contains("Retry of"), "{facts}");
    let body = desk.get(&format!("/jobs/{again}")).await.body;
    let facts = part(&body, "facts");
    assert!(facts.contains("<dt>Retry of</dt>") && facts.contains("href=\"/jobs/1\""), "{facts}");
    assert!(facts.contains("2h for each attempt"), "{facts}");
    let body = desk.get("/jobs").await.body;
    let list = part(&body, "list");
    assert!(list.contains("retry of <a href=\"/jobs/1\">#1</a>"), "{list}");
    assert!(list.contains(&format!("retried as <a href=\"/jobs/{again}\">#{again}</a>")), "{list}");
}

#[tokio::test]
async fn a_job_is_asked_to_stop_only_while_it_has_not_ended() {
    let desk = Desk::filled().await;
    desk.write(Cancel { jobs: vec![JobId(4)] }).await;
    let body = desk.get("/jobs/4").await.body;
    assert!(body.contains("running, cancelling") && body.contains("<dt>Asked</dt><dd>to stop"), "{body}");
    let desk = Desk::open().await;
    desk.submit().await;
    let worker = desk.worker().await;
    let assignment = desk.lease(worker).await;
    desk.train(&assignment, 2).await;
    desk.settle(&assignment, AttemptOutcome::Timeout).await;
    // The database keeps why it stopped.
    assert!(desk.store.job(JobId(1)).await.unwrap().summary.stop.is_some());
    let body = desk.get("/jobs/1").await.body;
    let facts = part(&body, "facts");
    assert!(facts.contains("timeout") && !facts.contains("<dt>Asked</dt>"), "{facts}");
}

#[tokio::test]
async fn while_the_daemon_is_drained_jobs_and_workers_have_a_banner() {
    let desk = Desk::filled().await;
    drain(&desk, DrainTarget::Daemon, DrainHow::Finish).await;
    for path in ["/", "/workers"] {
        let body = desk.get(path).await.body;
        let banner = part(&body, "drain");
        for words in ["No new work:", "drained since ", "<time datetime=\"2023-11-14T", "<code>rrm undrain</code>"] {
            assert!(banner.contains(words), "{path}: {words}: {banner}");
        }
        assert!(!body.contains("class=\"drained\""), "{path}: no worker is drained by itself");
    }
    desk.write(Undrain { target: DrainTarget::Daemon }).await;
    for path in ["/", "/workers"] {
        assert!(!desk.get(path).await.body.contains("No new work"), "{path}");
    }
}

#[tokio::test]
async fn a_drained_worker_or_machine_is_marked_and_its_name_stays_text() {
    for target in [DrainTarget::Worker(WorkerId(1)), DrainTarget::Node(HOSTILE.into())] {
        let desk = Desk::open().await;
        desk.submit().await;
        desk.worker().await;
        drain(&desk, target.clone(), DrainHow::Now).await;
        for path in ["/", "/workers"] {
            assert!(desk.get(path).await.body.contains("<span class=\"drained\">drained</span>"), "{path}: {target}");
        }
        let body = desk.get("/workers").await.body;
        let list = part(&body, "drained");
        assert!(list.contains("gets no new work since") && list.contains("rrm worker undrain"), "{list}");
        assert!(!body.contains("No new work") && !body.contains("<script>") && !body.contains("<img"), "{body}");
        desk.write(Undrain { target }).await;
        assert!(!desk.get("/workers").await.body.contains("class=\"drained\""));
    }
}

#[tokio::test]
async fn a_worker_that_works_is_draining_until_it_is_drained() {
    let desk = Desk::filled().await;
    drain(&desk, DrainTarget::Worker(WorkerId(1)), DrainHow::Finish).await;
    for path in ["/", "/workers"] {
        assert!(desk.get(path).await.body.contains("<span class=\"drained\">draining</span>"), "{path}");
    }
}
