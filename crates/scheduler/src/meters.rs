//! What the daemon counts by itself, since its start.

use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts};

/// Upper bounds in seconds: from a read out of memory to a long poll's half minute.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Counts and times.
#[derive(Debug)]
pub(crate) struct Meters {
    calls: HistogramVec,
    pub(crate) heartbeats: IntCounter,
    /// Attempts that were handed out; what was handed out again to the same question counts again.
    pub(crate) granted: IntCounter,
    build: IntGaugeVec,
    since: Instant,
}

impl Meters {
    pub(crate) fn new(version: &str) -> Self {
        let help =
            "Time from a call's head to its answer's, of streams to their beginning; Workers/Lease waits for a job.";
        let options = HistogramOpts::new("rrm_rpc_seconds", help).buckets(SECONDS.to_vec());
        let build = IntGaugeVec::new(Opts::new("rrm_build_info", "1, with the version as a label."), &["version"]);
        let build = build.expect("the name is valid");
        build.with_label_values(&[version]).set(1);
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect("the name is valid");
        Self {
            calls: HistogramVec::new(options, &["method"]).expect("the name is valid"),
            heartbeats: counter("rrm_heartbeats_total", "Heartbeats of workers."),
            granted: counter("rrm_leases_granted_total", "Attempts that were handed to workers."),
            build,
            since: Instant::now(),
        }
    }

    pub(crate) fn answered(&self, method: &'static str, took: Duration) {
        self.calls.with_label_values(&[method]).observe(took.as_secs_f64());
    }

    /// All of them, and how many leases are held.
    pub(crate) fn collect(&self, leases: usize) -> Vec<MetricFamily> {
        let held = IntGauge::new("rrm_leases", "Attempts that workers hold.").expect("the name is valid");
        held.set(leases as i64);
        let uptime = Gauge::new("rrm_uptime_seconds", "Time since the daemon's start.").expect("the name is valid");
        uptime.set(self.since.elapsed().as_secs_f64());
        let families = [
            self.calls.collect(),
            self.heartbeats.collect(),
            self.granted.collect(),
            self.build.collect(),
            held.collect(),
            uptime.collect(),
        ];
        families.concat()
    }
}
