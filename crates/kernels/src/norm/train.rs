//! Batch-norm with the statistics of the batch itself.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::statistics::{self, Moments};
use super::{NormShape, per_channel};
use crate::element::{Borrowed, by_element, dtype, numbers, stored};
use crate::epilogue::{Activation, Epilogue};

/// Statistics of one batch, to update the running ones with; (C) each, detached.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// Mean of each channel.
    pub mean: Tensor,
    /// Variance of each channel over m - 1, as PyTorch's running variance wants it.
    pub unbiased_variance: Tensor,
}

/// `activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual)` with the mean and the biased variance
/// of each channel of `x` (N, C, …); also the batch's statistics.
///
/// # Errors
/// When the shapes do not fit, a channel has a single number, or the type is neither f32 nor f64.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, BatchStatistics)> {
    let shape = NormShape::new(x, &[gamma, beta], &epilogue)?;
    if shape.population() < 2 {
        bail!("batch norm: training needs more than one number per channel, not {:?}", x.shape());
    }
    if !x.device().is_cpu() {
        return composed(x, gamma, beta, epsilon, epilogue);
    }
    let moments = Arc::new(OnceLock::new());
    let op = BatchNorm { shape, epsilon, activation: epilogue.activation, moments: moments.clone() };
    let parameters = Tensor::stack(&[gamma, beta], 0)?;
    let x = x.contiguous()?;
    let y = match epilogue.residual {
        Some(residual) => x.apply_op3(&parameters, &residual.contiguous()?, op)?,
        None => x.apply_op2(&parameters, op)?,
    };
    let moments: &Vec<Moments> = moments.get().expect("the forward pass has set the moments");
    Ok((y, batch_statistics(moments, shape.population(), &x)?))
}

fn batch_statistics(moments: &[Moments], population: usize, like: &Tensor) -> Result<BatchStatistics> {
    let tensor =
        |of: &dyn Fn(&Moments) -> f64| Tensor::from_iter(moments.iter().map(of), like.device())?.to_dtype(like.dtype());
    let bessel = population as f64 / (population as f64 - 1.0);
    Ok(BatchStatistics { mean: tensor(&|m| m.mean)?, unbiased_variance: tensor(&|m| m.variance * bessel)? })
}

/// The same through Candle's own operations, for other devices.
fn composed(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Tensor, BatchStatistics)> {
    let (n, c) = (x.dim(0)?, x.dim(1)?);
    let mean_of = |t: &Tensor| t.reshape((n, c, ()))?.mean((0, 2));
    let mean = mean_of(x)?;
    let centred = x.broadcast_sub(&per_channel(&mean, x)?)?;
    let variance = mean_of(&centred.sqr()?)?;
    let scale = (gamma / (&variance + epsilon)?.sqrt()?)?;
    let y = centred.broadcast_mul(&per_channel(&scale, x)?)?.broadcast_add(&per_channel(beta, x)?)?;
    let population = (x.elem_count() / c) as f64;
    let unbiased_variance = (variance.detach() * (population / (population - 1.0)))?;
    Ok((epilogue.compose(y)?, BatchStatistics { mean: mean.detach(), unbiased_variance }))
}

/// The operation on (x, [gamma; beta]) or (x, [gamma; beta], residual).
struct BatchNorm {
    shape: NormShape,
    epsilon: f64,
    activation: Activation,
    /// Set by the forward pass, read by the backward pass.
    moments: Arc<OnceLock<Vec<Moments>>>,
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl BatchNorm {
    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        parameters: (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let out = by_element!(dtype(x.0), "batch_norm_train", T => {
            let residual = residual.map(|(storage, layout)| numbers::<T>(storage, layout)).transpose()?;
            let (numbers_of_x, parameters) = (numbers::<T>(x.0, x.1)?, numbers::<T>(parameters.0, parameters.1)?);
            let input = statistics::Input { x: numbers_of_x, parameters, residual };
            let (out, moments) = statistics::forward(&self.shape, self.epsilon, self.activation, input);
            self.moments.set(moments).ok();
            stored(out)
        });
        Ok((out, x.1.shape().clone()))
    }

    fn backward(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        wants_residual: bool,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<Gradients> {
        let moments = self.moments.get().expect("the forward pass ran before the backward pass");
        let g = g.contiguous()?;
        let borrowed = (Borrowed::of(x), Borrowed::of(parameters), Borrowed::of(y), Borrowed::of(&g));
        by_element!(x.dtype(), "batch_norm_train", T => {
            let input = statistics::Backward {
                x: borrowed.0.numbers::<T>()?,
                parameters: borrowed.1.numbers()?,
                y: borrowed.2.numbers()?,
                gradient: borrowed.3.numbers()?,
                moments,
                epsilon: self.epsilon,
                activation: self.activation,
            };
            let wanted = statistics::Wanted { input: x.track_op(), residual: wants_residual };
            let got = statistics::backward(&self.shape, input, wanted);
            let like_x = |v: Vec<T>| Tensor::from_vec(v, x.shape(), x.device());
            let parameters = parameters.track_op().then(|| Tensor::from_vec(got.parameters, parameters.shape(), x.device()));
            let residual = match self.activation {
                // Nothing stands between the residual and the output: share the gradient instead of copying it.
                Activation::Identity => wants_residual.then(|| g.clone()),
                Activation::Relu => got.residual.map(like_x).transpose()?,
            };
            Ok((got.input.map(like_x).transpose()?, parameters.transpose()?, residual))
        })
    }
}

impl CustomOp2 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, p: &CpuStorage, pl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (p, pl), None)
    }

    fn bwd(&self, x: &Tensor, p: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dp, _) = self.backward(x, p, false, y, gradient)?;
        Ok((dx, dp))
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
        r: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (p, pl), Some((r, rl)))
    }

    fn bwd(&self, x: &Tensor, p: &Tensor, r: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Gradients> {
        self.backward(x, p, r.track_op(), y, gradient)
    }
}
