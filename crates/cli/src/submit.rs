//! `rrm submit`: a plan, or a recipe's, to the daemon.

use std::{fs, io::Read, path::Path};

use rrm_api::{Reuse, Source, Strict, Submitted, Wishes};
use rrm_spec::{DeviceRequest, DeviceShare, JobId, JobSpec, Plan, PlannedJob, ResourceRequest};
use serde_json::json;

use crate::{
    arguments::{Global, SubmitArguments},
    blocking,
    columns::{Columns, Side},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    recipe,
    request::Request,
    selector::PlanSelector,
    watch,
};

pub(crate) async fn run(
    arguments: &SubmitArguments,
    request: &Request,
    global: &Global,
    output: Output,
) -> Result<Exit, Failure> {
    let mut plan = match (&arguments.plan, &arguments.recipe) {
        (Some(path), _) => {
            let path = path.clone();
            // Standard input may have nothing to read for long.
            blocking(move || read(&path)).await?
        }
        (None, Some(name)) => recipe::plan(name, &arguments.changes)?,
        (None, None) => unreachable!("the command line has one of them"),
    };
    if arguments.hold {
        plan.jobs.iter_mut().for_each(|job| job.hold = true);
    }
    if arguments.dry_run {
        show_plan(&plan, output)?;
        return Ok(Exit::Done);
    }
    let daemon = Daemon::reach(global, output)?;
    let name = plan.name.clone();
    let reuse = if arguments.reuse { Reuse::Yes } else { Reuse::No };
    let strict = if arguments.strict { Strict::Yes } else { Strict::No };
    let wishes = Wishes { reuse, strict };
    let submitted = request.send(async |id| daemon.client.submit(id, plan, source(), wishes).await).await;
    let submitted = submitted.map_err(|failure| failure.context(format!("submit plan {name}")))?;
    for warning in &submitted.warnings {
        output.note(&format!("warning: {warning}"));
    }
    show(&name, &submitted, arguments, output)?;
    if !arguments.wait {
        return Ok(Exit::Done);
    }
    watch::plan(PlanSelector::Id(submitted.submission), 0, &daemon, output).await
}

fn read(path: &Path) -> Result<Plan, Failure> {
    let text = match path.to_str() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => fs::read_to_string(path),
    };
    let text = text.map_err(|error| Failure::text_file("read the plan", path, &error))?;
    Plan::from_toml(&text).map_err(|faults| Failure::invalid(format!("plan {}", path.display()), faults))
}

fn source() -> Source {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    Source { client_version: rrm_api::VERSION.to_owned(), host: host.to_owned() }
}

fn show(plan: &str, submitted: &Submitted, arguments: &SubmitArguments, output: Output) -> Result<(), Failure> {
    let Submitted { submission, jobs, reused, already, warnings } = submitted;
    match output.format() {
        Format::Json => {
            let job = |(id, name): &(JobId, String)| json!({"id": id, "name": name, "reused": reused.contains(id)});
            let jobs: Vec<_> = jobs.iter().map(job).collect();
            let receipt = json!({"submission": submission, "jobs": jobs, "already": already, "warnings": warnings});
            // With --wait it is the first of a stream.
            if arguments.wait { output.json_line(receipt) } else { output.document(receipt) }
        }
        Format::Ids => jobs.iter().try_for_each(|(id, _)| output.line(&id.to_string())),
        Format::Human => {
            let was = if *already { "had been submitted before, as plan" } else { "submitted as plan" };
            output.line(&format!("{plan} {was} {submission}"))?;
            let mut columns = Columns::new([("id", Side::Right), ("name", Side::Left), ("remark", Side::Left)]);
            for (id, name) in jobs {
                let remark = if reused.contains(id) { format!("reused #{id}") } else { String::new() };
                columns.push([id.to_string().into(), name.as_str().into(), remark.into()]);
            }
            output.text(&columns.render(output))
        }
    }
}

/// A plan that was not submitted.
fn show_plan(plan: &Plan, output: Output) -> Result<(), Failure> {
    match output.format() {
        Format::Json => output.document(json!({"plan": plan})),
        Format::Ids => plan.jobs.iter().try_for_each(|job| output.line(&job.name)),
        Format::Human => {
            output.note(&format!("{}: {} jobs, none of them submitted", plan.name, plan.jobs.len()));
            output.text(&plan_table(plan, output))
        }
    }
}

fn plan_table(plan: &Plan, output: Output) -> String {
    let mut columns = Columns::new([
        ("name", Side::Left),
        ("what", Side::Left),
        ("network", Side::Left),
        ("needs", Side::Left),
        ("dataset", Side::Left),
        ("epochs", Side::Right),
        ("seed", Side::Right),
        ("device", Side::Left),
    ]);
    for job in &plan.jobs {
        let (what, network, seed) = match &job.spec {
            JobSpec::Train(spec) => (job.label().to_owned(), spec.arch.to_string(), spec.seed),
            JobSpec::Evaluate(spec) => (spec.attack.label(), String::new(), spec.seed),
            JobSpec::Synthesize(spec) => (job.label().to_owned(), String::new(), spec.seed),
        };
        let epochs = Some(job.spec.epochs()).filter(|epochs| *epochs > 0);
        columns.push([
            job.name.as_str().into(),
            what.into(),
            network.into(),
            needs(job).into(),
            job.spec.dataset().name.to_string().into(),
            epochs.map_or_else(String::new, |epochs| epochs.to_string()).into(),
            seed.to_string().into(),
            device(job).into(),
        ]);
    }
    columns.render(output)
}

fn needs(job: &PlannedJob) -> String {
    job.spec.needs().iter().map(|need| need.job.to_string()).collect::<Vec<_>>().join(", ")
}

/// Which kind, and what besides goes not without saying.
fn device(job: &PlannedJob) -> String {
    let kind = match job.device {
        DeviceRequest::Any => "any",
        DeviceRequest::Cpu => "cpu",
        DeviceRequest::Cuda => "cuda",
    };
    let ResourceRequest { devices, memory_gib, labels } = &job.request;
    let count = (*devices != DeviceShare::default()).then(|| format!("{devices} × "));
    let memory = memory_gib.map(|memory| format!(", {memory} GiB"));
    let labels: String = labels.iter().map(|label| format!(", {label}")).collect();
    format!("{}{kind}{}{labels}", count.unwrap_or_default(), memory.unwrap_or_default())
}
