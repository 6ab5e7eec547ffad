//! The jobs that recipes draw from, each written once.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use toml::{Table, Value};

use crate::{Difference, table::merge};

static PAPER: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::read("paper", include_str!("../catalogue/paper.toml")));
static CPU: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::read("cpu", include_str!("../catalogue/cpu.toml")));

/// Jobs by name, with what evaluates them and where paper and code differ about them.
#[derive(Debug)]
pub(crate) struct Catalogue {
    jobs: BTreeMap<String, Table>,
    evaluations: BTreeMap<String, Table>,
    differences: Vec<Difference>,
}

/// A catalogue's file. A job or template, or an evaluation, may be `like` another, over whose fields it lays its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Jobs that lack something.
    template: BTreeMap<String, Table>,
    job: BTreeMap<String, Table>,
    /// Jobs without name and network; `called` is what follows the network's name in theirs.
    evaluation: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDifferences {
    difference: Vec<Difference>,
}

impl Catalogue {
    /// The catalogue of that name.
    pub(crate) fn named(name: &str) -> &'static Self {
        match name {
            "paper" => &PAPER,
            "cpu" => &CPU,
            other => unreachable!("recipes name catalogues that there are, not {other}: they are tested"),
        }
    }

    fn read(name: &str, text: &str) -> Self {
        let written: Written = toml::from_str(text).expect("our own text, which is tested");
        let differences: WrittenDifferences =
            toml::from_str(include_str!("../catalogue/differences.toml")).expect("our own text, which is tested");
        let Written { template, job, evaluation } = written;
        let trainings = template.into_iter().chain(job.clone()).collect();
        let of_this = |difference: &Difference| difference.catalogues.iter().any(|catalogue| catalogue == name);
        Self {
            jobs: all_resolved(job, &trainings),
            evaluations: all_resolved(evaluation.clone(), &evaluation),
            differences: differences.difference.into_iter().filter(of_this).collect(),
        }
    }

    /// Trainings and syntheses, by name.
    pub(crate) fn jobs(&self) -> &BTreeMap<String, Table> {
        &self.jobs
    }

    /// The job that evaluates a network, and its name.
    pub(crate) fn evaluation(&self, evaluation: &str, network: &str) -> (String, Table) {
        let mut fields = self.evaluations.get(evaluation).expect("recipes name evaluations that there are").clone();
        let Some(Value::String(called)) = fields.remove("called") else {
            unreachable!("every evaluation is called something")
        };
        let model = Table::from_iter([("job".to_owned(), Value::String(network.to_owned()))]);
        fields.insert("model".to_owned(), Value::Table(model));
        (format!("{network}-{called}"), fields)
    }

    /// Where paper and code differ.
    pub(crate) fn differences(&self) -> &[Difference] {
        &self.differences
    }
}

fn all_resolved(jobs: BTreeMap<String, Table>, others: &BTreeMap<String, Table>) -> BTreeMap<String, Table> {
    jobs.into_iter().map(|(name, fields)| (name, resolved(fields, others))).collect()
}

/// A job's own fields over those of the one among `others` that it is like.
fn resolved(mut own: Table, others: &BTreeMap<String, Table>) -> Table {
    match own.remove("like") {
        Some(Value::String(base)) => {
            let below = others.get(&base).expect("what a job is like is there, too").clone();
            merge(resolved(below, others), own)
        }
        _ => own,
    }
}
