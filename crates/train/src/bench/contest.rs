//! AutoAttack's gradient attacks on weights and images that another library can be given, too: APGD-CE, then APGD-T on what it left.

use std::{
    collections::HashMap,
    io,
    num::NonZeroU32,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::{Device, Tensor};
use rrm_attacks::{Apgd, Attack, AttackRng, Ball};
use rrm_data::Stream;
use rrm_models::{Model, Network};
use rrm_spec::{ApgdLoss, Arch, Mode, Norm, Precision};

use super::{batch, network};
use crate::{TrainError, files::failed, step::predictions};

/// Iterations of each run: a tenth of AutoAttack's, of which more take longer and show nothing else.
const ITERATIONS: u32 = 10;

/// The share of images that a short attack must leave, so that both attacks have something to do.
const LEFT: f64 = 0.5;

/// A network and images under attack.
pub struct Contest {
    network: Network,
    pixels: Tensor,
    labels: Vec<u32>,
    epsilon: f64,
    batch_size: usize,
}

impl Contest {
    /// Images that are attacked.
    pub const IMAGES: usize = 1000;

    /// A network of `arch`, drawn anew, and random images with the classes that it gives them, attacked `batch_size` at a time in
    /// l∞, with a radius at which about half of them withstand.
    ///
    /// # Errors
    /// [`TrainError::Compute`] where the network fails.
    pub fn prepare(arch: Arch, batch_size: NonZeroU32, device: &Device) -> Result<Self, TrainError> {
        let network = network(arch, Precision::F32, device)?;
        let pixels = batch(network.spec(), Contest::IMAGES, device)?.pixels;
        centre(&network, &pixels)?;
        let labels = predictions(&network.forward(&pixels, Mode::Eval)?.logits)?;
        let (network, batch_size) = (network.frozen(), batch_size.get() as usize);
        let mut contest = Self { network, pixels, labels, epsilon: 0.0, batch_size };
        // Twice as large each time: within a factor of two of the radius that halves the accuracy.
        for doublings in 0..8 {
            let epsilon = f64::from(1 << doublings) / (32.0 * 255.0);
            let all: Vec<usize> = (0..Contest::IMAGES).collect();
            let left = contest.survivors(&contest.apgd(ApgdLoss::Ce, epsilon, 5), &all)?;
            contest.epsilon = epsilon;
            if (left.len() as f64) < LEFT * Contest::IMAGES as f64 {
                break;
            }
        }
        Ok(contest)
    }

    /// Writes weights, images, labels, radius and iterations as safetensors. Names of weights begin with `state.` and their place in
    /// PyTorch's order.
    ///
    /// # Errors
    /// [`TrainError::File`] where the file cannot be written.
    pub fn save(&self, file: &Path) -> Result<(), TrainError> {
        let named = |(place, (name, tensor))| (format!("state.{place:05}.{name}"), tensor);
        let mut tensors: HashMap<String, Tensor> = self.network.state().into_iter().enumerate().map(named).collect();
        let labels: Vec<i64> = self.labels.iter().map(|&label| i64::from(label)).collect();
        tensors.insert("pixels".into(), self.pixels.clone());
        tensors.insert("labels".into(), Tensor::new(labels, &Device::Cpu)?);
        tensors.insert("epsilon".into(), Tensor::new(&[self.epsilon as f32], &Device::Cpu)?);
        tensors.insert("iterations".into(), Tensor::new(&[i64::from(ITERATIONS)], &Device::Cpu)?);
        candle_core::safetensors::save(&tensors, file).map_err(|error| failed("write", file)(io::Error::other(error)))
    }

    /// Attacks once; how long it took, and how many images are left.
    ///
    /// # Errors
    /// [`TrainError::Compute`] where the network fails.
    pub fn run(&self) -> Result<(Duration, usize), TrainError> {
        let start = Instant::now();
        let mut left: Vec<usize> = (0..Contest::IMAGES).collect();
        for loss in [ApgdLoss::Ce, ApgdLoss::TargetedDlr] {
            left = self.survivors(&self.apgd(loss, self.epsilon, ITERATIONS), &left)?;
        }
        Ok((start.elapsed(), left.len()))
    }

    fn apgd(&self, loss: ApgdLoss, epsilon: f64, iterations: u32) -> Apgd {
        let ball = Ball { norm: Norm::Linf, epsilon };
        Apgd { ball, iterations, restarts: 1, loss, targets: None, passes: NonZeroU32::MIN }
    }

    /// Those of the images `rows` that the attack does not break.
    fn survivors(&self, attack: &Apgd, rows: &[usize]) -> Result<Vec<usize>, TrainError> {
        let mut left = Vec::new();
        for rows in rows.chunks(self.batch_size) {
            let keys: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            let labels: Vec<u32> = rows.iter().map(|&row| self.labels[row]).collect();
            let pixels = self.pixels.index_select(&Tensor::new(keys.as_slice(), self.pixels.device())?, 0)?;
            let rng = AttackRng { seed: 0, stream: Stream::AttackEvaluation, epoch: 0, images: &keys };
            let attacked = attack.perturb(&self.network, Mode::Eval, &pixels, &labels, &rng)?;
            left.extend(rows.iter().zip(attacked.broken_by).filter(|(_, by)| by.is_none()).map(|(&row, _)| row));
        }
        Ok(left)
    }
}

/// Takes the mean logits of the images from the classifier's bias: without that, random networks see one class everywhere.
fn centre(network: &Network, pixels: &Tensor) -> Result<(), TrainError> {
    let mean = network.forward(pixels, Mode::Eval)?.logits.detach().mean(0)?;
    let (_, bias) = network.parameters().last().expect("the classifier's bias");
    Ok(bias.set(&(bias.as_tensor() - mean)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_images_are_broken_and_some_are_left_and_a_repetition_leaves_as_many() {
        let contest = Contest::prepare("dnn/16".parse().unwrap(), NonZeroU32::new(200).unwrap(), &Device::Cpu).unwrap();
        let (_, left) = contest.run().unwrap();
        assert!((1..Contest::IMAGES).contains(&left), "{left}");
        assert_eq!(contest.run().unwrap().1, left);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contest.safetensors");
        contest.save(&file).unwrap();
        let saved = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
        assert_eq!(saved.len(), contest.network.state().len() + 4);
        assert_eq!(saved["pixels"].dims(), [Contest::IMAGES, 3, 32, 32]);
    }
}
