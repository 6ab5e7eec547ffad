//! Every recipe's text.

use crate::RecipeError;

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../recipes/", $name, ".toml")))),*]
    };
}

/// Names and texts, in the order of the paper.
pub(crate) const RECIPES: [(&str, &str); 20] = recipes![
    "paper/table1",
    "paper/table2",
    "paper/table3",
    "paper/table8",
    "paper/table9",
    "paper/table10",
    "paper/fig2",
    "paper/fig3",
    "paper/fig4",
    "paper/fig5",
    "paper/section7.2",
    "cpu/table1",
    "cpu/table2",
    "cpu/table8",
    "cpu/table9",
    "cpu/fig2",
    "cpu/fig3",
    "cpu/fig4",
    "cpu/fig5",
    "cpu/section7.2",
];

/// The paper's tables and figures that report no results, and what they show.
const WITHOUT_RESULTS: [(&str, &str); 5] = [
    ("paper/table4", "it lists the hyperparameters of adversarial training, which the jobs of the other recipes have"),
    ("paper/table5", "it lists the hyperparameters of RRM, which the jobs of the other recipes have"),
    (
        "paper/table6",
        "it lists the hyperparameters of prior works, which the jobs of paper/table1 and paper/table2 have",
    ),
    ("paper/table7", "it lists the widths of representations, which `rrm model list` shows"),
    ("paper/fig1", "it shows the accuracy on ImageNet of others' networks over a decade"),
];

/// The text of a recipe.
pub(crate) fn text(name: &str) -> Result<&'static str, RecipeError> {
    if let Some((_, text)) = RECIPES.into_iter().find(|(known, _)| *known == name) {
        return Ok(text);
    }
    Err(match WITHOUT_RESULTS.into_iter().find(|(known, _)| *known == name) {
        Some((_, why)) => RecipeError::NoResults { name: name.to_owned(), why },
        None => {
            let known = RECIPES.into_iter().map(|(known, _)| known.to_owned()).collect();
            RecipeError::UnknownRecipe { name: name.to_owned(), known }
        }
    })
}
