//! Robust images (Ilyas et al. 2019, §3.1; digest §2.8): descending the distance of representations by gradients of the pixels.

use candle_core::{Result, Tensor, Var, bail};
use rrm_losses::l2_distance;
use rrm_models::Model;
use rrm_spec::Mode;

use crate::lengths::lengths;

/// What is added to a gradient's length before dividing by it; MadryLab's value.
const GUARD: f64 = 1e-10;

/// Gradient descent of images towards given representations, in the pixel box. Nothing else bounds how far they go: the authors'
/// radius is 1000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// Gradient steps.
    pub steps: u32,
    /// Length of each image's step, in pixel units.
    pub step_size: f64,
}

/// What a descent ends with: of each image the iterate of smallest distance, the start and the last one included.
#[derive(Clone, Debug)]
pub struct Descended {
    /// (N, C, H, W).
    pub images: Tensor,
    /// ‖g(x′) − target‖₂ of each.
    pub distances: Vec<f64>,
}

impl Descent {
    /// Descends from `start` (N, C, H, W) towards the representations `targets` (N, D) of `network` in eval mode. `observe` sees the
    /// distances of every iterate.
    ///
    /// # Errors
    /// When the shapes do not fit or the network fails.
    pub fn run(
        &self,
        network: &dyn Model,
        targets: &Tensor,
        start: &Tensor,
        observe: &mut dyn FnMut(&[f64]),
    ) -> Result<Descended> {
        let mut iterate = start.detach();
        let mut best = Descended { images: iterate.clone(), distances: vec![f64::INFINITY; start.dim(0)?] };
        for _ in 0..self.steps {
            let (distances, gradient) = differentiate(network, targets, &iterate)?;
            observe(&distances);
            best.improve(&iterate, &distances)?;
            let direction = gradient.broadcast_div(&(lengths(&gradient)? + GUARD)?)?;
            iterate = (iterate - (direction * self.step_size)?)?.clamp(0.0, 1.0)?.detach();
        }
        let distances = numbers(&distances_of(network, targets, &iterate)?)?;
        observe(&distances);
        best.improve(&iterate, &distances)?;
        Ok(best)
    }
}

impl Descended {
    /// Takes each image that is strictly nearer.
    fn improve(&mut self, images: &Tensor, distances: &[f64]) -> Result<()> {
        let nearer: Vec<bool> = distances.iter().zip(&self.distances).map(|(new, old)| new < old).collect();
        let mut dims = vec![1; images.rank()];
        dims[0] = nearer.len();
        let mask = Tensor::from_vec(nearer.iter().map(|&it| u8::from(it)).collect(), dims, images.device())?;
        self.images = mask.broadcast_as(images.shape())?.where_cond(images, &self.images)?;
        for row in (0..nearer.len()).filter(|&row| nearer[row]) {
            self.distances[row] = distances[row];
        }
        Ok(())
    }
}

fn distances_of(network: &dyn Model, targets: &Tensor, images: &Tensor) -> Result<Tensor> {
    l2_distance(&network.forward(images, Mode::Eval)?.representation, targets)
}

/// The distance of each image, and its gradient.
fn differentiate(network: &dyn Model, targets: &Tensor, images: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let images = Var::from_tensor(images)?;
    let distances = distances_of(network, targets, images.as_tensor())?;
    // Of the sum: an image's gradient must not depend on how many others share its batch.
    let gradients = distances.sum_all()?.backward()?;
    match gradients.get(images.as_tensor()) {
        Some(gradient) => Ok((numbers(&distances)?, gradient.detach())),
        None => bail!("the network's representation does not depend on its input"),
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.detach().to_dtype(candle_core::DType::F64)?.to_vec1()
}
