//! What reports of the paper's tables and figures show.

use std::{fs, path::Path};

use rrm_recipes::Layout;

use crate::exit::{Exit, Failure};

/// The recipes that a user may mean, whole names with their layouts: the one of that name or, without its size, those of both sizes.
pub(super) fn meant(name: &str) -> Result<Vec<(String, Layout)>, Failure> {
    if name.contains('/') {
        return Ok(vec![(name.to_owned(), find(name)?)]);
    }
    let both = ["paper", "cpu"].map(|size| format!("{size}/{name}"));
    let found: Vec<_> = both.iter().filter_map(|name| Some((name.clone(), find(name).ok()?))).collect();
    // The paper's has every table and figure: its refusal says the most.
    if found.is_empty() { find(&both[0]).map(|layout| vec![(both[0].clone(), layout)]) } else { Ok(found) }
}

/// A layout of a user's own, named by its file.
pub(super) fn read(file: &Path) -> Result<(String, Layout), Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::text_file("read the layout", file, &error))?;
    let layout = toml::from_str(&text).map_err(|error| {
        Failure::new(Exit::Invalid, format!("read the layout {}: {error}", file.display()))
            .next("write [table] or [figure] as in the [report] of a recipe")
    })?;
    let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok((name, layout))
}

/// The layout of the recipe with that whole name.
fn find(name: &str) -> Result<Layout, Failure> {
    match rrm_recipes::Recipe::find(name) {
        Ok(recipe) => Ok(recipe.layout().clone()),
        Err(error) => Err(Failure::new(Exit::NotFound, error.to_string())),
    }
}
