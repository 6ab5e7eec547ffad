//! `rrm worker`: the machines that train.

use rrm_spec::{DeviceView, DrainView, OutOfService, WorkerView};
use serde_json::json;

use crate::{
    arguments::{RestoreArguments, WorkerCommand},
    columns::{Cell, Columns, Side},
    daemon::Daemon,
    drain,
    exit::{Exit, Failure},
    output::{Format, Output, Tone, printable},
    time,
};

pub(crate) async fn run(command: &WorkerCommand, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    match command {
        WorkerCommand::List => {
            let failed = |error| Failure::from(error).context("list workers");
            let workers = daemon.client.workers().await.map_err(failed)?;
            let drains = daemon.client.drains().await.map_err(failed)?;
            show(&workers, &drains, output)?;
            Ok(Exit::Done)
        }
        WorkerCommand::Drain(arguments) => {
            drain::begin(arguments.target.clone(), arguments.how.how(), daemon, output).await
        }
        WorkerCommand::Undrain(arguments) => drain::end(arguments.target.clone(), daemon, output).await,
        WorkerCommand::Restore(arguments) => restore(arguments, daemon, output).await.map(|()| Exit::Done),
    }
}

async fn restore(arguments: &RestoreArguments, daemon: &Daemon, output: Output) -> Result<(), Failure> {
    let RestoreArguments { node, device } = arguments;
    let was_out = daemon.client.restore_device(node.clone(), *device).await;
    let was_out = was_out.map_err(|error| Failure::from(error).context("restore a device"))?;
    match output.format() {
        Format::Json => output.document(json!({"node": node, "device": device, "was_out_of_service": was_out})),
        Format::Ids => Ok(()),
        Format::Human if was_out => output.line(&format!("{device} of {node} is given jobs again")),
        Format::Human => output.line(&format!("{device} of {node} was in service")),
    }
}

fn show(workers: &[WorkerView], drains: &[DrainView], output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"workers": workers, "drains": drains})),
        Format::Ids => workers.iter().try_for_each(|worker| output.line(&worker.id.to_string())),
        Format::Human if workers.is_empty() => {
            output.note("no worker has registered yet: start one with `rrm-worker serve`");
            Ok(())
        }
        Format::Human => {
            output.text(&(table(workers, drains, output) + &out_of_service(workers)))?;
            drain::remark(drains, output);
            Ok(())
        }
    }
}

/// Where a worker stands.
fn state(worker: &WorkerView, drains: &[DrainView]) -> (&'static str, Tone) {
    let is_drained = drains.iter().any(|drain| drain.names(worker));
    match (worker.online, is_drained) {
        (false, _) => ("offline", Tone::Faint),
        (true, false) => ("online", Tone::Good),
        (true, true) if worker.devices.iter().any(|device| device.job.is_some()) => ("draining", Tone::Busy),
        (true, true) => ("drained", Tone::Faint),
    }
}

fn table(workers: &[WorkerView], drains: &[DrainView], output: Output) -> String {
    let mut columns = Columns::new([
        ("id", Side::Right),
        ("node", Side::Left),
        ("state", Side::Left),
        ("devices", Side::Left),
        ("labels", Side::Left),
        ("last heard", Side::Left),
        ("version", Side::Left),
    ]);
    for worker in workers {
        let state = state(worker, drains);
        columns.push([
            worker.id.to_string().into(),
            worker.node.as_str().into(),
            Cell::toned(state.0, state.1),
            worker.devices.iter().map(device).collect::<Vec<_>>().join(", ").into(),
            worker.labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ").into(),
            time::local(worker.last_seen_at).into(),
            worker.version.as_str().into(),
        ]);
    }
    columns.render(output)
}

fn device(view: &DeviceView) -> String {
    let memory = view.memory_mib.map_or_else(String::new, |mib| format!(" {} GiB", mib / 1024));
    let jobs: Vec<_> = view.job.iter().chain(&view.more_jobs).map(ToString::to_string).collect();
    let does = match (jobs.as_slice(), &view.out_of_service) {
        ([], None) => "free".to_owned(),
        ([], Some(_)) => "out of service".to_owned(),
        ([job], None) => format!("job {job}"),
        ([job], Some(_)) => format!("job {job}, then out of service"),
        (jobs, None) => format!("jobs {}", jobs.join(", ")),
        (jobs, Some(_)) => format!("jobs {}, then out of service", jobs.join(", ")),
    };
    let share = if view.share > 1 { format!(", shared by {}", view.share) } else { String::new() };
    format!("{}{memory} ({does}{share})", view.device)
}

/// Why, and the way back, a line for each device that is given no jobs.
fn out_of_service(workers: &[WorkerView]) -> String {
    let lines = workers.iter().filter(|worker| worker.online).flat_map(|worker| {
        worker.devices.iter().filter_map(|view| {
            let OutOfService { since, reason } = view.out_of_service.as_ref()?;
            let (node, device) = (printable(&worker.node), &view.device);
            let (since, reason) = (time::local(*since), printable(reason));
            Some(format!(
                "{device} of {node} is out of service since {since}: {reason}; mend that, then `rrm worker restore {node} {device}`\n"
            ))
        })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use rrm_spec::{DrainHow, DrainTarget, JobId, WorkerId};

    use super::*;

    fn worker(devices: Vec<DeviceView>) -> WorkerView {
        WorkerView {
            id: WorkerId(1),
            node: "node1".into(),
            version: "0.1.0".into(),
            online: true,
            last_seen_at: 0,
            devices,
            labels: vec!["a100".parse().unwrap()],
        }
    }

    fn view(device: &str, job: Option<i64>) -> DeviceView {
        DeviceView { device: device.into(), job: job.map(JobId), ..DeviceView::default() }
    }

    fn shown(devices: Vec<DeviceView>, drains: &[DrainView]) -> String {
        table(&[worker(devices)], drains, Output::new(Format::Json))
    }

    #[test]
    fn devices_show_what_they_work_on() {
        let shared =
            DeviceView { more_jobs: vec![JobId(14)], share: 2, memory_mib: Some(24576), ..view("cuda:1", Some(13)) };
        let text = shown(vec![view("cuda:0", Some(12)), shared, view("cpu", None)], &[]);
        let devices = "cuda:0 (job 12), cuda:1 24 GiB (jobs 13, 14, shared by 2), cpu (free)";
        assert!(text.contains(&format!("node1  online  {devices}  a100")), "{text}");
    }

    #[test]
    fn a_drained_machine_is_draining_until_its_jobs_have_ended() {
        let drains = [DrainView { target: DrainTarget::Node("node1".into()), how: DrainHow::Finish, since: 0 }];
        let text = shown(vec![view("cuda:0", Some(12))], &drains);
        assert!(text.contains("node1  draining"), "{text}");
        let text = shown(vec![view("cuda:0", None)], &drains);
        assert!(text.contains("node1  drained"), "{text}");
    }

    #[test]
    fn a_device_out_of_service_says_why_and_how_it_comes_back() {
        let out_of_service = Some(OutOfService { since: 0, reason: "jobs 1, 2, 3 failed".into() });
        let devices = vec![DeviceView { out_of_service, ..view("cuda:0", None) }];
        assert!(shown(devices.clone(), &[]).contains("cuda:0 (out of service)"));
        let text = super::out_of_service(&[worker(devices)]);
        assert!(text.contains("jobs 1, 2, 3 failed") && text.contains("rrm worker restore node1 cuda:0"), "{text}");
    }
}
