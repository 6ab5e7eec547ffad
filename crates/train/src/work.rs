//! How much work a job is, in units of one image's forward pass.
//!
//! A backward pass to the input, or one to the weights, costs about as much as the forward pass. The estimate serves the
//! progress display alone; it ignores that restarts run on the surviving images only.

use rrm_spec::{
    AdaptiveSpec, ApgdLoss, ApgdSpec, AttackSpec, CarliniWagnerSpec, FabSpec, Method, PgdSpec, PgdTarget, SquareSpec,
    SynthesizeSpec, Through, TrainSpec,
};

/// Forward, backward to the layers' inputs and backward to their weights.
const UPDATE: u64 = 3;

/// Forward and backward to the image.
const GRADIENT_STEP: u64 = 2;

/// Classes that an attack tries which tries one after another, where it does not say.
const TARGETS: u32 = 9;

/// An attack on one image.
pub(crate) fn attack(spec: &AttackSpec) -> u64 {
    match spec {
        AttackSpec::Fgsm(_) => run(1, 1),
        AttackSpec::Pgd(PgdSpec { steps, restarts, target, eot, .. }) => {
            let targets = if *target == PgdTarget::Each { TARGETS } else { 1 };
            u64::from(targets * restarts.get()) * run(steps.get(), eot.get())
        }
        AttackSpec::Apgd(ApgdSpec { iterations, restarts, loss, targets, eot, .. }) => {
            let targets = match loss {
                ApgdLoss::Ce | ApgdLoss::Dlr => 1,
                ApgdLoss::TargetedDlr => targets.map_or(TARGETS, std::num::NonZeroU32::get),
            };
            u64::from(targets * restarts.get()) * run(iterations.get(), eot.get())
        }
        AttackSpec::Square(SquareSpec { queries, restarts, .. }) => {
            u64::from(restarts.get()) * (u64::from(queries.get()) + 1)
        }
        AttackSpec::Fab(FabSpec { iterations, restarts, targets, .. }) => {
            let runs = targets.map_or(1, std::num::NonZeroU32::get) * restarts.get();
            u64::from(runs) * (u64::from(iterations.get()) * (GRADIENT_STEP + 1) + 1)
        }
        AttackSpec::CarliniWagner(CarliniWagnerSpec { search_steps, iterations, .. }) => {
            u64::from(search_steps.get()) * run(iterations.get(), 1)
        }
        AttackSpec::AutoAttack(spec) => spec.parts().iter().map(attack).sum(),
        AttackSpec::Adaptive(AdaptiveSpec { through, iterations, restarts, .. }) => {
            through_teacher(*through, iterations.get(), restarts.get())
        }
    }
}

/// The teacher's passes included, which count like the network's own.
fn through_teacher(through: Through, iterations: u32, restarts: u32) -> u64 {
    let climb = u64::from(restarts) * run(iterations, 1);
    match through {
        // Every iterate is judged by the network under attack, too.
        Through::Transfer => climb + u64::from(restarts) * (u64::from(iterations) + 1),
        Through::Representation | Through::Joint => climb + 1,
        Through::All => through.ways().into_iter().map(|way| through_teacher(way, iterations, restarts)).sum(),
    }
}

/// One search of so many steps, each by the mean gradient of so many passes.
fn run(steps: u32, passes: u32) -> u64 {
    u64::from(steps) * u64::from(passes) * GRADIENT_STEP + 1
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
