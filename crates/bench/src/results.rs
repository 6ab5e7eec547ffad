//! What has been measured on a machine, as it is kept between runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    check::Checked,
    claim::{Check, Claim, checks},
    compare::Measured,
    limits::Limits,
    machine::Machine,
    plan::{Comparison, MODELS, Mode},
};

/// Every row, each with its date: runs of a few rows are merged into what older runs left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where all of it was measured.
    pub machine: Machine,
    /// Its limits.
    pub limits: Option<Limits>,
    /// Ratios of speeds.
    pub comparisons: Vec<Row<Comparison, Measured>>,
    /// Claims about our own steps.
    pub checks: Vec<Row<Check, Checked>>,
}

/// One question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<Q, A> {
    /// What was asked.
    pub question: Q,
    /// When, as `2026-11-26`.
    pub date: String,
    /// With which state of this project, as git calls it.
    pub revision: String,
    /// The share of the processors' time that went to others meanwhile, from 0 to 1.
    pub others: f64,
    /// What came out.
    pub outcome: Outcome<A>,
}

/// An answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<A> {
    /// The answer.
    Measured(A),
    /// Why there is none.
    Skipped(String),
}

impl<A> From<anyhow::Result<A>> for Outcome<A> {
    fn from(result: anyhow::Result<A>) -> Self {
        match result {
            Ok(answer) => Self::Measured(answer),
            Err(why) => Self::Skipped(format!("{why:#}")),
        }
    }
}

impl<A> Outcome<A> {
    /// The answer, where there is one.
    pub fn measured(&self) -> Option<&A> {
        match self {
            Self::Measured(answer) => Some(answer),
            Self::Skipped(_) => None,
        }
    }

    /// Why there is no answer, where there is none.
    pub fn skipped(&self) -> Option<&str> {
        match self {
            Self::Measured(_) => None,
            Self::Skipped(why) => Some(why),
        }
    }
}

impl Results {
    /// Of a machine on which nothing was measured yet.
    pub fn new(machine: Machine) -> Self {
        Self { machine, limits: None, comparisons: Vec::new(), checks: Vec::new() }
    }

    /// These results, and those of `older` that these do not renew. Another machine's are forgotten: no table mixes two.
    pub fn over(mut self, older: Self) -> Self {
        if older.machine != self.machine {
            return self;
        }
        self.limits = self.limits.or(older.limits);
        let news = std::mem::take(&mut self.comparisons);
        self.comparisons = merged(news, older.comparisons, Comparison::same_question, &all_comparisons());
        let news = std::mem::take(&mut self.checks);
        self.checks = merged(news, older.checks, |a, b| a == b, &all_checks());
        self
    }

    /// Name and version of every library that ours was compared with.
    pub fn libraries(&self) -> BTreeSet<String> {
        let measured = self.comparisons.iter().filter_map(|row| row.outcome.measured());
        measured.map(|measured| format!("{} {}", measured.library.name, measured.library.version)).collect()
    }
}

/// In the order of `plan`. What is no longer in it is forgotten, and what is in it has today's goal.
fn merged<Q: Clone, A: Clone>(
    news: Vec<Row<Q, A>>,
    older: Vec<Row<Q, A>>,
    same: impl Fn(&Q, &Q) -> bool,
    plan: &[Q],
) -> Vec<Row<Q, A>> {
    let rows: Vec<_> = news.into_iter().chain(older).collect();
    let row = |question: &Q| {
        let found = rows.iter().find(|row| same(&row.question, question))?;
        Some(Row { question: question.clone(), ..found.clone() })
    };
    plan.iter().filter_map(row).collect()
}

/// Every ratio of the plan.
pub fn all_comparisons() -> Vec<Comparison> {
    MODELS.iter().flat_map(|model| Mode::ALL.map(|mode| model.comparisons(mode))).flatten().collect()
}

/// Every check of the plan.
pub fn all_checks() -> Vec<Check> {
    Claim::ALL.into_iter().flat_map(checks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(processor: &str) -> Machine {
        Machine { processor: processor.into(), processors: 2, instructions: Vec::new(), memory_gib: 8 }
    }

    fn results(rows: &[usize], why: &str) -> Results {
        let plan = all_comparisons();
        let row = |&index: &usize| Row {
            question: plan[index].clone(),
            date: "2026-11-26".into(),
            revision: "abc".into(),
            others: 0.0,
            outcome: Outcome::Skipped(why.into()),
        };
        Results { comparisons: rows.iter().map(row).collect(), ..Results::new(machine("a")) }
    }

    fn reasons(results: &Results) -> Vec<&str> {
        results.comparisons.iter().filter_map(|row| row.outcome.skipped()).collect()
    }

    #[test]
    fn new_rows_replace_old_ones_and_leave_the_others_in_the_plans_order() {
        let merged = results(&[3, 1], "new").over(results(&[0, 1, 2], "old"));
        assert_eq!(reasons(&merged), ["old", "new", "old", "new"]);
        let order: Vec<_> = merged.comparisons.iter().map(|row| row.question.clone()).collect();
        assert_eq!(order, all_comparisons()[..4]);
    }

    #[test]
    fn a_changed_goal_is_no_other_question() {
        let mut old = results(&[0], "old");
        old.comparisons[0].question.goal = Some(99.0);
        let merged = results(&[1], "new").over(old);
        assert_eq!(merged.comparisons[0].question.goal, all_comparisons()[0].goal);
        assert_eq!(reasons(&merged), ["old", "new"]);
    }

    #[test]
    fn another_machines_rows_are_forgotten() {
        let old = Results { machine: machine("b"), ..results(&[0, 1], "old") };
        assert_eq!(reasons(&results(&[2], "new").over(old)), ["new"]);
    }

    #[test]
    fn results_survive_their_file() {
        let results = results(&[0, 5], "why");
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
