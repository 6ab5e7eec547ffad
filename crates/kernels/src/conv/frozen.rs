//! Convolution and frozen batch-norm in one pass, for attacks, evaluation and frozen teachers.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::gradients;
use super::passes::Passes;
use super::shape::ConvShape;
use super::weight::{Forms, Weight};
use super::{Conv2dConfig, check_bias, check_residual, conv2d};
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, by_element};
use crate::epilogue::{Activation, Epilogue, Finish};
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::norm::{batch_norm_eval, scale_and_shift};
use crate::precision::Precision;

/// A batch-norm with frozen statistics; every tensor is (C).
#[derive(Clone, Copy, Debug)]
pub struct FrozenNorm<'a> {
    /// Scale after normalising.
    pub gamma: &'a Tensor,
    /// Shift after normalising.
    pub beta: &'a Tensor,
    /// Mean to subtract.
    pub running_mean: &'a Tensor,
    /// Variance to divide by.
    pub running_var: &'a Tensor,
    /// Added to the variance.
    pub epsilon: f64,
}

/// `activation(norm(conv2d(x, weight, bias)) + residual)`.
///
/// Where only `x` and the residual are tracked, the norm is folded into the weight, and no gradient but theirs is ever
/// computed; else this is [`conv2d`] followed by [`batch_norm_eval`], with the same meaning.
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn conv2d_frozen_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
    norm: FrozenNorm<'_>,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    if is_tracked(weight, bias, &norm) {
        let y = conv2d(x, weight, bias, config)?;
        let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = norm;
        return batch_norm_eval(&y, gamma, beta, running_mean, running_var, epsilon, epilogue);
    }
    Arc::new(Constant::folded(x, weight, bias, norm)?).apply(x, config, epilogue)
}

/// Whether something other than the images is tracked.
pub(super) fn is_tracked(weight: &Tensor, bias: Option<&Tensor>, norm: &FrozenNorm<'_>) -> bool {
    [weight, norm.gamma, norm.beta].into_iter().chain(bias).any(Tensor::track_op)
}

/// A convolution whose weight and bias ask for no gradient.
#[derive(Debug)]
pub(super) struct Constant {
    weight: Tensor,
    bias: Option<Tensor>,
    forms: Option<Forms>,
}

impl Constant {
    /// With these weights.
    pub(super) fn plain(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let bias = bias.map(|bias| bias.detach().contiguous()).transpose()?;
        Ok(Self { weight: weight.detach().contiguous()?, bias, forms: None })
    }

    /// With the norm after it folded into the weights, for images like `x`.
    pub(super) fn folded(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, norm: FrozenNorm<'_>) -> Result<Self> {
        check_norm(&norm, weight.dim(0)?)?;
        let (weight, bias) = fold(x, weight, bias, norm)?;
        Ok(Self { weight, bias: Some(bias), forms: None })
    }

    /// With a place for the forms of its weight: it will be applied more than once.
    pub(super) fn kept(self) -> Self {
        Self { forms: Some(Forms::default()), ..self }
    }

    /// `activation(conv(x) + residual)`, of which `x` and the residual may be tracked.
    pub(super) fn apply(self: &Arc<Self>, x: &Tensor, config: Conv2dConfig, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let shape = ConvShape::new(x, &self.weight, config)?;
        check_bias(self.bias.as_ref(), &shape)?;
        let Epilogue { residual, activation } = epilogue;
        check_residual(residual, &shape)?;
        let (x, residual) = (x.contiguous()?, residual.map(Tensor::contiguous).transpose()?);
        let arguments: Vec<&Tensor> = std::iter::once(&x).chain(&residual).collect();
        let operation = FrozenConv { precision: Precision::current(), shape, constant: self.clone(), activation };
        by_device!(x, "conv2d_frozen_norm",
            cpu => by_element!(x.dtype(), "conv2d", T => {
                let y = operation.forward::<T>(&x, residual.as_ref())?;
                record(&arguments, y, shape.out_dims(), operation)
            }),
            cuda => {
                let epilogue = Epilogue { residual: residual.as_ref(), activation };
                let y = cuda::conv::forward(&shape, &x, &self.weight, self.bias.as_ref(), epilogue)?;
                record_stored(&arguments, y, shape.out_dims(), operation)
            },
        )
    }
}

/// Weight and bias of the convolution that does what convolution and norm do.
fn fold(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, norm: FrozenNorm<'_>) -> Result<(Tensor, Tensor)> {
    by_device!(x, "conv2d_frozen_norm",
        cpu => {
            let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = norm;
            let (scale, shift) = scale_and_shift(gamma, beta, running_mean, running_var, epsilon)?;
            let shift = match bias {
                Some(bias) => (shift + (bias * &scale)?)?,
                None => shift,
            };
            Ok((scaled(weight, &scale)?, shift))
        },
        cuda => cuda::norm::fold(weight, bias, norm, x.dtype()),
    )
}

fn check_norm(norm: &FrozenNorm<'_>, channels: usize) -> Result<()> {
    let FrozenNorm { gamma, beta, running_mean, running_var, epsilon: _ } = norm;
    let named = [("gamma", gamma), ("beta", beta), ("running mean", running_mean), ("running variance", running_var)];
    match named.into_iter().find(|(_, tensor)| tensor.dims() != [channels]) {
        Some((name, tensor)) => {
            bail!("conv2d_frozen_norm: the {name} is {:?} for {channels} output channels", tensor.shape())
        }
        None => Ok(()),
    }
}

/// The weight times each output channel's scale.
fn scaled(weight: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let (weight, scale) = (weight.contiguous()?, scale.contiguous()?);
    by_element!(weight.dtype(), "conv2d", T => {
        let numbers = {
            let (weight, scale) = (Borrowed::of(&weight), Borrowed::of(&scale));
            let (weight, scale) = (weight.numbers::<T>()?, scale.numbers::<T>()?);
            let mut numbers = weight.to_vec();
            let filters = numbers.par_chunks_mut(weight.len() / scale.len()).zip(scale);
            filters.for_each(|(filter, &scale)| filter.iter_mut().for_each(|weight| *weight *= scale));
            numbers
        };
        Tensor::from_vec(numbers, weight.shape(), weight.device())
    })
}

/// Convolution of (x) or (x, residual) with constant weight and bias.
struct FrozenConv {
    precision: Precision,
    shape: ConvShape,
    constant: Arc<Constant>,
    activation: Activation,
}

impl FrozenConv {
    fn forward<T: Passes>(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Vec<T>> {
        let Constant { weight, bias, forms } = &*self.constant;
        let (x, weight) = (Borrowed::of(x), Borrowed::of(weight));
        let (bias, residual) = (bias.as_ref().map(Borrowed::of), residual.map(Borrowed::of));
        let bias = bias.as_ref().map(|bias| bias.numbers::<T>()).transpose()?;
        let residual = residual.as_ref().map(|residual| residual.numbers::<T>()).transpose()?;
        let finish = Finish { bias, residual, activation: self.activation };
        let weight = Weight::new(weight.numbers()?, forms.as_ref());
        Ok(T::forward(self.precision, &self.shape, x.numbers()?, weight, finish))
    }

    fn input_gradient(&self, gradient: &Tensor) -> Result<Tensor> {
        let Constant { weight, forms, .. } = &*self.constant;
        gradients::input(self.precision, &self.shape, weight, forms.as_ref(), gradient)
    }
}

impl Backward for FrozenConv {
    fn name(&self) -> &'static str {
        "conv2d_frozen_norm"
    }

    fn reads_result(&self) -> bool {
        self.activation == Activation::Relu
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        let gradient = arrived.before(self.activation)?;
        let dx = arrived.wanted(0, || self.input_gradient(&gradient))?;
        let wants_residual = arrived.wanted.get(1).is_some_and(|&wanted| wanted);
        Ok(vec![dx, wants_residual.then_some(gradient)])
    }
}
