//! How much work a job is, in units of one image's forward pass.
//!
//! A backward pass to the input, or one to the weights, costs about as much as the forward pass. The estimate serves the
//! progress display alone; it ignores that restarts run on the surviving images only.

use rrm_spec::{ApgdSpec, AttackSpec, Method, PgdSpec, TrainSpec};

/// Forward, backward to the layers' inputs and backward to their weights.
const UPDATE: u64 = 3;

/// Forward and backward to the image.
const GRADIENT_STEP: u64 = 2;

/// An attack on one image.
pub(crate) fn attack(spec: &AttackSpec) -> u64 {
    let (steps, restarts) = match spec {
        AttackSpec::Pgd(PgdSpec { steps, restarts, .. }) => (*steps, *restarts),
        AttackSpec::Apgd(ApgdSpec { iterations, restarts, .. }) => (*iterations, *restarts),
    };
    u64::from(restarts.get()) * (u64::from(steps.get()) * GRADIENT_STEP + 1)
}

/// The natural forward pass of one image and its attack, if there is one.
pub(crate) fn measurement(spec: Option<&AttackSpec>) -> u64 {
    1 + spec.map_or(0, attack)
}

/// One image of a training batch.
pub(crate) fn training(method: &Method) -> u64 {
    match method {
        Method::Natural => UPDATE,
        Method::AdversarialTraining { attack: spec, attack_mode: _ } => attack(spec) + UPDATE,
        Method::Rrm { replays, .. } => 1 + UPDATE * u64::from(replays.get()),
    }
}

/// One epoch over so many training images, and its validation on so many test images.
pub(crate) fn epoch(spec: &TrainSpec, train_images: usize, test_images: usize) -> u64 {
    let validation = measurement(spec.validation.attack.as_ref());
    training(&spec.method) * train_images as u64 + validation * test_images as u64
}
