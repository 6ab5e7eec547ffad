//! Files that PyTorch wrote (`tests/checkpoints/generate.py`), sound, damaged and hostile.

mod forms;
mod hostile;

use std::path::Path;

use rrm_checkpoint::{CheckpointError, Imported, Numbers, Wanted, import, read_file};
use rrm_spec::Normalization;

/// One of the committed files.
fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints/data");
    read_file(&folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A DNN with MadryLab's constants, which most of the files are.
fn narrow_dnn() -> Wanted {
    let (arch, normalization) = (Some("dnn/16".parse().unwrap()), Some(Normalization::Cifar10Madry));
    Wanted { arch, normalization, ..Wanted::default() }
}

fn imported(name: &str) -> Imported {
    import(&file(name), &narrow_dnn()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn refused(bytes: &[u8], wanted: &Wanted) -> CheckpointError {
    import(bytes, wanted).map(drop).unwrap_err()
}

fn told(imported: &Imported) -> Vec<String> {
    imported.findings.iter().map(ToString::to_string).collect()
}

fn numbers<'i>(imported: &'i Imported, key: &str) -> &'i [f32] {
    let found = imported.tensors.iter().find(|(known, _, _)| known == key);
    match found {
        Some((_, _, Numbers::Real(numbers))) => numbers,
        other => panic!("{key}: {other:?}"),
    }
}
