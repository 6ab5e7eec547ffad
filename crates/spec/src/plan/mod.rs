//! Several jobs that refer to each other by name, as a user writes them down.

mod decode;
mod sweep;
mod teacher;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{
    Dataset, Demand, JobRef, JobSpec, Method, Need, ResourceRequest, TimeLimit, TrainSpec, Violation, Violations,
    validate::{Checker, join},
};

/// More jobs than this in one plan are refused.
pub const MAX_JOBS_PER_PLAN: usize = 10_000;

/// What fails more often than this does not fail by chance.
pub const MAX_RETRIES: u32 = 100;

/// Jobs that are submitted together: all or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What the plan is called in lists and reports.
    pub name: String,
    /// Its jobs; references go to earlier ones only, so that no cycle can be written.
    pub jobs: Vec<PlannedJob>,
}

/// A job of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedJob {
    /// Its name, unique in the plan.
    pub name: String,
    /// What it does.
    pub spec: JobSpec,
    /// Higher runs first.
    pub priority: i32,
    /// Tries after a reported error of the machine: 0 to 100.
    pub max_retries: u32,
    /// Where it may run.
    pub device: DeviceRequest,
    /// Whether it is held until somebody releases it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// How long one attempt may take; absent = as long as it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// What it asks of the machine besides.
    #[serde(default, skip_serializing_if = "ResourceRequest::is_default")]
    pub request: ResourceRequest,
}

/// Which devices a job accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRequest {
    /// Any device.
    #[default]
    Any,
    /// Only the processor.
    Cpu,
    /// Only a CUDA device.
    Cuda,
}

impl Plan {
    /// Reads a plan from TOML: `name`, tables such as `[defaults.train]` that hold for every job of that kind, and `[[job]]`s
    /// with an optional `[job.sweep]` of field paths to lists of values.
    ///
    /// A job that refers to a swept one, for whatever it needs of it, is made once per variant. Where several of the jobs that
    /// it refers to, or it itself, are swept over the same values of the same field, their variants match up; over others, all
    /// combinations are made.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_toml(text: &str) -> Result<Self, Violations> {
        let mut document: Table =
            text.parse().map_err(|e: toml::de::Error| Violations::one("plan", "", decode::no_toml(&e)))?;
        let mut found = Vec::new();
        let name = decode::take_text(&mut document, "name", &mut found);
        let defaults = decode::take_defaults(&mut document, &mut found);
        let written = decode::take_jobs(&mut document, &mut found);
        decode::refuse_unknown(&document, "", "name, defaults or job", &mut found);
        let written = written.into_iter().map(|job| decode::with_defaults(job, &defaults)).collect();
        let written = teacher::fill(sweep::expand(written, &mut found));
        let paths: Vec<_> = written.iter().map(|job| job.path.clone()).collect();
        let jobs = written.into_iter().map(|job| decode::planned_job(job, &mut found)).collect();
        // A name that is missing or no text has been named as a fault; any valid one stands in for it.
        let plan = Self { name: name.unwrap_or_else(|| "unnamed".to_owned()), jobs };
        plan.collect_edges(&paths, &mut found);
        Violations::check(found).map(|()| plan)
    }

    /// Checks every job and every reference.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut found = Vec::new();
        let places = self.jobs.iter().zip(1..);
        let paths: Vec<_> = places.map(|(job, place)| decode::path(&job.name, place)).collect();
        for (job, path) in self.jobs.iter().zip(&paths) {
            job.spec.collect(&mut Checker::new(path, &mut found));
            job.request.collect(&join(path, "request"), &mut found);
            let allowed = format!("must be 0 to {MAX_RETRIES}");
            Checker::new(path, &mut found).require(
                job.max_retries <= MAX_RETRIES,
                "max_retries",
                job.max_retries,
                allowed,
            );
        }
        self.collect_edges(&paths, &mut found);
        Violations::check(found)
    }

    /// Checks names and references; `paths` are how faults call the jobs.
    fn collect_edges(&self, paths: &[String], found: &mut Vec<Violation>) {
        let mut fault = |field: String, value: &str, allowed: &str| {
            found.push(Violation { field, value: value.to_owned(), allowed: allowed.to_owned() });
        };
        if self.name.is_empty() || self.name.len() > 100 {
            fault("name".into(), &self.name, "must be a text of 1 to 100 bytes");
        }
        if self.jobs.is_empty() || self.jobs.len() > MAX_JOBS_PER_PLAN {
            fault("job".into(), &self.jobs.len().to_string(), "must be 1 to 10000 jobs");
        }
        let mut earlier: HashMap<&str, &JobSpec> = HashMap::new();
        for (job, path) in self.jobs.iter().zip(paths) {
            if !is_job_name(&job.name) {
                fault(
                    join(path, "name"),
                    &job.name,
                    "must be 1 to 200 bytes, without #, white space at its ends and control characters",
                );
            }
            for Violation { field, value, allowed } in job.edge_faults(path, &earlier) {
                fault(field, &value, &allowed);
            }
            if earlier.insert(&job.name, &job.spec).is_some() {
                fault(join(path, "name"), &job.name, "must be unique in the plan");
            }
        }
    }
}

fn is_job_name(name: &str) -> bool {
    (1..=200).contains(&name.len()) && name.trim() == name && !name.contains(|c: char| c == '#' || c.is_control())
}

impl PlannedJob {
    fn edge_faults(&self, path: &str, earlier: &HashMap<&str, &JobSpec>) -> Vec<Violation> {
        let named = self.spec.needs().into_iter().filter_map(|need| match need.job {
            JobRef::Name(name) => Some((need, name)),
            JobRef::Id(_) => None,
        });
        named
            .filter_map(|(Need { field, product, .. }, name)| {
                let allowed = match earlier.get(name.as_str()) {
                    None => "must name a job further up in the plan, or #ID".to_owned(),
                    Some(parent) => match product.refusal(parent.kind()) {
                        Some(refusal) => refusal.to_owned(),
                        None if contradict(parent.dataset(), self.spec.dataset()) => {
                            product.of_another_dataset().to_owned()
                        }
                        None if field == "initial" => other_network(parent, &self.spec)?,
                        None if field == "method.teacher" => other_temperature(parent, &self.spec)?,
                        None => return None,
                    },
                };
                Some(Violation { field: join(&join(path, field), "job"), value: name.clone(), allowed })
            })
            .collect()
    }

    /// What it needs of a worker.
    pub fn demand(&self) -> Demand {
        Demand { device: self.device, resources: self.request.clone() }
    }

    /// The method's label, or that it is an evaluation or a synthesis.
    pub fn label(&self) -> &'static str {
        match &self.spec {
            JobSpec::Train(spec) => Method::label(&spec.method),
            JobSpec::Evaluate(_) => "evaluate",
            JobSpec::Synthesize(_) => "synthesize",
        }
    }
}

/// What a training to begin with would have to have made, where it has made another network than this training's.
fn other_network(parent: &JobSpec, spec: &JobSpec) -> Option<String> {
    let (JobSpec::Train(theirs), JobSpec::Train(ours)) = (parent, spec) else { return None };
    let words =
        |it: &TrainSpec| format!("{}, normalization {}, temperature {}", it.arch, it.normalization(), it.temperature);
    let (theirs, ours) = (words(theirs), words(ours));
    (theirs != ours).then(|| format!("must be the network that is trained here ({ours}): it is another one ({theirs})"))
}

/// What a teacher would have to divide its logits by, where it divides them by another number.
fn other_temperature(parent: &JobSpec, spec: &JobSpec) -> Option<String> {
    let (JobSpec::Train(teacher), JobSpec::Train(student)) = (parent, spec) else { return None };
    let (wanted, found) = (student.method.temperature_of_networks()?, teacher.temperature);
    (wanted != found)
        .then(|| format!("must be trained at temperature {wanted}, for the form `paper`: it is at {found}"))
}

/// A name that could not be read is a fault already, and contradicts no other.
fn contradict(one: &Dataset, other: &Dataset) -> bool {
    one.name != other.name && !one.name.is_unread() && !other.name.is_unread()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        name = "three"
        [defaults.train]
        dataset = { name = "fashion-mnist", train_images = 1000 }
        epochs = 2
        batch_size = 64
        seed = 0
        optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }

        [[job]]
        name = "teacher"
        kind = "train"
        arch = "dnn/4"
        [job.method]
        kind = "adversarial-training"
        attack_mode = "train"
        attack = { kind = "pgd", threat = { norm = "linf", epsilon = "0.1" }, steps = 3, step_size = 0.05, start = "uniform", selection = "last" }

        [[job]]
        name = "student"
        kind = "train"
        arch = "resnet18/8"
        method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.005 }
        [job.sweep]
        seed = [0, 1]
        "method.lambda" = [0.005, 0.05]

        [[job]]
        name = "attack"
        kind = "evaluate"
        model = { job = "student" }
        dataset = { name = "fashion-mnist" }
        attack = { kind = "apgd", threat = { norm = "linf", epsilon = "0.1" }, iterations = 20, restarts = 5 }
        batch_size = 100
        seed = 0
    "#;

    #[test]
    fn a_swept_student_is_evaluated_once_per_variant() {
        let plan = Plan::from_toml(PLAN).unwrap_or_else(|e| panic!("{e}"));
        let names: Vec<_> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names.len(), 9, "{names:?}");
        assert!(names.contains(&"student[seed=1,lambda=0.05]"), "{names:?}");
        assert!(names.contains(&"attack[seed=1,lambda=0.05]"), "{names:?}");
        assert_eq!(plan.validate(), Ok(()));
    }

    #[test]
    fn retries_priorities_and_numbers_beyond_64_bits_are_refused_with_their_range() {
        let refused = |line: &str| {
            let text = PLAN.replace("arch = \"resnet18/8\"", &format!("arch = \"resnet18/8\"\n{line}"));
            Plan::from_toml(&text).unwrap_err().to_string()
        };
        let allowed = refused("max_retries = 101");
        assert!(allowed.contains("max_retries = 101: must be 0 to 100"), "{allowed}");
        let allowed = refused("max_retries = -1");
        assert!(allowed.contains("max_retries = -1: must be 0 to 100"), "{allowed}");
        let allowed = refused("priority = 3000000000");
        assert!(allowed.contains("priority = 3000000000: must be -2147483648 to 2147483647"), "{allowed}");
        for number in ["9223372036854775808", "99999999999999999999", &"9".repeat(50)] {
            let allowed = refused(&format!("priority = {number}"));
            assert!(allowed.contains(&format!("priority = {number}")), "{allowed}");
            assert!(allowed.contains("at most 9223372036854775807") && !allowed.contains("128"), "{allowed}");
        }
        let mut plan = Plan::from_toml(PLAN).unwrap();
        plan.jobs[0].max_retries = 101;
        let refused = plan.validate().unwrap_err().to_string();
        assert!(refused.contains("job.teacher.max_retries = 101: must be 0 to 100"), "{refused}");
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let broken = PLAN
            .replace("epochs = 2", "epochs = 2\nepoch = 3")
            .replace("arch = \"dnn/4\"", "arch = \"dnn/5\"")
            .replace("epsilon = \"0.1\" }, steps", "epsilon = \"1.5\" }, steps")
            .replace("learning_rate = 0.1", "learning_rate = -1.0")
            .replace("{ job = \"student\" }", "{ job = \"pupil\" }");
        let text = Plan::from_toml(&broken).unwrap_err().to_string();
        for part in ["epoch", "dnn/5", "epsilon = 1.5", "learning_rate = -1", "pupil"] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_network_of_the_defaults_is_replaced_by_one_of_another_kind() {
        let text = PLAN
            .replace(
                "[[job]]\n        name = \"teacher\"",
                "[defaults.evaluate]\nmodel = { job = \"#2\" }\n[[job]]\n        name = \"teacher\"",
            )
            .replace("model = { job = \"student\" }", "model = { checkpoint = \"weights.safetensors\" }");
        assert!(text.contains("[defaults.evaluate]"));
        let plan = Plan::from_toml(&text).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(plan.jobs.iter().any(|job| job.spec.needs().is_empty() && job.name == "attack"), "{plan:#?}");
    }

    #[test]
    fn a_sweep_through_a_value_is_refused_once() {
        let text = PLAN.replace("seed = [0, 1]", "seed = [0, 1]\n\"arch.x\" = [1, 2]\n\"seed.x\" = [1]");
        let error = Plan::from_toml(&text).unwrap_err();
        let fields: Vec<_> = error.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["job.student.sweep.arch.x", "job.student.sweep.seed.x"]);
    }

    #[test]
    fn a_sweep_may_reach_into_a_table_that_is_not_written_yet() {
        let text = PLAN.replace("seed = [0, 1]", "\"validation.images\" = [10, 20]");
        let plan = Plan::from_toml(&text).unwrap_or_else(|e| panic!("{e}"));
        assert!(plan.jobs.iter().any(|job| job.name == "student[lambda=0.05,images=20]"), "{plan:#?}");
    }

    #[test]
    fn a_training_that_begins_with_another_network_is_refused_before_that_one_is_trained() {
        let begun = |arch: &str, more: &str| {
            let tuned = format!(
                "[[job]]\nname = \"tuned\"\nkind = \"train\"\narch = \"{arch}\"\ninitial = {{ job = \"teacher\" }}\n{more}\n\
                 method = {{ kind = \"natural\" }}\n"
            );
            Plan::from_toml(&(PLAN.to_owned() + &tuned)).map_err(|faults| faults.to_string())
        };
        assert!(begun("dnn/4", "").is_ok());
        for (arch, more) in [("dnn/8", ""), ("dnn/4", "temperature = 3.0")] {
            let fault = begun(arch, more).unwrap_err();
            assert!(
                fault.contains("job.tuned.initial.job = teacher: must be the network that is trained here"),
                "{fault}"
            );
        }
    }

    #[test]
    fn a_width_of_the_representation_is_refused_where_it_is_the_teachers() {
        let wide = |arch: &str| PLAN.replace(arch, &format!("{arch}\nrepresentation_width = 99"));
        assert!(Plan::from_toml(&wide("arch = \"dnn/4\"")).is_ok());
        let fault = Plan::from_toml(&wide("arch = \"resnet18/8\"")).unwrap_err().to_string();
        assert!(fault.contains("representation_width = 99: must be absent under this method"), "{fault}");
    }

    #[test]
    fn a_distillation_in_the_papers_form_is_between_networks_of_its_temperature() {
        let rrm = "method = { kind = \"rrm\", teacher = { job = \"teacher\" }, representation_loss = \"cosine\", lambda = 0.005 }";
        let distilled = |teacher: &str, student: &str| {
            let method = "method = { kind = \"knowledge-distillation\", teacher = { job = \"teacher\" }, temperature = 30, alpha = 1, \
                          form = \"paper\" }";
            let text =
                PLAN.replace(rrm, &format!("{student}\n{method}")).replace("\"method.lambda\" = [0.005, 0.05]", "");
            Plan::from_toml(&text.replace("arch = \"dnn/4\"", &format!("arch = \"dnn/4\"\n{teacher}")))
                .map_err(|faults| faults.to_string())
        };
        let softened = "temperature = 30";
        assert!(distilled(softened, softened).is_ok(), "{:?}", distilled(softened, softened));
        let fault = distilled("", softened).unwrap_err();
        assert!(fault.contains("method.teacher.job = teacher: must be trained at temperature 30"), "{fault}");
        let fault = distilled(softened, "").unwrap_err();
        assert!(fault.contains("temperature = 1: must be 30, as `method.temperature`"), "{fault}");
        let fault = distilled(softened, "temperature = \"hot\"").unwrap_err();
        assert!(fault.contains("temperature") && !fault.contains("must be 30"), "{fault}");
    }

    #[test]
    fn an_evaluation_has_a_temperature_where_it_is_written() {
        let at = |line: &str| Plan::from_toml(&(PLAN.to_owned() + line)).map_err(|faults| faults.to_string());
        let of = |plan: Plan| match plan.jobs.into_iter().next_back().unwrap().spec {
            JobSpec::Evaluate(spec) => spec,
            other => panic!("{other:?}"),
        };
        let (usual, soft) = (of(at("").unwrap()), of(at("temperature = 30").unwrap()));
        assert_eq!((usual.temperature, soft.temperature), (None, Some(30.0)));
        assert!(!serde_json::to_string(&usual).unwrap().contains("temperature"));
        let fault = at("temperature = 0").unwrap_err();
        assert!(fault.contains("temperature = 0: must be above 0 and at most 1000"), "{fault}");
    }

    #[test]
    fn an_attack_with_more_targets_than_other_classes_is_refused_where_the_dataset_has_so_few() {
        let targets = |targets: u32| {
            let attack = format!("iterations = 20, restarts = 5, loss = \"targeted-dlr\", targets = {targets} }}");
            Plan::from_toml(&PLAN.replace("iterations = 20, restarts = 5 }", &attack))
                .map_err(|faults| faults.to_string())
        };
        assert!(targets(9).is_ok(), "{:?}", targets(9));
        let fault = targets(10).unwrap_err();
        assert!(fault.contains("attack.targets = 10: must be 1 to 9 for a network of 10 classes"), "{fault}");
    }

    #[test]
    fn a_reference_to_a_later_job_is_refused() {
        let text = PLAN.replace("teacher = { job = \"teacher\" }", "teacher = { job = \"attack\" }");
        let error = Plan::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("further up"), "{error}");
    }

    /// The plan whose evaluation is by an adaptive attack on `model`.
    fn adaptive(model: &str, more: &str) -> String {
        let apgd = "attack = { kind = \"apgd\", threat = { norm = \"linf\", epsilon = \"0.1\" }, iterations = 20, restarts = 5 }";
        let attack =
            "attack = { kind = \"adaptive\", threat = { norm = \"linf\", epsilon = \"0.1\" }, iterations = 20 }";
        PLAN.replace(apgd, &format!("{attack}\n{more}")).replace("model = { job = \"student\" }", model)
    }

    #[test]
    fn the_teacher_of_an_evaluated_student_goes_without_saying() {
        let plan = Plan::from_toml(&adaptive("model = { job = \"student\" }", "")).unwrap_or_else(|e| panic!("{e}"));
        let evaluations: Vec<_> = plan.jobs.iter().filter(|job| matches!(job.spec, JobSpec::Evaluate(_))).collect();
        assert_eq!(evaluations.len(), 4);
        for job in evaluations {
            let needs: Vec<_> = job.spec.needs().iter().map(|need| (need.field, need.job.to_string())).collect();
            assert_eq!((needs.len(), needs[0].0), (2, "model"), "{needs:?}");
            assert_eq!(needs[1], ("teacher", "teacher".to_owned()));
        }
        assert_eq!(plan.validate(), Ok(()));
    }

    #[test]
    fn a_teacher_that_nobody_knows_is_asked_for_and_one_that_nobody_needs_refused() {
        for model in ["model = { job = \"teacher\" }", "model = { job = \"#7\" }"] {
            let error = Plan::from_toml(&adaptive(model, "")).unwrap_err().to_string();
            assert!(error.contains("job.attack.teacher: is missing: an adaptive attack must know"), "{error}");
        }
        let named = adaptive("model = { job = \"#7\" }", "teacher = { job = \"teacher\" }");
        assert!(Plan::from_toml(&named).is_ok());
        let needless = PLAN.replace(
            "model = { job = \"student\" }",
            "model = { job = \"student\" }\nteacher = { checkpoint = \"x\" }",
        );
        let error = Plan::from_toml(&needless).unwrap_err().to_string();
        assert!(error.contains("teacher: must be absent: only an adaptive attack needs a teacher"), "{error}");
    }

    #[test]
    fn an_adaptive_attack_is_no_part_of_a_training() {
        let attack =
            "attack = { kind = \"adaptive\", threat = { norm = \"linf\", epsilon = \"0.1\" }, iterations = 3 }";
        let text =
            PLAN.replace("arch = \"resnet18/8\"", &format!("arch = \"resnet18/8\"\nvalidation = {{ {attack} }}"));
        let error = Plan::from_toml(&text).unwrap_err().to_string();
        assert!(error.contains("validation.attack.kind = adaptive: must be another attack"), "{error}");
    }

    #[test]
    fn a_request_is_read_with_all_its_faults_at_once() {
        let with = |request: &str| PLAN.replace("arch = \"dnn/4\"", &format!("arch = \"dnn/4\"\nrequest = {request}"));
        let plan = Plan::from_toml(&with("{ devices = 2, memory_gib = 10, labels = ['a100'] }")).unwrap();
        let request = &plan.jobs[0].request;
        assert_eq!((request.devices.count(), request.memory_gib, request.labels[0].as_str()), (2, Some(10), "a100"));
        assert!(plan.jobs[1].request.is_default());
        let faulty = with("{ devices = 1.5, memory_gib = 0, labels = ['a 100', 'b', 'b', ''], gpus = 1 }");
        let error = Plan::from_toml(&faulty).unwrap_err();
        let fields: Vec<_> = error.iter().map(|fault| fault.field.trim_start_matches("job.teacher.request.")).collect();
        assert_eq!(fields, ["devices", "labels", "labels", "gpus", "memory_gib", "labels"], "{error}");
    }

    #[test]
    fn a_plan_survives_json() {
        let plan = Plan::from_toml(PLAN).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn garbage_is_one_syntax_fault() {
        assert!(Plan::from_toml("job = [").is_err());
        assert!(Plan::from_toml("").is_err());
    }
}
