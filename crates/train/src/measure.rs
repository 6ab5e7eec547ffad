//! Natural and robust accuracy, image by image, always in f32: what a network was trained in must not show in how it is measured.

use rrm_attacks::{Attack, AttackRng, Seen};
use rrm_data::{Images, Stream, natural_batch, test_batches};
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, AttackSpec, ClosestPoint, ImageOutcome, Mode, Outcome, Precision};

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
    /// The network that the measured one has learned from, for an attack that must know it; in f32.
    pub(crate) teacher: Option<&'a Network>,
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
        let mut outcomes = self.natural(network, images, monitor)?;
        if let Some(attack) = self.attack {
            self.attack(attack, network, images, &mut outcomes, monitor)?;
        }
        Ok(outcomes)
    }

    /// What becomes of the images without an attack.
    fn natural(
        &self,
        network: &Network,
        images: &Images,
        monitor: &mut Monitor<'_>,
    ) -> Result<Vec<ImageOutcome>, Halt> {
        let victim = network.frozen().with_precision(Precision::F32);
        let mut outcomes = Vec::new();
        for batch in test_batches(images, self.images, self.batch_size) {
            monitor.proceed()?;
            let batch = batch.map_err(TrainError::from)?;
            let batch = TrainBatch::new(batch, self.epoch, victim.device(), victim.dtype())?;
            let predicted = predictions(&victim.forward(&batch.pixels, Mode::Eval)?.logits)?;
            outcomes.extend(predicted.iter().enumerate().map(|(i, &prediction)| natural(&batch, i, prediction)));
            monitor.advance(predicted.len() as u64, predicted.len() as u64);
        }
        Ok(outcomes)
    }

    /// Attacks the images that count as robust so far, by one part of the attack after another. Each part's batches are full ones of
    /// those that the parts before left.
    pub(crate) fn attack(
        &self,
        spec: &AttackSpec,
        network: &Network,
        images: &Images,
        outcomes: &mut [ImageOutcome],
        monitor: &mut Monitor<'_>,
    ) -> Result<(), Halt> {
        let victim = network.frozen().with_precision(Precision::F32);
        let mut seen = vec![Seen::NOTHING; outcomes.len()];
        let attacked = robust(outcomes);
        for (number, spec) in (0u32..).zip(spec.parts()) {
            let (attack, work) = (rrm_attacks::build_knowing(&spec, self.teacher()), work::attack(&spec));
            let left = robust(outcomes);
            monitor.advance(0, (outcomes.len() - left.len()) as u64 * work);
            for positions in self.batches(&spec, &left) {
                monitor.proceed()?;
                let part = Part { number, attack: attack.as_ref(), victim: &victim, images };
                self.attack_batch(&part, positions, outcomes, &mut seen)?;
                monitor.advance(positions.len() as u64, positions.len() as u64 * work);
            }
        }
        attacked.into_iter().for_each(|i| outcomes[i].closest = closest(&seen[i]));
        Ok(())
    }

    fn teacher(&self) -> Option<&(dyn Model + Sync)> {
        self.teacher.map(|teacher| teacher as &(dyn Model + Sync))
    }

    /// Positions that are attacked together.
    fn batches<'p>(&self, spec: &AttackSpec, positions: &'p [usize]) -> Vec<&'p [usize]> {
        match spec.fixed_batch() {
            // Of consecutive test images, whichever of them are left.
            Some(batch) => positions.chunk_by(|a, b| a / batch.get() as usize == b / batch.get() as usize).collect(),
            None => positions.chunks(self.batch_size).collect(),
        }
    }

    fn attack_batch(
        &self,
        part: &Part<'_>,
        positions: &[usize],
        outcomes: &mut [ImageOutcome],
        seen: &mut [Seen],
    ) -> Result<(), Halt> {
        let Part { number, attack, victim, images } = part;
        let indices: Vec<u32> = positions.iter().map(|&i| outcomes[i].image).collect();
        let batch = natural_batch(images, &indices).map_err(TrainError::from)?;
        let batch = TrainBatch::new(batch, self.epoch, victim.device(), victim.dtype())?;
        let rng = AttackRng { seed: self.seed, stream: self.stream, epoch: u64::from(self.epoch), images: &indices };
        let attacked = attack.perturb(*victim, Mode::Eval, &batch.pixels, &batch.classes, &rng.of_part(*number))?;
        for (position, &i) in positions.iter().enumerate() {
            let restart = attacked.broken_by[position];
            outcomes[i].outcome = restart.map_or(Outcome::Robust, |restart| Outcome::Broken { restart });
            seen[i].join_part(*number, &attacked.seen[position], restart.is_some());
        }
        Ok(())
    }
}

/// One of several attacks in turn, and what it is made on.
struct Part<'a> {
    number: u32,
    attack: &'a dyn Attack,
    victim: &'a Network,
    images: &'a Images,
}

fn robust(outcomes: &[ImageOutcome]) -> Vec<usize> {
    (0..outcomes.len()).filter(|&i| outcomes[i].outcome == Outcome::Robust).collect()
}

/// Numbers that are none are not told.
fn closest(seen: &Seen) -> Option<ClosestPoint> {
    let Seen { part, iteration, margin, cross_entropy: loss } = *seen;
    (margin.is_finite() && loss.is_finite()).then_some(ClosestPoint { part, iteration, loss, margin })
}

fn natural(batch: &TrainBatch, i: usize, prediction: u32) -> ImageOutcome {
    let label = batch.classes[i];
    let outcome = if prediction == label { Outcome::Robust } else { Outcome::Misclassified };
    ImageOutcome { image: batch.indices[i], label, prediction, outcome, closest: None }
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

    use candle_core::{DType, Device, Tensor};
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
        let measurement =
            Measurement { attack: Some(&attack), teacher: None, images: None, batch_size, seed: 1, stream, epoch: 1 };
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
