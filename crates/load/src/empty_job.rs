//! Jobs without work: evaluations, whose results are there at once.

use rrm_api::{Client, Source, Submitted, VERSION, Wishes};
use rrm_spec::{
    Accuracy, ArtifactHash, Assignment, EvaluationRecord, JobSpec, Plan, PlannedJob, Record, RequestId, RunStarted,
};
use uuid::Uuid;

const ONE: &str = r#"
    name = "load"
    [[job]]
    name = "empty"
    kind = "evaluate"
    model = { checkpoint = "/nowhere/weights.safetensors" }
    dataset = { name = "cifar10" }
    attack = { kind = "fgsm", threat = { norm = "linf", epsilon = "8/255" } }
    batch_size = 1
    seed = 0
"#;

/// A plan of so many.
pub(crate) fn plan(jobs: usize) -> Plan {
    let mut plan = Plan::from_toml(ONE).expect("the plan is valid");
    let one = plan.jobs.remove(0);
    plan.jobs = (0..jobs).map(|number| PlannedJob { name: format!("empty-{number}"), ..one.clone() }).collect();
    plan
}

/// Submits a plan of so many under a request id of its own.
pub(crate) async fn submit(client: &Client, jobs: usize) -> anyhow::Result<Submitted> {
    let source = Source { client_version: VERSION.to_owned(), host: "load".to_owned() };
    Ok(client.submit(request(), plan(jobs), source, Wishes::default()).await?)
}

/// A fresh request id.
pub(crate) fn request() -> RequestId {
    Uuid::now_v7().to_string().parse().expect("a UUID is a request id")
}

/// What its trainer would have told: that it began, and what it found.
pub(crate) fn records(assignment: &Assignment) -> Vec<Record> {
    let JobSpec::Evaluate(spec) = &assignment.spec else { unreachable!("only evaluations are submitted here") };
    let accuracy = |correct| Accuracy { correct, total: 10 };
    let started = RunStarted {
        device: "cpu".to_owned(),
        threads: 1,
        code_version: VERSION.to_owned(),
        parameters: 0,
        first_epoch: 1,
        data_sha256: None,
        spec_sha256: None,
    };
    let evaluation = EvaluationRecord {
        attack: spec.attack.clone(),
        natural: accuracy(9),
        robust: accuracy(4),
        elapsed_us: 1,
        weights: nothing(),
        images: Vec::new(),
        classes: Vec::new(),
        audit: None,
    };
    vec![Record::Started(started), Record::Evaluation(evaluation)]
}

fn nothing() -> ArtifactHash {
    "0".repeat(64).parse().expect("64 digits are a hash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_ten_thousand_is_valid() {
        let plan = plan(10_000);
        plan.validate().unwrap();
        assert_eq!(plan.jobs.len(), 10_000);
    }
}
