//! Who gets which device when.

use rrm_spec::{
    Assignment, AttemptOutcome, Device, JobId, PATIENCE_US, Plan, ResourceRequest, TimeLimit, USAGE_HALF_LIFE_US,
};
use rrm_store::{Reuse, StoreError, Strict};

use crate::bench::{Bench, single};

const CPU: Device = Device::Cpu;
const GPUS: [Device; 3] = [Device::Cuda(0), Device::Cuda(1), Device::Cuda(2)];
const HOUR: i64 = 3_600_000_000;

fn asking(name: &str, devices: f64, memory_gib: Option<u32>, labels: &[&str]) -> Plan {
    let mut plan = single(name);
    let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
    plan.jobs[0].request = ResourceRequest { devices: devices.try_into().unwrap(), memory_gib, labels };
    plan
}

/// What runs, by plan.
async fn plans(bench: &Bench, leases: &[Assignment]) -> Vec<String> {
    let mut names = Vec::new();
    for lease in leases {
        names.push(bench.job(lease.job).await.summary.plan);
    }
    names
}

/// Leases on the processor and lets the job run for so long; whose it was.
async fn run_for(bench: &Bench, worker: rrm_spec::WorkerId, us: i64) -> String {
    let lease = bench.start(worker).await;
    bench.skip_time(us);
    bench.finish(&lease).await;
    bench.job(lease.job).await.summary.plan
}

#[tokio::test]
async fn of_one_priority_the_owner_who_has_used_least_comes_first_and_then_the_oldest() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    for name in ["ada-1", "ada-2", "ada-3", "bob-1", "bob-2"] {
        bench.submitted_by(&name[..3], &single(name)).await;
    }
    let mut order = Vec::new();
    for hours in [1, 2, 3, 1, 1] {
        order.push(run_for(&bench, worker, hours * HOUR).await);
    }
    // ada 1 h; bob 2 h; ada 4 h; bob 3 h; ada.
    assert_eq!(order, ["ada-1", "bob-1", "ada-2", "bob-2", "ada-3"]);
}

#[tokio::test]
async fn priority_weighs_more_than_usage() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submitted_by("ada", &single("ada-1")).await;
    run_for(&bench, worker, HOUR).await;
    let mut urgent = single("ada-2");
    urgent.jobs[0].priority = 1;
    bench.submitted_by("bob", &single("bob-1")).await;
    bench.submitted_by("ada", &urgent).await;
    assert_eq!(run_for(&bench, worker, HOUR).await, "ada-2");
}

#[tokio::test]
async fn what_was_used_long_ago_counts_for_less() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submitted_by("ada", &single("ada-1")).await;
    assert_eq!(run_for(&bench, worker, 4 * HOUR).await, "ada-1");
    bench.skip_time(3 * USAGE_HALF_LIFE_US);
    bench.submitted_by("bob", &single("bob-1")).await;
    assert_eq!(run_for(&bench, worker, HOUR).await, "bob-1");
    // Of ada's four hours half an hour is left.
    bench.submitted_by("bob", &single("bob-2")).await;
    bench.submitted_by("ada", &single("ada-2")).await;
    assert_eq!(run_for(&bench, worker, HOUR).await, "ada-2");
}

#[tokio::test]
async fn devices_that_are_free_at_once_go_to_different_owners() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    for name in ["ada-1", "ada-2", "bob-1", "bob-2"] {
        bench.submitted_by(&name[..3], &single(name)).await;
    }
    let leases = bench.lease(worker, &GPUS).await;
    assert_eq!(plans(&bench, &leases).await, ["ada-1", "bob-1", "ada-2"]);
}

#[tokio::test]
async fn what_runs_counts_before_it_has_ended() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    bench.submitted_by("ada", &single("ada-1")).await;
    let running = bench.lease(worker, &GPUS[..1]).await;
    bench.skip_time(HOUR);
    bench.submitted_by("ada", &single("ada-2")).await;
    bench.submitted_by("bob", &single("bob-1")).await;
    let held = [running[0].attempt];
    let leases = bench.lease_as(worker, "the-next-one", &GPUS[1..2], &held).await.unwrap();
    assert_eq!(plans(&bench, &leases).await, ["bob-1"]);
}

#[tokio::test]
async fn jobs_go_where_labels_and_memory_are_as_they_ask() {
    let bench = Bench::new().await;
    let small = bench.machine("small", "only", &[(Device::Cuda(0), 11 * 1024)], 1, &[]).await;
    let large = bench.machine("large", "only", &[(Device::Cuda(0), 80 * 1024)], 1, &["a100", "nvlink"]).await;
    bench.submit(&asking("memory", 1.0, Some(40), &[])).await.unwrap();
    bench.submit(&asking("label", 1.0, None, &["a100"])).await.unwrap();
    bench.submit(&asking("nothing", 1.0, Some(11), &[])).await.unwrap();
    let gpu = &GPUS[..1];
    assert_eq!(plans(&bench, &bench.lease(small, gpu).await).await, ["nothing"]);
    let first = bench.lease(large, gpu).await;
    assert_eq!(plans(&bench, &first).await, ["memory"]);
    bench.finish(&first[0]).await;
    assert_eq!(plans(&bench, &bench.lease(large, gpu).await).await, ["label"]);
}

#[tokio::test]
async fn a_job_on_several_devices_has_them_all_and_gives_them_all_back() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    bench.submit(&asking("pair", 2.0, None, &[])).await.unwrap();
    bench.submit(&single("one")).await.unwrap();
    bench.submit(&single("left")).await.unwrap();
    let leases = bench.lease(worker, &GPUS).await;
    assert_eq!(plans(&bench, &leases).await, ["pair", "one"]);
    assert_eq!((leases[0].device, leases[0].more_devices.as_slice(), leases[0].parts), (GPUS[0], &GPUS[1..2], 1));
    let view = bench.store.workers().await.unwrap().remove(0);
    let jobs: Vec<_> = view.devices.iter().map(|device| device.job.map(|job| job.0)).collect();
    assert_eq!(jobs, [Some(1), Some(1), Some(2)]);
    // Whatever the worker claims, nothing is booked twice.
    let held: Vec<_> = leases.iter().map(|lease| lease.attempt).collect();
    assert_eq!(bench.lease_as(worker, "a-wrong-claim", &GPUS, &held).await.unwrap(), []);
    bench.finish(&leases[0]).await;
    let next = bench.lease_as(worker, "the-next-one", &GPUS[..2], &held[1..]).await.unwrap();
    assert_eq!(next[0].device, GPUS[0]);
    assert_eq!(bench.store.workers().await.unwrap()[0].devices[1].job, None);
}

#[tokio::test]
async fn a_lost_answer_about_several_devices_is_given_again() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    bench.submit(&asking("pair", 2.0, None, &[])).await.unwrap();
    let lost = bench.lease(worker, &GPUS).await;
    assert_eq!(bench.lease_as(worker, "another-request", &GPUS, &[]).await.unwrap(), lost);
}

#[tokio::test]
async fn what_several_devices_used_counts_as_often() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS).await;
    bench.submitted_by("ada", &asking("pair", 2.0, None, &[])).await;
    let pair = bench.lease(worker, &GPUS).await;
    bench.skip_time(HOUR);
    bench.finish(&pair[0]).await;
    bench.submitted_by("bob", &single("one")).await;
    let one = bench.lease(worker, &GPUS[..1]).await;
    bench.skip_time(HOUR + HOUR / 2);
    bench.finish(&one[0]).await;
    // ada has two device-hours, bob one and a half.
    bench.submitted_by("ada", &single("ada")).await;
    bench.submitted_by("bob", &single("bob")).await;
    assert_eq!(plans(&bench, &bench.lease(worker, &GPUS[..1]).await).await, ["bob"]);
}

#[tokio::test]
async fn jobs_that_ask_for_a_half_share_a_device_and_others_do_not() {
    let bench = Bench::new().await;
    let worker = bench.machine("node", "only", &[(GPUS[0], 8192)], 2, &[]).await;
    for name in ["half-1", "half-2", "half-3"] {
        bench.submit(&asking(name, 0.5, None, &[])).await.unwrap();
    }
    let gpu = &GPUS[..1];
    let halves = bench.lease(worker, gpu).await;
    assert_eq!(plans(&bench, &halves).await, ["half-1", "half-2"]);
    let view = bench.store.workers().await.unwrap().remove(0).devices.remove(0);
    assert_eq!((view.job, view.more_jobs.as_slice(), view.share), (Some(JobId(1)), &[JobId(2)][..], 2));
    let mut first = single("whole");
    first.jobs[0].priority = 1;
    bench.submit(&first).await.unwrap();
    bench.finish(&halves[0]).await;
    let held = [halves[1].attempt];
    let third = bench.lease_as(worker, "the-third", gpu, &held).await.unwrap();
    assert_eq!(plans(&bench, &third).await, ["half-3"], "a half is free, which is too little for the whole");
    bench.finish(&halves[1]).await;
    bench.finish(&third[0]).await;
    let whole = bench.lease(worker, gpu).await;
    assert_eq!((plans(&bench, &whole).await, whole[0].parts), (vec!["whole".to_owned()], 2));
}

#[tokio::test]
async fn small_jobs_pass_a_big_one_for_a_while_and_then_its_devices_are_kept() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS[..2]).await;
    bench.submit(&single("running")).await.unwrap();
    let running = bench.lease(worker, &GPUS[..1]).await.remove(0);
    bench.submit(&asking("big", 2.0, None, &[])).await.unwrap();
    for name in ["small-1", "small-2"] {
        bench.submit(&single(name)).await.unwrap();
    }
    let held = [running.attempt];
    let passing = bench.lease_as(worker, "lease-number-1", &GPUS[1..2], &held).await.unwrap();
    assert_eq!(plans(&bench, &passing).await, ["small-1"]);
    bench.skip_time(PATIENCE_US);
    bench.finish(&passing[0]).await;
    let kept = bench.lease_as(worker, "lease-number-2", &GPUS[1..2], &held).await.unwrap();
    assert_eq!(kept, [], "the device is kept for the big one");
    bench.finish(&running).await;
    let both = bench.lease_as(worker, "lease-number-3", &GPUS[..2], &[]).await.unwrap();
    assert_eq!(plans(&bench, &both).await, ["big"]);
}

/// A plan of one job that may take so many seconds.
fn limited(name: &str, seconds: u64) -> Plan {
    let mut plan = single(name);
    plan.jobs[0].time_limit = Some(TimeLimit::from_seconds(seconds).unwrap());
    plan
}

#[tokio::test]
async fn a_job_that_has_surely_ended_before_a_big_one_can_begin_passes_it_however_long_that_has_waited() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &GPUS[..2]).await;
    bench.submit(&limited("running", 7200)).await.unwrap();
    let running = bench.lease(worker, &GPUS[..1]).await.remove(0);
    bench.submit(&asking("big", 2.0, None, &[])).await.unwrap();
    bench.skip_time(PATIENCE_US);
    // Older than the short one, and asks for the same, but for as long as it wants.
    bench.submit(&single("endless")).await.unwrap();
    bench.submit(&limited("short", 3600)).await.unwrap();
    let held = [running.attempt];
    let short = bench.lease_as(worker, "lease-number-1", &GPUS[1..2], &held).await.unwrap();
    assert_eq!(plans(&bench, &short).await, ["short"]);
    bench.finish(&short[0]).await;
    bench.submit(&limited("long", 7200)).await.unwrap();
    assert_eq!(bench.lease_as(worker, "lease-number-2", &GPUS[1..2], &held).await.unwrap(), []);
}

#[tokio::test]
async fn a_big_job_keeps_nothing_where_another_worker_is_ready_for_it() {
    let bench = Bench::new().await;
    let one = bench.worker("one", &GPUS[..2]).await;
    let _two = bench.worker("two", &GPUS[..2]).await;
    bench.submit(&single("running")).await.unwrap();
    let running = bench.lease(one, &GPUS[..1]).await.remove(0);
    bench.submit(&asking("big", 2.0, None, &[])).await.unwrap();
    bench.submit(&single("small")).await.unwrap();
    bench.skip_time(PATIENCE_US);
    let small = bench.lease_as(one, "lease-number-1", &GPUS[1..2], &[running.attempt]).await.unwrap();
    assert_eq!(plans(&bench, &small).await, ["small"]);
}

#[tokio::test]
async fn a_plan_that_no_registered_worker_could_ever_run_is_refused_where_that_is_wished() {
    let bench = Bench::new().await;
    let strict =
        async |request: &str, plan: &Plan| bench.submit_wishing(request, plan, "lab", Reuse::No, Strict::Yes).await;
    let large = asking("large", 1.0, Some(40), &[]);
    let refused = strict("request-1", &large).await;
    let Err(StoreError::Precondition { what }) = refused else { panic!("{refused:?}") };
    let told = "`teacher` (it asks for any device with 40 GiB, but no worker is registered)";
    assert_eq!(what, format!("no registered worker could ever run {told}"));
    bench.worker("small", &[CPU]).await;
    let refused = strict("request-1", &large).await.unwrap_err().to_string();
    assert!(refused.ends_with("with 40 GiB, but the largest one has 8192 MiB)"), "{refused}");
    bench.machine("large", "only", &[(GPUS[0], 80 * 1024)], 1, &[]).await;
    let submitted = strict("request-1", &large).await.unwrap();
    assert!(!submitted.already);
    let pair = asking("pair", 2.0, None, &[]);
    assert!(matches!(strict("request-2", &pair).await, Err(StoreError::Precondition { .. })));
    // It is not strict without the wish.
    bench.submit(&pair).await.unwrap();
}

#[tokio::test]
async fn an_answered_submission_is_answered_again_although_its_worker_has_gone() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    let plan = single("plan");
    let submit = async || bench.submit_wishing("the-request", &plan, "lab", Reuse::No, Strict::Yes).await.unwrap();
    let first = submit().await;
    bench.write(rrm_store::Depart { workers: vec![worker], how: rrm_store::Departure::GoodBye }).await.unwrap();
    assert_eq!(submit().await.jobs, first.jobs);
}

#[tokio::test]
async fn a_try_that_failed_counts_as_use_too() {
    let bench = Bench::new().await;
    let worker = bench.worker("node", &[CPU]).await;
    bench.submitted_by("ada", &single("ada-1")).await;
    let lease = bench.start(worker).await;
    bench.skip_time(HOUR);
    bench.settle(lease.attempt, 0, AttemptOutcome::UserError).await.unwrap();
    bench.submitted_by("ada", &single("ada-2")).await;
    bench.submitted_by("bob", &single("bob-1")).await;
    assert_eq!(run_for(&bench, worker, HOUR).await, "bob-1");
}
