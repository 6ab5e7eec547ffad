//! What is said about recipes.

use clap::{Args, Subcommand};
use rrm_recipes::{Seeds, Setting, Switch};

/// What is to be other than in the recipe.
#[derive(Debug, Args)]
pub(crate) struct RecipeChanges {
    /// Where paper and released code differ, follow this one; may be repeated
    #[arg(long = "switch", value_name = "NAME=paper|code")]
    pub(crate) switches: Vec<Switch>,

    /// Repeat every training with each of these seeds: 0..3 (0, 1 and 2), 0..=2 or 0,1,2 [default: the recipe's]
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<Seeds>,

    /// Set a field of a job, or of all trainings of a name with *: linf-resnet50-sat.epochs=120, *.precision=f32; may be repeated
    #[arg(long = "set", value_name = "JOB.FIELD=VALUE")]
    pub(crate) settings: Vec<Setting>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecipeCommand {
    /// List the recipes, with their jobs, data sets and cost
    #[command(after_help = "\
Those of paper/ are at the paper's size, those of cpu/ make the same comparisons on two cores.

Examples:
  rrm recipe list
  rrm --json recipe list | jq '.recipes[] | [.name, .datasets]'")]
    List,
    /// Print a recipe's plan, as TOML that `rrm submit` takes, and where paper and released code differ about it
    Show(RecipeShowArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rrm recipe show paper/table1
  rrm recipe show paper/table2 --switch kd-loss=paper
  rrm recipe show cpu/table1 --set '*.epochs=2' > mine.toml && rrm submit mine.toml")]
pub(crate) struct RecipeShowArguments {
    /// The recipe
    #[arg(value_name = "NAME")]
    pub(crate) recipe: String,

    #[command(flatten)]
    pub(crate) changes: RecipeChanges,
}
