//! Comparisons must fail where a golden number is changed: each number kind of the quick files is changed in turn.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{Comparison, Plan, failed, folder::Folder, plan};

/// Files whose comparison is quick enough to be made once for each tensor.
const QUICK: [&str; 7] = [
    "data_cifar.safetensors",
    "generator.json",
    "layers.safetensors",
    "losses.safetensors",
    "projections.safetensors",
    "schedules.json",
    "sgd.safetensors",
];

/// One trial for each quick file of the folder.
pub(crate) fn trials(folder: &Arc<Folder>) -> Vec<Trial> {
    let quick = folder.files().filter(|file| QUICK.contains(file));
    quick.filter_map(|file| Some(trial(folder, file, comparison(file)?))).collect()
}

fn comparison(file: &str) -> Option<Comparison> {
    match plan(file) {
        Plan::Compare(comparison) => Some(comparison),
        Plan::Within(_) | Plan::Skip(_) => None,
    }
}

fn trial(folder: &Arc<Folder>, file: &str, comparison: Comparison) -> Trial {
    let (folder, file) = (Arc::clone(folder), file.to_owned());
    Trial::test(format!("golden_changes_of_{file}_are_noticed"), move || {
        let outcome = if file.ends_with(".json") {
            change_json(&folder, &file, comparison)
        } else {
            change_tensors(&folder, &file, comparison)
        };
        outcome.map_err(|error| failed(&error))
    })
}

/// Tensors that a comparison starts from rather than ends at (a change may then have no effect), and those it leaves out.
fn is_input(file: &str, name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match file {
        "layers.safetensors" => matches!(last, "x" | "w"),
        "losses.safetensors" => {
            name.len() == 1
                || name.contains("target")
                || name.starts_with("kd_") && name.ends_with(".f32")
                || ["kd.", "cos_torch17"].iter().any(|p| name.starts_with(p))
        }
        "data_cifar.safetensors" => name == "img" || last == "alpha",
        "projections.safetensors" => name.starts_with('x') || name.starts_with('z') || name.starts_with("fab."),
        _ => false,
    }
}

fn change_tensors(folder: &Folder, file: &str, comparison: Comparison) -> Result<()> {
    let copy = Copy::of(folder, file)?;
    let tensors = candle_core::safetensors::load(folder.path().join(file), &Device::Cpu)?;
    let mut missed = Vec::new();
    for name in tensors.keys().filter(|name| !is_input(file, name)) {
        let mut changed = tensors.clone();
        changed.insert(name.clone(), with_one_changed(name, &tensors[name])?);
        if !copy.is_noticed(|path| Ok(candle_core::safetensors::save(&changed, path)?), comparison)? {
            missed.push(name.as_str());
        }
    }
    missed.sort_unstable();
    ensure!(missed.is_empty(), "changes of {} are not noticed", missed.join(", "));
    Ok(())
}

/// The largest number made larger, by far more than any tolerance.
fn with_one_changed(name: &str, tensor: &Tensor) -> Result<Tensor> {
    let mut numbers: Vec<f64> = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?;
    let size = |number: f64| if number.is_nan() { -1.0 } else { number.abs() };
    let largest = (0..numbers.len()).max_by(|&a, &b| size(numbers[a]).total_cmp(&size(numbers[b])));
    // The largest gradients of DLR are those of ties, that of the relative distance belongs to a zero teacher: neither is
    // compared, unlike those of the last row.
    let is_elsewhere = name.starts_with("dlr") && name.contains(".dz") || name.starts_with("rel_l2.ds");
    let position = if is_elsewhere { numbers.len().checked_sub(1) } else { largest };
    let number = &mut numbers[position.context("an empty tensor")?];
    *number = match tensor.dtype() {
        DType::F32 | DType::F64 if number.is_finite() => *number + 0.01 * number.abs() + 0.01,
        DType::F32 | DType::F64 => 0.0,
        _ => (*number + 1.0) % 256.0,
    };
    Ok(Tensor::from_vec(numbers, tensor.shape(), &Device::Cpu)?.to_dtype(tensor.dtype())?)
}

fn change_json(folder: &Folder, file: &str, comparison: Comparison) -> Result<()> {
    let copy = Copy::of(folder, file)?;
    let whole: Value = folder.json(file)?;
    let mut numbers = Vec::new();
    collect_numbers(&whole, "", &mut numbers);
    // Where in a curve a number is taken is no result.
    numbers.retain(|pointer| !pointer.contains("/step/") && !pointer.contains("blocky_u8"));
    let mut missed = Vec::new();
    for pointer in &numbers {
        let mut changed = whole.clone();
        let number = changed.pointer_mut(pointer).context("a number that was just found")?;
        *number = match number.as_i64() {
            Some(integer) => (integer + 1).into(),
            None => (number.as_f64().context("a number")? * 1.01 + 1e-6).into(),
        };
        if !copy.is_noticed(|path| Ok(fs::write(path, changed.to_string())?), comparison)? {
            missed.push(pointer.as_str());
        }
    }
    ensure!(missed.is_empty(), "changes of {} are not noticed", missed.join(", "));
    Ok(())
}

/// JSON pointers of all numbers that are not in a list, and of the last number of each list.
fn collect_numbers(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(pointer.to_owned()),
        Value::Array(items) => {
            if let Some(item) = items.last() {
                collect_numbers(item, &format!("{pointer}/{}", items.len() - 1), found);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                collect_numbers(item, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A copy of a folder with one file of its own.
struct Copy {
    folder: tempfile::TempDir,
    file: String,
}

impl Copy {
    fn of(folder: &Folder, file: &str) -> Result<Self> {
        let copy = tempfile::tempdir()?;
        let original = fs::canonicalize(folder.path())?;
        for other in folder.files().chain(["index.json"]).filter(|&other| other != file) {
            symlink(original.join(other), copy.path().join(other))?;
        }
        Ok(Self { folder: copy, file: file.to_owned() })
    }

    /// Whether the comparison fails with the file that `write` makes.
    fn is_noticed(&self, write: impl FnOnce(&Path) -> Result<()>, comparison: Comparison) -> Result<bool> {
        write(&self.folder.path().join(&self.file))?;
        let folder = Folder::open(self.folder.path())?;
        Ok(comparison(&folder, &self.file).and_then(crate::Report::finish).is_err())
    }
}
