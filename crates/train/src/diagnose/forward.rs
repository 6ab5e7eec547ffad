//! What is seen without an attack: classes, gradients, statistics, the first layer's constants.

use std::collections::HashMap;

use candle_core::{DType, Tensor, Var, bail};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Mode, Normalization};

use super::Bench;
use crate::{
    error::{Halt, TrainError},
    monitor::Monitor,
    step::{TrainBatch, predictions},
};

/// Images whose statistics batch-norms share in train mode, at most. Fixed, so that a job's batch size changes no result.
const STATISTICS_OF: usize = 128;

/// How far sums of probabilities may be from 1, as in AutoAttack's own check.
const ROUNDING: f64 = 1e-5;

/// Gradients of the images at which they vanish.
#[derive(Default)]
struct Gradients {
    zero: usize,
    denormal: usize,
    not_finite: usize,
}

impl Bench<'_> {
    /// Looks at the network without attacking it.
    pub(super) fn look(&mut self, monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        monitor.begin("diagnostics: natural images".to_owned());
        let positions: Vec<u32> = (0..self.count as u32).collect();
        let (mut gradients, mut are_probabilities) = (Gradients::default(), true);
        for positions in positions.chunks(self.batch_size()) {
            monitor.proceed()?;
            let batch = self.batch(positions)?;
            let logits = self.victim.forward(&batch.pixels, Mode::Eval)?.logits;
            are_probabilities &= look_like_probabilities(&logits)?;
            let right = right(&logits, &batch)?;
            self.correct.extend(right.iter().map(|&row| batch.indices[row]));
            gradients.add(&largest_gradients(&self.victim, &batch)?, &right);
        }
        self.tell_count("images", self.count, "the first ones of the test set");
        self.tell_count("natural.correct", self.correct.len(), "");
        self.tell(
            "outputs.probabilities.is",
            f64::from(u8::from(are_probabilities)),
            "all outputs in [0, 1] with sum 1",
        );
        self.tell_count("gradient.zero", gradients.zero, "of images that are classified correctly");
        self.tell_count("gradient.denormal", gradients.denormal, "no number of normal size, but not all zero");
        self.tell_count("gradient.not-finite", gradients.not_finite, "");
        self.train_mode(&positions, monitor)?;
        self.normalization(&positions, monitor)
    }

    /// Accuracy with the statistics of batches, of networks that have batch-norms.
    fn train_mode(&mut self, positions: &[u32], monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        if self.victim.buffers().is_empty() || positions.len() < 2 {
            return Ok(());
        }
        // A copy: in train mode running statistics move.
        let network = copy(&self.victim, self.victim.spec())?;
        // Of like size, so that none is left with the statistics of a few.
        let size = positions.len().div_ceil(positions.len().div_ceil(STATISTICS_OF));
        let correct = self.correct_in(&network, positions, size, Mode::Train, monitor)?;
        self.tell_count("train-mode.correct", correct, format!("batch-norm by batches of {size} images"));
        Ok(())
    }

    /// Accuracy with other constants in the first layer than the network's own.
    fn normalization(&mut self, positions: &[u32], monitor: &mut Monitor<'_>) -> Result<(), Halt> {
        let (own, usual) = (self.victim.spec().normalization, self.spec.dataset.name.normalization());
        let detail = format!("the network has {own}, the dataset {usual}");
        self.tell("normalization.differs.is", f64::from(u8::from(own != usual)), detail);
        let suits = |other: &Normalization| *other != own && other.suits(self.victim.spec().channels);
        let mut best: Option<(usize, Normalization)> = None;
        for other in Normalization::ALL.into_iter().filter(suits) {
            let spec = NetworkSpec { normalization: other, ..self.victim.spec().clone() };
            let network = copy(&self.victim, &spec)?;
            let correct = self.correct_in(&network, positions, self.batch_size(), Mode::Eval, monitor)?;
            if best.is_none_or(|(most, _)| correct > most) {
                best = Some((correct, other));
            }
        }
        if let Some((correct, other)) = best {
            self.tell_count("normalization.other.correct", correct, format!("with {other}, the best of all others"));
        }
        Ok(())
    }

    /// How many images a network classifies correctly.
    fn correct_in(
        &self,
        network: &Network,
        positions: &[u32],
        batch_size: usize,
        mode: Mode,
        monitor: &Monitor<'_>,
    ) -> Result<usize, Halt> {
        let mut correct = 0;
        for positions in positions.chunks(batch_size) {
            monitor.proceed()?;
            let batch = self.batch(positions)?;
            correct += right(&network.forward(&batch.pixels, mode)?.logits, &batch)?.len();
        }
        Ok(correct)
    }
}

impl Gradients {
    /// Enters the largest component of some rows' gradients.
    fn add(&mut self, largest: &[f32], rows: &[usize]) {
        for &row in rows {
            match largest[row] {
                size if !size.is_finite() => self.not_finite += 1,
                0.0 => self.zero += 1,
                size if size < f32::MIN_POSITIVE => self.denormal += 1,
                _ => {}
            }
        }
    }
}

/// The network with its own weights and another description.
fn copy(network: &Network, spec: &NetworkSpec) -> Result<Network, TrainError> {
    let tensors: HashMap<String, Tensor> = network.state().into_iter().collect();
    let copy = Network::from_tensors(spec, tensors, network.device(), network.dtype());
    Ok(copy.map_err(TrainError::Model)?.frozen())
}

/// Rows whose class is the one that the logits favour.
fn right(logits: &Tensor, batch: &TrainBatch) -> candle_core::Result<Vec<usize>> {
    let predicted = predictions(logits)?;
    Ok((0..predicted.len()).filter(|&row| predicted[row] == batch.classes[row]).collect())
}

fn look_like_probabilities(logits: &Tensor) -> candle_core::Result<bool> {
    let rows: Vec<Vec<f64>> = logits.detach().to_dtype(DType::F64)?.to_vec2()?;
    let is_one = |row: &Vec<f64>| {
        let inside = row.iter().all(|p| (-ROUNDING..=1.0 + ROUNDING).contains(p));
        inside && (row.iter().sum::<f64>() - 1.0).abs() < ROUNDING
    };
    Ok(rows.iter().all(is_one))
}

/// The size of the largest component of each image's gradient of the cross-entropy; no number where one of them is none.
fn largest_gradients(network: &Network, batch: &TrainBatch) -> candle_core::Result<Vec<f32>> {
    let input = Var::from_tensor(&batch.pixels)?;
    let logits = network.forward(input.as_tensor(), Mode::Eval)?.logits;
    let mut gradients = rrm_losses::cross_entropy(&logits, &batch.labels)?.sum_all()?.backward()?;
    let Some(gradient) = gradients.remove(input.as_tensor()) else {
        bail!("the network's loss does not depend on its input");
    };
    let rows: Vec<Vec<f32>> = gradient.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2()?;
    // `max` alone would forget what is no number.
    let larger = |largest: f32, g: &f32| if g.is_nan() || largest.is_nan() { f32::NAN } else { largest.max(g.abs()) };
    Ok(rows.iter().map(|row| row.iter().fold(0.0, larger)).collect())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn only_rows_with_sum_one_are_probabilities() {
        let are = |rows: [[f32; 2]; 2]| look_like_probabilities(&Tensor::new(&rows, &Device::Cpu).unwrap()).unwrap();
        assert!(are([[0.25, 0.75], [1.0, 0.0]]));
        assert!(!are([[0.25, 0.75], [1.0, 0.5]]));
        assert!(!are([[0.25, 0.75], [-1.0, 2.0]]));
    }

    #[test]
    fn gradients_are_told_apart_by_their_size() {
        let mut gradients = Gradients::default();
        gradients.add(&[0.0, 1e-40, 1.0, f32::NAN, f32::INFINITY, 0.0], &[0, 1, 2, 3, 4]);
        assert_eq!((gradients.zero, gradients.denormal, gradients.not_finite), (1, 1, 2));
    }
}
