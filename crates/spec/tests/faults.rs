//! Every fault of a plan or a job is named, and nothing else is.

mod strategies;

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::Index};
use rrm_spec::{JobId, JobRef, JobSpec, Plan, Violations, read_job};
use strategies::{evaluate, synthesize, train};
use toml::{Table, Value};

/// Where a field is: the names on the way to it.
type Path = Vec<String>;

/// Every field that holds no table.
fn leaves(table: &Table, above: &[String]) -> Vec<Path> {
    let below = table.iter().map(|(field, value)| {
        let path = [above, std::slice::from_ref(field)].concat();
        match value {
            Value::Table(table) => leaves(table, &path),
            _ => vec![path],
        }
    });
    below.flatten().collect()
}

fn at<'a>(table: &'a mut Table, path: &[String]) -> &'a mut Table {
    path.iter().fold(table, |table, field| match table.get_mut(field) {
        Some(Value::Table(below)) => below,
        other => panic!("{field} of {path:?} is {other:?}"),
    })
}

/// How a field is spoiled.
#[derive(Clone, Copy, Debug)]
enum Spoilt {
    /// No field is a list of truth values.
    Type,
    /// A stranger is put beside it.
    Unknown,
}

/// Spoils the field; the name of what is then faulty.
fn spoil(table: &mut Table, path: &[String], how: Spoilt) -> String {
    let (field, above) = path.split_last().expect("a field has a name");
    let field = match how {
        Spoilt::Type => field.clone(),
        Spoilt::Unknown => format!("not-{field}"),
    };
    at(table, above).insert(field.clone(), Value::Array(vec![Value::Boolean(true)]));
    [above, &[field]].concat().join(".")
}

fn spoils() -> impl Strategy<Value = Vec<(Index, Spoilt)>> {
    let how = prop_oneof![Just(Spoilt::Type), Just(Spoilt::Unknown)];
    proptest::collection::vec((any::<Index>(), how), 1..12)
}

/// Spoils some of the fields, as many as there are, each once; the names of the faults.
fn spoil_some(table: &mut Table, places: &[(Index, Spoilt)]) -> BTreeSet<String> {
    let fields = leaves(table, &[]);
    places.iter().map(|(place, how)| spoil(table, place.get::<Path>(&fields), *how)).collect()
}

fn named(faults: &Violations) -> BTreeSet<String> {
    faults.iter().map(|fault| fault.field.clone()).collect()
}

/// The same job, referring to no other by name.
fn alone(mut job: JobSpec) -> JobSpec {
    for need in job.needs_mut() {
        if let JobRef::Name(_) = need {
            *need = JobRef::Id(JobId(1));
        }
    }
    job
}

fn table(job: &JobSpec) -> Table {
    Table::try_from(job).expect("a job is a table")
}

fn jobs() -> impl Strategy<Value = Vec<JobSpec>> {
    proptest::collection::vec(prop_oneof![train(), evaluate(), synthesize()].prop_map(alone), 1..4)
}

proptest! {
    #[test]
    fn all_spoilt_fields_of_a_job_are_named_and_no_other(
        job in prop_oneof![train(), evaluate(), synthesize()], places in spoils()) {
        let mut job = table(&job);
        let expected = spoil_some(&mut job, &places);
        let json = serde_json::to_string(&job).expect("a table can be written");
        prop_assert_eq!(named(&read_job(&json).expect_err("the job is spoilt")), expected, "{}", json);
    }

    #[test]
    fn all_spoilt_fields_of_a_plan_are_named_and_no_other(jobs in jobs(), places in spoils()) {
        let mut tables = Table::new();
        for (place, job) in jobs.iter().enumerate() {
            tables.insert(format!("j{place}"), Value::Table(table(job)));
        }
        let expected: BTreeSet<_> = spoil_some(&mut tables, &places).iter().map(|path| format!("job.{path}")).collect();
        let jobs = tables.into_iter().map(|(name, job)| match job {
            Value::Table(mut job) => {
                job.insert("name".into(), Value::String(name));
                Value::Table(job)
            }
            other => other,
        });
        let plan = Table::from_iter([
            ("name".to_owned(), Value::String("spoilt".into())),
            ("job".to_owned(), Value::Array(jobs.collect())),
        ]);
        let text = toml::to_string(&plan).expect("a plan can be written");
        prop_assert_eq!(named(&Plan::from_toml(&text).expect_err("the plan is spoilt")), expected, "{}", text);
    }

    #[test]
    fn all_missing_fields_of_a_job_are_named(
        job in prop_oneof![train(), evaluate(), synthesize()], places in proptest::collection::vec(any::<Index>(), 1..8)) {
        let mut job = table(&job);
        // Whatever is written of a job whose optional fields are absent has to be there.
        let fields = leaves(&job, &[]);
        let gone: BTreeSet<_> = places.iter().map(|place| place.get(&fields).clone()).collect();
        for path in &gone {
            let (field, above) = path.split_last().expect("a field has a name");
            at(&mut job, above).remove(field);
        }
        let json = serde_json::to_string(&job).expect("a table can be written");
        let read = read_job(&json);
        // The derived reader stops at the first fault, but agrees on whether there is one, and on what stands for the rest.
        let derived = serde_json::from_str::<JobSpec>(&json).ok().filter(|job| job.validate().is_ok());
        prop_assert_eq!(read.as_ref().ok(), derived.as_ref(), "{}", json);
        for fault in read.err().iter().flat_map(Violations::iter).filter(|fault| fault.allowed == "is missing") {
            let path: Path = fault.field.split('.').map(str::to_owned).collect();
            prop_assert!(gone.contains(&path), "{fault} in {json}");
        }
    }
}

#[test]
fn the_faults_within_one_field_are_all_named() {
    let text = r#"
        name = "bad"
        [[job]]
        name = "a"
        kind = "train"
        dataset = { name = "cifar10" }
        arch = "dnn"
        epochs = 1
        batch_size = 1
        seed = 0
        optimizer = { learning_rate = "x", momentum = "y", weight_decay = 2, schedule = { kind = "z" } }
        [job.method]
        kind = "adversarial-training"
        attack_mode = "train"
        attack = { kind = "pgd", threat = { norm = "linf", epsilon = "8/255" }, steps = 0, step_size = -1, start = "uniform", selection = "last" }
    "#;
    let faults = named(&Plan::from_toml(text).unwrap_err());
    let expected = [
        "job.a.optimizer.learning_rate",
        "job.a.optimizer.momentum",
        "job.a.optimizer.schedule.kind",
        "job.a.optimizer.weight_decay",
        "job.a.method.attack.steps",
        "job.a.method.attack.step_size",
    ];
    assert_eq!(faults, expected.map(str::to_owned).into());
}

#[test]
fn a_job_without_a_name_is_called_by_its_place_and_read_like_any_other() {
    let text = r#"
        name = "bad"
        [defaults.train]
        dataset = { name = "cifar10" }
        arch = "dnn"
        epochs = 1
        batch_size = 1
        seed = 0
        method = { kind = "natural" }
        optimizer = { learning_rate = 0.1, schedule = { kind = "constant" } }
        [[job]]
        name = "first"
        kind = "train"
        [[job]]
        kind = "train"
        arch = "dnn/3"
        [[job]]
        name = ""
        kind = "trian"
        batch_size = 0
        [[job]]
        name = 4
        kind = "train"
        sweep = { epochs = [] }
        "#;
    let faults = named(&Plan::from_toml(text).unwrap_err());
    let expected = [
        "job[2].name",
        "job[2].arch",
        "job[3].name",
        "job[3].kind",
        "job[3].batch_size",
        "job[4].name",
        "job[4].sweep.epochs",
    ];
    assert_eq!(faults, expected.map(str::to_owned).into());
}

#[test]
fn what_is_no_job_is_called_by_its_place() {
    let faults = named(&Plan::from_toml("name = 'bad'\njob = [5, { name = 'b', kind = 'x' }]").unwrap_err());
    assert_eq!(faults, ["job[1]", "job.b.kind"].map(str::to_owned).into());
}

/// A plan of one training with this dataset and network.
fn plan_with(dataset: &str, arch: &str) -> String {
    format!(
        r#"
        name = "one"
        [[job]]
        name = "a"
        kind = "train"
        dataset = {{ name = "{dataset}" }}
        arch = "{arch}"
        epochs = 1
        batch_size = 1
        seed = 0
        method = {{ kind = "natural" }}
        optimizer = {{ learning_rate = 0.1, schedule = {{ kind = "constant" }} }}
        "#
    )
}

#[test]
fn a_network_for_larger_images_than_the_datasets_is_refused_with_those_that_fit() {
    assert!(Plan::from_toml(&plan_with("cifar10", "resnet50/16")).is_ok());
    for arch in ["alexnet", "vgg16/4", "resnet50-imagenet"] {
        let faults = Plan::from_toml(&plan_with("cifar10", arch)).unwrap_err().to_string();
        let fault =
            format!("job.a.arch = {arch}: must be for 32×32 images, as those of cifar10 are: dnn, vgg11, vgg19,");
        assert!(faults.contains(&fault), "{faults}");
    }
}

#[test]
fn a_dataset_that_could_not_be_read_contradicts_no_network() {
    let faults = named(&Plan::from_toml(&plan_with("imagenet", "vgg16")).unwrap_err());
    assert_eq!(faults, ["job.a.dataset.name".to_owned()].into());
}

#[test]
fn a_precision_that_there_is_not_is_named_with_the_allowed_ones_beside_the_other_faults() {
    let plan = plan_with("cifar10", "dnn").replace("epochs = 1", "epochs = 0\nprecision = 'fp16'");
    let faults = Plan::from_toml(&plan).unwrap_err();
    assert_eq!(named(&faults), ["job.a.epochs", "job.a.precision"].map(str::to_owned).into());
    let text = faults.to_string();
    assert!(text.contains("job.a.precision = fp16: unknown variant `fp16`, expected `f32` or `bf16`"), "{text}");
}

#[test]
fn only_trainings_have_a_precision() {
    let plan = r#"
        name = "one"
        [[job]]
        name = "a"
        kind = "evaluate"
        model = { checkpoint = "final.safetensors" }
        dataset = { name = "cifar10" }
        attack = { kind = "apgd", threat = { norm = "linf", epsilon = "8/255" }, iterations = 1 }
        batch_size = 1
        seed = 0
        precision = "bf16"
        "#;
    assert_eq!(named(&Plan::from_toml(plan).unwrap_err()), ["job.a.precision".to_owned()].into());
}
