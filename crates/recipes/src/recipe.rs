//! How to make one of the paper's tables or figures.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    Layout, RecipeError, Seeds, Setting,
    catalogue::Catalogue,
    pattern::{Pattern, any_matches},
    shelf,
    table::merge,
};

/// How to make one of the paper's tables or figures, at the paper's size (`paper/…`) or at that of two cores (`cpu/…`).
#[derive(Clone, Debug)]
pub struct Recipe {
    name: String,
    summary: String,
    cost: String,
    layout: Layout,
    pub(crate) catalogue: &'static Catalogue,
    /// Networks that are trained; their parents come along.
    pub(crate) train: Vec<String>,
    /// Evaluations, and of which networks.
    pub(crate) evaluate: BTreeMap<String, Vec<String>>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) settings: Vec<Setting>,
}

/// A recipe's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    catalogue: String,
    summary: String,
    cost: String,
    seeds: Vec<u64>,
    #[serde(default)]
    train: Vec<String>,
    #[serde(default)]
    evaluate: BTreeMap<String, Vec<String>>,
    /// Jobs of the recipe that this one is like which it does not have.
    #[serde(default)]
    without: Vec<Pattern>,
    report: Layout,
}

impl Recipe {
    /// Every recipe, the paper's first.
    pub fn all() -> Vec<Self> {
        shelf::RECIPES.into_iter().map(|(name, text)| Self::read(name, text)).collect()
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// Where there is none: which there are, or why the paper's table or figure of that name has none.
    pub fn find(name: &str) -> Result<Self, RecipeError> {
        let text = shelf::text(name)?;
        Ok(Self::read(name, text))
    }

    fn read(name: &str, text: &str) -> Self {
        let fields = resolved(text.parse().expect("our own text, which is tested"));
        let written: Written =
            fields.try_into().unwrap_or_else(|error| panic!("{name} is our own text, and tested: {error}"));
        let Written { catalogue, summary, cost, seeds, train, evaluate, without, report } = written;
        let keep = |job: &String| !any_matches(&without, job);
        let kept = |jobs: Vec<String>| -> Vec<String> { jobs.into_iter().filter(keep).collect() };
        let evaluate = evaluate.into_iter().map(|(evaluation, jobs)| (evaluation, kept(jobs)));
        Self {
            name: name.to_owned(),
            summary,
            cost,
            layout: report.only(&keep),
            catalogue: Catalogue::named(&catalogue),
            train: kept(train),
            evaluate: evaluate.filter(|(_, jobs)| !jobs.is_empty()).collect(),
            seeds,
            settings: Vec::new(),
        }
    }

    /// Its name, which its plans have, too: `paper/table1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it makes, in a line.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// About how long it takes on which machine, in a line.
    pub fn cost(&self) -> &str {
        &self.cost
    }

    /// What a report of its plans shows.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The same with these seeds: each training is repeated once for each, with teachers of the same seed.
    #[must_use]
    pub fn with_seeds(mut self, seeds: &Seeds) -> Self {
        self.seeds = seeds.as_slice().to_vec();
        self
    }

    /// The same with fields of jobs set to other values, the last of which counts.
    #[must_use]
    pub fn with_settings(mut self, settings: impl IntoIterator<Item = Setting>) -> Self {
        self.settings.extend(settings);
        self
    }
}

/// A recipe's fields over those of the one that it is like.
fn resolved(mut fields: Table) -> Table {
    match fields.remove("like") {
        Some(Value::String(base)) => {
            let below = shelf::text(&base).expect("what a recipe is like is there, too");
            merge(resolved(below.parse().expect("our own text, which is tested")), fields)
        }
        _ => fields,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Switches;

    /// Catalogues by name, with the recipes that draw from each.
    fn catalogues() -> [(&'static str, Vec<Recipe>); 2] {
        ["paper", "cpu"]
            .map(|size| (size, Recipe::all().into_iter().filter(|it| it.name().starts_with(size)).collect()))
    }

    #[test]
    fn every_job_and_every_difference_of_a_catalogue_is_some_recipes() {
        for (size, recipes) in catalogues() {
            let mut used: Vec<String> = Vec::new();
            let mut differences: Vec<&str> = Vec::new();
            for recipe in recipes {
                for switches in ["kd-loss=paper", "kd-loss=code"] {
                    let switches = [switches.parse().unwrap()].into_iter().collect();
                    used.extend(recipe.jobs(&switches).unwrap_or_default().into_iter().map(|(name, _)| name));
                }
                used.extend(recipe.jobs(&Switches::default()).unwrap().into_iter().map(|(name, _)| name));
                differences.extend(recipe.differences().into_iter().map(|difference| difference.name.as_str()));
            }
            let catalogue = Catalogue::named(size);
            let unused: Vec<_> = catalogue.jobs().keys().filter(|job| !used.contains(job)).collect();
            assert!(unused.is_empty(), "{size}: {unused:?}");
            for difference in catalogue.differences() {
                assert!(differences.contains(&difference.name.as_str()), "{size}: {}", difference.name);
            }
        }
    }

    #[test]
    fn a_difference_can_be_switched_or_says_why_not() {
        for (size, _) in catalogues() {
            let catalogue = Catalogue::named(size);
            for difference in catalogue.differences() {
                let concerns = |(name, fields): (&String, &Table)| difference.turns(name, fields);
                let attacked = catalogue.evaluation("linf-long", "linf-resnet50-sat");
                let turns = catalogue.jobs().iter().any(concerns) || concerns((&attacked.0, &attacked.1));
                assert_eq!(turns, difference.is_switchable(), "{size}: {}", difference.name);
            }
        }
    }
}
