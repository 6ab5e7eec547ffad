//! A plan as people read it.

use std::fmt::Write;

use toml::{Table, Value};

use crate::{Difference, Recipe, Switches};

/// Lines longer than this become tables of their own.
const WIDTH: usize = 120;

/// The plan as TOML, under what is to be known of it.
pub(crate) fn plan(recipe: &Recipe, switches: &Switches, jobs: &[(String, Table)]) -> String {
    let mut text = heading(recipe, switches);
    line(&mut text, format_args!("name = {}", Value::String(recipe.name().to_owned())));
    for (name, fields) in jobs {
        job(&mut text, name, fields);
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a String takes any text");
    text.push('\n');
}

fn heading(recipe: &Recipe, switches: &Switches) -> String {
    let mut text = format!("# {}\n# {}\n", recipe.summary(), recipe.cost());
    let differences = recipe.differences();
    if !differences.is_empty() {
        text.push_str("#\n# Where paper and code differ:\n");
        differences.into_iter().for_each(|difference| of(&mut text, difference, switches));
    }
    text.push('\n');
    text
}

fn of(text: &mut String, difference: &Difference, switches: &Switches) {
    let Difference { name, paper, code, follows, unavailable, .. } = difference;
    let followed = switches.side(name).unwrap_or(*follows);
    let switch = match unavailable {
        None => format!("followed here, or --switch {name}={}", followed.other()),
        Some(why) => format!("followed here; the other cannot be: {why}"),
    };
    line(text, format_args!("#   {name}: the {followed} is {switch}"));
    line(text, format_args!("#     paper: {paper}"));
    line(text, format_args!("#     code:  {code}"));
}

/// Short fields first, then one table for each long one.
fn job(text: &mut String, name: &str, fields: &Table) {
    text.push_str("\n[[job]]\n");
    line(text, format_args!("name = {}", Value::String(name.to_owned())));
    let lines = fields.iter().map(|(field, value)| (field, value, format!("{} = {value}", key(field))));
    let (long, mut short): (Vec<_>, Vec<_>) =
        lines.partition(|(_, value, line)| value.is_table() && line.chars().count() > WIDTH);
    short.sort_by_key(|(field, ..)| *field != "kind");
    short.iter().for_each(|(.., of_field)| line(text, format_args!("{of_field}")));
    for (field, value, _) in long {
        line(text, format_args!("[job.{}]", key(field)));
        let below = value.as_table().into_iter().flatten();
        below.for_each(|(field, value)| line(text, format_args!("{} = {value}", key(field))));
    }
}

/// A key as TOML has it, quoted where it must be.
fn key(field: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if !field.is_empty() && field.chars().all(is_bare) {
        field.to_owned()
    } else {
        Value::String(field.to_owned()).to_string()
    }
}
