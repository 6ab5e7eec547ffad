#![doc = include_str!("../README.md")]

mod arguments;
mod daemon;
mod empty_job;
mod latencies;
mod load;
mod measure;
mod page;
mod peer;
mod row;
mod worker;

pub use arguments::Arguments;

use std::path::Path;

use anyhow::Context;

use crate::{daemon::Disk, measure::Measure, row::Results};

/// Measures what the arguments ask for, prints it, and writes it into the page where that is asked for. Databases are made in `folder`
/// unless they name another one.
///
/// # Errors
/// When the daemon cannot be started, or something that is measured fails.
pub async fn run(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    if let Some(path) = &arguments.write {
        page::check(path).with_context(|| path.display().to_string())?;
    }
    let disk = Disk::of(arguments.folder(folder));
    let mut results = Results::begin(&disk)?;
    for measure in Measure::ALL.into_iter().filter(|measure| arguments.wants(measure.name())) {
        say(&format!("{}: {}", measure.name(), measure.about()));
        let rows = measure.run(arguments, &disk).await.with_context(|| measure.name())?;
        rows.iter().for_each(|row| say(&format!("  {row}")));
        results.rows.extend(rows);
    }
    for peer in peer::ALL.into_iter().filter(|peer| arguments.wants(peer.name)) {
        say(&format!("{}: {}", peer.name, peer.about));
        match peer.run(arguments.quick) {
            Ok(rows) => {
                rows.iter().for_each(|row| say(&format!("  {row}")));
                results.rows.extend(rows);
            }
            Err(why) => {
                say(&format!("  skipped: {why:#}"));
                results.skipped.push((peer.name.to_owned(), format!("{why:#}")));
            }
        }
    }
    if let Some(path) = &arguments.write {
        page::write(path, &results).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// To whoever watches: the benchmark's standard output is for people.
#[expect(clippy::print_stdout, reason = "a benchmark talks to the terminal")]
fn say(text: &str) {
    println!("{text}");
}
