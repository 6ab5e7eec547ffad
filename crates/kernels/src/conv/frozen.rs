//! Convolution and frozen batch-norm in one pass, for attacks, evaluation and frozen teachers.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::passes::{self, Passes};
use super::shape::ConvShape;
use super::{Conv2dConfig, conv2d};
use crate::element::{Borrowed, by_element, dtype, numbers, stored};
use crate::epilogue::{Activation, Epilogue, Finish, before_activation};
use crate::norm::{batch_norm_eval, scale_and_shift};

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
/// When the shapes do not fit, or the type is neither f32 nor f64.
pub fn conv2d_frozen_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
    norm: FrozenNorm<'_>,
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = norm;
    let tracked = [weight, gamma, beta].iter().any(|t| t.track_op()) || bias.is_some_and(Tensor::track_op);
    if tracked || !x.device().is_cpu() {
        let y = conv2d(x, weight, bias, config)?;
        return batch_norm_eval(&y, gamma, beta, running_mean, running_var, epsilon, epilogue);
    }
    let (scale, shift) = scale_and_shift(gamma, beta, running_mean, running_var, epsilon)?;
    let shift = match bias {
        Some(bias) => (shift + (bias * &scale)?)?,
        None => shift,
    };
    let weight = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
    folded(x, weight, shift, config, epilogue)
}

fn folded(x: &Tensor, weight: Tensor, bias: Tensor, config: Conv2dConfig, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let shape = ConvShape::new(x, &weight, config)?;
    let op = FrozenConv { shape, weight, bias, activation: epilogue.activation };
    match epilogue.residual {
        Some(residual) => x.contiguous()?.apply_op2(&op.checked(residual)?.contiguous()?, op),
        None => x.contiguous()?.apply_op1(op),
    }
}

/// Convolution of (x) or (x, residual) with constant weight and bias.
struct FrozenConv {
    shape: ConvShape,
    weight: Tensor,
    bias: Tensor,
    activation: Activation,
}

impl FrozenConv {
    fn out_dims(&self) -> [usize; 4] {
        let s = &self.shape;
        [s.images, s.out_channels, s.out_height(), s.out_width()]
    }

    fn checked<'a>(&self, residual: &'a Tensor) -> Result<&'a Tensor> {
        if residual.dims() != self.out_dims() {
            candle_core::bail!("conv2d: the residual is {:?}, the output {:?}", residual.shape(), self.out_dims());
        }
        Ok(residual)
    }

    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, bias) = (Borrowed::of(&self.weight), Borrowed::of(&self.bias));
        let out = by_element!(dtype(x.0), "conv2d", T => {
            let residual = residual.map(|(storage, layout)| numbers::<T>(storage, layout)).transpose()?;
            let finish = Finish { bias: Some(bias.numbers()?), residual, activation: self.activation };
            let out = <T as Passes>::forward(&self.shape, numbers(x.0, x.1)?, weight.numbers()?, finish);
            stored(out)
        });
        Ok((out, Shape::from(&self.out_dims()[..])))
    }
}

impl CustomOp1 for FrozenConv {
    fn name(&self) -> &'static str {
        "conv2d_frozen_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, layout), None)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = before_activation(self.activation, y, gradient)?;
        passes::input_gradient(&self.shape, &self.weight, &gradient).map(Some)
    }
}

impl CustomOp2 for FrozenConv {
    fn name(&self) -> &'static str {
        "conv2d_frozen_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, r: &CpuStorage, rl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), Some((r, rl)))
    }

    fn bwd(&self, x: &Tensor, r: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = before_activation(self.activation, y, gradient)?;
        let input = || passes::input_gradient(&self.shape, &self.weight, &gradient);
        let dx = x.track_op().then(input).transpose()?;
        Ok((dx, r.track_op().then(|| gradient.clone())))
    }
}
