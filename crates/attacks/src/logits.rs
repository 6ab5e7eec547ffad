//! The network under attack, as attacks see it that go by single logits and not by a loss.

use candle_core::{DType, Result, Tensor, Var, bail};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::pixels::{Pixel, Pixels};

/// A network in a mode.
#[derive(Clone, Copy)]
pub(crate) struct Classifier<'a> {
    pub(crate) model: &'a dyn Model,
    pub(crate) mode: Mode,
}

/// Logits (N, classes) at points whose gradients may be asked for.
pub(crate) struct Tracked {
    input: Var,
    logits: Tensor,
    /// The same numbers, image by image.
    pub(crate) rows: Vec<Vec<f64>>,
}

impl Classifier<'_> {
    /// Logits of each image.
    pub(crate) fn logits<T: Pixel>(&self, pixels: &Pixels<T>) -> Result<Vec<Vec<f64>>> {
        rows(&self.model.forward(&pixels.to_tensor(self.model.device())?, self.mode)?.logits)
    }

    /// Logits of each image, with their gradients at hand.
    pub(crate) fn track<T: Pixel>(&self, pixels: &Pixels<T>) -> Result<Tracked> {
        let input = pixels.to_var(self.model.device())?;
        let logits = self.model.forward(input.as_tensor(), self.mode)?.logits;
        let rows = rows(&logits)?;
        Ok(Tracked { input, logits, rows })
    }
}

impl Tracked {
    /// Gradients of z_k − z_l in the pixels, for each image with its own pair (k, l) of classes.
    pub(crate) fn difference_gradients<T: Pixel>(
        &self,
        pixels: &Pixels<T>,
        pairs: &[(usize, usize)],
    ) -> Result<Pixels<T>> {
        let classes = self.logits.dim(1)?;
        let mut weights = vec![0f32; pairs.len() * classes];
        for (image, &(plus, minus)) in pairs.iter().enumerate() {
            weights[image * classes + plus] += 1.0;
            weights[image * classes + minus] -= 1.0;
        }
        let weights = Tensor::from_vec(weights, self.logits.shape(), self.logits.device())?;
        let picked = self.logits.mul(&weights.to_dtype(self.logits.dtype())?)?.sum_all()?;
        let mut gradients = picked.backward()?;
        let Some(gradient) = gradients.remove(self.input.as_tensor()) else {
            bail!("the attacked network's logits do not depend on its input");
        };
        pixels.read_alike(&gradient)
    }
}

/// The numbers of each image.
pub(crate) fn rows(logits: &Tensor) -> Result<Vec<Vec<f64>>> {
    logits.detach().to_dtype(DType::F64)?.to_vec2()
}

/// The label's logit less the highest other one, below 0 where the image is misclassified; NaN where there is no such label.
pub(crate) fn margin(logits: &[f64], label: u32) -> f64 {
    let label = label as usize;
    let others = logits.iter().enumerate().filter(|&(class, _)| class != label).map(|(_, &logit)| logit);
    logits.get(label).map_or(f64::NAN, |own| own - others.fold(f64::NEG_INFINITY, f64::max))
}

/// Cross-entropy of the label; NaN where there is no such label.
pub(crate) fn cross_entropy(logits: &[f64], label: u32) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits.get(label as usize).map_or(f64::NAN, |own| largest + sum.ln() - own)
}

/// The class of the highest logit but the label's, the first of equal ones; the label where there is no other class.
pub(crate) fn rival(logits: &[f64], label: u32) -> usize {
    let others = (0..logits.len()).filter(|&class| class != label as usize);
    others.reduce(|best, class| if logits[class] > logits[best] { class } else { best }).unwrap_or(label as usize)
}

/// Whether the label has the highest logit, the first of equal ones; logits that are no numbers never do.
pub(crate) fn is_correct(logits: &[f64], label: u32) -> bool {
    let (before, rest) = logits.split_at((label as usize).min(logits.len()));
    rest.split_first().is_some_and(|(own, after)| {
        before.iter().all(|other| own > other) && after.iter().all(|other| own >= other) && !own.is_nan()
    })
}

/// The classes from the highest logit to the lowest, the first of equal ones first.
pub(crate) fn ranking(logits: &[f64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes
}

/// Fails unless every label is a class.
pub(crate) fn check_labels(logits: &[Vec<f64>], labels: &[u32]) -> Result<()> {
    for (image, (logits, &label)) in logits.iter().zip(labels).enumerate() {
        if label as usize >= logits.len() {
            bail!("labels: class {label} of image {image} is not one of {}", logits.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_the_labels_lead_over_the_best_of_the_others() {
        assert_eq!(margin(&[1.0, 4.0, 2.5], 1), 1.5);
        assert_eq!(margin(&[1.0, 4.0, 2.5], 2), -1.5);
        assert_eq!((rival(&[3.0, 1.0, 3.0], 0), rival(&[3.0, 1.0, 3.0], 1)), (2, 0));
    }

    #[test]
    fn classes_rank_by_logit_and_equal_ones_by_number() {
        assert_eq!(ranking(&[1.0, 4.0, 2.5, 4.0]), [1, 3, 2, 0]);
    }

    #[test]
    fn of_equal_logits_the_first_is_correct() {
        assert!(is_correct(&[1.0, 1.0, 0.0], 0));
        assert!(!is_correct(&[1.0, 1.0, 0.0], 1));
        assert!(is_correct(&[0.0, 1.0, 1.0], 1));
    }

    #[test]
    fn a_margin_is_negative_where_another_class_is_correct() {
        assert_eq!([0, 1, 2].map(|label| margin(&[1.0, 3.0, 2.5], label)), [-2.0, 0.5, -0.5]);
        assert!((cross_entropy(&[0.0, 0.0], 1) - 2f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn logits_that_are_no_numbers_classify_nothing() {
        assert!(!is_correct(&[f64::NAN], 0));
        assert!(!is_correct(&[1.0, f64::NAN], 0));
        assert!(!is_correct(&[f64::NAN, 1.0], 1));
    }
}
