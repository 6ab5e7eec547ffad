//! `rrm show`: everything that is recorded of a job.

use rrm_spec::{
    Accuracy, AttemptView, CheckpointRecord, CheckpointRole, DiagnosticsRecord, EpochRecord, EvaluateSpec,
    EvaluationRecord, JobDetail, JobSpec, Method, ModelSource, Precision, SynthesizeSpec, TrainSpec,
};
use serde_json::json;

use crate::{
    arguments::ShowArguments,
    columns::{Columns, Side},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output, Tone, printable},
    summary, time,
};

/// More epochs than this are left to `--json`.
const MOST_EPOCHS: usize = 40;

pub(crate) async fn run(arguments: &ShowArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let id = daemon.select_one(&arguments.job, arguments.plan).await?;
    let job = daemon.client.job(id).await.map_err(|error| Failure::from(error).context("show a job"))?;
    match output.format() {
        Format::Json => output.document(json!({"job": job}))?,
        Format::Ids => output.line(&job.summary.id.to_string())?,
        Format::Human => output.text(&describe(&job, time::now_us(), output))?,
    }
    Ok(Exit::Done)
}

fn describe(job: &JobDetail, now_us: i64, output: Output) -> String {
    let parts = [
        facts(job, now_us, output),
        section("attempts", attempts(&job.attempts, output), output),
        section("epochs", epochs(&job.epochs, output), output),
        section("evaluations", evaluations(&job.evaluations, output), output),
        section("adversarial images", audits(&job.evaluations, output), output),
        section("diagnostics", diagnostics(job.diagnostics.as_ref(), output), output),
        section("checkpoints", checkpoints(&job.checkpoints, output), output),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn section(title: &str, body: Option<String>, output: Output) -> String {
    body.map_or_else(String::new, |body| format!("{}\n{body}", output.paint(title, Tone::Strong)))
}

fn facts(job: &JobDetail, now_us: i64, output: Output) -> String {
    let summary = &job.summary;
    let moment = |at: Option<i64>| at.map_or_else(|| "–".to_owned(), time::local);
    let mut facts = vec![
        ("job", format!("{}  {}", summary.id, output.paint(&summary.name, Tone::Strong))),
        ("plan", format!("{}  {}", summary.submission, summary.plan)),
        ("owner", summary.owner.to_string()),
        ("state", output.paint(&summary::state(summary), summary::tone(summary.state))),
        ("what", what(&job.spec)),
        ("submitted", time::local(summary.created_at)),
        ("started", moment(summary.started_at)),
        ("ended", moment(summary.ended_at)),
        ("time", summary::time_taken(summary, now_us)),
    ];
    if !job.parents.is_empty() {
        facts.push(("needs", job.parents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    if let Some(progress) = &summary.progress {
        let percent = summary::percent(progress).map_or_else(String::new, |percent| format!(", {percent} %"));
        facts.push(("progress", format!("{}{percent}, {:.0} images/s", progress.phase, progress.images_per_second)));
    }
    if let Some(limit) = summary.time_limit {
        facts.push(("time limit", format!("{limit} for each attempt")));
    }
    if summary.priority != 0 {
        facts.push(("priority", summary.priority.to_string()));
    }
    facts.extend(summary.retry_of.map(|of| ("retry of", of.to_string())));
    facts.extend(summary.retried_as.map(|by| ("retried as", by.to_string())));
    if let Some(reason) = &summary.reason {
        facts.push(("reason", printable(reason)));
    }
    if let Some(key) = &job.content_key {
        facts.push(("key", key.to_string()));
    }
    facts.extend(provenance(job));
    facts.iter().map(|(name, value)| format!("{name:<10} {value}\n")).collect()
}

/// What the newest attempt that has begun told of itself.
fn provenance(job: &JobDetail) -> Vec<(&'static str, String)> {
    let Some(run) = job.attempts.iter().rev().find_map(|attempt| attempt.run.as_ref()) else { return Vec::new() };
    let by = format!("rrm {} on {}, {} threads", run.code_version, run.device, run.threads);
    let hashes = [("data", &run.data_sha256), ("spec", &run.spec_sha256)];
    let hashes = hashes.into_iter().filter_map(|(name, hash)| Some((name, format!("sha256:{}", hash.as_ref()?))));
    std::iter::once(("by", by)).chain(hashes).collect()
}

fn what(spec: &JobSpec) -> String {
    match spec {
        JobSpec::Train(spec) => training(spec),
        JobSpec::Evaluate(spec) => evaluating(spec),
        JobSpec::Synthesize(spec) => synthesizing(spec),
    }
}

fn training(spec: &TrainSpec) -> String {
    let method = match &spec.method {
        Method::Natural => spec.method.label().to_owned(),
        Method::AdversarialTraining { attack, attack_mode: _ } => {
            format!("{} ({})", spec.method.label(), threat(attack))
        }
        Method::FreeAdversarialTraining { threat, replays, .. } => {
            format!("{} ({replays} replays, {} {})", spec.method.label(), threat.norm, threat.epsilon)
        }
        Method::Rrm { teacher, lambda, .. } => {
            format!("{} from {}, lambda {lambda}", spec.method.label(), source(teacher))
        }
        Method::KnowledgeDistillation { teacher, temperature, alpha, .. } => {
            format!("{} from {}, T {temperature}, alpha {alpha}", spec.method.label(), source(teacher))
        }
        Method::AdversariallyRobustDistillation { teacher, attack, .. } => {
            format!("{} from {} ({})", spec.method.label(), source(teacher), threat(attack))
        }
        Method::Trades { threat, steps, beta, .. } => {
            format!("{} ({steps} steps, {} {}, beta {beta})", spec.method.label(), threat.norm, threat.epsilon)
        }
    };
    let precision = match spec.precision {
        Precision::F32 => String::new(),
        precision => format!(" in {precision}"),
    };
    let temperature = match spec.temperature {
        1.0 => String::new(),
        divisor => format!(" at temperature {divisor}"),
    };
    format!(
        "{method}: {} on {}{precision}{temperature}, {} epochs, batch {}, seed {}",
        spec.arch, spec.dataset.name, spec.epochs, spec.batch_size, spec.seed
    )
}

fn evaluating(spec: &EvaluateSpec) -> String {
    let images = spec.images.map_or_else(|| "all".to_owned(), |images| format!("the first {images}"));
    let teacher = spec.teacher.as_ref().map_or_else(String::new, |teacher| format!(", taught by {},", source(teacher)));
    let diagnostics = spec.diagnostics.map_or_else(String::new, |images| format!(", diagnostics on {images}"));
    let temperature = spec.temperature.map_or_else(String::new, |divisor| format!(" at temperature {divisor}"));
    format!(
        "{} of {}{temperature}{teacher} on {} test images of {}{diagnostics}, seed {}",
        spec.attacks().iter().map(threat).collect::<Vec<_>>().join("; "),
        source(&spec.model),
        images,
        spec.dataset.name,
        spec.seed
    )
}

fn synthesizing(spec: &SynthesizeSpec) -> String {
    format!(
        "images that {} represents as those of {}: {} steps of {}, seed {}",
        source(&spec.model),
        spec.dataset.name,
        spec.steps,
        spec.step_size,
        spec.seed
    )
}

fn threat(attack: &rrm_spec::AttackSpec) -> String {
    let threat = attack.threat();
    format!("{}, {} {}", attack.label(), threat.norm, threat.epsilon)
}

fn source(source: &ModelSource) -> String {
    match source {
        ModelSource::Job(job) => job.to_string(),
        ModelSource::Checkpoint(path) => path.display().to_string(),
        ModelSource::Artifact(artifact) => artifact.to_string(),
    }
}

fn attempts(attempts: &[AttemptView], output: Output) -> Option<String> {
    let mut columns = Columns::new([
        ("id", Side::Right),
        ("where", Side::Left),
        ("started", Side::Left),
        ("ended", Side::Left),
        ("outcome", Side::Left),
        ("message", Side::Left),
    ]);
    for attempt in attempts {
        columns.push([
            attempt.id.to_string().into(),
            format!("{}/{}", attempt.node, attempt.device).into(),
            time::local(attempt.started_at).into(),
            attempt.ended_at.map_or_else(|| "–".to_owned(), time::local).into(),
            attempt.outcome.map_or("running", |outcome| outcome.name()).into(),
            attempt.message.clone().unwrap_or_default().into(),
        ]);
    }
    (!attempts.is_empty()).then(|| columns.render(output))
}

fn epochs(epochs: &[EpochRecord], output: Output) -> Option<String> {
    let mut columns = Columns::new([
        ("epoch", Side::Right),
        ("time, s", Side::Right),
        ("rate", Side::Right),
        ("loss", Side::Right),
        ("train, %", Side::Right),
        ("natural, %", Side::Right),
        ("robust, %", Side::Right),
    ]);
    let skipped = epochs.len().saturating_sub(MOST_EPOCHS);
    for record in &epochs[skipped..] {
        columns.push([
            record.epoch.to_string().into(),
            format!("{:.2}", record.train_us as f64 / 1e6).into(),
            format!("{:.5}", record.learning_rate).into(),
            format!("{:.4}", record.loss).into(),
            percent(record.train).into(),
            percent(record.natural).into(),
            record.robust.map_or_else(|| "–".to_owned(), percent).into(),
        ]);
    }
    let note = if skipped > 0 { format!("({skipped} earlier epochs: --json shows all)\n") } else { String::new() };
    (!epochs.is_empty()).then(|| note + &columns.render(output))
}

fn evaluations(evaluations: &[EvaluationRecord], output: Output) -> Option<String> {
    let mut columns = Columns::new([
        ("attack", Side::Left),
        ("natural, %", Side::Right),
        ("robust, %", Side::Right),
        ("95 % interval", Side::Right),
        ("correct", Side::Right),
        ("time", Side::Right),
    ]);
    for record in evaluations {
        let interval = record.robust.wilson95();
        columns.push([
            threat(&record.attack).into(),
            percent(record.natural).into(),
            percent(record.robust).into(),
            interval.map_or_else(String::new, |(low, high)| format!("{:.2}–{:.2}", 100.0 * low, 100.0 * high)).into(),
            format!("{}/{}", record.robust.correct, record.robust.total).into(),
            time::duration(std::time::Duration::from_micros(record.elapsed_us)).into(),
        ]);
    }
    (!evaluations.is_empty()).then(|| columns.render(output))
}

/// The numbers as they are; what they mean, `rrm report suspicion` says.
fn diagnostics(record: Option<&DiagnosticsRecord>, output: Output) -> Option<String> {
    let mut columns = Columns::new([("number", Side::Left), ("value", Side::Right), ("detail", Side::Left)]);
    for number in &record?.numbers {
        columns.push([number.name.clone().into(), number.value.to_string().into(), printable(&number.detail).into()]);
    }
    Some(columns.render(output))
}

/// What is wrong with what an attack found, and what is left of it in 8 bits.
fn audits(evaluations: &[EvaluationRecord], output: Output) -> Option<String> {
    let mut columns = Columns::new([
        ("attack", Side::Left),
        ("largest change", Side::Right),
        ("epsilon", Side::Right),
        ("outside the box", Side::Right),
        ("not finite", Side::Right),
        ("robust, recounted, %", Side::Right),
        ("in 8 bits, %", Side::Right),
    ]);
    let audited: Vec<_> = evaluations.iter().filter_map(|record| Some((record, record.audit?))).collect();
    for (record, audit) in &audited {
        columns.push([
            threat(&record.attack).into(),
            format!("{:.6}", audit.largest_change).into(),
            format!("{:.6}", record.attack.threat().epsilon.value()).into(),
            audit.outside_box.to_string().into(),
            audit.not_finite.to_string().into(),
            percent(audit.recounted).into(),
            percent(audit.rounded).into(),
        ]);
    }
    (!audited.is_empty()).then(|| columns.render(output))
}

fn checkpoints(checkpoints: &[CheckpointRecord], output: Output) -> Option<String> {
    let mut columns =
        Columns::new([("epoch", Side::Right), ("role", Side::Left), ("bytes", Side::Right), ("sha256", Side::Left)]);
    for checkpoint in checkpoints {
        let role = match checkpoint.role {
            CheckpointRole::Resume => "resume",
            CheckpointRole::Final => "final",
        };
        columns.push([
            checkpoint.epoch.to_string().into(),
            role.into(),
            checkpoint.bytes.to_string().into(),
            checkpoint.sha256.as_str().into(),
        ]);
    }
    (!checkpoints.is_empty()).then(|| columns.render(output))
}

fn percent(accuracy: Accuracy) -> String {
    accuracy.fraction().map_or_else(|| "–".to_owned(), |fraction| format!("{:.2}", 100.0 * fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"kind":"train","dataset":{"name":"cifar10"},"arch":"dnn","method":{"kind":"natural"},"optimizer":{"learning_rate":0.1,"schedule":{"kind":"cosine"}},"epochs":3,"batch_size":128,"seed":1}"#;

    #[test]
    fn precision_and_temperature_are_shown_where_they_are_not_the_usual_ones() {
        let JobSpec::Train(spec) = rrm_spec::read_job(JOB).unwrap() else { panic!("it trains") };
        assert_eq!(training(&spec), "natural: dnn on cifar10, 3 epochs, batch 128, seed 1");
        let spec = TrainSpec { precision: Precision::Bf16, temperature: 30.0, ..spec };
        assert_eq!(training(&spec), "natural: dnn on cifar10 in bf16 at temperature 30, 3 epochs, batch 128, seed 1");
    }

    const EVALUATION: &str = r##"{"kind":"evaluate","model":{"job":"#1"},"dataset":{"name":"cifar10"},"attack":{"kind":"fgsm","threat":{"norm":"linf","epsilon":"8/255"}},"batch_size":100,"seed":0}"##;

    #[test]
    fn the_temperature_of_an_evaluation_is_shown_where_it_has_one() {
        let JobSpec::Evaluate(spec) = rrm_spec::read_job(EVALUATION).unwrap() else { panic!("it evaluates") };
        assert!(evaluating(&spec).contains(" of #1 on all test images"), "{}", evaluating(&spec));
        let soft = evaluating(&EvaluateSpec { temperature: Some(30.0), ..spec });
        assert!(soft.contains(" of #1 at temperature 30 on all test images"), "{soft}");
    }
}
