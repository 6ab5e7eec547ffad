//! Natural and robust accuracy, image by image, always in f32: what a network was trained in must not show in how it is measured.

use candle_core::{Device, Tensor};
use rrm_attacks::{Attack, AttackRng};
use rrm_data::{Images, Stream, test_batches};
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, AttackSpec, ImageOutcome, Mode, Outcome, Precision};

use crate::{
    error::{Halt, TrainError},
    monitor::Monitor,
    step::{TrainBatch, predictions},
    work,
};

/// How a network is measured. No outcome depends on `batch_size`.
pub(crate) struct Measurement<'a> {
    /// `None` = natural accuracy alone.
    pub(crate) attack: Option<&'a AttackSpec>,
    /// The first so many test images; `None` = all.
    pub(crate) images: Option<usize>,
    pub(crate) batch_size: usize,
    pub(crate) seed: u64,
    pub(crate) stream: Stream,
    pub(crate) epoch: u32,
}

impl Measurement<'_> {
    /// One outcome per test image; without an attack every correctly classified image counts as robust.
    pub(crate) fn outcomes(
        &self,
        network: &Network,
        images: &Images,
        monitor: &mut Monitor<'_>,
    ) -> Result<Vec<ImageOutcome>, Halt> {
        let victim = network.frozen().with_precision(Precision::F32);
        let (attack, work) = (self.attack.map(rrm_attacks::build), work::measurement(self.attack));
        let mut outcomes = Vec::new();
        for batch in test_batches(images, self.images, self.batch_size) {
            monitor.proceed()?;
            let batch = batch.map_err(TrainError::from)?;
            let batch = TrainBatch::new(batch, self.epoch, victim.device(), victim.dtype())?;
            outcomes.extend(self.batch_outcomes(&victim, attack.as_deref(), &batch)?);
            let count = batch.classes.len() as u64;
            monitor.advance(count, count * work);
        }
        Ok(outcomes)
    }

    fn batch_outcomes(
        &self,
        victim: &Network,
        attack: Option<&dyn Attack>,
        batch: &TrainBatch,
    ) -> candle_core::Result<Vec<ImageOutcome>> {
        let predicted = predictions(&victim.forward(&batch.pixels, Mode::Eval)?.logits)?;
        let mut outcomes: Vec<_> =
            predicted.iter().enumerate().map(|(i, &prediction)| natural(batch, i, prediction)).collect();
        let correct: Vec<usize> = (0..outcomes.len()).filter(|&i| outcomes[i].outcome == Outcome::Robust).collect();
        if let (Some(attack), false) = (attack, correct.is_empty()) {
            let broken_by = self.attack(victim, attack, batch, &correct)?;
            for (&i, restart) in correct.iter().zip(broken_by) {
                outcomes[i].outcome = restart.map_or(Outcome::Robust, |restart| Outcome::Broken { restart });
            }
        }
        Ok(outcomes)
    }

    /// Attacks the images at these positions of the batch: what is misclassified already needs no attack.
    fn attack(
        &self,
        victim: &Network,
        attack: &dyn Attack,
        batch: &TrainBatch,
        positions: &[usize],
    ) -> candle_core::Result<Vec<Option<u32>>> {
        let pixels = select(&batch.pixels, positions)?;
        let labels: Vec<u32> = positions.iter().map(|&i| batch.classes[i]).collect();
        let images: Vec<u32> = positions.iter().map(|&i| batch.indices[i]).collect();
        let rng = AttackRng { seed: self.seed, stream: self.stream, epoch: u64::from(self.epoch), images: &images };
        Ok(attack.perturb(victim, Mode::Eval, &pixels, &labels, &rng)?.broken_by)
    }
}

fn natural(batch: &TrainBatch, i: usize, prediction: u32) -> ImageOutcome {
    let label = batch.classes[i];
    let outcome = if prediction == label { Outcome::Robust } else { Outcome::Misclassified };
    ImageOutcome { image: batch.indices[i], label, prediction, outcome }
}

fn select(pixels: &Tensor, positions: &[usize]) -> candle_core::Result<Tensor> {
    if positions.len() == pixels.dim(0)? {
        return Ok(pixels.clone());
    }
    let positions: Vec<u32> = positions.iter().map(|&i| i as u32).collect();
    let device: &Device = pixels.device();
    pixels.index_select(&Tensor::new(positions, device)?, 0)
}

/// Images whose natural form is classified correctly.
pub(crate) fn natural_accuracy(outcomes: &[ImageOutcome]) -> Accuracy {
    count(outcomes, |outcome| outcome != Outcome::Misclassified)
}

/// Images that the attack did not break.
pub(crate) fn robust_accuracy(outcomes: &[ImageOutcome]) -> Accuracy {
    count(outcomes, |outcome| outcome == Outcome::Robust)
}

fn count(outcomes: &[ImageOutcome], correct: impl Fn(Outcome) -> bool) -> Accuracy {
    let correct = outcomes.iter().filter(|image| correct(image.outcome)).count();
    Accuracy { correct: correct as u64, total: outcomes.len() as u64 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use candle_core::DType;
    use rrm_data::Split;
    use rrm_models::NetworkSpec;
    use rrm_spec::Normalization;

    use super::*;
    use crate::training::dataset::{self, Recipe};

    /// So weak that it breaks some images and not others.
    const ATTACK: &str = r#"{"kind":"pgd","threat":{"norm":"linf","epsilon":"0.2/255"},"steps":3,"step_size":"0.1/255","start":"uniform","selection":"stop-when-broken","restarts":3}"#;

    /// A network that is of two minds about the images: a rounding of its layers moves many of them over its boundary.
    fn undecided(images: &Images) -> candle_core::Result<Network> {
        let spec = NetworkSpec {
            arch: "vgg11/8".parse().expect("an architecture"),
            channels: 3,
            classes: 2,
            normalization: Normalization::Identity,
            representation_width: 64,
            temperature: 1.0,
        };
        let network = Network::initialize(&spec, 1, &Device::Cpu, DType::F32).expect("such a network");
        let all = test_batches(images, None, images.len()).next().expect("images").expect("of sound files");
        let pixels = TrainBatch::new(all, 1, &Device::Cpu, DType::F32)?.pixels;
        for _ in 0..20 {
            network.forward(&pixels, Mode::Train)?;
        }
        let logits = network.forward(&pixels, Mode::Eval)?.logits.detach().to_vec2::<f32>()?;
        let mut margins: Vec<f32> = logits.iter().map(|logits| logits[1] - logits[0]).collect();
        margins.sort_by(f32::total_cmp);
        let middle = Tensor::new(&[0.0, margins[margins.len() / 2]], &Device::Cpu)?;
        let (_, bias) = network.parameters().last().expect("the classifier's bias");
        bias.set(&(bias.as_tensor() - middle)?)?;
        Ok(network)
    }

    #[test]
    fn what_a_network_was_trained_in_does_not_show_in_its_outcomes() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset::write(folder.path(), "shades", Recipe { images: (1, 40), ..Recipe::TEMPTING });
        let images = rrm_data::open(&dataset, Split::Test, folder.path()).unwrap();
        let (network, attack) = (undecided(&images).unwrap(), serde_json::from_str(ATTACK).unwrap());
        let (batch_size, stream) = (20, Stream::Validation);
        let measurement = Measurement { attack: Some(&attack), images: None, batch_size, seed: 1, stream, epoch: 1 };
        let outcomes = |precision| {
            let (mut sink, stop) = (|_| (), AtomicBool::new(false));
            let network = network.frozen().with_precision(precision);
            measurement.outcomes(&network, &images, &mut Monitor::new(&mut sink, &stop)).unwrap()
        };
        let exact = outcomes(Precision::F32);
        let kinds = [Outcome::Misclassified, Outcome::Robust];
        assert!(kinds.iter().all(|kind| exact.iter().any(|image| image.outcome == *kind)), "{exact:?}");
        assert!(robust_accuracy(&exact) != natural_accuracy(&exact), "no image was broken: {exact:?}");
        assert_eq!(outcomes(Precision::Bf16), exact);
    }
}
