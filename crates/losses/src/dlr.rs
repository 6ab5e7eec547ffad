//! Difference-of-logits ratio (Croce & Hein 2020, §4.1): a loss for attacks that no rescaling of the logits changes.

use candle_core::{Result, Tensor, bail};

use crate::rows::{RowLoss, apply, classes_of};

/// Keeps the ratio finite where the largest logits are all equal; the value of the reference code.
const GUARD: f64 = 1e-12;

/// DLR of every image: (N), −(z_y − max_{i≠y} z_i) / (z₍₁₎ − z₍₃₎ + 1e-12) with z₍ₖ₎ the k-th largest logit.
///
/// `logits` is (N, classes), `labels` (N) of u32. Positive where the image is misclassified. Differentiable in the
/// logits; of equal logits the first counts as the largest.
///
/// # Errors
/// When there are fewer than three classes, the shapes do not fit, a label is not a class, or the logits are neither
/// f32 nor f64.
pub fn dlr(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (images, classes) = logits.dims2()?;
    if classes < 3 {
        bail!("the DLR loss needs three classes, not {classes}");
    }
    apply(logits, Dlr { labels: classes_of("labels", labels, images, classes)? })
}

/// Targeted DLR of every image: (N), −(z_y − z_t) / (z₍₁₎ − (z₍₃₎ + z₍₄₎)/2 + 1e-12) with `targets` (N) the classes t.
///
/// # Errors
/// When there are fewer than four classes, the shapes do not fit, a label or target is not a class, or the logits are
/// neither f32 nor f64.
pub fn targeted_dlr(logits: &Tensor, labels: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (images, classes) = logits.dims2()?;
    if classes < 4 {
        bail!("the targeted DLR loss needs four classes, not {classes}");
    }
    let labels = classes_of("labels", labels, images, classes)?;
    apply(logits, TargetedDlr { labels, targets: classes_of("targets", targets, images, classes)? })
}

struct Dlr {
    labels: Vec<usize>,
}

impl Dlr {
    fn ratio(&self, row: usize, logits: &[f64]) -> Ratio {
        let ranks = ranks(logits);
        let label = self.labels[row];
        let rival = if ranks[0] == label { ranks[1] } else { ranks[0] };
        Ratio { label, rival, top: ranks[0], low: vec![ranks[2]] }
    }
}

struct TargetedDlr {
    labels: Vec<usize>,
    targets: Vec<usize>,
}

impl TargetedDlr {
    fn ratio(&self, row: usize, logits: &[f64]) -> Ratio {
        let ranks = ranks(logits);
        Ratio { label: self.labels[row], rival: self.targets[row], top: ranks[0], low: ranks[2..4].to_vec() }
    }
}

/// (z_rival − z_label) / (z_top − mean of z_low + guard), each a class.
struct Ratio {
    label: usize,
    rival: usize,
    top: usize,
    low: Vec<usize>,
}

impl Ratio {
    fn parts(&self, logits: &[f64]) -> (f64, f64) {
        let low = self.low.iter().map(|&class| logits[class]).sum::<f64>() / self.low.len() as f64;
        (logits[self.rival] - logits[self.label], logits[self.top] - low + GUARD)
    }

    fn value(&self, logits: &[f64]) -> f64 {
        let (numerator, denominator) = self.parts(logits);
        numerator / denominator
    }

    fn derivative(&self, logits: &[f64], out: &mut [f64]) {
        let (numerator, denominator) = self.parts(logits);
        out[self.rival] += 1.0 / denominator;
        out[self.label] -= 1.0 / denominator;
        let slope = numerator / denominator / denominator;
        out[self.top] -= slope;
        self.low.iter().for_each(|&class| out[class] += slope / self.low.len() as f64);
    }
}

/// The classes, the one of the largest logit first; of equal ones the lower class first.
fn ranks(logits: &[f64]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes
}

impl RowLoss for Dlr {
    const NAME: &'static str = "DLR";

    fn value(&self, row: usize, logits: &[f64]) -> f64 {
        self.ratio(row, logits).value(logits)
    }

    fn derivative(&self, row: usize, logits: &[f64], out: &mut [f64]) {
        self.ratio(row, logits).derivative(logits, out);
    }
}

impl RowLoss for TargetedDlr {
    const NAME: &'static str = "targeted DLR";

    fn value(&self, row: usize, logits: &[f64]) -> f64 {
        self.ratio(row, logits).value(logits)
    }

    fn derivative(&self, row: usize, logits: &[f64], out: &mut [f64]) {
        self.ratio(row, logits).derivative(logits, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::check::{assert_close, assert_gradient, classes, losses_and_gradient, rows};

    fn values(losses: Result<Tensor>) -> Vec<f64> {
        losses.unwrap().to_vec1().unwrap()
    }

    #[test]
    fn dlr_agrees_with_hand_calculated_ratios() {
        // Sorted: 4, 2, 1, 0. Right class: -(4 - 2) / (4 - 1). Wrong class (of logit 1): -(1 - 4) / (4 - 1).
        let logits = rows([[1.0, 4.0, 0.0, 2.0], [1.0, 4.0, 0.0, 2.0]]);
        assert_close(&values(dlr(&logits, &classes([1, 0]))), &[-2.0 / 3.0, 1.0]);
        // -(4 - 2) / (4 - (1 + 0) / 2) and -(1 - 0) / 3.5.
        let targeted = targeted_dlr(&logits, &classes([1, 0]), &classes([3, 2]));
        assert_close(&values(targeted), &[-2.0 / 3.5, -1.0 / 3.5]);
    }

    #[test]
    fn no_rescaling_of_the_logits_changes_dlr() {
        let logits = rows([[1.0, 4.0, 0.0, 2.0]]);
        let scaled = logits.affine(1e-3, 0.0).unwrap();
        let (plain, scaled) = (values(dlr(&logits, &classes([3]))), values(dlr(&scaled, &classes([3]))));
        assert!((plain[0] - scaled[0]).abs() < 1e-8, "{plain:?} {scaled:?}");
    }

    #[test]
    fn dlr_of_all_equal_logits_is_zero_and_finite_in_its_gradient() {
        let labels = classes([2]);
        let (losses, gradient) = losses_and_gradient(&rows([[0.25; 5]]), |x| dlr(x, &labels));
        assert_eq!(losses, [0.0]);
        assert!(gradient[0].iter().all(|g| g.is_finite()), "{gradient:?}");
    }

    #[test]
    fn both_forms_have_the_gradients_of_their_values() {
        let logits = rows([[1.0, 4.0, 0.1, 2.0, -3.0], [0.5, -0.4, 2.2, 3.0, 1.0], [9.0, 1.0, 2.0, 3.0, 4.0]]);
        let (labels, targets) = (classes([1, 0, 4]), classes([3, 2, 0]));
        assert_gradient(&logits, |x| dlr(x, &labels));
        assert_gradient(&logits, |x| targeted_dlr(x, &labels, &targets));
    }

    #[test]
    fn too_few_classes_are_refused() {
        let logits = rows([[1.0, 2.0, 3.0]]);
        assert!(dlr(&logits.narrow(1, 0, 2).unwrap(), &classes([0])).is_err());
        assert!(targeted_dlr(&logits, &classes([0]), &classes([1])).is_err());
    }
}
