//! The network under attack, as attacks see it: losses, whether each image is classified correctly, and gradients.

use candle_core::{Result, Tensor, Var, bail};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::pixels::{Pixel, Pixels};

/// The loss that an attack maximises, per image: logits (N, classes) and labels (N) of u32 to (N).
pub type Objective<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a;

/// A network under attack.
#[derive(Clone, Copy)]
pub struct Victim<'a> {
    /// The network. Only its input is tracked here, so a frozen one computes no weight gradient.
    pub model: &'a dyn Model,
    /// Which statistics its batch-norms use. In train mode every forward pass moves the running ones.
    pub mode: Mode,
    /// What is maximised.
    pub objective: &'a Objective<'a>,
}

/// What the victim makes of a batch, per image.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) loss: Vec<f64>,
    pub(crate) correct: Vec<bool>,
}

impl<'a> Victim<'a> {
    /// A victim whose cross-entropy is maximised.
    pub fn by_cross_entropy(model: &'a dyn Model, mode: Mode) -> Self {
        Self { model, mode, objective: &rrm_losses::cross_entropy }
    }

    /// Judges a batch without a gradient.
    pub(crate) fn judge<T: Pixel>(&self, pixels: &Pixels<T>, labels: &[u32]) -> Result<Verdict> {
        self.judge_tensor(&pixels.to_tensor(self.model.device())?, labels)
    }

    /// Judges a batch on the device.
    pub(crate) fn judge_tensor(&self, pixels: &Tensor, labels: &[u32]) -> Result<Verdict> {
        Ok(self.forward(pixels, labels)?.1)
    }

    /// Judges a batch and gives the gradient of each image's loss in its pixels.
    pub(crate) fn differentiate<T: Pixel>(&self, pixels: &Pixels<T>, labels: &[u32]) -> Result<(Verdict, Pixels<T>)> {
        let (verdict, gradient) = self.gradient_in(&pixels.to_var(self.model.device())?, labels)?;
        Ok((verdict, pixels.read_alike(&gradient)?))
    }

    /// The same for a batch on the device, where the gradient stays.
    pub(crate) fn gradient_in(&self, input: &Var, labels: &[u32]) -> Result<(Verdict, Tensor)> {
        let (losses, verdict) = self.forward(input.as_tensor(), labels)?;
        // Of the sum, not the mean: an image's gradient must not depend on how many others share its batch.
        let mut gradients = losses.sum_all()?.backward()?;
        let Some(gradient) = gradients.remove(input.as_tensor()) else {
            bail!("the attacked network's loss does not depend on its input");
        };
        Ok((verdict, gradient))
    }

    /// Losses (N), tracked where the pixels are, and what they say.
    fn forward(&self, pixels: &Tensor, labels: &[u32]) -> Result<(Tensor, Verdict)> {
        let logits = self.model.forward(pixels, self.mode)?.logits;
        let losses = (self.objective)(&logits, &Tensor::new(labels, self.model.device())?)?;
        let loss = losses.detach().to_dtype(candle_core::DType::F64)?.to_vec1()?;
        Ok((losses, Verdict { loss, correct: correct(&logits.detach(), labels)? }))
    }
}

/// Whether each image's label has the highest logit, the first of equal ones; logits that are no numbers never do.
fn correct(logits: &Tensor, labels: &[u32]) -> Result<Vec<bool>> {
    let rows: Vec<Vec<f64>> = logits.to_dtype(candle_core::DType::F64)?.to_vec2()?;
    Ok(rows.iter().zip(labels).map(|(row, &label)| wins(row, label as usize)).collect())
}

pub(crate) fn wins(logits: &[f64], label: usize) -> bool {
    let (before, rest) = logits.split_at(label.min(logits.len()));
    rest.split_first().is_some_and(|(own, after)| {
        before.iter().all(|other| own > other) && after.iter().all(|other| own >= other) && !own.is_nan()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_wins() {
        assert!(wins(&[1.0, 1.0, 0.0], 0));
        assert!(!wins(&[1.0, 1.0, 0.0], 1));
        assert!(wins(&[0.0, 1.0, 1.0], 1));
    }

    #[test]
    fn logits_that_are_no_numbers_classify_nothing() {
        assert!(!wins(&[f64::NAN], 0));
        assert!(!wins(&[1.0, f64::NAN], 0));
        assert!(!wins(&[f64::NAN, 1.0], 1));
    }
}
