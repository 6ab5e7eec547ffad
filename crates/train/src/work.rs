//! How much work a job is, in units of one image's forward pass.
//!
//! A backward pass to the input, or one to the weights, costs about as much as the forward pass. The estimate serves the
//! progress display alone; it ignores that restarts run on the surviving images only.

use std::num::NonZeroU32;

use rrm_spec::{
    ApgdSpec, AttackSpec, CarliniWagnerSpec, FabSpec, Method, PgdSpec, SquareSpec, SynthesizeSpec, TrainSpec,
};

/// Forward, backward to the layers' inputs and backward to their weights.
const UPDATE: u64 = 3;

/// Forward and backward to the image.
const GRADIENT_STEP: u64 = 2;

/// An attack on one image.
pub(crate) fn attack(spec: &AttackSpec) -> u64 {
    let times = |restarts: NonZeroU32, steps: NonZeroU32, step: u64| {
        u64::from(restarts.get()) * (u64::from(steps.get()) * step + 1)
    };
    match spec {
        AttackSpec::Pgd(PgdSpec { steps, restarts, .. }) => times(*restarts, *steps, GRADIENT_STEP),
        AttackSpec::Apgd(ApgdSpec { iterations, restarts, .. }) => times(*restarts, *iterations, GRADIENT_STEP),
        AttackSpec::Square(SquareSpec { queries, restarts, .. }) => times(*restarts, *queries, 1),
        AttackSpec::Fab(FabSpec { iterations, restarts, targets, .. }) => {
            targets.map_or(1, |targets| u64::from(targets.get())) * times(*restarts, *iterations, GRADIENT_STEP + 1)
        }
        AttackSpec::CarliniWagner(CarliniWagnerSpec { search_steps, iterations, .. }) => {
            times(*search_steps, *iterations, GRADIENT_STEP)
        }
    }
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
        // The backward pass to the image comes on top of an update.
        Method::FreeAdversarialTraining { replays, .. } => (UPDATE + 1) * u64::from(replays.get()),
        Method::KnowledgeDistillation { .. } => 1 + UPDATE,
        Method::AdversariallyRobustDistillation { attack: spec, alpha, .. } => {
            // Of the natural images there is a forward pass, and a backward one where the cross-entropy counts.
            attack(spec) + 1 + UPDATE + if *alpha < 1.0 { UPDATE } else { 1 }
        }
        Method::Trades { steps, .. } => 2 + u64::from(steps.get()) * GRADIENT_STEP + 2 * UPDATE,
        Method::Rrm { replays, .. } => 1 + UPDATE * u64::from(replays.get()),
    }
}

/// One image of a synthesis: its target, its descent, and how it is classified in the end.
pub(crate) fn synthesis(spec: &SynthesizeSpec) -> u64 {
    u64::from(spec.steps.get()) * GRADIENT_STEP + 3
}

/// One epoch over so many training images, and its validation on so many test images.
pub(crate) fn epoch(spec: &TrainSpec, train_images: usize, test_images: usize) -> u64 {
    let validation = measurement(spec.validation.attack.as_ref());
    training(&spec.method) * train_images as u64 + validation * test_images as u64
}
