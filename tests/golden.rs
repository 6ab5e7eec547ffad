//! Every comparison with numbers that were computed by running the reference code.
//!
//! Each file of a golden folder's `index.json` is a test of its own, named for it. What is not implemented is listed at
//! the end as skipped. `RRM_GOLDEN_DIR` names another folder of the same kinds, with another seed; names, seeds,
//! parameters and tolerances are the index's.
#![expect(clippy::print_stdout, reason = "a test harness reports on the terminal")]

#[path = "golden/compare.rs"]
mod compare;
#[path = "golden/data.rs"]
mod data;
#[path = "golden/folder.rs"]
mod folder;
#[path = "golden/generator.rs"]
mod generator;
#[path = "golden/layers.rs"]
mod layers;
#[path = "golden/losses.rs"]
mod losses;
#[path = "golden/optimizer.rs"]
mod optimizer;
#[path = "golden/perturbed.rs"]
mod perturbed;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use candle_core::{DType, Tensor};
use compare::Report;
use folder::Folder;
use libtest_mimic::{Arguments, Failed, Trial};

/// Compares one file.
pub type Comparison = fn(&Folder, &str) -> Result<Report>;

/// What is done about a file.
pub enum Plan {
    /// It is compared.
    Compare(Comparison),
    /// It is compared together with another file.
    Within(String),
    /// It is not compared, for this reason.
    Skip(&'static str),
}

/// What is done about each kind of file.
pub fn plan(file: &str) -> Plan {
    match file {
        "generator.json" => Plan::Compare(generator::compare),
        "layers.safetensors" => Plan::Compare(layers::compare),
        "losses.safetensors" => Plan::Compare(losses::compare),
        "sgd.safetensors" => Plan::Compare(optimizer::compare_sgd),
        "schedules.json" => Plan::Compare(optimizer::compare_schedules),
        "data_cifar.safetensors" => Plan::Compare(data::compare),
        _ => Plan::Skip("no comparison is known for files of this name"),
    }
}

/// The numbers of a tensor.
pub fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let skipped = Arc::new(Mutex::new(Vec::new()));
    let trials = trials(&skipped);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let mut skipped = skipped.lock().expect("no trial panics while it notes what it skips");
        skipped.sort();
        skipped.iter().for_each(|note| println!("golden skipped: {note}"));
    }
    conclusion.exit_code()
}

fn trials(skipped: &Arc<Mutex<Vec<String>>>) -> Vec<Trial> {
    let default = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data"));
    let path = std::env::var_os("RRM_GOLDEN_DIR").map_or(default, PathBuf::from);
    let folder = match Folder::open(&path) {
        Ok(folder) => Arc::new(folder),
        Err(error) => return vec![Trial::test("golden_folder_opens", move || Err(failed(&error)))],
    };
    let mut trials = vec![
        Trial::test("golden_comparisons_notice_differences", || compare::trials::closeness().map_err(|e| failed(&e))),
        Trial::test("golden_tolerances_are_read_as_written", || compare::trials::texts().map_err(|e| failed(&e))),
    ];
    trials.extend(perturbed::trials(&folder));
    for file in folder.files() {
        match plan(file) {
            Plan::Compare(comparison) => trials.push(trial(&folder, file, comparison, skipped)),
            Plan::Within(other) if folder.entry(&other).is_ok() => {}
            Plan::Within(other) => note(skipped, format!("{file} (compared with {other}, which is not there)")),
            Plan::Skip(reason) => note(skipped, format!("{file} ({reason})")),
        }
    }
    trials
}

fn trial(folder: &Arc<Folder>, file: &str, comparison: Comparison, skipped: &Arc<Mutex<Vec<String>>>) -> Trial {
    let (folder, skipped, file) = (Arc::clone(folder), Arc::clone(skipped), file.to_owned());
    Trial::test(format!("golden_{file}"), move || {
        let notes = comparison(&folder, &file).and_then(Report::finish).map_err(|error| failed(&error))?;
        notes.into_iter().for_each(|what| note(&skipped, format!("{file}: {what}")));
        Ok(())
    })
}

fn note(skipped: &Mutex<Vec<String>>, what: String) {
    skipped.lock().expect("no trial panics while it notes what it skips").push(what);
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
