//! Batch-norm with the statistics of the batch itself.

use candle_core::{Result, Tensor, bail};

use super::NormShape;
use super::statistics::{self, Input, Moments, Wanted};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
use crate::epilogue::{Activation, Epilogue};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};

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
/// When the shapes do not fit, a channel has a single number, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
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
    let (x, gamma, beta) = (x.contiguous()?, gamma.contiguous()?, beta.contiguous()?);
    let residual = epilogue.residual.map(Tensor::contiguous).transpose()?;
    let epilogue = Epilogue { residual: residual.as_ref(), ..epilogue };
    let activation = epilogue.activation;
    let arguments: Vec<&Tensor> = [&x, &gamma, &beta].into_iter().chain(&residual).collect();
    let operation = |moments| BatchNorm { shape, epsilon, activation, moments, x: x.detach(), gamma: gamma.detach() };
    by_device!(x, "batch_norm_train",
        cpu => by_element!(x.dtype(), "batch_norm_train", T => {
            let (y, moments) = forward::<T>(&shape, &x, [&gamma, &beta], epsilon, epilogue)?;
            let batch = batch_statistics(&moments, shape.population(), &x)?;
            Ok((record(&arguments, y, x.shape(), operation(Kept::OnCpu(moments)))?, batch))
        }),
        cuda => {
            let cuda::norm::Trained { y, moments, mean, unbiased_variance } =
                cuda::norm::train(&shape, epsilon, &x, [&gamma, &beta], epilogue)?;
            let y = record_stored(&arguments, y, x.shape(), operation(Kept::OnCuda(moments)))?;
            Ok((y, BatchStatistics { mean, unbiased_variance }))
        },
    )
}

fn forward<T: Element>(
    shape: &NormShape,
    x: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    epsilon: f64,
    epilogue: Epilogue<'_>,
) -> Result<(Vec<T>, Vec<Moments>)> {
    let (x, gamma, beta) = (Borrowed::of(x), Borrowed::of(gamma), Borrowed::of(beta));
    let residual = epilogue.residual.map(Borrowed::of);
    let residual = residual.as_ref().map(|residual| residual.numbers::<T>()).transpose()?;
    let input = Input { x: x.numbers()?, gamma: gamma.numbers()?, beta: beta.numbers()?, residual };
    Ok(statistics::forward(shape, epsilon, epilogue.activation, input))
}

fn batch_statistics(moments: &[Moments], population: usize, like: &Tensor) -> Result<BatchStatistics> {
    let tensor =
        |of: &dyn Fn(&Moments) -> f64| Tensor::from_iter(moments.iter().map(of), like.device())?.to_dtype(like.dtype());
    let bessel = population as f64 / (population as f64 - 1.0);
    Ok(BatchStatistics { mean: tensor(&|m| m.mean)?, unbiased_variance: tensor(&|m| m.variance * bessel)? })
}

/// The batch's moments, where the backward pass will read them.
enum Kept {
    OnCpu(Vec<Moments>),
    /// Means and inverse deviations, (2, C) in f64.
    #[cfg(feature = "cuda")]
    OnCuda(Tensor),
}

/// The operation on (x, gamma, beta) or (x, gamma, beta, residual).
struct BatchNorm {
    shape: NormShape,
    epsilon: f64,
    activation: Activation,
    moments: Kept,
    x: Tensor,
    gamma: Tensor,
}

impl Backward for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn reads_result(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        // Without an activation nothing stands between the residual and the output: hand the gradient on instead of copying it.
        let handed_on = self.activation == Activation::Identity;
        let wants_residual = arrived.wanted.get(3).is_some_and(|&wanted| wanted);
        let wanted = Wanted { input: arrived.wanted[0], residual: wants_residual && !handed_on };
        let [input, gamma, beta, residual] = match &self.moments {
            Kept::OnCpu(moments) => self.gradients_on_cpu(&arrived, moments, wanted)?,
            #[cfg(feature = "cuda")]
            Kept::OnCuda(moments) => {
                let arriving =
                    cuda::norm::Arriving { x: Some(&self.x), y: arrived.result, gradient: &arrived.gradient };
                cuda::norm::gradients(&self.shape, arriving, &self.gamma, moments, wanted)?
            }
        };
        let residual = if wants_residual && handed_on { Some(arrived.gradient) } else { residual };
        let [gamma, beta] = [(1, gamma), (2, beta)].map(|(argument, of)| of.filter(|_| arrived.wanted[argument]));
        Ok(vec![input, gamma, beta, residual])
    }
}

impl BatchNorm {
    /// The gradients of x, gamma, beta and residual.
    fn gradients_on_cpu(
        &self,
        arrived: &Arrived<'_>,
        moments: &[Moments],
        wanted: Wanted,
    ) -> Result<[Option<Tensor>; 4]> {
        let (x, gamma, gradient) = (Borrowed::of(&self.x), Borrowed::of(&self.gamma), Borrowed::of(&arrived.gradient));
        let y = arrived.result.map(Borrowed::of);
        by_element!(self.x.dtype(), "batch_norm_train", T => {
            let input = statistics::Backward {
                x: x.numbers::<T>()?,
                gamma: gamma.numbers()?,
                y: y.as_ref().map(|y| y.numbers()).transpose()?,
                gradient: gradient.numbers()?,
                moments,
                epsilon: self.epsilon,
            };
            let got = statistics::backward(&self.shape, input, wanted);
            let like_x = |v: Option<Vec<T>>| v.map(|v| Tensor::from_vec(v, self.x.shape(), self.x.device())).transpose();
            let vector = |v: Vec<T>| Tensor::from_vec(v, self.shape.channels, self.x.device()).map(Some);
            Ok([like_x(got.input)?, vector(got.gamma)?, vector(got.beta)?, like_x(got.residual)?])
        })
    }
}
