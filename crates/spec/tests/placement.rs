//! The queue's decisions over whole lives of small clusters: nothing is ever booked twice, what asks for much is not starved, and what
//! passes it does not delay it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rrm_spec::{
    Booking, Candidate, Demand, Device, DeviceRequest, DeviceShare, JobId, Node, NodeMisfit, Offer, PATIENCE_US, Part,
    ResourceRequest, Round, Seat, WorkerId,
};

const MINUTE: i64 = 60_000_000;

fn demand(devices: f64) -> Demand {
    let resources = ResourceRequest { devices: DeviceShare::try_from(devices).unwrap(), ..ResourceRequest::default() };
    Demand { device: DeviceRequest::Any, resources }
}

fn candidate(job: i64, devices: f64, queued_at: i64, time_limit_us: Option<i64>) -> Candidate {
    Candidate { job: JobId(job), demand: demand(devices), queued_at, time_limit_us }
}

fn seat(ordinal: u32, parts: &[Part]) -> Seat {
    Seat { device: Device::Cuda(ordinal), memory_mib: Some(8192), in_service: true, parts: parts.to_vec() }
}

fn node(worker: i64, seats: Vec<Seat>) -> Node {
    Node { worker: WorkerId(worker), labels: vec![], seats }
}

const FREE: &[Part] = &[Part::Free];
const BUSY: &[Part] = &[Part::Busy(None)];

fn devices(offer: Offer) -> Vec<Device> {
    match offer {
        Offer::Start(bookings) => bookings.into_iter().map(|booking| booking.device).collect(),
        Offer::Wait | Offer::Misfit => Vec::new(),
    }
}

#[test]
fn several_devices_are_had_together_or_not_at_all() {
    let round = Round::new(0, node(1, vec![seat(0, FREE), seat(1, BUSY), seat(2, FREE)]));
    assert_eq!(devices(round.offer(&candidate(1, 2.0, 0, None))), [Device::Cuda(0), Device::Cuda(2)]);
    assert_eq!(round.offer(&candidate(1, 3.0, 0, None)), Offer::Wait);
    assert_eq!(round.offer(&candidate(1, 4.0, 0, None)), Offer::Misfit);
}

#[test]
fn a_device_must_be_of_the_kind_large_enough_and_in_service() {
    let small = Seat { memory_mib: Some(8191), ..seat(0, FREE) };
    let unknown = Seat { memory_mib: None, ..seat(1, FREE) };
    let sick = Seat { in_service: false, ..seat(2, FREE) };
    let round = |seats| Round::new(0, node(1, seats));
    let large = |device| {
        let resources = ResourceRequest { memory_gib: Some(8), ..ResourceRequest::default() };
        Candidate { demand: Demand { device, resources }, ..candidate(1, 1.0, 0, None) }
    };
    let cuda = large(DeviceRequest::Cuda);
    assert_eq!(round(vec![small.clone(), unknown.clone()]).offer(&cuda), Offer::Misfit);
    assert_eq!(round(vec![small, unknown, sick.clone()]).offer(&cuda), Offer::Wait, "it may come back");
    assert_eq!(devices(round(vec![sick, seat(3, FREE)]).offer(&cuda)), [Device::Cuda(3)]);
    assert_eq!(round(vec![seat(3, FREE)]).offer(&large(DeviceRequest::Cpu)), Offer::Misfit);
}

#[test]
fn a_worker_must_have_all_labels_that_are_asked_for() {
    let label = |text: &str| text.parse().unwrap();
    let labelled = Node { labels: vec![label("a100")], ..node(1, vec![seat(0, FREE)]) };
    let asks = |labels| Demand {
        device: DeviceRequest::Any,
        resources: ResourceRequest { labels, ..ResourceRequest::default() },
    };
    assert_eq!(labelled.misfit(&asks(vec![label("a100")])), None);
    let lacking = labelled.misfit(&asks(vec![label("a100"), label("nvlink")]));
    assert_eq!(lacking, Some(NodeMisfit::Labels(vec![label("nvlink")])));
}

#[test]
fn a_part_goes_where_the_least_is_left_and_whole_devices_stay_whole() {
    let half = [Part::Busy(None), Part::Free];
    let round = Round::new(0, node(1, vec![seat(0, &[Part::Free; 2]), seat(1, &half)]));
    let offer = round.offer(&candidate(1, 0.5, 0, None));
    assert_eq!(offer, Offer::Start(vec![Booking { device: Device::Cuda(1), parts: vec![1] }]));
    let whole = round.offer(&candidate(1, 1.0, 0, None));
    assert_eq!(whole, Offer::Start(vec![Booking { device: Device::Cuda(0), parts: vec![0, 1] }]));
}

#[test]
fn others_pass_a_waiting_job_until_its_patience_is_over() {
    let big = candidate(1, 2.0, 0, None);
    let small = candidate(2, 1.0, 0, None);
    for (now, offer) in [(PATIENCE_US - 1, vec![Device::Cuda(0)]), (PATIENCE_US, vec![])] {
        let mut round = Round::new(now, node(1, vec![seat(0, FREE), seat(1, BUSY)]));
        assert_eq!(round.offer(&big), Offer::Wait);
        if round.must_gather(&big) {
            round.reserve(&big, &[]);
        }
        assert_eq!(devices(round.offer(&small)), offer, "at {now}");
        assert_eq!(round.reserved_for(Device::Cuda(0)), offer.is_empty().then_some(JobId(1)));
    }
}

#[test]
fn a_job_that_has_surely_ended_by_then_passes_what_is_reserved() {
    let now = 2 * PATIENCE_US;
    let ends = Part::Busy(Some(now + 10 * MINUTE));
    let mut round = Round::new(now, node(1, vec![seat(0, FREE), seat(1, &[ends])]));
    round.reserve(&candidate(1, 2.0, 0, None), &[]);
    let small = |limit| candidate(2, 1.0, 0, limit);
    assert_eq!(devices(round.offer(&small(Some(10 * MINUTE)))), [Device::Cuda(0)]);
    assert_eq!(round.offer(&small(Some(11 * MINUTE))), Offer::Wait);
    assert_eq!(round.offer(&small(None)), Offer::Wait);
}

#[test]
fn one_free_device_is_never_kept_for_who_waits_for_another() {
    let mut round = Round::new(2 * PATIENCE_US, node(1, vec![seat(0, FREE), seat(1, BUSY)]));
    let single = Candidate {
        demand: Demand {
            device: DeviceRequest::Any,
            resources: ResourceRequest { memory_gib: Some(16), ..ResourceRequest::default() },
        },
        ..candidate(1, 1.0, 0, None)
    };
    assert!(!round.must_gather(&single));
    round.reserve(&candidate(2, 2.0, 0, None), &[node(2, vec![seat(0, FREE), seat(1, FREE)])]);
    assert_eq!(round.reserved_for(Device::Cuda(0)), None, "it can begin on the other worker at once");
}

/// A job of the simulation.
#[derive(Clone, Debug)]
struct Job {
    candidate: Candidate,
    arrives: i64,
    lasts: i64,
    started: Option<i64>,
}

struct Running {
    node: usize,
    bookings: Vec<Booking>,
    ends: i64,
    known_end: Option<i64>,
}

/// A cluster whose devices are all alike, and the queue of its jobs in their order.
struct Cluster {
    /// Of each node the number of its devices.
    sizes: Vec<u32>,
    share: usize,
    jobs: Vec<Job>,
    running: Vec<Running>,
}

impl Cluster {
    fn nodes(&self) -> Vec<Node> {
        let mut nodes: Vec<Node> = (1..)
            .zip(&self.sizes)
            .map(|(id, &size)| node(id, (0..size).map(|i| seat(i, &vec![Part::Free; self.share])).collect()))
            .collect();
        for running in &self.running {
            for Booking { device, parts } in &running.bookings {
                let seat = nodes[running.node].seats.iter_mut().find(|seat| seat.device == *device).unwrap();
                for part in parts {
                    assert_eq!(seat.parts[*part as usize], Part::Free, "booked twice");
                    seat.parts[*part as usize] = Part::Busy(running.known_end);
                }
            }
        }
        nodes
    }

    /// Every node asks for work.
    fn ask(&mut self, now: i64) {
        for index in 0..self.sizes.len() {
            let mut others = self.nodes();
            let mut round = Round::new(now, others.remove(index));
            for job in self.jobs.iter_mut().filter(|job| job.arrives <= now && job.started.is_none()) {
                match round.offer(&job.candidate) {
                    Offer::Start(bookings) => {
                        round.start(&job.candidate, &bookings);
                        job.started = Some(now);
                        let known_end = job.candidate.time_limit_us.map(|limit| now + limit);
                        self.running.push(Running { node: index, bookings, ends: now + job.lasts, known_end });
                    }
                    Offer::Wait if round.must_gather(&job.candidate) => round.reserve(&job.candidate, &others),
                    Offer::Wait | Offer::Misfit => {}
                }
            }
        }
    }

    /// Goes on until nothing can happen any more.
    fn live(&mut self) {
        let mut times: BTreeSet<i64> =
            self.jobs.iter().flat_map(|job| [job.arrives, job.arrives + PATIENCE_US]).collect();
        while let Some(now) = times.pop_first() {
            self.running.retain(|running| running.ends > now);
            self.ask(now);
            times.extend(self.running.iter().map(|running| running.ends));
        }
    }
}

/// A job for each row: devices, minute of arrival, minutes that it takes, and whether that is its limit, too.
fn jobs(rows: &[(f64, i64, i64, bool)]) -> Vec<Job> {
    let job = |(id, &(devices, arrives, lasts, is_limited)): (i64, &(f64, i64, i64, bool))| {
        let (arrives, lasts) = (arrives * MINUTE, lasts * MINUTE);
        let candidate = candidate(id, devices, arrives, is_limited.then_some(lasts));
        Job { candidate, arrives, lasts, started: None }
    };
    (1..).zip(rows).map(job).collect()
}

fn small() -> impl Strategy<Value = (f64, i64, i64, bool)> {
    (prop_oneof![Just(0.5), Just(1.0)], 0..180_i64, 1..12_i64, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_job_that_fits_runs_in_the_end_and_no_part_is_booked_twice(
        sizes in prop::collection::vec(1..4_u32, 1..4),
        share in 1..4_usize,
        rows in prop::collection::vec(
            (prop_oneof![Just(0.5), Just(1.0), Just(2.0), Just(3.0)], 0..60_i64, 1..20_i64, any::<bool>()), 1..60),
    ) {
        let largest = *sizes.iter().max().unwrap();
        let mut cluster = Cluster { sizes, share, jobs: jobs(&rows), running: vec![] };
        cluster.live();
        for (job, row) in cluster.jobs.iter().zip(&rows) {
            prop_assert_eq!(job.started.is_some(), row.0 <= f64::from(largest), "{:?}", job);
        }
    }

    #[test]
    fn a_stream_of_small_jobs_does_not_starve_a_big_one(
        sizes in prop::collection::vec(2..4_u32, 1..4),
        share in 1..3_usize,
        stream in prop::collection::vec(small(), 200),
    ) {
        let devices: u32 = sizes.iter().sum();
        // It arrives after a first wave of small ones, and comes before all later ones.
        let mut rows = vec![(1.0, 0, 11, false); devices as usize];
        rows.push((2.0, 1, 5, false));
        rows.extend(stream);
        let big = devices as usize;
        let mut cluster = Cluster { sizes, share, jobs: jobs(&rows), running: vec![] };
        cluster.live();
        let started = cluster.jobs[big].started.unwrap();
        // Once what it needs is reserved it waits for what runs there, and where another worker is sooner ready for that.
        let longest = 12 * MINUTE;
        prop_assert!(started <= MINUTE + PATIENCE_US + i64::from(devices) * longest, "it started at {started}");
    }

    #[test]
    fn what_passes_a_job_that_is_reserved_for_does_not_delay_it(
        size in 2..5_u32,
        wanted in 2..5_u32,
        running in prop::collection::vec(1..60_i64, 5),
        stream in prop::collection::vec((Just(1.0), 16..60_i64, 1..40_i64, Just(true)), 30),
    ) {
        let wanted = wanted.min(size);
        let mut rows: Vec<_> = running.iter().take(size as usize).map(|lasts| (1.0, 0, 15 + lasts, true)).collect();
        rows.push((f64::from(wanted), 0, 5, true));
        let big = rows.len() - 1;
        let alone = {
            let mut cluster = Cluster { sizes: vec![size], share: 1, jobs: jobs(&rows), running: vec![] };
            cluster.live();
            cluster.jobs[big].started
        };
        rows.extend(stream);
        let mut cluster = Cluster { sizes: vec![size], share: 1, jobs: jobs(&rows), running: vec![] };
        cluster.live();
        prop_assert_eq!(cluster.jobs[big].started, alone);
    }
}
