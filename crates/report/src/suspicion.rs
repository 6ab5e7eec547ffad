//! Whether a network's robustness may be one of gradients that lead nowhere: what was measured of it, judged.
//!
//! Athalye, Carlini & Wagner 2018, *Obfuscated gradients give a false sense of security*, and Carlini et al. 2019, *On evaluating
//! adversarial robustness*, say what betrays such a network. Thresholds stand beside the checks that they belong to; they are above
//! what a network of good gradients was seen to reach by chance, and no proof of anything.

mod measured;
mod recorded;
mod render;

use rrm_spec::{DiagnosticsRecord, EvaluationRecord, JobDetail, JobId, JobRef, JobSpec, JobState, ModelSource};
use serde::Serialize;

use crate::collect::another_temperature;

/// What is to be thought of a network's robust accuracies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspicion {
    /// The network: the name of the job that trained it, or what an evaluation calls it.
    pub network: String,
    /// The jobs from which the numbers are, in the order of their ids.
    pub jobs: Vec<JobId>,
    /// One finding for each check, in a fixed order.
    pub findings: Vec<Finding>,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name, such as `logit-scale`.
    pub check: &'static str,
    /// Its outcome.
    pub level: Level,
    /// The numbers; or what has to be measured, where they are missing.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do where it is suspicious.
    pub advice: &'static str,
    /// Who says so.
    pub source: &'static str,
}

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The numbers that it needs are not there.
    NotMeasured,
    /// Nothing speaks against the robust accuracies.
    Ok,
    /// The robust accuracies are likely too high.
    Suspicious,
}

/// A check without its outcome.
struct Check {
    name: &'static str,
    why: &'static str,
    advice: &'static str,
    source: &'static str,
    /// What has to be done for the numbers that it needs.
    needs: &'static str,
}

impl Check {
    /// The outcome; `None` where it was not measured.
    fn finding(&self, judged: Option<Judged>) -> Finding {
        let Judged { level, found } =
            judged.unwrap_or_else(|| Judged { level: Level::NotMeasured, found: self.needs.to_owned() });
        let Self { name, why, advice, source, needs: _ } = *self;
        Finding { check: name, level, found, why, advice, source }
    }
}

/// What the numbers of a check say.
struct Judged {
    level: Level,
    found: String,
}

impl Judged {
    /// By numbers that could have said either.
    fn by(is_suspicious: bool, found: String) -> Self {
        Self { level: if is_suspicious { Level::Suspicious } else { Level::Ok }, found }
    }

    /// `left` images could have fallen, where it takes `needed` of them to be suspicious: where these are more, nothing was judged.
    fn among(left: f64, needed: f64, is_suspicious: bool, found: String) -> Self {
        match left < needed {
            true => Self {
                level: Level::NotMeasured,
                found: format!(
                    "not measured: only {left} images are left to judge by, and {} or more would have to fall ({found})",
                    needed.ceil()
                ),
            },
            false => Self::by(is_suspicious, found),
        }
    }
}

/// Judges the network that `job` has trained or evaluated by all evaluations of it among `jobs` and `job` itself, as far as they have
/// succeeded and were made at the same temperature. `None` where the job is about no classifier.
pub fn suspicion(job: &JobDetail, jobs: &[JobDetail]) -> Option<Suspicion> {
    let known: Vec<&JobDetail> = jobs.iter().chain([job]).collect();
    let network = Network::of(job, &known)?;
    let mut of_it: Vec<&JobDetail> =
        known.iter().copied().filter(|other| network.is_evaluated_by(other, &known)).collect();
    of_it.sort_by_key(|job| job.summary.id);
    of_it.dedup_by_key(|job| job.summary.id);
    let diagnostics: Vec<&DiagnosticsRecord> = of_it.iter().filter_map(|job| job.diagnostics.as_ref()).collect();
    let evaluations: Vec<&EvaluationRecord> = of_it.iter().flat_map(|job| &job.evaluations).collect();
    let mut findings = measured::findings(&diagnostics);
    findings.extend(recorded::findings(&evaluations));
    let name = network.name(job, jobs);
    Some(Suspicion { network: name, jobs: of_it.iter().map(|job| job.summary.id).collect(), findings })
}

impl Suspicion {
    /// How many checks have this outcome.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Text for terminals: what is suspicious first, then what is in order, then what was not measured.
    pub fn to_text(&self) -> String {
        render::text(self)
    }
}

/// Which network is meant.
struct Network<'a> {
    source: ModelSource,
    /// Hash of its weights, where a job has told it.
    weights: Option<&'a str>,
    /// What its logits are divided by, where that is not its own temperature.
    temperature: Option<f64>,
}

impl<'a> Network<'a> {
    fn of(job: &'a JobDetail, known: &[&JobDetail]) -> Option<Self> {
        match &job.spec {
            JobSpec::Train(_) => {
                let finished = job.checkpoints.iter().rev().find(|it| it.role == rrm_spec::CheckpointRole::Final);
                let source = ModelSource::Job(JobRef::Id(job.summary.id));
                let weights = finished.map(|checkpoint| checkpoint.sha256.as_str());
                Some(Self { source, weights, temperature: None })
            }
            JobSpec::Evaluate(spec) => {
                let told = job.evaluations.last().map(|record| record.weights.as_str());
                let temperature = another_temperature(spec, known);
                Some(Self { source: spec.model.clone(), weights: told, temperature })
            }
            JobSpec::Synthesize(_) => None,
        }
    }

    fn is_evaluated_by(&self, job: &JobDetail, known: &[&JobDetail]) -> bool {
        let JobSpec::Evaluate(spec) = &job.spec else { return false };
        let same_weights = |record: &EvaluationRecord| Some(record.weights.as_str()) == self.weights;
        let same_network = spec.model == self.source || job.evaluations.iter().any(same_weights);
        let same_temperature = another_temperature(spec, known) == self.temperature;
        job.summary.state == JobState::Succeeded && same_network && same_temperature
    }

    fn name(&self, job: &JobDetail, jobs: &[JobDetail]) -> String {
        let temperature = self.temperature.map_or_else(String::new, |divisor| format!(" at temperature {divisor}"));
        self.source_name(job, jobs) + &temperature
    }

    fn source_name(&self, job: &JobDetail, jobs: &[JobDetail]) -> String {
        match &self.source {
            ModelSource::Job(JobRef::Id(id)) => {
                let found = jobs.iter().chain([job]).find(|job| job.summary.id == *id);
                found.map_or_else(|| format!("job {id}"), |job| format!("{} (job {id})", job.summary.name))
            }
            ModelSource::Job(JobRef::Name(name)) => name.clone(),
            ModelSource::Checkpoint(path) => path.display().to_string(),
            ModelSource::Artifact(artifact) => artifact.to_string(),
        }
    }
}

/// So many of so many images, at least `fewest`.
fn share(images: f64, share: f64, fewest: f64) -> f64 {
    (images * share).max(fewest)
}
