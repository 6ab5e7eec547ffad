//! What there is to see at one moment.

use rrm_spec::{DeviceView, JobId, JobState, JobSummary, WorkerView};
use serde_json::{Value, json};

use crate::{
    columns::{Cell, Columns, Side},
    output::{Output, Tone},
    summary, time,
};

/// Of the jobs that wait and were looked at so many are shown, those that were submitted first.
const SHOWN: usize = 10;

/// Workers and open jobs.
pub(super) struct Picture {
    workers: Vec<WorkerView>,
    running: Vec<JobSummary>,
    /// What was submitted first comes first.
    waiting: Vec<JobSummary>,
    /// Whether more wait than were looked at.
    more: bool,
    now_us: i64,
}

impl Picture {
    /// `waiting` comes newest first, and of more than `most` there may be one more, which tells that there are more.
    pub(super) fn new(
        workers: Vec<WorkerView>,
        mut running: Vec<JobSummary>,
        mut waiting: Vec<JobSummary>,
        most: usize,
        now_us: i64,
    ) -> Self {
        let more = waiting.len() > most;
        waiting.truncate(most);
        waiting.reverse();
        running.reverse();
        Self { workers, running, waiting, more, now_us }
    }

    pub(super) fn running_ids(&self) -> impl Iterator<Item = JobId> + '_ {
        self.running.iter().map(|job| job.id)
    }

    pub(super) fn document(&self) -> Value {
        let online: Vec<&WorkerView> = self.workers.iter().filter(|worker| worker.online).collect();
        let count = |state| self.waiting.iter().filter(|job| job.state == state).count();
        json!({
            "at": self.now_us,
            "workers": online,
            "running": self.running,
            "queue": {
                "queued": count(JobState::Queued),
                "waiting": count(JobState::Waiting),
                "more": self.more,
                "jobs": self.waiting.iter().take(SHOWN).collect::<Vec<_>>(),
            },
        })
    }

    pub(super) fn lines(&self, output: Output) -> Vec<String> {
        let mut lines = vec![self.headline(), String::new()];
        match self.workers.iter().any(|worker| worker.online) {
            true => lines.extend(self.devices(output).lines().map(str::to_owned)),
            false => lines.push("no worker is connected: start one with `rrm-worker serve`".to_owned()),
        }
        if !self.waiting.is_empty() {
            lines.push(String::new());
            let first: Vec<JobSummary> = self.waiting.iter().take(SHOWN).cloned().collect();
            lines.extend(summary::table(&first, self.now_us, output).lines().map(str::to_owned));
            let rest = self.waiting.len() - first.len();
            if rest > 0 {
                let older = if self.more { "; older ones wait before these" } else { "" };
                lines.push(format!("and {rest} more{older}"));
            }
        }
        lines
    }

    fn headline(&self) -> String {
        let online = self.workers.iter().filter(|worker| worker.online);
        let (workers, devices) =
            online.fold((0, 0), |(workers, devices), worker| (workers + 1, devices + worker.devices.len()));
        let states = self.running.iter().chain(&self.waiting).map(|job| job.state);
        let counts = if self.running.is_empty() && self.waiting.is_empty() {
            "nothing to do".to_owned()
        } else {
            summary::counts(states)
        };
        let more = if self.more { " or more" } else { "" };
        format!("{}   {workers} workers, {devices} devices   {counts}{more}", time::local(self.now_us))
    }

    /// A line for each device of a worker that is there, with what it works on.
    fn devices(&self, output: Output) -> String {
        let mut columns = Columns::new([
            ("node", Side::Left),
            ("device", Side::Left),
            ("job", Side::Right),
            ("name", Side::Left),
            ("progress", Side::Left),
            ("time", Side::Right),
        ]);
        for worker in self.workers.iter().filter(|worker| worker.online) {
            for device in &worker.devices {
                let named = || [worker.node.as_str().into(), device.device.as_str().into()];
                if device.job.is_none() {
                    columns.push(idle(named(), device));
                }
                for id in device.job.iter().chain(&device.more_jobs) {
                    let running = self.running.iter().find(|job| job.id == *id);
                    columns.push(busy(named(), *id, running, self.now_us));
                }
            }
        }
        columns.render(output)
    }
}

fn idle([node, device]: [Cell; 2], view: &DeviceView) -> [Cell; 6] {
    let standing = match &view.out_of_service {
        None => Cell::toned("free", Tone::Faint),
        Some(_) => Cell::toned("out of service", Tone::Bad),
    };
    [node, device, "".into(), standing, "".into(), "".into()]
}

fn busy([node, device]: [Cell; 2], id: JobId, running: Option<&JobSummary>, now_us: i64) -> [Cell; 6] {
    let (name, progress, taken) = match running {
        Some(job) => (
            Cell::toned(format!("{} {}", job.plan, job.name), Tone::Busy),
            summary::progress(job, now_us),
            summary::time_taken(job, now_us),
        ),
        // It began or ended between two questions.
        None => ("".into(), String::new(), String::new()),
    };
    [node, device, id.to_string().into(), name, progress.into(), taken.into()]
}

#[cfg(test)]
mod tests {
    use rrm_spec::WorkerId;

    use super::*;
    use crate::{output::Format, summary::tests::job};

    fn picture(waiting: usize, most: usize) -> Picture {
        let device = |device: &str, job| DeviceView { device: device.into(), job, ..DeviceView::default() };
        let worker = WorkerView {
            id: WorkerId(1),
            node: "node1".into(),
            version: "0.1.0".into(),
            online: true,
            last_seen_at: 0,
            devices: vec![device("cuda:0", Some(JobId(1))), device("cuda:1", None)],
            labels: vec![],
        };
        let gone = WorkerView { node: "node2".into(), online: false, ..worker.clone() };
        let running = vec![job(1, "teacher", JobState::Running)];
        let waiting = (0..waiting).rev().map(|i| job(2 + i as i64, "student", JobState::Queued)).collect();
        Picture::new(vec![worker, gone], running, waiting, most, 61_000_000)
    }

    #[test]
    fn devices_show_what_they_work_on_and_the_queue_begins_with_the_first() {
        let lines = picture(12, 100).lines(Output::new(Format::Json));
        assert!(lines[0].contains("1 workers, 2 devices   1 running, 12 queued"), "{}", lines[0]);
        let text = lines.join("\n");
        assert!(text.contains("node1  cuda:0    1  demo teacher  3/12 epochs"), "{text}");
        assert!(text.contains("node1  cuda:1       free"), "{text}");
        assert!(!text.contains("node2"), "{text}");
        assert!(text.contains("\n 2  3 demo") && text.ends_with("and 2 more"), "{text}");
    }

    #[test]
    fn without_workers_it_says_how_to_get_one() {
        let lines = Picture::new(Vec::new(), Vec::new(), Vec::new(), 10, 0).lines(Output::new(Format::Json));
        assert!(lines[0].ends_with("0 workers, 0 devices   nothing to do"), "{}", lines[0]);
        assert!(lines[2].contains("rrm-worker serve"), "{}", lines[2]);
    }

    #[test]
    fn a_longer_queue_than_was_looked_at_is_told() {
        let picture = picture(12, 11);
        assert!(picture.lines(Output::new(Format::Json))[0].ends_with("or more"));
        let document = picture.document();
        assert_eq!((&document["queue"]["queued"], &document["queue"]["more"]), (&11.into(), &true.into()));
        assert_eq!(document["workers"].as_array().unwrap().len(), 1);
    }
}
