//! Who gets no new work, since when, and how that ends.

use maud::{Markup, html};
use rrm_spec::{DrainHow, DrainTarget, DrainView, WorkerView};

use crate::time::moment;

/// What whoever looks at jobs or workers must know while the daemon hands out nothing.
pub(crate) fn banner(drains: &[DrainView]) -> Markup {
    let of_daemon = drains.iter().find(|drain| drain.target == DrainTarget::Daemon);
    html! {
        @if let Some(drain) = of_daemon {
            p.banner role="status" {
                strong { "No new work:" } " drained since " (moment(drain.since)) "; " (running(drain.how)) ". "
                code { "rrm undrain" } " ends that."
            }
        }
    }
}

/// The machines and workers that get none; machines need not be connected. Their names are beside the command rather than in it: a
/// machine may have any name, and what can be copied must not do something else in a shell.
pub(crate) fn list(drains: &[DrainView]) -> Markup {
    let named: Vec<_> = drains.iter().filter(|drain| drain.target != DrainTarget::Daemon).collect();
    html! {
        @if !named.is_empty() {
            h2 { "Drained" }
            ul.states {
                @for drain in named {
                    li.words { (drain.target) " gets no new work since " (moment(drain.since)) "; " (running(drain.how)) }
                }
            }
            p.note { code { "rrm worker undrain" } " with the machine's name or the worker's number ends that." }
        }
    }
}

/// Beside a worker that is drained or whose machine is; in the words of `rrm worker list`.
pub(crate) fn mark(worker: &WorkerView, drains: &[DrainView]) -> Markup {
    let is_drained = drains.iter().any(|drain| drain.names(worker));
    let is_busy = worker.devices.iter().any(|device| device.job.is_some());
    html! { @if is_drained { " " span.drained { @if is_busy { "draining" } @else { "drained" } } } }
}

fn running(how: DrainHow) -> &'static str {
    match how {
        DrainHow::Finish => "what runs goes on to its end",
        DrainHow::Now => "what ran was told to give way",
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::{DeviceView, JobId, WorkerId};

    use super::*;

    fn drain(target: DrainTarget) -> [DrainView; 1] {
        [DrainView { target, how: DrainHow::Finish, since: 1_700_000_000_000_000 }]
    }

    #[test]
    fn a_machine_is_draining_until_its_jobs_have_ended_and_others_are_not() {
        let worker = |node: &str, job: Option<i64>| WorkerView {
            id: WorkerId(1),
            node: node.into(),
            version: "0.1.0".into(),
            online: true,
            last_seen_at: 0,
            devices: vec![DeviceView { device: "cpu".into(), job: job.map(JobId), ..DeviceView::default() }],
            labels: vec![],
        };
        let drains = drain(DrainTarget::Node("lab1".into()));
        assert!(mark(&worker("lab1", Some(3)), &drains).0.contains("draining"));
        assert!(mark(&worker("lab1", None), &drains).0.contains(">drained<"));
        assert_eq!(mark(&worker("lab2", None), &drains).0, "");
    }

    #[test]
    fn the_banner_is_of_the_daemon_and_the_list_of_all_others() {
        let daemon = drain(DrainTarget::Daemon);
        assert!(banner(&daemon).0.contains("2023-11-14 22:13:20 UTC") && banner(&daemon).0.contains("rrm undrain"));
        assert_eq!(list(&daemon).0, "");
        let node = drain(DrainTarget::Node("<script>".into()));
        assert_eq!(banner(&node).0, "");
        assert!(list(&node).0.contains("node &lt;script&gt; gets no new work"), "{}", list(&node).0);
    }
}
