//! What a job was asked for, as one hash: jobs of equal keys make the same where code and images are the same.

use std::num::NonZeroU32;

use rrm_spec::{ArtifactHash, ArtifactRef, ImagesSource, JobRef, JobSpec, ModelSource};
use sha2::{Digest, Sha256};

/// Of this hash.
const VERSION: &str = "rrm content key 2";

/// The key of a job whose artifacts are named by their hashes; `key_of` knows those of the jobs that it needs.
///
/// A dataset counts by its name, since its images are only known where they lie; the [result key](crate::result_key) knows them. Of a file nobody knows what it holds: a job that
/// starts from one has no key, nor has any that needs it.
pub(crate) fn of(spec: &JobSpec, key_of: impl Fn(&JobRef) -> Option<ArtifactHash>) -> Option<ArtifactHash> {
    let mut spec = spec.clone();
    for network in spec.networks_mut() {
        match network {
            ModelSource::Job(_) => {}
            ModelSource::Artifact(artifact) => *artifact = ArtifactRef::Hash(artifact.sha256()?.clone()),
            ModelSource::Checkpoint(_) => return None,
        }
    }
    for job in spec.needs_mut() {
        *job = JobRef::Name(key_of(job)?.to_string());
    }
    match &mut spec {
        JobSpec::Train(spec) if matches!(spec.training_set, Some(ImagesSource::File(_))) => return None,
        JobSpec::Train(_) => {}
        // Results depend neither on batches nor on parts.
        JobSpec::Evaluate(spec) => spec.batch_size = NonZeroU32::MIN,
        JobSpec::Synthesize(spec) => (spec.batch_size, spec.parts) = (NonZeroU32::MIN, NonZeroU32::MIN),
    }
    let json = serde_json::to_vec(&spec).expect("a spec has text keys only");
    let digest = Sha256::new().chain_update(VERSION).chain_update([0u8]).chain_update(json).finalize();
    Some(hex::encode(digest).parse().expect("SHA-256 has 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use rrm_spec::Plan;

    use super::*;

    const PLAN: &str = r#"
        name = "keys"
        [[job]]
        name = "student"
        kind = "train"
        dataset = { name = "fashion-mnist" }
        arch = "dnn/16"
        epochs = 3
        batch_size = 50
        seed = 7
        optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
        method = { kind = "rrm", teacher = TEACHER, representation_loss = "cosine", lambda = 0.005 }
        [[job]]
        name = "attack"
        kind = "evaluate"
        model = { job = "student" }
        dataset = { name = "fashion-mnist" }
        attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5 }
        batch_size = 50
        seed = 1
    "#;

    /// Keys of student and evaluation; the job #1 has the key that is named.
    fn keys(plan: &str, first: Option<&str>) -> [Option<ArtifactHash>; 2] {
        let plan = Plan::from_toml(plan).unwrap();
        let outer = first.map(|text| hex::encode(Sha256::digest(text)).parse().unwrap());
        let student = of(&plan.jobs[0].spec, |_| outer.clone());
        let evaluation = of(&plan.jobs[1].spec, |_| student.clone());
        [student, evaluation]
    }

    fn taught_by(teacher: &str) -> String {
        PLAN.replace("TEACHER", teacher)
    }

    #[test]
    fn what_a_result_depends_on_changes_the_key_of_a_job_and_of_all_that_need_it() {
        let plan = taught_by("{ job = \"#1\" }");
        let before = keys(&plan, Some("teacher"));
        assert!(before.iter().all(Option::is_some) && before[0] != before[1]);
        assert_eq!(keys(&plan, Some("teacher")), before);
        let other_student = keys(&plan.replace("seed = 7", "seed = 8"), Some("teacher"));
        assert!(other_student[0] != before[0] && other_student[1] != before[1]);
        let other_teacher = keys(&plan, Some("another"));
        assert!(other_teacher[0] != before[0] && other_teacher[1] != before[1]);
        let other_attack = keys(&plan.replace("iterations = 5", "iterations = 6"), Some("teacher"));
        assert!(other_attack[0] == before[0] && other_attack[1] != before[1]);
    }

    #[test]
    fn neither_names_nor_numbers_of_jobs_nor_an_evaluations_batches_change_a_key() {
        let before = keys(&taught_by("{ job = \"#1\" }"), Some("teacher"));
        let renamed =
            taught_by("{ job = \"#12\" }").replace("\"student\"", "\"pupil\"").replace("\"keys\"", "\"again\"");
        assert_eq!(keys(&renamed, Some("teacher")), before);
        let [head, tail] = [0, 1].map(|half| PLAN.split("name = \"attack\"").nth(half).unwrap().to_owned());
        let smaller = format!("{head}name = \"attack\"{}", tail.replace("batch_size = 50", "batch_size = 10"));
        assert_eq!(keys(&smaller.replace("TEACHER", "{ job = \"#1\" }"), Some("teacher")), before);
    }

    #[test]
    fn an_artifact_counts_by_its_hash_whatever_it_is_called() {
        let hash = "ab".repeat(32);
        let named = |name: &str| keys(&taught_by(&format!("{{ artifact = \"{name}sha256:{hash}\" }}")), None);
        assert_eq!(named("madry@"), named(""));
        assert!(named("")[0].is_some());
    }

    #[test]
    fn what_starts_from_a_file_has_no_key_nor_has_what_needs_it() {
        assert_eq!(keys(&taught_by("{ checkpoint = \"teacher.safetensors\" }"), None), [None, None]);
        assert_eq!(keys(&taught_by("{ job = \"#1\" }"), None), [None, None]);
        let set = taught_by("{ job = \"#1\" }").replace("seed = 7", "seed = 7\n training_set = { file = \"x\" }");
        assert_eq!(keys(&set, Some("teacher")), [None, None]);
    }
}
