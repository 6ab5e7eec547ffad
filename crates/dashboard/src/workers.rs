//! Workers, their devices, and what these do.

use maud::{Markup, html};
use rrm_spec::{DrainView, JobSummary, WorkerView};

use crate::drain;
use crate::error::PageError;
use crate::known;
use crate::site::Site;
use crate::time::moment;
use crate::view::View;
use crate::words::{job_link, number_link, progress};

pub(crate) async fn view(site: &Site) -> Result<View, PageError> {
    let (online, gone): (Vec<_>, Vec<_>) = all(site).await?.into_iter().partition(|worker| worker.online);
    let running = running(site, &online).await?;
    let drains = site.store.drains().await?;
    Ok(View::new("Workers")
        .fresh("drain", drain::banner(&drains))
        .fresh("connected", devices(&online, &running, &drains))
        .fresh("drained", drain::list(&drains))
        .fresh("gone", departed(&gone, &drains)))
}

/// Workers that are connected.
pub(crate) async fn connected(site: &Site) -> Result<Vec<WorkerView>, PageError> {
    Ok(all(site).await?.into_iter().filter(|worker| worker.online).collect())
}

/// When one was last heard is known in memory; the database has it from when it came or went.
async fn all(site: &Site) -> Result<Vec<WorkerView>, PageError> {
    let mut workers = site.store.workers().await?;
    for worker in &mut workers {
        worker.last_seen_at = site.live.last_seen(worker.id).unwrap_or(worker.last_seen_at);
    }
    Ok(workers)
}

pub(crate) async fn running(site: &Site, workers: &[WorkerView]) -> Result<Vec<JobSummary>, PageError> {
    let ids: Vec<_> = workers.iter().flat_map(|worker| &worker.devices).filter_map(|device| device.job).collect();
    Ok(known::with_progress(site, site.store.jobs_by_id(&ids).await?))
}

/// One row per device of workers that are connected.
pub(crate) fn devices(workers: &[WorkerView], running: &[JobSummary], drains: &[DrainView]) -> Markup {
    let job = |id| running.iter().find(|job| job.id == id);
    html! {
        h2 { "Devices" }
        @if workers.is_empty() { p.none { "No worker is connected: jobs wait for one." } } @else {
            div.wide {
                table {
                    caption { "Devices of the workers that are connected" }
                    thead { tr {
                        th scope="col" { "Node" } th scope="col" { "Device" } th scope="col" { "Job" }
                        th scope="col" { "Progress" } th scope="col" { "Images/s" } th scope="col" { "Worker" }
                    } }
                    tbody {
                        @for worker in workers { @for device in &worker.devices {
                            @let job = device.job.and_then(job);
                            tr {
                                th scope="row" { (worker.node) (drain::mark(worker, drains)) }
                                td { (device.device) }
                                td { @match (job, device.job) {
                                    (Some(job), _) => (job_link(job)),
                                    (None, Some(id)) => (number_link(id)),
                                    (None, None) => span.note { "idle" },
                                } }
                                td { @if let Some(job) = job { (progress(job)) } }
                                td.number { @if let Some(at) = job.and_then(|job| job.progress.as_ref()) { (format!("{:.0}", at.images_per_second)) } }
                                td { "#" (worker.id) ", rrm " (worker.version) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

fn departed(workers: &[WorkerView], drains: &[DrainView]) -> Markup {
    html! {
        h2 { "Not connected" }
        @if workers.is_empty() { p.none { "None." } } @else {
            div.wide {
                table {
                    caption { "The newest worker of each node that has none connected" }
                    thead { tr { th scope="col" { "Node" } th scope="col" { "Last heard" } th scope="col" { "Devices" } th scope="col" { "Worker" } } }
                    tbody {
                        @for worker in workers {
                            tr {
                                th scope="row" { (worker.node) (drain::mark(worker, drains)) }
                                td { (moment(worker.last_seen_at)) }
                                td { (worker.devices.iter().map(|it| it.device.as_str()).collect::<Vec<_>>().join(", ")) }
                                td { "#" (worker.id) ", rrm " (worker.version) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrm_spec::{DeviceView, WorkerId};

    #[test]
    fn a_device_without_a_job_is_idle_and_hostile_names_stay_text() {
        let device = DeviceView { device: "cuda:0".into(), ..DeviceView::default() };
        let worker = WorkerView {
            id: WorkerId(1),
            node: "<script>alert(1)</script>".into(),
            version: "0.1.0".into(),
            online: true,
            last_seen_at: 0,
            devices: vec![device],
            labels: vec![],
        };
        let table = devices(&[worker], &[], &[]).0;
        assert!(table.contains("idle") && table.contains("&lt;script&gt;") && !table.contains("<script"), "{table}");
    }
}
