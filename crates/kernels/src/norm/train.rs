//! Batch-norm with the statistics of the batch itself.

use candle_core::{Result, Tensor, bail};

use super::statistics::{self, Input, Moments, Wanted};
use super::{NormShape, per_channel};
use crate::element::{Borrowed, by_element};
use crate::epilogue::{Activation, Epilogue};
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
    let (x, gamma, beta) = (x.contiguous()?, gamma.contiguous()?, beta.contiguous()?);
    let residual = epilogue.residual.map(Tensor::contiguous).transpose()?;
    by_element!(x.dtype(), "batch_norm_train", T => {
        let (y, moments) = {
            let (x, gamma, beta) = (Borrowed::of(&x), Borrowed::of(&gamma), Borrowed::of(&beta));
            let residual = residual.as_ref().map(Borrowed::of);
            let residual = residual.as_ref().map(|residual| residual.numbers::<T>()).transpose()?;
            let input = Input { x: x.numbers()?, gamma: gamma.numbers()?, beta: beta.numbers()?, residual };
            statistics::forward(&shape, epsilon, epilogue.activation, input)
        };
        let batch = batch_statistics(&moments, shape.population(), &x)?;
        let activation = epilogue.activation;
        let operation = BatchNorm { shape, epsilon, activation, moments, x: x.detach(), gamma: gamma.detach() };
        let arguments: Vec<&Tensor> = [&x, &gamma, &beta].into_iter().chain(&residual).collect();
        Ok((record(&arguments, y, x.shape(), operation)?, batch))
    })
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

/// The operation on (x, gamma, beta) or (x, gamma, beta, residual).
struct BatchNorm {
    shape: NormShape,
    epsilon: f64,
    activation: Activation,
    moments: Vec<Moments>,
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
        let wants_residual = arrived.wanted.get(3).is_some_and(|&wanted| wanted);
        let (x, gamma, gradient) = (Borrowed::of(&self.x), Borrowed::of(&self.gamma), Borrowed::of(&arrived.gradient));
        let y = arrived.result.map(Borrowed::of);
        by_element!(self.x.dtype(), "batch_norm_train", T => {
            let input = statistics::Backward {
                x: x.numbers::<T>()?,
                gamma: gamma.numbers()?,
                y: y.as_ref().map(|y| y.numbers()).transpose()?,
                gradient: gradient.numbers()?,
                moments: &self.moments,
                epsilon: self.epsilon,
            };
            let wanted = Wanted { input: arrived.wanted[0], residual: wants_residual };
            let got = statistics::backward(&self.shape, input, wanted);
            let like_x = |v: Vec<T>| Tensor::from_vec(v, self.x.shape(), self.x.device());
            let vector = |v: Vec<T>| Tensor::from_vec(v, self.shape.channels, self.x.device());
            let residual = match self.activation {
                // Nothing stands between the residual and the output: hand the gradient on instead of copying it.
                Activation::Identity => wants_residual.then(|| arrived.gradient.clone()),
                Activation::Relu => got.residual.map(like_x).transpose()?,
            };
            let (gamma, beta) = (vector(got.gamma)?, vector(got.beta)?);
            let (gamma, beta) = (arrived.wanted[1].then_some(gamma), arrived.wanted[2].then_some(beta));
            Ok(vec![got.input.map(like_x).transpose()?, gamma, beta, residual])
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::conv::checks::numbers;

    fn tensor(seed: u64, dims: &[usize]) -> Tensor {
        let numbers = numbers(seed, dims.iter().product()).into_iter().map(f64::from).collect();
        Tensor::from_vec::<_, f64>(numbers, dims, &Device::Cpu).unwrap()
    }

    type Run = fn(&Tensor, &Tensor, &Tensor, f64, Epilogue<'_>) -> Result<(Tensor, BatchStatistics)>;

    fn everything(run: Run, inputs: &[Var]) -> Vec<f64> {
        let [x, gamma, beta, residual] = inputs else { panic!("four inputs") };
        let epilogue = Epilogue { residual: Some(residual.as_tensor()), activation: Activation::Relu };
        let (y, statistics) = run(x, gamma, beta, 1e-3, epilogue).unwrap();
        let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let mut tensors = vec![y, statistics.mean, statistics.unbiased_variance];
        tensors.extend(inputs.iter().map(|input| gradients.get(input).unwrap().clone()));
        tensors.iter().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect()
    }

    #[test]
    fn the_composed_batch_norm_agrees_with_the_kernel() {
        let inputs: Vec<Var> = [&[3, 4, 5, 2][..], &[4], &[4], &[3, 4, 5, 2]]
            .iter()
            .enumerate()
            .map(|(seed, dims)| Var::from_tensor(&tensor(seed as u64, dims)).unwrap())
            .collect();
        let (ours, theirs) = (everything(batch_norm_train, &inputs), everything(composed, &inputs));
        ours.iter().zip(&theirs).for_each(|(a, b)| assert!((a - b).abs() < 1e-9, "{a} {b}"));
    }
}
