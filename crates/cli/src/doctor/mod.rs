//! `rrm doctor`: what is right and wrong with an installation, seen from here.

mod daemon;
mod finding;
mod folder;
mod images;

use crate::{
    arguments::{DoctorArguments, Global},
    daemon::Daemon,
    exit::{Exit, Failure},
    folders,
    output::Output,
};
use finding::{Finding, Findings};

pub(crate) async fn run(arguments: &DoctorArguments, global: &Global, output: Output) -> Result<Exit, Failure> {
    let mut findings = Findings::default();
    folder::look(global, &mut findings);
    match Daemon::find(global) {
        Ok(found) => daemon::look(&found.impatient(), global, &mut findings).await,
        Err(failure) => findings.add(Finding::of_failure("daemon", failure)),
    }
    match arguments.data_dir.clone().map_or_else(folders::data, Ok) {
        Ok(folder) => images::look(&folder, &mut findings),
        Err(failure) => findings.add(Finding::of_failure("data folder", failure)),
    }
    findings.show(output)?;
    Ok(if findings.any_problem() { Exit::Failed } else { Exit::Done })
}
