//! How far apart two predictions of one network are, as TRADES has it: both are moved.

use candle_core::{Result, Tensor, bail};

use crate::{
    classification::{log_sum_exp, soft_target_kl},
    rows::{RowLoss, apply, constant},
};

/// KL(softmax(target) ‖ softmax(prediction)) of every image: (N). Both arguments are logits (N, classes).
///
/// Differentiable in both, as the authors of TRADES take it (Zhang et al. 2019, Eq. 5 and `trades.py`): the target's gradient
/// draws it towards the prediction. A target that is not tracked is a constant.
///
/// # Errors
/// When the shapes differ or the logits are neither f32 nor f64.
pub fn kl_divergence(target: &Tensor, prediction: &Tensor) -> Result<Tensor> {
    let of_prediction = soft_target_kl(prediction, &target.detach(), 1.0)?;
    if !target.track_op() {
        return Ok(of_prediction);
    }
    let of_target = apply(target, Target::towards(prediction)?)?;
    // The same numbers twice: once with the value and the prediction's gradient, once with the target's gradient alone.
    of_prediction + (&of_target - of_target.detach())?
}

/// The divergence as a function of the target's logits.
struct Target {
    /// log softmax of the prediction, row after row.
    log_predictions: Vec<f64>,
}

impl Target {
    fn towards(prediction: &Tensor) -> Result<Self> {
        let (_, classes) = prediction.dims2()?;
        if classes == 0 {
            bail!("a divergence needs classes");
        }
        let mut log_predictions = constant("the prediction", &prediction.detach())?;
        for row in log_predictions.chunks_exact_mut(classes) {
            let normalizer = log_sum_exp(row);
            row.iter_mut().for_each(|logit| *logit -= normalizer);
        }
        Ok(Self { log_predictions })
    }

    /// log p − log q of each class, and p.
    fn terms(&self, row: usize, target: &[f64]) -> Vec<(f64, f64)> {
        let normalizer = log_sum_exp(target);
        let predictions = &self.log_predictions[row * target.len()..][..target.len()];
        let term = |(logit, prediction): (&f64, &f64)| {
            let log_target = logit - normalizer;
            (log_target - prediction, log_target.exp())
        };
        target.iter().zip(predictions).map(term).collect()
    }
}

impl RowLoss for Target {
    const NAME: &'static str = "KL divergence";

    fn value(&self, row: usize, target: &[f64]) -> f64 {
        self.terms(row, target).iter().map(|(difference, share)| share * difference).sum()
    }

    fn derivative(&self, row: usize, target: &[f64], out: &mut [f64]) {
        let terms = self.terms(row, target);
        let divergence: f64 = terms.iter().map(|(difference, share)| share * difference).sum();
        for (out, (difference, share)) in out.iter_mut().zip(terms) {
            *out = share * (difference - divergence);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::rows::check::{assert_close, assert_gradient, losses_and_gradient, rows};

    #[test]
    fn a_divergence_agrees_with_the_definition_and_counts_once() {
        // p = (0.8, 0.2), q = (0.5, 0.5).
        let target = Var::from_tensor(&rows([[4f64.ln(), 0.0]])).unwrap();
        let expected = [0.8 * 1.6f64.ln() + 0.2 * 0.4f64.ln()];
        for target in [target.as_tensor().clone(), target.as_detached_tensor()] {
            let found = kl_divergence(&target, &rows([[0.0, 0.0]])).unwrap().to_vec1::<f64>().unwrap();
            assert_close(&found, &expected);
        }
    }

    #[test]
    fn equal_predictions_do_not_diverge_and_pull_nowhere() {
        let logits = rows([[0.3, -1.2, 2.0]]);
        let (losses, gradient) = losses_and_gradient(&logits, |x| kl_divergence(x, &logits));
        assert_close(&losses, &[0.0]);
        assert_close(&gradient[0], &[0.0; 3]);
    }

    #[test]
    fn a_divergence_has_the_gradient_of_its_values_on_both_sides() {
        let target = rows([[1.0, 0.5, -3.0], [0.0, 9.0, -2.0]]);
        let prediction = rows([[0.3, -1.2, 2.0], [4.0, 0.0, -1.0]]);
        assert_gradient(&prediction, |x| kl_divergence(&target, x));
        assert_gradient(&target, |x| kl_divergence(x, &prediction));
        // Both sides move with one network.
        assert_gradient(&target, |x| kl_divergence(x, &x.affine(-0.5, 1.0)?));
    }
}
