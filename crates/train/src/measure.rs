//! Natural and robust accuracy, image by image, always in f32: what a network was trained in must not show in how it is measured.

use candle_core::Tensor;
use rrm_attacks::{Attack, AttackRng, Attacked, Seen};
use rrm_data::{Images, Stream, natural_batch, test_batches};
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, AttackSpec, ClosestPoint, ImageOutcome, Mode, Outcome, Precision};

use crate::{
    error::{Halt, TrainError},
    interrupt::Interruptible,
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
        let mut search = Search::of(self.natural(network, images, monitor)?);
        if let Some(attack) = self.attack {
            self.attack(attack, network, images, &mut search, &mut Nobody, monitor)?;
        }
        Ok(search.outcomes)
    }

    /// What becomes of the images without an attack.
    pub(crate) fn natural(
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

    /// Attacks the images that count as robust so far, by one part of the attack after another, from where the search has come to. Each
    /// part's batches are full ones of those that the parts before left.
    ///
    /// Where the job is told to stop it ends at the network's next pass, and the search knows nothing of the batch that was being
    /// attacked.
    pub(crate) fn attack(
        &self,
        spec: &AttackSpec,
        network: &Network,
        images: &Images,
        search: &mut Search,
        onlooker: &mut dyn Onlooker,
        monitor: &mut Monitor<'_>,
    ) -> Result<(), Halt> {
        let victim = network.frozen().with_precision(Precision::F32);
        let (parts, count) = (spec.parts(), search.outcomes.len() as u64);
        let done = parts.iter().take(search.part as usize).map(work::attack).sum::<u64>();
        monitor.advance(0, count * done);
        for (number, spec) in (0..).zip(&parts).skip(search.part as usize) {
            search.part = number;
            let (attack, work) = (rrm_attacks::build_knowing(spec, self.teacher()), work::attack(spec));
            let left = search.left();
            monitor.advance(0, (count - left.len() as u64) * work);
            for positions in self.batches(spec, &left) {
                monitor.proceed()?;
                let attacked = monitor.interruptible(&victim);
                let part = Part { number, attack: attack.as_ref(), victim: &victim, attacked, images };
                let batch = self.attack_batch(&part, positions, search)?;
                monitor.advance(positions.len() as u64, positions.len() as u64 * work);
                onlooker.attacked(&batch, search, monitor)?;
            }
            search.next = 0;
        }
        search.conclude();
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

    fn attack_batch<'p>(
        &self,
        part: &Part<'p>,
        positions: &'p [usize],
        search: &mut Search,
    ) -> Result<AttackedBatch<'p>, Halt> {
        let Part { number, attack, victim, attacked, images } = *part;
        let indices: Vec<u32> = positions.iter().map(|&i| search.outcomes[i].image).collect();
        let batch = natural_batch(images, &indices).map_err(TrainError::from)?;
        let batch = TrainBatch::new(batch, self.epoch, victim.device(), victim.dtype())?;
        let rng = AttackRng { seed: self.seed, stream: self.stream, epoch: u64::from(self.epoch), images: &indices };
        let attacked = attack.perturb(&attacked, Mode::Eval, &batch.pixels, &batch.classes, &rng.of_part(number))?;
        for (row, &i) in positions.iter().enumerate() {
            let restart = attacked.broken_by[row];
            search.outcomes[i].outcome = restart.map_or(Outcome::Robust, |restart| Outcome::Broken { restart });
            let seen = search.seen[i].get_or_insert(Seen::NOTHING);
            seen.join_part(number, &attacked.seen[row], restart.is_some());
        }
        search.next = positions.last().map_or(search.next, |last| last + 1);
        Ok(AttackedBatch { victim, positions, natural: batch.pixels, labels: batch.classes, attacked })
    }
}

/// How far an attack on all images has come. Together with the attack's key of randomness it is all that the rest depends on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    pub(crate) outcomes: Vec<ImageOutcome>,
    /// What the attack saw of each image that it has come to.
    pub(crate) seen: Vec<Option<Seen>>,
    /// Which part of the attack is being made.
    pub(crate) part: u32,
    /// Position of the first image that this part has not come to.
    pub(crate) next: usize,
}

impl Search {
    /// Of these images none has been attacked.
    pub(crate) fn of(outcomes: Vec<ImageOutcome>) -> Self {
        let seen = vec![None; outcomes.len()];
        Self { outcomes, seen, part: 0, next: 0 }
    }

    /// Positions that this part has to come to.
    fn left(&self) -> Vec<usize> {
        (self.next..self.outcomes.len()).filter(|&i| self.outcomes[i].outcome == Outcome::Robust).collect()
    }

    /// Tells of each image that was attacked how close the attack came, and is ready for another attack on what is left.
    fn conclude(&mut self) {
        for (outcome, seen) in self.outcomes.iter_mut().zip(&mut self.seen) {
            if let Some(seen) = seen.take() {
                outcome.closest = closest(&seen);
            }
        }
        (self.part, self.next) = (0, 0);
    }
}

/// Images that were attacked together.
pub(crate) struct AttackedBatch<'p> {
    /// What they were attacked on.
    pub(crate) victim: &'p Network,
    /// Their positions.
    pub(crate) positions: &'p [usize],
    /// (N, C, H, W) in [0, 1].
    pub(crate) natural: Tensor,
    pub(crate) labels: Vec<u32>,
    pub(crate) attacked: Attacked,
}

/// Who looks on while images are attacked.
pub(crate) trait Onlooker {
    /// A batch has been attacked, and the search knows of it.
    fn attacked(&mut self, batch: &AttackedBatch<'_>, search: &Search, monitor: &mut Monitor<'_>) -> Result<(), Halt>;
}

/// Looks away.
struct Nobody;

impl Onlooker for Nobody {
    fn attacked(&mut self, _: &AttackedBatch<'_>, _: &Search, _: &mut Monitor<'_>) -> Result<(), Halt> {
        Ok(())
    }
}

/// One of several attacks in turn, and what it is made on.
struct Part<'a> {
    number: u32,
    attack: &'a dyn Attack,
    victim: &'a Network,
    /// The same, as the attack has it.
    attacked: Interruptible<'a>,
    images: &'a Images,
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
pub(crate) mod tests {
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
    pub(crate) fn undecided(images: &Images) -> candle_core::Result<Network> {
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
