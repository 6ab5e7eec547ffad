//! Every comparison with numbers that were computed by running the reference code.
//!
//! Each file of a golden folder's `index.json` is a test of its own, named for it. What is not implemented, or not there, is
//! listed at the end as skipped. `RRM_GOLDEN_DIR` names another folder of the same kinds, with another seed; names, seeds,
//! parameters and tolerances are the index's. `RRM_GOLDEN_MARGINS=1` tells how much of each tolerance is used.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test harness reports on the terminal")]

#[path = "golden/apgd.rs"]
mod apgd;
#[path = "golden/apgd_art.rs"]
mod apgd_art;
#[path = "golden/apgd_decisions.rs"]
mod apgd_decisions;
#[path = "golden/apgd_l1.rs"]
mod apgd_l1;
#[path = "golden/apgd_whole.rs"]
mod apgd_whole;
#[path = "golden/arithmetic.rs"]
mod arithmetic;
#[path = "golden/balls.rs"]
mod balls;
#[path = "golden/carlini_wagner.rs"]
mod carlini_wagner;
#[path = "golden/compare.rs"]
mod compare;
#[path = "golden/data.rs"]
mod data;
#[path = "golden/fab.rs"]
mod fab;
#[path = "golden/folder.rs"]
mod folder;
#[path = "golden/generator.rs"]
mod generator;
#[path = "golden/instruction_sets.rs"]
mod instruction_sets;
#[path = "golden/layers.rs"]
mod layers;
#[path = "golden/losses.rs"]
mod losses;
#[path = "golden/methods.rs"]
mod methods;
#[path = "golden/micro_run.rs"]
mod micro_run;
#[path = "golden/models.rs"]
mod models;
#[path = "golden/optimizer.rs"]
mod optimizer;
#[path = "golden/perturbed.rs"]
mod perturbed;
#[path = "golden/pgd.rs"]
mod pgd;
#[path = "golden/pictures.rs"]
mod pictures;
#[path = "golden/square.rs"]
mod square;
#[path = "golden/synthesis.rs"]
mod synthesis;
#[path = "golden/traced.rs"]
mod traced;
#[path = "golden/training.rs"]
mod training;
#[path = "golden/victims.rs"]
mod victims;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use compare::Report;
use folder::Folder;
use libtest_mimic::{Arguments, Failed, Trial};

/// Compares one file.
pub(crate) type Comparison = fn(&Folder, &str) -> Result<Report>;

/// What is done about a file.
pub(crate) enum Plan {
    /// It is compared.
    Compare(Comparison),
    /// It is compared together with another file.
    Within(String),
    /// It is not compared, for this reason.
    Skip(&'static str),
}

/// What is done about each kind of file.
pub(crate) fn plan(file: &str) -> Plan {
    match file {
        "generator.json" => Plan::Compare(generator::compare),
        "layers.safetensors" => Plan::Compare(layers::compare),
        "losses.safetensors" => Plan::Compare(losses::compare),
        "sgd.safetensors" => Plan::Compare(optimizer::compare_sgd),
        "schedules.json" => Plan::Compare(optimizer::compare_schedules),
        "data_cifar.safetensors" => Plan::Compare(data::compare),
        "data.json" => Plan::Compare(pictures::compare),
        "projections.safetensors" => Plan::Compare(balls::compare),
        "pgd.safetensors" => Plan::Compare(pgd::compare),
        "pgd_art_dnn.safetensors" => Plan::Compare(pgd::compare_art),
        "apgd_checkpoints.json" => Plan::Compare(apgd_decisions::compare),
        "train_natural.json" => Plan::Compare(training::compare_natural),
        "train_sat.json" => Plan::Compare(training::compare_sat),
        "train_fast.json" => Plan::Compare(training::compare_fast),
        "train_fgsm.json" => Plan::Compare(training::compare_fgsm),
        "train_kd.json" => Plan::Compare(methods::compare_distillation),
        "train_ard.json" => Plan::Compare(methods::compare_robust_distillation),
        "train_trades.json" => Plan::Compare(methods::compare_trades),
        "rdt_vgg11.safetensors" => Plan::Compare(synthesis::compare),
        synthesis::TOLD => Plan::Within("rdt_vgg11.safetensors".to_owned()),
        "train_free.json" => Plan::Compare(methods::compare_free),
        "train_rrm.json" => Plan::Compare(training::compare_rrm),
        _ if models::is_known(file) => Plan::Compare(models::compare),
        _ if victims::is_known(file) => Plan::Compare(victims::compare),
        _ if apgd::traced_net(file).is_some() => Plan::Compare(apgd::compare_traces),
        _ if fab::is_known(file) => Plan::Compare(fab::compare),
        _ if carlini_wagner::is_known(file) => Plan::Compare(carlini_wagner::compare),
        _ if apgd_l1::is_known(file) => Plan::Compare(apgd_l1::compare),
        _ if square::is_known(file) => Plan::Compare(square::compare),
        _ if apgd_art::net(file).is_some() => Plan::Compare(apgd_art::compare),
        _ if apgd_whole::net(file).is_some() => Plan::Compare(apgd_whole::compare),
        _ => described_with_another(file).map_or_else(|| Plan::Skip(reason(file)), Plan::Within),
    }
}

/// The file that a file describes, where that is compared.
fn described_with_another(file: &str) -> Option<String> {
    if let Some(net) = file.strip_prefix("apgd_summary.").and_then(|rest| rest.strip_suffix(".json")) {
        return Some(format!("apgd_{net}.safetensors"));
    }
    if file.ends_with(".png") {
        return Some("data.json".to_owned());
    }
    let is_told = |name: &&str| name.starts_with("apgd_perturb_") || name.starts_with("art172_");
    let attack = file.strip_suffix(".json").filter(is_told)?;
    Some(format!("{attack}.safetensors"))
}

/// Why a file is not compared.
fn reason(file: &str) -> &'static str {
    const REASONS: [(&str, &str); 2] = [
        ("models_meta.json", "its networks are compared with the files that are theirs"),
        ("model_", "architecture not implemented"),
    ];
    let known = REASONS.iter().find(|(prefix, _)| file.starts_with(prefix));
    match known {
        Some((_, reason)) => reason,
        None => "no comparison is known for files of this name",
    }
}

/// The numbers of a tensor.
pub(crate) fn flat(tensor: &Tensor) -> Result<Vec<f64>> {
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

/// The repository's own golden folder.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/data");

/// The folder to compare with. Cargo runs this in a package's folder: a relative path is also tried from the repository's
/// root, where it was most likely typed.
fn open() -> Result<Folder> {
    let Some(named) = std::env::var_os("RRM_GOLDEN_DIR").map(PathBuf::from) else { return Folder::open(OWN.as_ref()) };
    let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&named);
    let found = [&named, &from_root].into_iter().find(|path| path.is_dir());
    let found = found.with_context(|| format!("RRM_GOLDEN_DIR: no folder {}", named.display()))?;
    Folder::open(found)
}

fn trials(skipped: &Arc<Mutex<Vec<String>>>) -> Vec<Trial> {
    let (folder, own) = match (open(), Folder::open(OWN.as_ref())) {
        (Ok(folder), Ok(own)) => (Arc::new(folder), own),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Trial::test("golden_folder_opens", move || Err(failed(&error)))];
        }
    };
    let mut comparisons = Vec::new();
    for file in folder.files() {
        match plan(file) {
            Plan::Compare(comparison) => comparisons.push(trial(&folder, file, comparison, skipped)),
            Plan::Within(other) if folder.entry(&other).is_ok() => {}
            Plan::Within(other) => note(skipped, format!("{file} (compared with {other}, which is not there)")),
            Plan::Skip(reason) => note(skipped, format!("{file} ({reason})")),
        }
    }
    let missing = own.files().filter(|file| matches!(plan(file), Plan::Compare(_)) && folder.entry(file).is_err());
    missing.for_each(|file| note(skipped, format!("{file} (not in this folder)")));
    let count = comparisons.len();
    let mut trials = vec![
        Trial::test("golden_comparisons_notice_differences", || compare::trials::closeness().map_err(|e| failed(&e))),
        Trial::test("golden_tolerances_are_read_as_written", || compare::trials::texts().map_err(|e| failed(&e))),
        Trial::test("golden_folder_has_something_to_compare", move || {
            if count > 0 { Ok(()) } else { Err("the index names no file that is compared".into()) }
        }),
    ];
    trials.extend(perturbed::trials(&folder));
    trials.extend(instruction_sets::trials(&folder));
    trials.extend(comparisons);
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
