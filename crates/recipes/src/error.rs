//! Why a recipe cannot be made into a plan.

use rrm_spec::Violations;

use crate::Side;

/// What was asked for does not exist, or makes no valid plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// No such recipe.
    #[error("there is no recipe `{name}`: use one of {}", .known.join(", "))]
    UnknownRecipe {
        /// What was asked for.
        name: String,
        /// The recipes that there are.
        known: Vec<String>,
    },
    /// A table or figure of the paper that reports nothing that could be made again.
    #[error("{name} has no recipe: {why}")]
    NoResults {
        /// What was asked for.
        name: String,
        /// What it shows instead, and where that is.
        why: &'static str,
    },
    /// Not of the form of a switch.
    #[error("`{text}` is no switch: write NAME=paper or NAME=code")]
    MalformedSwitch {
        /// What was given.
        text: String,
    },
    /// The recipe has no such switch.
    #[error("{recipe} has no switch `{name}`: {}", has(.known))]
    UnknownSwitch {
        /// The recipe.
        recipe: String,
        /// What was asked for.
        name: String,
        /// The switches that it has.
        known: Vec<String>,
    },
    /// The other side of a difference has no form in our specs.
    #[error("`{name}={side}` cannot be followed: {why}")]
    NotExpressible {
        /// The difference.
        name: String,
        /// The side that was asked for.
        side: Side,
        /// What is missing.
        why: String,
    },
    /// Not of the form of a setting.
    #[error(
        "`{text}` sets nothing: write JOB.FIELD=VALUE, such as linf-resnet50-sat.epochs=10, or *.FIELD=VALUE for all trainings; \
         name, kind and sweep cannot be set"
    )]
    MalformedSetting {
        /// What was given.
        text: String,
    },
    /// The recipe has no such job.
    #[error("there is no job `{job}` to be set: use one of {}, or a name with * for several trainings", .known.join(", "))]
    UnknownJob {
        /// What was asked for.
        job: String,
        /// The jobs that there are.
        known: Vec<String>,
    },
    /// Not of the form of seeds.
    #[error(
        "`{text}` are no seeds: write a range such as 0..3 (0, 1 and 2) or 0..=2, or a list such as 0,1,2, of 1 to {most} \
         different numbers below 2^63"
    )]
    MalformedSeeds {
        /// What was given.
        text: String,
        /// The largest number of seeds.
        most: usize,
    },
    /// A setting made the plan invalid.
    #[error(transparent)]
    Plan(#[from] Violations),
}

fn has(switches: &[String]) -> String {
    if switches.is_empty() { "it has none".to_owned() } else { format!("it has {}", switches.join(", ")) }
}
