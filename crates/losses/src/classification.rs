//! Losses between logits and classes, or between two networks' logits.

use candle_core::{Result, Tensor, bail};

use crate::rows::{RowLoss, apply, classes_of, constant};

/// Cross-entropy of every image: (N).
///
/// `logits` is (N, classes), `labels` (N) of u32. Stable for logits of any size (log-sum-exp). Differentiable in
/// the logits; callers that want PyTorch's default take the mean.
///
/// # Errors
/// When the shapes do not fit, a label is not a class, or the logits are neither f32 nor f64.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (images, classes) = logits.dims2()?;
    apply(logits, CrossEntropy { labels: classes_of("labels", labels, images, classes)? })
}

struct CrossEntropy {
    labels: Vec<usize>,
}

impl RowLoss for CrossEntropy {
    const NAME: &'static str = "cross-entropy";

    fn value(&self, row: usize, logits: &[f64]) -> f64 {
        log_sum_exp(logits) - logits[self.labels[row]]
    }

    fn derivative(&self, row: usize, logits: &[f64], out: &mut [f64]) {
        softmax(logits, out);
        out[self.labels[row]] -= 1.0;
    }
}

/// KL(softmax(teacher / T) ‖ softmax(student / T)) of every image: (N), for distillation (Hinton et al. 2015).
///
/// Both logits are (N, classes), and `temperature` is T > 0. Differentiable in the student's logits; the teacher's are
/// constants. Callers multiply by T² to keep the gradient's size independent of T.
///
/// # Errors
/// When the shapes differ, the teacher's logits are tracked, the temperature is not above 0, or the student's logits
/// are neither f32 nor f64.
pub fn soft_target_kl(student_logits: &Tensor, teacher_logits: &Tensor, temperature: f64) -> Result<Tensor> {
    if student_logits.dims() != teacher_logits.dims() {
        bail!("student logits {:?}, teacher logits {:?}", student_logits.shape(), teacher_logits.shape());
    }
    if temperature.is_nan() || temperature <= 0.0 {
        bail!("temperature {temperature} must be above 0");
    }
    let mut log_targets = constant("the teacher's logits", teacher_logits)?;
    for row in log_targets.chunks_exact_mut(student_logits.dim(1)?) {
        row.iter_mut().for_each(|logit| *logit /= temperature);
        let normalizer = log_sum_exp(row);
        row.iter_mut().for_each(|logit| *logit -= normalizer);
    }
    apply(student_logits, SoftTargets { log_targets, temperature })
}

struct SoftTargets {
    /// log softmax(teacher / T), row after row.
    log_targets: Vec<f64>,
    temperature: f64,
}

impl SoftTargets {
    fn log_targets(&self, row: usize, classes: usize) -> &[f64] {
        &self.log_targets[row * classes..][..classes]
    }

    fn soften(&self, logits: &[f64]) -> Vec<f64> {
        logits.iter().map(|logit| logit / self.temperature).collect()
    }
}

impl RowLoss for SoftTargets {
    const NAME: &'static str = "soft-target KL";

    fn value(&self, row: usize, logits: &[f64]) -> f64 {
        let softened = self.soften(logits);
        let normalizer = log_sum_exp(&softened);
        let targets = self.log_targets(row, logits.len());
        targets.iter().zip(softened).map(|(target, logit)| target.exp() * (target - (logit - normalizer))).sum()
    }

    fn derivative(&self, row: usize, logits: &[f64], out: &mut [f64]) {
        softmax(&self.soften(logits), out);
        for (out, target) in out.iter_mut().zip(self.log_targets(row, logits.len())) {
            *out = (*out - target.exp()) / self.temperature;
        }
    }
}

/// log Σ exp(x), shifted by the maximum so that no exponential overflows.
pub(crate) fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

fn softmax(x: &[f64], out: &mut [f64]) {
    let normalizer = log_sum_exp(x);
    out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - normalizer).exp());
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::rows::check::{assert_close, assert_gradient, classes, losses_and_gradient, rows};

    #[test]
    fn cross_entropy_of_equal_logits_is_the_logarithm_of_the_class_count() {
        let labels = classes([2]);
        let (losses, gradient) = losses_and_gradient(&rows([[0.25; 4]]), |x| cross_entropy(x, &labels));
        assert_close(&losses, &[4f64.ln()]);
        assert_close(&gradient[0], &[0.25, 0.25, -0.75, 0.25]);
    }

    #[test]
    fn cross_entropy_neither_overflows_nor_vanishes_for_huge_logits() {
        let labels = classes([0, 1, 0]);
        let logits = rows([[1e4, -1e4], [1e4, -1e4], [-1e300, 0.0]]);
        let (losses, gradient) = losses_and_gradient(&logits, |x| cross_entropy(x, &labels));
        assert_close(&losses, &[0.0, 2e4, 1e300]);
        assert_close(&gradient[1], &[1.0, -1.0]);
        let single = logits.narrow(0, 0, 2).unwrap().to_dtype(DType::F32).unwrap();
        let (losses, _) = losses_and_gradient(&single, |x| cross_entropy(x, &classes([0, 1])));
        assert_close(&losses, &[0.0, 2e4]);
    }

    #[test]
    fn cross_entropy_has_the_gradient_of_its_values() {
        let labels = classes([0, 2]);
        assert_gradient(&rows([[0.3, -1.2, 2.0], [4.0, 0.0, -1.0]]), |x| cross_entropy(x, &labels));
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let logits = rows([[0.0, 1.0], [0.0, 1.0]]);
        let error = cross_entropy(&logits, &classes([1, 2])).unwrap_err().to_string();
        assert!(error.contains("class 2 of image 1"), "{error}");
        assert!(cross_entropy(&logits, &classes([1])).is_err());
    }

    #[test]
    fn logits_may_be_a_view() {
        let logits = rows([[0.3, 4.0], [-1.2, 0.0], [2.0, -1.0]]);
        let view = cross_entropy(&logits.t().unwrap(), &classes([0, 2])).unwrap().to_vec1::<f64>().unwrap();
        let copy = cross_entropy(&rows([[0.3, -1.2, 2.0], [4.0, 0.0, -1.0]]), &classes([0, 2])).unwrap();
        assert_eq!(view, copy.to_vec1::<f64>().unwrap());
    }

    #[test]
    fn soft_targets_of_the_own_logits_have_no_divergence() {
        let logits = rows([[0.3, -1.2, 2.0]]);
        let (losses, gradient) = losses_and_gradient(&logits, |x| soft_target_kl(x, &logits, 4.0));
        assert_close(&losses, &[0.0]);
        assert_close(&gradient[0], &[0.0; 3]);
    }

    #[test]
    fn soft_targets_agree_with_the_definition() {
        // p = softmax(teacher / 2) = (0.8, 0.2), q = softmax(0) = (0.5, 0.5).
        let teacher = rows([[2.0 * 4f64.ln(), 0.0]]);
        let kl = soft_target_kl(&rows([[0.0, 0.0]]), &teacher, 2.0).unwrap().to_vec1::<f64>().unwrap();
        assert_close(&kl, &[0.8 * 1.6f64.ln() + 0.2 * 0.4f64.ln()]);
    }

    #[test]
    fn soft_target_kl_has_the_gradient_of_its_values() {
        let teacher = rows([[1.0, 0.5, -3.0], [0.0, 900.0, -900.0]]);
        let student = rows([[0.3, -1.2, 2.0], [4.0, 0.0, -1.0]]);
        assert_gradient(&student, |x| soft_target_kl(x, &teacher, 3.0));
    }

    #[test]
    fn a_tracked_teacher_is_refused() {
        let teacher = candle_core::Var::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
        let error = soft_target_kl(&rows([[0.0, 0.0]]), teacher.as_tensor(), 1.0).unwrap_err();
        assert!(error.to_string().contains("frozen"), "{error}");
    }
}
