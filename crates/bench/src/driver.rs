//! From the command line to the page.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
};

use anyhow::Context;
use jiff::Zoned;

use crate::{
    arguments::{Arguments, Library},
    check::{Checked, verify},
    claim::{Check, Claim, checks},
    compare::{Effort, Measured, measure},
    limits::Limits,
    load::{Load, TOLERATED},
    machine::Machine,
    ours, page,
    plan::{Comparison, Rival},
    results::{Outcome, Results, Row, all_comparisons},
    roster::Roster,
    serve::serve,
    stock,
};

const RESULTS: &str = "performance.json";
const PAGE: &str = "performance.md";

/// Does what the command line asks for.
///
/// # Errors
/// When nothing can be measured or written at all; what fails for one row is in that row.
pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(library) = arguments.serve {
        return be_a_peer(library, arguments.threads.get());
    }
    if arguments.render {
        let results = read(&arguments.docs)?.context("no results to make a page of")?;
        return write_page(&arguments.docs, &results);
    }
    if !arguments.write {
        return measure_all(arguments, &|_| Ok(()));
    }
    // Before anything is measured: what cannot be read must not be replaced, nor hours be lost for it.
    let older = read(&arguments.docs)?;
    measure_all(arguments, &|results| write(&arguments.docs, results.clone(), older.clone()))
}

fn be_a_peer(library: Library, threads: u32) -> anyhow::Result<()> {
    rrm_kernels::keep_freed_memory();
    rrm_kernels::set_threads(threads as usize);
    let (input, output) = (io::stdin().lock(), io::stdout());
    match library {
        Library::Ours => serve(ours::hello(), ours::set_up, input, output),
        Library::Candle => serve(stock::hello(), stock::set_up, input, output),
    }
}

/// Measures what is asked for, and has `keep` keep what there is after every row.
fn measure_all(arguments: &Arguments, keep: &dyn Fn(&Results) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let roster = Roster::new(arguments.python.as_deref(), arguments.threads.get())?;
    let effort = Effort {
        rounds: if arguments.quick { 3 } else { arguments.rounds.get() },
        compile: !arguments.no_compile && !arguments.quick,
    };
    let mut results = Results::new(Machine::this()?);
    if arguments.limits || arguments.wants_all() {
        let before = Load::now()?;
        let limits = Limits::measure(arguments.threads.get() as usize);
        say(&format!("{limits:.1?}{}", disturbance(Load::now()?.others_since(before))))?;
        results.limits = Some(limits);
        keep(&results)?;
    }
    if !roster.has(Rival::PyTorch) {
        say("PyTorch: skipped, for no Python that has it was named (--python)")?;
    }
    // Of now: results that are kept change the sources.
    let revision = revision();
    for comparison in comparisons(arguments, &roster) {
        let row = answer(comparison, &revision, |comparison| measure(comparison, &roster, effort))?;
        say(&format!("{}{}", comparison_line(&row.question, &row.outcome), disturbance(row.others)))?;
        results.comparisons.push(row);
        keep(&results)?;
    }
    for check in chosen_checks(arguments, &roster) {
        let row = answer(check, &revision, |check| verify(check, &roster, effort.rounds))?;
        say(&format!("{}{}", check_line(&row.question, &row.outcome), disturbance(row.others)))?;
        results.checks.push(row);
        keep(&results)?;
    }
    Ok(())
}

fn comparisons(arguments: &Arguments, roster: &Roster) -> Vec<Comparison> {
    if !arguments.speed && !arguments.wants_all() {
        return Vec::new();
    }
    // Rows that cannot be measured here are no rows: they would replace what was measured before.
    let wanted =
        |comparison: &Comparison| arguments.wants(&comparison.arch, comparison.mode) && roster.has(comparison.rival);
    all_comparisons().into_iter().filter(wanted).collect()
}

fn chosen_checks(arguments: &Arguments, roster: &Roster) -> Vec<Check> {
    let claims = if arguments.wants_all() { &Claim::ALL[..] } else { &arguments.claims[..] };
    let wanted = |check: &Check| {
        arguments.wants(&check.arch, check.mode) && check.claim.rival().is_none_or(|rival| roster.has(rival))
    };
    claims.iter().flat_map(|claim| checks(*claim)).filter(wanted).collect()
}

/// `work` has ended its processes when it returns, so that their time is known to be ours.
fn answer<Q, A>(question: Q, revision: &str, work: impl FnOnce(&Q) -> anyhow::Result<A>) -> anyhow::Result<Row<Q, A>> {
    let before = Load::now()?;
    let outcome = Outcome::from(work(&question));
    let others = Load::now()?.others_since(before);
    Ok(Row { question, date: Zoned::now().date().to_string(), revision: revision.to_owned(), others, outcome })
}

fn disturbance(others: f64) -> String {
    if others > TOLERATED {
        format!(" [DISTURBED: {:.0} % of the processors' time went to others]", 100.0 * others)
    } else {
        String::new()
    }
}

/// The state of this project's sources, as git calls it; results of earlier runs that are not committed yet change nothing.
fn revision() -> String {
    let git = |arguments: &[&str]| Command::new("git").args(arguments).output().ok();
    let Some(described) = git(&["describe", "--always", "--exclude=*"]).filter(|output| output.status.success()) else {
        return "unknown sources".to_owned();
    };
    let commit = String::from_utf8_lossy(&described.stdout).trim().to_owned();
    let sources = ["diff", "--quiet", "HEAD", "--", ":/", ":!:/docs/performance.*"];
    match git(&sources).is_some_and(|output| output.status.success()) {
        true => commit,
        false => commit + "-dirty",
    }
}

fn comparison_line(comparison: &Comparison, outcome: &Outcome<Measured>) -> String {
    let Measured { ours_ms, theirs_ms, ratio, variant, .. } = match outcome {
        Outcome::Measured(measured) => measured,
        Outcome::Skipped(why) => return format!("{comparison}: skipped: {why}"),
    };
    let speed = |ms: &f64| f64::from(comparison.batch) * 1e3 / ms;
    let (ours, theirs, value, low, high) = (speed(ours_ms), speed(theirs_ms), ratio.value, ratio.low, ratio.high);
    let goal = match comparison.goal {
        Some(goal) if value >= goal => format!(", goal {goal}: met"),
        Some(goal) => format!(", goal {goal}: NOT met"),
        None => String::new(),
    };
    format!("{comparison}: {ours:.1} and {theirs:.1} ({variant}) images/s: {value:.2} ({low:.2}–{high:.2}){goal}")
}

fn check_line(check: &Check, outcome: &Outcome<Checked>) -> String {
    let claim = check.claim;
    match outcome {
        Outcome::Measured(checked) => {
            let (value, goal, detail) = (checked.value, claim.goal(), &checked.detail);
            let verdict = if goal.met(value) { "met" } else { "NOT met" };
            format!("{claim:?}, {check}: {value:.3}, goal {goal}: {verdict} ({detail})")
        }
        Outcome::Skipped(why) => format!("{claim:?}, {check}: skipped: {why}"),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}

/// Writes both files: `results`, and those of `older` that they do not renew.
fn write(folder: &Path, results: Results, older: Option<Results>) -> anyhow::Result<()> {
    let results = match older {
        Some(older) => results.over(older),
        None => results,
    };
    fs::write(folder.join(RESULTS), serde_json::to_string_pretty(&results)? + "\n").context(RESULTS)?;
    write_page(folder, &results)
}

fn read(folder: &Path) -> anyhow::Result<Option<Results>> {
    match fs::read_to_string(folder.join(RESULTS)) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).context(RESULTS)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(RESULTS),
    }
}

fn write_page(folder: &Path, results: &Results) -> anyhow::Result<()> {
    let path = folder.join(PAGE);
    let old = fs::read_to_string(&path).ok();
    fs::write(&path, page::render(results, old.as_deref())).context(PAGE)
}
