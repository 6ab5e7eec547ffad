//! What is to be measured.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::{measure::Measure, peer};

/// Measures the scheduler.
#[derive(Debug, Parser)]
#[command(name = "bench-scheduler", max_term_width = 100)]
pub struct Arguments {
    /// Only this; may be repeated: submit, plan, dispatch, throughput, heartbeats, depth, slurm, hyperqueue
    #[arg(long, value_name = "NAME", value_parser = known)]
    pub(crate) only: Vec<String>,

    /// A tenth of the calls: to see that it works, not to be quoted
    #[arg(long)]
    pub(crate) quick: bool,

    /// The folder in which databases are made: its disk is what is measured [default: the build's]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Write the results into this page, between its marks
    #[arg(long, value_name = "FILE.md")]
    pub(crate) write: Option<PathBuf>,

    /// Set by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn known(name: &str) -> Result<String, String> {
    let names: Vec<_> =
        Measure::ALL.iter().map(|measure| measure.name()).chain(peer::ALL.iter().map(|peer| peer.name)).collect();
    match names.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("nothing is called `{name}`: use one of {}", names.join(", "))),
    }
}

impl Arguments {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    pub(crate) fn folder<'a>(&'a self, default: &'a Path) -> &'a Path {
        self.folder.as_deref().unwrap_or(default)
    }

    /// So many calls, or a tenth of them.
    pub(crate) fn count(&self, whole: usize) -> usize {
        if self.quick { whole.div_ceil(10) } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_names_all_that_can_be_measured() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_long_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for measure in Measure::ALL {
            assert!(help.contains(measure.name()), "{}", measure.name());
        }
    }

    #[test]
    fn unknown_names_are_refused_with_those_that_are_known() {
        let refused = Arguments::try_parse_from(["bench-scheduler", "--only", "speed"]).unwrap_err().to_string();
        assert!(refused.contains("throughput") && refused.contains("hyperqueue"), "{refused}");
    }
}
