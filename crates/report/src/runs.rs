//! The networks that a layout names: of each name one per seed, and per value of whatever else was swept.

use std::collections::HashMap;

use rrm_spec::{AttackSpec, JobDetail, JobId, JobSpec, Method};

use crate::{Measurement, Provenance, Row, Table, table};

/// One trained network of a row or point, or one that is to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// All that is known of it.
    pub row: Row,
    /// The seed that tells it from others of its row: the one that a sweep gave it or its teacher, otherwise its training's own.
    pub seed: u64,
    /// Its accuracy under [`Self::attack`].
    pub robust: Measurement,
    /// The attack: of those that it is evaluated with the one that most networks of the report are; absent where it is with none.
    pub attack: Option<AttackSpec>,
    /// How often an epoch trains on each batch: free adversarial training's replays, and 1 of every other method.
    pub replays: u32,
    /// λ of RRM.
    pub lambda: Option<f64>,
    /// Where its numbers come from.
    pub provenance: Provenance,
}

/// Networks that differ in their seed alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    /// The jobs' name without the seed, such as `student[lambda=0.05]`.
    pub(crate) name: String,
    /// By seed.
    pub(crate) runs: Vec<Run>,
}

/// A plan's jobs, ready to be looked up by the names of a layout.
pub(crate) struct Runs<'a> {
    pub(crate) table: Table,
    jobs: HashMap<JobId, &'a JobDetail>,
    /// Indices of the table's attacks, the one that most networks of the layout are evaluated with first.
    attacks: Vec<usize>,
}

impl<'a> Runs<'a> {
    /// `names` are all that the layout names.
    pub(crate) fn new<'n>(jobs: &'a [JobDetail], names: impl Iterator<Item = &'n str>) -> Self {
        let table = table(jobs);
        let attacks = (0..table.attacks.len()).collect();
        let mut runs = Self { table, jobs: jobs.iter().map(|job| (job.summary.id, job)).collect(), attacks };
        let named: Vec<&Row> = names.flat_map(|name| runs.rows(name)).collect();
        let measured = |attack: usize| named.iter().filter(|row| row.robust[attack] != Measurement::Absent).count();
        let mut attacks = runs.attacks.clone();
        // A stable sort: of equals the one that came first in the plan.
        attacks.sort_by_key(|attack| std::cmp::Reverse(measured(*attack)));
        runs.attacks = attacks;
        runs
    }

    /// The networks of a name, by what was swept beside the seed, in the order of their jobs.
    pub(crate) fn variants(&self, name: &str) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for row in self.rows(name) {
            let name = without_seed(&row.name);
            let run = self.run(row);
            match variants.iter_mut().find(|variant| variant.name == name) {
                Some(variant) => variant.runs.push(run),
                None => variants.push(Variant { name, runs: vec![run] }),
            }
        }
        variants.iter_mut().for_each(|variant| variant.runs.sort_by_key(|run| (run.seed, run.row.job)));
        variants
    }

    /// Rows of the name and of its variants, one for each job name: the plan's own or, where that found another plan's job done
    /// already or builds on it, the newest of the others.
    fn rows(&self, name: &str) -> Vec<&Row> {
        let fits = |row: &&Row| row.name == name || base(&row.name) == name || without_seed(&row.name) == name;
        let mut rows: Vec<&Row> = Vec::new();
        // In the order of ids, so that a later one of the same name is of a newer plan.
        for row in self.table.rows.iter().filter(fits) {
            match rows.iter_mut().find(|known| known.name == row.name) {
                Some(known) => *known = row,
                None => rows.push(row),
            }
        }
        rows
    }

    fn run(&self, row: &Row) -> Run {
        let job = self.jobs[&row.job];
        let (replays, lambda) = match &job.spec {
            JobSpec::Train(spec) => (replays(&spec.method), lambda(&spec.method)),
            JobSpec::Evaluate(_) | JobSpec::Synthesize(_) => unreachable!("rows are of trainings"),
        };
        let attack = self.attacks.iter().copied().find(|attack| row.robust[*attack] != Measurement::Absent);
        Run {
            seed: swept_seed(&row.name).unwrap_or(row.seed),
            row: row.clone(),
            robust: attack.map_or(Measurement::Absent, |attack| row.robust[attack]),
            attack: attack.map(|attack| self.table.attacks[attack].clone()),
            replays,
            lambda,
            provenance: Provenance::of(job, &self.jobs),
        }
    }
}

/// The attacks of these networks' robust accuracies, each once.
pub(crate) fn attacks<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<&'a AttackSpec> {
    let mut attacks: Vec<&AttackSpec> = Vec::new();
    for attack in runs.filter_map(|run| run.attack.as_ref()) {
        if !attacks.contains(&attack) {
            attacks.push(attack);
        }
    }
    attacks
}

/// An attack and its ball in a few words: `APGD-CE 50x10, linf 8/255`.
pub(crate) fn named(attack: &AttackSpec) -> String {
    let threat = attack.threat();
    format!("{}, {} {}", attack.label(), threat.norm, threat.epsilon)
}

fn replays(method: &Method) -> u32 {
    match method {
        Method::FreeAdversarialTraining { replays, .. } => replays.get(),
        // RRM's replays are further updates on the same teacher forward; the paper has none and does not count them.
        Method::Natural
        | Method::AdversarialTraining { .. }
        | Method::Rrm { .. }
        | Method::KnowledgeDistillation { .. }
        | Method::AdversariallyRobustDistillation { .. }
        | Method::Trades { .. } => 1,
    }
}

fn lambda(method: &Method) -> Option<f64> {
    match method {
        Method::Rrm { lambda, .. } => Some(*lambda),
        Method::Natural
        | Method::AdversarialTraining { .. }
        | Method::FreeAdversarialTraining { .. }
        | Method::KnowledgeDistillation { .. }
        | Method::AdversariallyRobustDistillation { .. }
        | Method::Trades { .. } => None,
    }
}

/// A job's name as the plan wrote it, and what a sweep appended, such as `seed=1,lambda=0.05`.
fn parts(name: &str) -> (&str, Option<&str>) {
    let swept = name.strip_suffix(']').and_then(|open| open.split_once('['));
    swept.map_or((name, None), |(base, swept)| (base, Some(swept)))
}

fn base(name: &str) -> &str {
    parts(name).0
}

/// The name with all that was swept except for the seed.
fn without_seed(name: &str) -> String {
    let (base, Some(swept)) = parts(name) else { return name.to_owned() };
    let others: Vec<&str> = swept.split(',').filter(|part| !part.starts_with("seed=")).collect();
    if others.is_empty() { base.to_owned() } else { format!("{base}[{}]", others.join(",")) }
}

/// The seed that a sweep appended; of several, as of a swept student of a swept teacher, the student's.
fn swept_seed(name: &str) -> Option<u64> {
    parts(name).1?.split(',').filter_map(|part| part.strip_prefix("seed=")).next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweeps_suffix_is_told_from_the_name() {
        assert_eq!(base("student[seed=1,lambda=0.05]"), "student");
        assert_eq!(without_seed("student[seed=1,lambda=0.05]"), "student[lambda=0.05]");
        assert_eq!(without_seed("student[seed=1]"), "student");
        assert_eq!((base("student"), without_seed("student").as_str()), ("student", "student"));
        assert_eq!(base("a[b"), "a[b");
        assert_eq!(
            ["a[seed=1,lambda=2]", "a[seed=1,seed=2]", "a[lambda=2]", "a"].map(swept_seed),
            [Some(1), Some(2), None, None]
        );
    }
}
