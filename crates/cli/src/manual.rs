//! `rrm manual`: the manual pages and completion scripts that an installation has. Not shown among the commands: `make man` calls it.

use std::{fs, io};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::{
    arguments::{Arguments, ManualArguments},
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(arguments: &ManualArguments, output: Output) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    write(arguments).map_err(|error| Failure::file("write the manual into", folder, &error))?;
    output.note(&format!("manual pages and completions are in {}", folder.display()));
    Ok(Exit::Done)
}

fn write(arguments: &ManualArguments) -> io::Result<()> {
    let (pages, scripts) = (arguments.folder.join("man"), arguments.folder.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&scripts)?;
    clap_mangen::generate_to(Arguments::command(), &pages)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Arguments::command(), "rrm", &scripts)?;
    }
    Ok(())
}
