//! `rrm worker`: the machines that train.

use rrm_spec::{DeviceView, DrainView, WorkerView};
use serde_json::json;

use crate::{
    arguments::WorkerCommand,
    columns::{Cell, Columns, Side},
    daemon::Daemon,
    drain,
    exit::{Exit, Failure},
    output::{Format, Output, Tone},
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
            output.text(&table(workers, drains, output))?;
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
            time::local(worker.last_seen_at).into(),
            worker.version.as_str().into(),
        ]);
    }
    columns.render(output)
}

fn device(view: &DeviceView) -> String {
    match view.job {
        Some(job) => format!("{} (job {job})", view.device),
        None => format!("{} (free)", view.device),
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::{DrainHow, DrainTarget, JobId, WorkerId};

    use super::*;

    #[test]
    fn devices_show_what_they_work_on() {
        let devices = vec![
            DeviceView { device: "cuda:0".into(), job: Some(JobId(12)) },
            DeviceView { device: "cpu".into(), job: None },
        ];
        let worker = WorkerView {
            id: WorkerId(1),
            node: "node1".into(),
            version: "0.1.0".into(),
            online: true,
            last_seen_at: 0,
            devices,
        };
        let text = |drains: &[DrainView]| table(std::slice::from_ref(&worker), drains, Output::new(Format::Json));
        assert!(text(&[]).contains("node1  online  cuda:0 (job 12), cpu (free)"), "{}", text(&[]));
        let drains = [DrainView { target: DrainTarget::Node("node1".into()), how: DrainHow::Finish, since: 0 }];
        assert!(text(&drains).contains("node1  draining"), "{}", text(&drains));
    }
}
