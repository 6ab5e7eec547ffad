//! Where a network's numbers come from.

use std::collections::{BTreeSet, HashMap};

use rrm_spec::{
    ArtifactHash, AttackSpec, AttemptId, AttemptView, CheckpointRole, Dataset, EvaluationRecord, JobDetail, JobId,
    JobSpec, SubmissionId,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::collect::evaluated;

/// Everything that one network's numbers depend on, as far as it is recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Provenance {
    /// The job that trained it, and what that made.
    #[serde(flatten)]
    pub made: Made,
    /// All jobs that it builds on.
    pub ancestors: Vec<JobId>,
    /// The same, as far as they are among the jobs that were given.
    pub built_on: Vec<Made>,
    /// The jobs that evaluated it.
    pub evaluations: Vec<EvaluationProvenance>,
}

/// A job that trained a network or made images, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Made {
    /// The job.
    pub job: JobId,
    /// The plan with which that job came.
    pub submission: SubmissionId,
    /// The job's name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Hash of the finished network's file; absent until there is one, and of images.
    pub weights: Option<ArtifactHash>,
    /// Hash of the images that it worked on, as its newest attempt told it; absent where none did.
    pub data_sha256: Option<ArtifactHash>,
    /// SHA-256 of the job's spec as JSON, references resolved to ids.
    pub spec_sha256: String,
    /// The spec.
    pub spec: JobSpec,
    /// The images.
    pub dataset: Dataset,
    /// The attempts that made it.
    pub places: Vec<Place>,
    /// The jobs whose networks or images it read.
    pub parents: Vec<JobId>,
}

/// An evaluation of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationProvenance {
    /// The job.
    pub job: JobId,
    /// Hash of the images that it worked on, as its newest attempt told it; absent where none did.
    pub data_sha256: Option<ArtifactHash>,
    /// SHA-256 of its spec as JSON.
    pub spec_sha256: String,
    /// What was evaluated with which attack.
    pub results: Vec<Evaluated>,
    /// The attempts that made it.
    pub places: Vec<Place>,
}

/// The network's file and an attack on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    /// Hash of the file.
    pub weights: ArtifactHash,
    /// The attack.
    pub attack: AttackSpec,
}

/// What ran where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The attempt.
    pub attempt: AttemptId,
    /// The machine.
    pub node: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the CPU kernels.
    pub threads: u32,
    /// Version of the software.
    pub code_version: String,
    /// Hash of the images that it worked on; absent from before it was told.
    pub data_sha256: Option<ArtifactHash>,
}

impl Provenance {
    /// Of a training among `jobs`.
    pub(crate) fn of(job: &JobDetail, jobs: &HashMap<JobId, &JobDetail>) -> Self {
        let evaluations = evaluations(job.summary.id, jobs);
        let ancestors = ancestors(job, jobs);
        let known = ancestors.iter().filter_map(|ancestor| jobs.get(ancestor));
        let built_on = known.map(|known| Made::of(known, &self::evaluations(known.summary.id, jobs))).collect();
        Self { made: Made::of(job, &evaluations), ancestors, built_on, evaluations }
    }
}

impl Made {
    fn of(job: &JobDetail, evaluations: &[EvaluationProvenance]) -> Self {
        let seed = match &job.spec {
            JobSpec::Train(spec) => spec.seed,
            JobSpec::Evaluate(spec) => spec.seed,
            JobSpec::Synthesize(spec) => spec.seed,
        };
        let places = places(job);
        Self {
            job: job.summary.id,
            submission: job.summary.submission,
            name: job.summary.name.clone(),
            seed,
            weights: weights(job, evaluations),
            data_sha256: data_sha256(&places),
            spec_sha256: sha256(&job.spec),
            spec: job.spec.clone(),
            dataset: job.spec.dataset().clone(),
            places,
            parents: job.parents.clone(),
        }
    }
}

/// Of the checkpoint that the training kept or, where it is kept no more, of what was evaluated.
fn weights(job: &JobDetail, evaluations: &[EvaluationProvenance]) -> Option<ArtifactHash> {
    let last = job.checkpoints.iter().rev().find(|checkpoint| checkpoint.role == CheckpointRole::Final);
    let evaluated = || evaluations.iter().flat_map(|evaluation| &evaluation.results).next();
    last.map(|checkpoint| &checkpoint.sha256).or_else(|| evaluated().map(|result| &result.weights)).cloned()
}

fn evaluations(network: JobId, jobs: &HashMap<JobId, &JobDetail>) -> Vec<EvaluationProvenance> {
    let of = |job: &&JobDetail| {
        let JobSpec::Evaluate(spec) = &job.spec else { return None };
        let result =
            |record: &EvaluationRecord| Evaluated { weights: record.weights.clone(), attack: record.attack.clone() };
        (evaluated(spec) == Some(network)).then(|| {
            let places = places(job);
            EvaluationProvenance {
                job: job.summary.id,
                data_sha256: data_sha256(&places),
                spec_sha256: sha256(&job.spec),
                results: job.evaluations.iter().map(result).collect(),
                places,
            }
        })
    };
    let mut found: Vec<EvaluationProvenance> = jobs.values().filter_map(of).collect();
    found.sort_by_key(|evaluation| evaluation.job);
    found
}

fn places(job: &JobDetail) -> Vec<Place> {
    let place = |attempt: &AttemptView| {
        let run = attempt.run.as_ref()?;
        Some(Place {
            attempt: attempt.id,
            node: attempt.node.clone(),
            device: run.device.clone(),
            threads: run.threads,
            code_version: run.code_version.clone(),
            data_sha256: run.data_sha256.clone(),
        })
    };
    job.attempts.iter().filter_map(place).collect()
}

fn data_sha256(places: &[Place]) -> Option<ArtifactHash> {
    places.iter().rev().find_map(|place| place.data_sha256.clone())
}

fn ancestors(job: &JobDetail, jobs: &HashMap<JobId, &JobDetail>) -> Vec<JobId> {
    let mut found = BTreeSet::new();
    let mut open = job.parents.clone();
    while let Some(parent) = open.pop() {
        if found.insert(parent) {
            open.extend(jobs.get(&parent).into_iter().flat_map(|job| &job.parents));
        }
    }
    found.into_iter().collect()
}

fn sha256(spec: &JobSpec) -> String {
    let json = serde_json::to_vec(spec).expect("a spec is plain data with text keys");
    hex::encode(Sha256::digest(json))
}
