//! `/metrics`: counts and times in Prometheus's text format. Labels take few values, none of which a user chooses.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TEXT_FORMAT, TextEncoder};
use rrm_spec::{JobState, WorkerView};

use crate::error::PageError;
use crate::site::{STREAMS, Site};

pub(crate) async fn answer(State(site): State<Site>) -> Result<Response, PageError> {
    let _desk = site.desks.acquire().await.expect("nobody closes the semaphore");
    let text = text(&families(&site).await?);
    Ok(([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}

fn text(families: &[MetricFamily]) -> String {
    // Fails for a family without samples alone, and these are left out.
    TextEncoder::new().encode_to_string(families).unwrap_or_default()
}

/// Everything that is measured, in the order of names.
async fn families(site: &Site) -> Result<Vec<MetricFamily>, PageError> {
    let mut families = jobs(&site.store.jobs_by_state().await?);
    families.extend(attempts(site).await?);
    families.extend(machines(&site.store.workers().await?));
    families.extend(database(site)?);
    families.extend(counter("rrm_events_total", "Entries of the log of events.", site.store.newest_event().await?));
    let taken = STREAMS - site.streams.available_permits();
    families.extend(gauge("rrm_page_streams", "Pages that are being watched.", taken as i64));
    families.extend(site.store.commits().collect());
    families.extend(site.live.measures());
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(families)
}

fn gauge(name: &str, help: &str, value: i64) -> Vec<MetricFamily> {
    let gauge = IntGauge::new(name, help).expect("the name is valid");
    gauge.set(value);
    gauge.collect()
}

fn counter(name: &str, help: &str, value: i64) -> Vec<MetricFamily> {
    let counter = IntCounter::new(name, help).expect("the name is valid");
    counter.inc_by(u64::try_from(value).unwrap_or(0));
    counter.collect()
}

fn gauges<const N: usize>(name: &str, help: &str, labels: [&str; N], values: &[([&str; N], i64)]) -> Vec<MetricFamily> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), &labels).expect("name and labels are valid");
    values.iter().for_each(|(of, value)| gauges.with_label_values(of).set(*value));
    gauges.collect()
}

fn jobs(counts: &[(JobState, u64)]) -> Vec<MetricFamily> {
    let values: Vec<_> = counts.iter().map(|(state, count)| ([state.name()], *count as i64)).collect();
    let queued = counts.iter().find(|(state, _)| *state == JobState::Queued).map_or(0, |(_, count)| *count);
    [
        gauges("rrm_jobs", "Jobs by state.", ["state"], &values),
        gauge("rrm_queue_jobs", "Jobs that are ready for a device.", queued as i64),
    ]
    .concat()
}

async fn attempts(site: &Site) -> Result<Vec<MetricFamily>, PageError> {
    let known = site.outcomes.lock().expect("nothing panics while it holds the counts").clone();
    let counted = site.store.count_outcomes(known).await?;
    let help = "Attempts that have ended, by how.";
    let counts = IntCounterVec::new(Opts::new("rrm_attempts_total", help), &["outcome"]).expect("the name is valid");
    // All outcomes from the first scrape on: a counter that appears later hides its first increase.
    for outcome in rrm_spec::AttemptOutcome::ALL {
        counts.with_label_values(&[outcome.name()]);
    }
    counted.counts().iter().for_each(|(outcome, count)| counts.with_label_values(&[outcome.name()]).inc_by(*count));
    *site.outcomes.lock().expect("nothing panics while it holds the counts") = counted;
    Ok(counts.collect())
}

/// Workers and devices that are connected.
fn machines(workers: &[WorkerView]) -> Vec<MetricFamily> {
    let online = || workers.iter().filter(|worker| worker.online);
    let of = |kind: &str, is_busy: bool| {
        let fits = |device: &&rrm_spec::DeviceView| {
            (device.device == "cpu") == (kind == "cpu") && device.job.is_some() == is_busy
        };
        online().flat_map(|worker| &worker.devices).filter(fits).count() as i64
    };
    let values: Vec<_> = ["cpu", "cuda"]
        .into_iter()
        .flat_map(|kind| [([kind, "busy"], of(kind, true)), ([kind, "idle"], of(kind, false))])
        .collect();
    [
        gauge("rrm_workers", "Workers that are connected.", online().count() as i64),
        gauges("rrm_devices", "Devices of the workers that are connected.", ["kind", "state"], &values),
    ]
    .concat()
}

fn database(site: &Site) -> Result<Vec<MetricFamily>, PageError> {
    let sizes = site.store.file_sizes()?;
    let values = [(["database"], sizes.database as i64), (["log"], sizes.log as i64)];
    Ok(gauges("rrm_database_bytes", "Size of the database and of its write-ahead log.", ["file"], &values))
}
