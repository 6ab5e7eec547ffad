//! The adversarial images of an evaluation as one file.
//!
//! A safetensors file with `images`, (N, C, H, W) of f32 in [0, 1]: what the attack handed back for an image that it broke, and the
//! natural image for others; `labels` and `outcomes`, (N) of 64-bit whole numbers: 0 misclassified as it is, 1 broken, 2 robust; and of
//! several radii `radius`, likewise: which of them broke it, counted from 0, or -1. One entry of metadata, `rrm.adversarial`, has the
//! classes' names, the network's hash and the attacks as JSON. `safetensors.torch.load_file` opens it as it is.

use std::{collections::HashMap, path::Path};

use rrm_data::{Images, Shape};
use rrm_spec::{ArtifactHash, AttackSpec, CheckpointRecord, CheckpointRole, ImageOutcome, Outcome};
use safetensors::{Dtype, tensor::TensorView};
use serde::Serialize;

use super::{Book, Evaluation};
use crate::{
    TrainError,
    error::MOST_KEPT_BYTES,
    files::{Published, publish_tensors},
};

const METADATA_KEY: &str = "rrm.adversarial";

#[derive(Serialize)]
struct Description<'a> {
    classes: &'a [String],
    weights: &'a ArtifactHash,
    attacks: Vec<AttackSpec>,
}

/// Refuses to keep more than fits a file.
pub(super) fn must_fit(images: &Images) -> Result<(), TrainError> {
    let most = MOST_KEPT_BYTES / (4 * images.shape().image_len() as u64);
    match images.len() as u64 <= most {
        true => Ok(()),
        false => Err(TrainError::TooManyKept { images: images.len(), most }),
    }
}

/// Writes the file to `path`.
pub(super) fn write(
    path: &Path,
    evaluation: &Evaluation<'_>,
    outcomes: &[ImageOutcome],
    book: &Book,
    epoch: u32,
) -> Result<CheckpointRecord, TrainError> {
    let Evaluation { spec, images, source, .. } = evaluation;
    let pixels = pixels(images, book)?;
    let column = |number: &dyn Fn(usize) -> i64| -> Vec<u8> {
        (0..outcomes.len()).flat_map(|i| number(i).to_le_bytes()).collect()
    };
    let labels = column(&|i| i64::from(outcomes[i].label));
    let kinds = column(&|i| kind(outcomes[i].outcome));
    let radius = column(&|i| book.radius[i].map_or(-1, i64::from));
    let Shape { channels, height, width } = images.shape();
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("as many bytes as the shape says");
    let of_each = |data| view(Dtype::I64, vec![images.len()], data);
    let mut tensors = vec![
        ("images", view(Dtype::F32, vec![images.len(), channels, height, width], &pixels)),
        ("labels", of_each(&labels)),
        ("outcomes", of_each(&kinds)),
    ];
    if !spec.epsilons.is_empty() {
        tensors.push(("radius", of_each(&radius)));
    }
    let description = Description { classes: images.class_names(), weights: &source.sha256, attacks: spec.attacks() };
    let description = serde_json::to_string(&description).expect("a description has text keys only");
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), description)]);
    let Published { sha256, bytes } = publish_tensors(path, tensors, metadata)?;
    Ok(CheckpointRecord { epoch, role: CheckpointRole::Final, path: path.to_owned(), sha256, bytes })
}

/// As networks get natural images: one division in f32.
fn pixels(images: &Images, book: &Book) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Vec::with_capacity(4 * images.len() * images.shape().image_len());
    for (i, kept) in book.kept.iter().enumerate() {
        match kept {
            Some(pixels) => bytes.extend(pixels.iter().flat_map(|pixel| pixel.to_le_bytes())),
            None => bytes.extend(images.pixels(i)?.iter().flat_map(|&k| (f32::from(k) / 255.0).to_le_bytes())),
        }
    }
    Ok(bytes)
}

fn kind(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Misclassified => 0,
        Outcome::Broken { .. } => 1,
        Outcome::Robust => 2,
    }
}
