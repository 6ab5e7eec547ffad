//! The command line.

use std::{fmt, num::NonZeroU32, path::PathBuf};

use clap::{Parser, ValueEnum};

use crate::{claim::Claim, plan::Mode};

const EXAMPLES: &str = "\
Examples:
  make bench
  cargo bench -p rrm-bench -- --python venv/bin/python --only resnet18,vgg11 --modes train --speed
  cargo bench -p rrm-bench -- --claims threads,batch-sizes
  cargo bench -p rrm-bench -- --render";

/// Measures this project's steps beside those of PyTorch and of stock Candle, in turns.
///
/// Without --speed, --claims and --limits, all three are measured.
#[derive(Clone, Debug, Parser)]
#[command(name = "performance", after_help = EXAMPLES)]
pub struct Arguments {
    /// Networks to measure [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ARCH")]
    pub only: Vec<String>,
    /// What a step does: train, attack or eval [default: all]
    #[arg(long, value_delimiter = ',', value_name = "MODE")]
    pub modes: Vec<Mode>,
    /// Measure the ratios to other libraries' speeds
    #[arg(long)]
    pub speed: bool,
    /// Measure these claims about our own steps
    #[arg(long, value_delimiter = ',', value_name = "CLAIM")]
    pub claims: Vec<Claim>,
    /// Measure the machine's limits
    #[arg(long)]
    pub limits: bool,
    /// Turns of each side
    #[arg(long, default_value = "7", value_name = "N")]
    pub rounds: NonZeroU32,
    /// Three turns of each side, and no `torch.compile`
    #[arg(long)]
    pub quick: bool,
    /// Do not try `torch.compile`, which takes minutes the first time
    #[arg(long)]
    pub no_compile: bool,
    /// A Python that has PyTorch; without one, the rows that need it are skipped
    #[arg(long, env = "RRM_BENCH_PYTHON", value_name = "FILE")]
    pub python: Option<PathBuf>,
    /// Threads of both sides
    #[arg(long, default_value = "2", value_name = "N")]
    pub threads: NonZeroU32,
    /// Merge the results into performance.json and performance.md
    #[arg(long)]
    pub write: bool,
    /// Measure nothing; make performance.md anew from performance.json
    #[arg(long)]
    pub render: bool,
    /// Where both lie
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"), value_name = "FOLDER")]
    pub docs: PathBuf,
    /// Not for users: be a peer, on stdin and stdout
    #[arg(long, hide = true, value_name = "LIBRARY")]
    pub serve: Option<Library>,
    /// Cargo says it to every benchmark
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// A library that is linked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Library {
    /// This project.
    Ours,
    /// Candle as it comes.
    Candle,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Candle => "candle",
        })
    }
}

impl Arguments {
    /// Whether rows of this network and mode are wanted.
    pub fn wants(&self, arch: &str, mode: Mode) -> bool {
        let arch_wanted = self.only.is_empty() || self.only.iter().any(|only| only == arch);
        arch_wanted && (self.modes.is_empty() || self.modes.contains(&mode))
    }

    /// Whether the three kinds of measurement are all wanted, none being named.
    pub fn wants_all(&self) -> bool {
        !self.speed && self.claims.is_empty() && !self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn without_a_choice_everything_is_wanted() {
        let arguments = parse("performance --bench");
        assert!(arguments.wants_all() && arguments.wants("vgg11", Mode::Eval));
    }

    #[test]
    fn a_choice_leaves_the_rest_out() {
        let arguments = parse("performance --only resnet18/4,dnn --modes train --claims threads,rrm-step");
        assert!(!arguments.wants_all());
        assert!(arguments.wants("resnet18/4", Mode::Train));
        assert!(!arguments.wants("resnet18", Mode::Train) && !arguments.wants("dnn", Mode::Eval));
        assert_eq!(arguments.claims, [Claim::Threads, Claim::RrmStep]);
    }

    #[test]
    fn a_library_reads_what_it_writes() {
        for library in Library::value_variants() {
            assert_eq!(Library::from_str(&library.to_string(), false).as_ref(), Ok(library));
        }
    }
}
