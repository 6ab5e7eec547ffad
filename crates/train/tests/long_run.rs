//! Two thousand steps in constant memory. A process of its own, since it measures the process.

#[path = "jobs/dataset.rs"]
#[expect(dead_code, reason = "the other whole-job tests use the rest")]
mod dataset;
#[path = "jobs/support.rs"]
#[expect(dead_code, reason = "the other whole-job tests use the rest")]
mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use dataset::Recipe;
use rrm_spec::{AttackSpec, Event, JobSpec, Method, PgdSelection, Record, RepresentationLoss, TrainSpec, Validation};
use rrm_train::{Completion, Environment, run};
use support::{Bench, count, fast_at, pgd, rrm};

/// Bytes that the process has allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a process uses.
#[derive(Clone, Copy, Debug)]
struct Use {
    /// Bytes that are allocated.
    live: usize,
    /// Bytes of memory that the system has given: allocated ones, and what the allocator keeps.
    resident: usize,
    /// Results of kernels that the graph knows.
    results: usize,
}

impl Use {
    fn now() -> Self {
        let statm = fs::read_to_string("/proc/self/statm").expect("Linux tells a process of its memory");
        let pages: usize =
            statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
        Self { live: LIVE.load(Relaxed), resident: pages * 4096, results: rrm_kernels::live_results() }
    }
}

/// Updates of each training.
const UPDATES: u32 = 2000;
/// Updates in an epoch: of ten batches, or of five that are used twice.
const EPOCH: u32 = 10;

/// Trains, and tells what was used after a tenth of the updates and at the end.
fn used(spec: TrainSpec, environment: &Environment) -> [Use; 2] {
    let (mut early, mut late, mut updates) = (None, None, 0);
    let outcome = run(&JobSpec::Train(spec), environment, &mut |event| {
        if let Event::Record(Record::Epoch(epoch)) = event {
            updates += EPOCH;
            assert!(epoch.loss.is_finite());
            match updates {
                200 => early = Some(Use::now()),
                UPDATES => late = Some(Use::now()),
                _ => {}
            }
        }
    });
    assert_eq!(outcome.unwrap(), Completion::Finished);
    [early.expect("200 updates were made"), late.expect("all updates were made")]
}

fn long(bench: &Bench, arch: &str, method: Method, replays: u32) -> TrainSpec {
    let attack: AttackSpec = pgd("8/255", "2/255", 1, PgdSelection::BestLoss);
    TrainSpec {
        epochs: count(UPDATES / EPOCH),
        batch_size: count(8 * replays),
        validation: Validation { images: Some(count(4)), attack: Some(attack) },
        ..bench.spec(arch, method)
    }
}

#[test]
#[cfg(target_os = "linux")]
fn two_thousand_updates_of_attacked_and_matched_students_take_no_more_memory_than_two_hundred() {
    // Ten batches of eight images, or five of sixteen that are used twice.
    let bench = Bench::new(Recipe { images: (40, 2), ..Recipe::EASY });
    bench.train(&bench.spec("vgg11/16", Method::Natural), &bench.environment("teacher"));
    let trainings = [
        ("adversarial", long(&bench, "resnet18/16", fast_at("8/255", "2/255", 1), 1)),
        ("rrm", long(&bench, "vgg11/16", rrm(5e-3, 2, RepresentationLoss::Cosine), 2)),
    ];
    for (name, spec) in trainings {
        let [early, late] = used(spec, &bench.environment_with(name, "teacher"));
        // A leak of ten bytes per update would show.
        assert!(late.live <= early.live + (16 << 10), "{name}: from {early:?} to {late:?}");
        // The allocator's own pages come and go with the threads' timing.
        assert!(late.resident <= early.resident + (8 << 20), "{name}: from {early:?} to {late:?}");
        assert_eq!(late.results, early.results, "{name}");
    }
}
