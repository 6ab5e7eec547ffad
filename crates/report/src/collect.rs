//! Jobs to rows.

use std::collections::{BTreeSet, HashMap, HashSet};

use rrm_spec::{
    AttackSpec, EvaluateSpec, EvaluationRecord, JobDetail, JobId, JobRef, JobSpec, JobState, Method, ModelSource,
    TrainSpec, balanced,
};

use crate::{EpochTime, Measurement, Provenance, Row, Source, Table, Teacher, remarks::remarks, speed_up::speed_up};

/// Collects what is known of every network that `jobs` train.
///
/// Give a plan's jobs together with all jobs that they build on, so that teacher-inclusive times are complete. Nothing is
/// invented: what has not been measured is [`Measurement::Pending`] or absent.
pub fn table(jobs: &[JobDetail]) -> Table {
    let mut jobs: Vec<&JobDetail> = jobs.iter().collect();
    jobs.sort_by_key(|job| job.summary.id);
    let newest = jobs.iter().max_by_key(|job| (job.summary.submission, job.summary.id));
    let known =
        Known { jobs: jobs.iter().map(|job| (job.summary.id, *job)).collect(), evaluations: evaluations(&jobs) };
    let attacks = known.attacks(&jobs);
    let mut rows: Vec<Row> = jobs.iter().filter_map(|job| known.row(job, &attacks)).collect();
    let speed_ups: Vec<_> = rows.iter().map(|row| speed_up(row, &rows)).collect();
    rows.iter_mut().zip(speed_ups).for_each(|(row, speed_up)| row.speed_up = speed_up);
    Table {
        plan: newest.map(|job| job.summary.plan.clone()).unwrap_or_default(),
        submission: newest.map(|job| job.summary.submission),
        remarks: remarks(&jobs, &rows),
        attacks,
        provenance: rows.iter().map(|row| Provenance::of(known.jobs[&row.job], &known.jobs)).collect(),
        rows,
    }
}

/// An evaluation of a known network.
struct Evaluation<'a> {
    job: JobId,
    state: JobState,
    attack: AttackSpec,
    record: Option<&'a EvaluationRecord>,
}

/// Everything by id.
struct Known<'a> {
    jobs: HashMap<JobId, &'a JobDetail>,
    evaluations: HashMap<JobId, Vec<Evaluation<'a>>>,
}

/// The network that an evaluation is of, where another job trained it.
pub(crate) fn evaluated(spec: &EvaluateSpec) -> Option<JobId> {
    match &spec.model {
        ModelSource::Job(JobRef::Id(id)) => Some(*id),
        ModelSource::Job(JobRef::Name(_)) | ModelSource::Checkpoint(_) | ModelSource::Artifact(_) => None,
    }
}

/// The temperature of an evaluation that is not known to be the network's own.
pub(crate) fn another_temperature(spec: &EvaluateSpec, jobs: &[&JobDetail]) -> Option<f64> {
    let trained = |id: JobId| match &jobs.iter().find(|job| job.summary.id == id)?.spec {
        JobSpec::Train(network) => Some(network.temperature),
        JobSpec::Evaluate(_) | JobSpec::Synthesize(_) => None,
    };
    let own = evaluated(spec).and_then(trained);
    spec.temperature.filter(|told| Some(*told) != own)
}

fn evaluations<'a>(jobs: &[&'a JobDetail]) -> HashMap<JobId, Vec<Evaluation<'a>>> {
    let mut found: HashMap<JobId, Vec<Evaluation<'_>>> = HashMap::new();
    for job in jobs {
        let JobSpec::Evaluate(spec) = &job.spec else { continue };
        let Some(network) = evaluated(spec) else { continue };
        // A row is of a network as it was trained; the remarks tell of others.
        if another_temperature(spec, jobs).is_some() {
            continue;
        }
        // One of several radii has as many results.
        let of = |attack: AttackSpec| Evaluation {
            job: job.summary.id,
            state: job.summary.state,
            record: job.evaluations.iter().rev().find(|record| record.attack == attack),
            attack,
        };
        found.entry(network).or_default().extend(spec.attacks().into_iter().map(of));
    }
    found
}

impl<'a> Known<'a> {
    fn evaluations_of(&self, network: JobId) -> &[Evaluation<'a>] {
        self.evaluations.get(&network).map_or(&[], Vec::as_slice)
    }

    /// Every attack with which a network was or will be evaluated; of networks that nobody evaluates, their validation's.
    fn attacks(&self, jobs: &[&JobDetail]) -> Vec<AttackSpec> {
        let mut attacks: Vec<AttackSpec> = Vec::new();
        let mut add = |attack: &AttackSpec| {
            if !attacks.contains(attack) {
                attacks.push(attack.clone());
            }
        };
        for job in jobs {
            self.evaluations_of(job.summary.id).iter().for_each(|evaluation| add(&evaluation.attack));
        }
        for job in jobs.iter().filter(|job| self.evaluations_of(job.summary.id).is_empty()) {
            if let JobSpec::Train(TrainSpec { validation, .. }) = &job.spec {
                validation.attack.iter().for_each(&mut add);
            }
        }
        attacks
    }

    fn row(&self, job: &JobDetail, attacks: &[AttackSpec]) -> Option<Row> {
        let JobSpec::Train(spec) = &job.spec else { return None };
        let summary = &job.summary;
        let epoch_us: Vec<u64> = job.epochs.iter().map(|epoch| epoch.train_us).collect();
        Some(Row {
            job: summary.id,
            submission: summary.submission,
            name: summary.name.clone(),
            state: summary.state,
            reason: summary.reason.clone(),
            method: spec.method.label(),
            training_attack: training_attack(&spec.method).cloned(),
            network: spec.arch,
            dataset: spec.dataset.clone(),
            precision: spec.precision,
            seed: spec.seed,
            teacher: self.teacher(job),
            is_fine_tuning: spec.initial.is_some(),
            epochs_done: epoch_us.len() as u32,
            epochs_total: spec.epochs.get(),
            natural: self.natural(job),
            robust: attacks.iter().map(|attack| self.robust(job, spec, attack)).collect(),
            epoch_time: EpochTime::of(&epoch_us),
            epoch_time_without_first: EpochTime::of(epoch_us.get(1..).unwrap_or_default()),
            training_us: training_us(job),
            training_with_teacher_us: self.training_with_ancestors_us(job),
            speed_up: None,
            machines: machines(job),
            epoch_us,
        })
    }

    fn teacher(&self, job: &JobDetail) -> Option<Teacher> {
        match job.spec.source()? {
            ModelSource::Checkpoint(path) => Some(Teacher::Checkpoint(path.clone())),
            ModelSource::Artifact(artifact) => Some(Teacher::Artifact(artifact.clone())),
            ModelSource::Job(JobRef::Id(id)) => {
                let name = self.jobs.get(id).map(|teacher| teacher.summary.name.clone());
                Some(Teacher::Job { id: *id, name })
            }
            ModelSource::Job(JobRef::Name(name)) => Some(Teacher::Checkpoint(name.into())),
        }
    }

    /// The evaluation on the most images counts; of equals the newest. Without one, the last validation.
    fn natural(&self, job: &JobDetail) -> Measurement {
        let evaluations = self.evaluations_of(job.summary.id);
        match best(evaluations.iter()) {
            Some((job, record)) => {
                let balanced = balanced(&record.classes).map(|(natural, _)| natural);
                Measurement::Measured { accuracy: record.natural, source: Source::Evaluation(job), balanced }
            }
            None => match complete(job).then(|| job.epochs.last()).flatten() {
                Some(epoch) => {
                    Measurement::Measured { accuracy: epoch.natural, source: Source::Validation, balanced: None }
                }
                None => pending(evaluations.iter()),
            },
        }
    }

    fn robust(&self, job: &JobDetail, spec: &TrainSpec, attack: &AttackSpec) -> Measurement {
        let evaluations = self.evaluations_of(job.summary.id);
        let matching = || evaluations.iter().filter(|evaluation| evaluation.attack == *attack);
        if let Some((job, record)) = best(matching()) {
            let balanced = balanced(&record.classes).map(|(_, robust)| robust);
            return Measurement::Measured { accuracy: record.robust, source: Source::Evaluation(job), balanced };
        }
        let validated = evaluations.is_empty() && complete(job) && spec.validation.attack.as_ref() == Some(attack);
        match job.epochs.last().filter(|_| validated).and_then(|epoch| epoch.robust) {
            Some(accuracy) => Measurement::Measured { accuracy, source: Source::Validation, balanced: None },
            None => pending(matching()),
        }
    }

    /// Each ancestor counts once, however many paths lead to it.
    fn training_with_ancestors_us(&self, job: &JobDetail) -> Option<u64> {
        let mut seen = HashSet::new();
        let mut open = vec![job];
        let mut total = 0;
        while let Some(job) = open.pop() {
            if !seen.insert(job.summary.id) {
                continue;
            }
            total += training_us(job)?;
            if job.spec.starts_from_a_file() {
                return None;
            }
            for need in job.spec.needs() {
                let JobRef::Id(parent) = need.job else { return None };
                open.push(self.jobs.get(parent)?);
            }
        }
        Some(total)
    }
}

fn training_attack(method: &Method) -> Option<&AttackSpec> {
    match method {
        Method::AdversarialTraining { attack, .. } => Some(attack),
        // The yardstick of speed is plain adversarial training alone.
        Method::Natural
        | Method::FreeAdversarialTraining { .. }
        | Method::Rrm { .. }
        | Method::KnowledgeDistillation { .. }
        | Method::AdversariallyRobustDistillation { .. }
        | Method::Trades { .. } => None,
    }
}

fn best<'a, 'b: 'a>(evaluations: impl Iterator<Item = &'a Evaluation<'b>>) -> Option<(JobId, &'b EvaluationRecord)> {
    evaluations
        .filter(|evaluation| evaluation.state == JobState::Succeeded)
        .filter_map(|evaluation| Some((evaluation.job, evaluation.record?)))
        .max_by_key(|(job, record)| (record.robust.total, *job))
}

fn pending<'a, 'b: 'a>(evaluations: impl Iterator<Item = &'a Evaluation<'b>>) -> Measurement {
    match evaluations.last() {
        Some(evaluation) => Measurement::Pending { job: evaluation.job, state: evaluation.state },
        None => Measurement::Absent,
    }
}

fn complete(job: &JobDetail) -> bool {
    job.summary.state == JobState::Succeeded && job.epochs.len() as u32 == job.spec.epochs()
}

fn training_us(job: &JobDetail) -> Option<u64> {
    complete(job).then(|| job.epochs.iter().map(|epoch| epoch.train_us).sum())
}

/// Machines whose attempts recorded something; the ordinal of a GPU is left out, since a node's GPUs are mostly alike.
fn machines(job: &JobDetail) -> Vec<String> {
    let trained = job.attempts.iter().filter(|attempt| attempt.run.is_some());
    let kind = |device: &str| device.split(':').next().unwrap_or_default().to_owned();
    let machines: BTreeSet<String> =
        trained.map(|attempt| format!("{}/{}", attempt.node, kind(&attempt.device))).collect();
    machines.into_iter().collect()
}
