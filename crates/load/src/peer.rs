//! Other schedulers on the same machine, by scripts that print one JSON object per row.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::row::{Number, Row};

/// A script that measures one.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Beside this crate.
    script: &'static str,
}

pub(crate) const ALL: [Peer; 2] = [
    Peer { name: "slurm", about: "Slurm, its daemons on this machine's loopback", script: "peers/slurm.sh" },
    Peer { name: "hyperqueue", about: "HyperQueue, by its Python package", script: "peers/hyperqueue.sh" },
];

/// `EX_UNAVAILABLE` of sysexits.h: what a script ends with where the peer is not there.
const UNAVAILABLE: i32 = 69;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    system: String,
    what: String,
    durable: String,
    numbers: Vec<Told>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    name: String,
    value: f64,
    unit: Unit,
}

#[derive(Deserialize)]
enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "jobs/s")]
    JobsPerSecond,
}

impl Unit {
    fn name(&self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::JobsPerSecond => "jobs/s",
        }
    }
}

impl Peer {
    /// # Errors
    /// When it is not there, in the script's own words, or fails.
    pub(crate) fn run(&self, quick: bool) -> anyhow::Result<Vec<Row>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.script);
        let mut command = Command::new(&script);
        command.env("RRM_QUICK", if quick { "1" } else { "" }).stdin(Stdio::null());
        let output = command.output().with_context(|| script.display().to_string())?;
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            // Libraries have their own things to say in between.
            Some(0) => said.lines().filter(|line| line.starts_with('{')).map(read).collect(),
            Some(UNAVAILABLE) => bail!("{}", errors.lines().last().unwrap_or("it is not there")),
            code => bail!("{} ended with {code:?}: {errors}", self.script),
        }
    }
}

fn read(line: &str) -> anyhow::Result<Row> {
    let Line { system, what, durable, numbers } = serde_json::from_str(line).with_context(|| line.to_owned())?;
    let numbers = numbers.into_iter().map(|told| Number::new(&told.name, told.value, told.unit.name())).collect();
    Ok(Row { system, what, numbers, durable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_s_line_becomes_a_row() {
        let line = r#"{"system": "Slurm 22.05", "what": "sbatch", "durable": "nothing",
            "numbers": [{"name": "p50", "value": 6.0, "unit": "ms"}]}"#;
        let row = read(line).unwrap();
        assert_eq!(row.to_string(), "Slurm 22.05, sbatch: p50 6.00 ms");
        assert!(read(&line.replace("\"ms\"", "\"parsec\"")).is_err());
    }
}
