//! `rrm recipe`: how the paper's tables and figures are made.

use rrm_recipes::{Difference, Recipe, RecipeError, Switches};
use rrm_spec::Plan;
use serde_json::{Value, json};

use crate::{
    arguments::{RecipeChanges, RecipeCommand, RecipeShowArguments},
    exit::{Exit, Failure},
    output::{Format, Output, Tone},
};

pub(crate) fn run(command: &RecipeCommand, output: Output) -> Result<Exit, Failure> {
    match command {
        RecipeCommand::List => list(output)?,
        RecipeCommand::Show(arguments) => show(arguments, output)?,
    }
    Ok(Exit::Done)
}

/// The plan of a recipe with some changes.
pub(crate) fn plan(name: &str, changes: &RecipeChanges) -> Result<Plan, Failure> {
    let (recipe, switches) = changed(name, changes)?;
    recipe.plan(&switches).map_err(|error| refused(&recipe, error))
}

/// The recipe with all changes but the switches, which are made when it becomes a plan.
fn changed(name: &str, changes: &RecipeChanges) -> Result<(Recipe, Switches), Failure> {
    let mut recipe = Recipe::find(name)
        .map_err(|error| Failure::new(Exit::NotFound, error.to_string()).next("see `rrm recipe list`"))?;
    if let Some(seeds) = &changes.seeds {
        recipe = recipe.with_seeds(seeds);
    }
    let recipe = recipe.with_settings(changes.settings.iter().cloned());
    Ok((recipe, changes.switches.iter().cloned().collect()))
}

fn refused(recipe: &Recipe, error: RecipeError) -> Failure {
    let name = recipe.name();
    match error {
        RecipeError::Plan(faults) => Failure::invalid(format!("recipe {name}"), faults),
        other => {
            let next = format!("see `rrm recipe show {name}`, which has its jobs and switches");
            Failure::new(Exit::Invalid, format!("recipe {name}: {other}")).next(next)
        }
    }
}

fn list(output: Output) -> Result<(), Failure> {
    let recipes = Recipe::all();
    match output.format() {
        Format::Json => output.document(
            json!({"recipes": recipes.iter().map(|recipe| described(recipe, &as_it_is(recipe))).collect::<Vec<_>>()}),
        ),
        Format::Ids => recipes.iter().try_for_each(|recipe| output.line(recipe.name())),
        Format::Human => output.text(&recipes.iter().map(|recipe| stanza(recipe, output)).collect::<String>()),
    }
}

fn as_it_is(recipe: &Recipe) -> Plan {
    recipe.plan(&Switches::default()).expect("a recipe as it is makes a valid plan: all are tested")
}

/// A recipe's name with what it needs, then what it makes and what that costs.
fn stanza(recipe: &Recipe, output: Output) -> String {
    let jobs = as_it_is(recipe).jobs.len();
    let data = recipe.datasets().into_iter().collect::<Vec<_>>().join(", ");
    let name = output.paint(recipe.name(), Tone::Strong);
    format!("{name}: {jobs} jobs, {data}\n  {}\n  {}\n", recipe.summary(), recipe.cost())
}

fn described(recipe: &Recipe, plan: &Plan) -> Value {
    json!({
        "name": recipe.name(),
        "summary": recipe.summary(),
        "cost": recipe.cost(),
        "jobs": plan.jobs.len(),
        "datasets": recipe.datasets(),
        "differences": recipe.differences().into_iter().map(difference).collect::<Vec<_>>(),
    })
}

fn difference(difference: &Difference) -> Value {
    let Difference { name, paper, code, follows, unavailable, .. } = difference;
    json!({
        "name": name,
        "paper": paper,
        "code": code,
        "follows": follows.to_string(),
        "switchable": difference.is_switchable(),
        "unavailable": unavailable,
    })
}

fn show(arguments: &RecipeShowArguments, output: Output) -> Result<(), Failure> {
    let (recipe, switches) = changed(&arguments.recipe, &arguments.changes)?;
    let plan = recipe.plan(&switches).map_err(|error| refused(&recipe, error))?;
    match output.format() {
        Format::Json => output.document(json!({"recipe": described(&recipe, &plan), "plan": plan})),
        Format::Ids => plan.jobs.iter().try_for_each(|job| output.line(&job.name)),
        Format::Human => output.text(&recipe.to_toml(&switches).map_err(|error| refused(&recipe, error))?),
    }
}
