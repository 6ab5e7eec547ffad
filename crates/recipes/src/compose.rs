//! From a recipe to a plan.

use std::collections::{BTreeMap, BTreeSet};

use rrm_spec::Plan;
use toml::{Table, Value};

use crate::{Difference, Recipe, RecipeError, Switches, table, text};

impl Recipe {
    /// The plan, with the sides followed that `switches` name.
    ///
    /// # Errors
    /// Unknown switches, with those that there are; settings of unknown jobs; the faults of a plan that settings made invalid.
    pub fn plan(&self, switches: &Switches) -> Result<Plan, RecipeError> {
        Ok(Plan::from_toml(&self.to_toml(switches)?)?)
    }

    /// The plan as TOML, with what paper and code differ in as comments; [`Plan::from_toml`] makes [`Self::plan`] of it.
    ///
    /// # Errors
    /// Unknown switches and settings of unknown jobs.
    pub fn to_toml(&self, switches: &Switches) -> Result<String, RecipeError> {
        let jobs = self.jobs(switches)?;
        Ok(text::plan(self, switches, &jobs))
    }

    /// The data sets that its jobs need.
    pub fn datasets(&self) -> BTreeSet<String> {
        let jobs = self.jobs_of_sides(&[]);
        jobs.iter()
            .map(|(name, fields)| table::dataset(fields).unwrap_or_else(|| panic!("{name} has none")).to_owned())
            .collect()
    }

    /// The points in which paper and code differ about its jobs.
    pub fn differences(&self) -> Vec<&'static Difference> {
        let jobs = self.jobs_of_sides(&[]);
        let concerned = |difference: &&Difference| jobs.iter().any(|(name, fields)| difference.concerns(name, fields));
        self.catalogue.differences().iter().filter(concerned).collect()
    }

    /// The jobs in the order of the plan, by name.
    pub(crate) fn jobs(&self, switches: &Switches) -> Result<Vec<(String, Table)>, RecipeError> {
        let mut jobs = self.jobs_of_sides(&self.turned(switches)?);
        self.settings.iter().try_for_each(|setting| setting.apply(&mut jobs))?;
        Ok(jobs)
    }

    /// The jobs before anything is set, on the other side of the differences that are `turned`.
    fn jobs_of_sides(&self, turned: &[&Difference]) -> Vec<(String, Table)> {
        let mut known = self.catalogue.jobs().clone();
        known.iter_mut().for_each(|(name, fields)| turn(turned, name, fields));
        let mut jobs = Vec::new();
        for name in self.train.iter().chain(self.evaluate.values().flatten()) {
            add_with_parents(name, &known, &mut jobs);
        }
        for (evaluation, networks) in &self.evaluate {
            for network in networks {
                let (name, mut fields) = self.catalogue.evaluation(evaluation, network);
                turn(turned, &name, &mut fields);
                jobs.push((name, fields));
            }
        }
        jobs.iter_mut().for_each(|(_, fields)| seed(fields, &self.seeds));
        jobs
    }

    /// The differences in which the other side is to be followed.
    fn turned(&self, switches: &Switches) -> Result<Vec<&'static Difference>, RecipeError> {
        let mut turned = Vec::new();
        if switches.iter().next().is_none() {
            return Ok(turned);
        }
        let differences = self.differences();
        for switch in switches.iter() {
            let known = differences.iter().find(|difference| difference.name == switch.difference);
            let difference = known.ok_or_else(|| self.unknown_switch(&switch.difference, &differences))?;
            let side = switches.side(&difference.name).unwrap_or(difference.follows);
            if side != difference.follows && !turned.contains(difference) {
                turned.push(*difference);
            }
        }
        match turned.iter().find_map(|difference| Some((difference, difference.unavailable.as_ref()?))) {
            Some((Difference { name, follows, .. }, why)) => {
                Err(RecipeError::NotExpressible { name: name.clone(), side: follows.other(), why: why.clone() })
            }
            None => Ok(turned),
        }
    }

    fn unknown_switch(&self, name: &str, differences: &[&Difference]) -> RecipeError {
        let switchable = differences.iter().filter(|difference| difference.is_switchable());
        RecipeError::UnknownSwitch {
            recipe: self.name().to_owned(),
            name: name.to_owned(),
            known: switchable.map(|difference| difference.name.clone()).collect(),
        }
    }
}

fn turn(turned: &[&Difference], name: &str, fields: &mut Table) {
    turned.iter().for_each(|difference| difference.turn(name, fields));
}

/// Adds a job behind all that it needs, unless it is there.
fn add_with_parents(name: &str, known: &BTreeMap<String, Table>, jobs: &mut Vec<(String, Table)>) {
    if jobs.iter().any(|(there, _)| there == name) {
        return;
    }
    let fields = known.get(name).unwrap_or_else(|| panic!("{name} is in the catalogue: recipes are tested"));
    table::parents(fields).into_iter().for_each(|parent| add_with_parents(parent, known, jobs));
    jobs.push((name.to_owned(), fields.clone()));
}

/// Gives a job that draws random numbers for its network or its images these seeds. What is swept like its teacher follows it
/// seed by seed; an evaluation follows its network, and its attack always has the same seed.
fn seed(fields: &mut Table, seeds: &[u64]) {
    if fields.get("kind").and_then(Value::as_str) == Some("evaluate") {
        return;
    }
    // Any seed that a user can write is below 2^63.
    let seeds: Vec<Value> = seeds.iter().map(|seed| Value::Integer(*seed as i64)).collect();
    match seeds.as_slice() {
        [only] => fields.insert("seed".to_owned(), only.clone()),
        [first, ..] => {
            fields.insert("seed".to_owned(), first.clone());
            let sweep = Table::from_iter([("seed".to_owned(), Value::Array(seeds))]);
            fields.insert("sweep".to_owned(), Value::Table(sweep))
        }
        [] => unreachable!("a recipe has a seed, and so has whatever replaces it"),
    };
}
