//! Layers and whole networks once more, on each instruction set that this processor would not choose, in processes of their own.
//!
//! The other comparisons, which take minutes, can be made by hand: `RRM_KERNELS_ISA=avx2 cargo test --workspace golden`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::{failed, folder::Folder, models};

/// What chooses the instruction set of a process.
const FORCED: &str = "RRM_KERNELS_ISA";

/// Whether a file's numbers come from every kind of layer, in f32, within seconds.
fn is_quick(folder: &Folder, file: &str) -> bool {
    file == "layers.safetensors" || (models::is_known(file) && !models::is_wide(folder, file))
}

/// One trial for each instruction set but the best; none where one is forced already.
pub(crate) fn trials(folder: &Folder) -> Vec<Trial> {
    if std::env::var_os(FORCED).is_some() {
        return Vec::new();
    }
    let files: Vec<String> = folder.files().filter(|file| is_quick(folder, file)).map(str::to_owned).collect();
    let others = rrm_kernels::instruction_sets().into_iter().skip(1);
    others
        .map(|isa| {
            let files = files.clone();
            Trial::test(format!("golden_on_{isa}"), move || compare(isa, &files).map_err(|error| failed(&error)))
        })
        .collect()
}

fn compare(isa: &str, files: &[String]) -> Result<()> {
    for file in files {
        let own = std::env::current_exe().context("a running test is a file")?;
        let trial = format!("golden_{file}");
        let output = Command::new(own).env(FORCED, isa).args(["--exact", &trial]).output().context(trial.clone())?;
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && told.contains("1 passed"), "{trial} on {isa}: {told}");
    }
    Ok(())
}
