//! One job per combination of swept values.

use std::collections::{BTreeSet, HashMap};

use toml::{Table, Value};

use super::decode::Written;
use crate::{MAX_JOBS_PER_PLAN, Violation, read::text_of, validate::join};

/// A swept field's path, and its values.
type Axis = (String, Vec<Value>);

/// Every axis makes a variant's name at least two bytes longer, `=` and what parts it from the next, and names have at most 200.
/// With more axes than these no name is allowed, and one variant is enough to say so.
const MOST_AXES: usize = 100;

/// Where a job may name others whose variants it follows.
const REFERENCES: [&[&str]; 5] = [
    &["method", "teacher", "job"],
    &["initial", "job"],
    &["training_set", "job"],
    &["model", "job"],
    &["teacher", "job"],
];

/// Replaces every job that has a `sweep`, or refers to one that has, by its variants.
///
/// A job has the axes of all jobs that it refers to, and its own. Two axes of the same field and the same values are one: of
/// each parent a variant takes the one with the values that it has itself.
pub(super) fn expand(written: Vec<Written>, found: &mut Vec<Violation>) -> Vec<Written> {
    let mut swept: HashMap<String, Vec<Axis>> = HashMap::new();
    let mut jobs = Vec::new();
    for mut job in written {
        let own = take_axes(&mut job, found);
        let axes = distinct(inherited(&job, &swept).chain([&own]));
        let mut blocked = BTreeSet::new();
        let most = if axes.len() > MOST_AXES { 1 } else { MAX_JOBS_PER_PLAN + 1 };
        for values in combinations(&axes, most) {
            if jobs.len() <= MAX_JOBS_PER_PLAN {
                let chosen: Vec<Chosen<'_>> = axes.iter().zip(values).collect();
                jobs.push(variant(job.clone(), &chosen, &own, &swept, &mut blocked));
            }
        }
        blocked.iter().for_each(|field| found.push(dead_end(&job, field)));
        swept.insert(job.name().unwrap_or_default().to_owned(), axes);
    }
    jobs
}

/// The axes of the jobs that a job refers to.
fn inherited<'s>(job: &Written, swept: &'s HashMap<String, Vec<Axis>>) -> impl Iterator<Item = &'s Vec<Axis>> {
    let mut fields = job.fields.clone();
    REFERENCES.into_iter().filter_map(move |path| swept.get(reference(&mut fields, path)?.as_str()?))
}

/// The axes of several lists in their order, each once.
fn distinct<'a>(lists: impl Iterator<Item = &'a Vec<Axis>>) -> Vec<Axis> {
    lists.flatten().fold(Vec::new(), |mut axes, axis| {
        if !axes.contains(axis) {
            axes.push(axis.clone());
        }
        axes
    })
}

/// The fault of a sweep whose path leads through something that has no fields.
fn dead_end(job: &Written, field: &str) -> Violation {
    let allowed = "must lead to a field: a part of this path is a value, not a table".to_owned();
    Violation { field: format!("{}.sweep.{field}", job.path), value: String::new(), allowed }
}

fn take_axes(job: &mut Written, found: &mut Vec<Violation>) -> Vec<Axis> {
    let Some(sweep) = job.fields.remove("sweep") else { return Vec::new() };
    let path = join(&job.path, "sweep");
    let mut fault = |field: String, value: &Value, allowed: &str| {
        found.push(Violation { field, value: text_of(value), allowed: allowed.to_owned() });
    };
    let Value::Table(sweep) = sweep else {
        fault(path, &sweep, "must be a table of fields to lists of values");
        return Vec::new();
    };
    let (good, bad): (Vec<_>, Vec<_>) =
        sweep.into_iter().partition(|(_, value)| value.as_array().is_some_and(|list| !list.is_empty()));
    bad.iter().for_each(|(field, value)| fault(join(&path, field), value, "must be a list of at least one value"));
    let mut axes: Vec<Axis> =
        good.into_iter().filter_map(|(field, value)| Some((field, value.as_array()?.clone()))).collect();
    // The seed goes first: seeds are the outermost repetition when people read a list.
    axes.sort_by_key(|(field, _)| (field != "seed", field.clone()));
    axes
}

/// Every choice of one value on each axis, the last axis changing fastest; the first so many.
fn combinations(axes: &[Axis], most: usize) -> Vec<Vec<Value>> {
    axes.iter().fold(vec![Vec::new()], |partial, (_, values)| {
        let longer = |start: &Vec<Value>| -> Vec<Vec<Value>> {
            values.iter().map(|value| [start.as_slice(), std::slice::from_ref(value)].concat()).collect()
        };
        partial.iter().flat_map(longer).take(most).collect()
    })
}

/// An axis, and the value on it that makes a variant.
type Chosen<'a> = (&'a Axis, Value);

/// The name of a variant, such as `student[seed=1]`.
fn named(name: &str, chosen: &[Chosen<'_>]) -> String {
    let values = chosen.iter().map(|((field, _), value)| {
        let short = field.rsplit('.').next().unwrap_or(field);
        format!("{short}={}", text_of(value))
    });
    let suffix = values.collect::<Vec<_>>().join(",");
    if suffix.is_empty() { name.to_owned() } else { format!("{name}[{suffix}]") }
}

/// The job with the values chosen on its `own` axes; fields whose paths lead nowhere are added to `blocked`.
fn variant(
    mut job: Written,
    chosen: &[Chosen<'_>],
    own: &[Axis],
    swept: &HashMap<String, Vec<Axis>>,
    blocked: &mut BTreeSet<String>,
) -> Written {
    if let Some(Value::String(name)) = job.fields.get_mut("name") {
        *name = named(name, chosen);
    }
    job.path = named(&job.path, chosen);
    follow(&mut job.fields, chosen, swept);
    for ((field, _), value) in chosen.iter().filter(|(axis, _)| own.contains(axis)) {
        if !set(&mut job.fields, field, value.clone()) {
            blocked.insert(field.clone());
        }
    }
    job
}

/// Leads each reference to the parent's variant that has the same values.
fn follow(fields: &mut Table, chosen: &[Chosen<'_>], swept: &HashMap<String, Vec<Axis>>) {
    for path in REFERENCES {
        let Some(Value::String(parent)) = reference(fields, path) else { continue };
        let axes = swept.get(parent.as_str()).map_or(&[][..], Vec::as_slice);
        let of_parent: Vec<Chosen<'_>> =
            axes.iter().filter_map(|axis| chosen.iter().find(|(other, _)| *other == axis).cloned()).collect();
        *parent = named(parent, &of_parent);
    }
}

/// The place where a job names another, by the path to it.
fn reference<'t>(fields: &'t mut Table, path: &[&str]) -> Option<&'t mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(fields.get_mut(*first)?, |value, field| value.get_mut(*field))
}

/// Whether the path led to a place for the value.
fn set(table: &mut Table, path: &str, value: Value) -> bool {
    let Some((head, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return true;
    };
    match table.entry(head).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(below) => set(below, rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::{JobSpec, Plan};

    /// A network, images made of it, and a training on these that begins with the network and learns from it, too.
    const CHAIN: &str = r#"
        name = "chain"
        [defaults.train]
        dataset = { name = "cifar10" }
        arch = "dnn/16"
        epochs = 1
        batch_size = 64
        seed = 7
        optimizer = { learning_rate = 0.1, schedule = { kind = "cosine" } }

        [[job]]
        name = "teacher"
        kind = "train"
        method = { kind = "natural" }
        sweep = { seed = [0, 1, 2] }

        [[job]]
        name = "images"
        kind = "synthesize"
        model = { job = "teacher" }
        dataset = { name = "cifar10" }
        steps = 1
        step_size = 0.1
        batch_size = 64
        seed = 7

        [[job]]
        name = "student"
        kind = "train"
        initial = { job = "teacher" }
        training_set = { job = "images" }
        method = { kind = "rrm", teacher = { job = "teacher" }, representation_loss = "cosine", lambda = 0.1 }
    "#;

    /// Name, what it refers to, and seed of every job.
    #[track_caller]
    fn jobs(text: &str) -> Vec<String> {
        let plan = Plan::from_toml(text).unwrap_or_else(|faults| panic!("{faults}"));
        let described = plan.jobs.iter().map(|job| {
            let needs: Vec<_> = job.spec.needs().iter().map(|need| need.job.to_string()).collect();
            let seed = match &job.spec {
                JobSpec::Train(spec) => spec.seed,
                JobSpec::Evaluate(spec) => spec.seed,
                JobSpec::Synthesize(spec) => spec.seed,
            };
            format!("{} of {} with {seed}", job.name, needs.join(" "))
        });
        described.collect()
    }

    #[test]
    fn images_and_what_begins_with_a_swept_network_follow_its_variants() {
        let jobs = jobs(CHAIN);
        assert_eq!(jobs.len(), 9, "{jobs:?}");
        assert_eq!(jobs[4], "images[seed=1] of teacher[seed=1] with 7");
        assert_eq!(jobs[7], "student[seed=1] of teacher[seed=1] teacher[seed=1] images[seed=1] with 7");
    }

    #[test]
    fn an_attack_through_a_swept_teacher_that_is_named_follows_network_and_teacher() {
        let attack = r#"
            [[job]]
            name = "attack"
            kind = "evaluate"
            model = { job = "student" }
            teacher = { job = "teacher" }
            dataset = { name = "cifar10" }
            attack = { kind = "adaptive", threat = { norm = "linf", epsilon = "8/255" }, iterations = 5 }
            batch_size = 50
            seed = 7
        "#;
        let jobs = jobs(&[CHAIN, attack].concat());
        assert_eq!(jobs.len(), 12, "{jobs:?}");
        assert_eq!(jobs[10], "attack[seed=1] of student[seed=1] teacher[seed=1] with 7");
    }

    #[test]
    fn a_thousand_swept_fields_are_refused_by_one_variants_name() {
        let fields: String = (0..1000).map(|field| format!("a{field} = [1, 2]\n")).collect();
        let text = format!("name = \"wide\"\n[[job]]\nname = \"t\"\nkind = \"train\"\n[job.sweep]\n{fields}");
        let faults = Plan::from_toml(&text).unwrap_err();
        let names = faults.iter().filter(|fault| fault.allowed.starts_with("must be 1 to 200 bytes"));
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn parents_that_were_swept_apart_over_the_same_values_match_up() {
        let apart = "[[job]]\nname = \"other\"\nkind = \"train\"\nmethod = { kind = \"natural\" }\nsweep = { seed = [0, 1, 2] }\n";
        let text = CHAIN
            .replacen("[[job]]", &format!("{apart}[[job]]"), 1)
            .replace("initial = { job = \"teacher\" }", "initial = { job = \"other\" }");
        let jobs = jobs(&text);
        assert_eq!(jobs.len(), 12, "{jobs:?}");
        assert_eq!(jobs[11], "student[seed=2] of teacher[seed=2] other[seed=2] images[seed=2] with 7");
    }

    #[test]
    fn parents_that_were_swept_over_other_values_are_combined() {
        let text = CHAIN.replace(
            "seed = 7\n\n        [[job]]\n        name = \"student\"",
            "seed = 7\nsweep = { steps = [1, 2] }\n[[job]]\nname = \"student\"",
        );
        let jobs = jobs(&text);
        assert_eq!(jobs.len(), 3 + 6 + 6, "{jobs:?}");
        assert_eq!(
            jobs[14],
            "student[seed=2,steps=2] of teacher[seed=2] teacher[seed=2] images[seed=2,steps=2] with 7"
        );
    }

    #[test]
    fn a_job_that_is_swept_like_its_parent_has_the_same_value_and_over_others_all_pairs() {
        let swept = |seeds: &str| format!("{CHAIN}\nsweep = {{ seed = {seeds} }}");
        let matched = jobs(&swept("[0, 1, 2]"));
        assert_eq!(matched.len(), 9, "{matched:?}");
        assert_eq!(matched[7], "student[seed=1] of teacher[seed=1] teacher[seed=1] images[seed=1] with 1");
        let crossed = jobs(&swept("[10, 11]"));
        assert_eq!(crossed.len(), 3 + 3 + 6, "{crossed:?}");
        assert_eq!(crossed[7], "student[seed=0,seed=11] of teacher[seed=0] teacher[seed=0] images[seed=0] with 11");
    }
}
