//! The few kinds of layer that the networks are made of, under PyTorch's parameter names and with its defaults.

use candle_core::{DType, Result, Tensor};
use candle_nn::{VarBuilder, init};
use rrm_kernels::{Activation, Conv2dConfig, Epilogue, FrozenNorm, KeptConv2d, PoolConfig};
use rrm_spec::Mode;

use crate::init::Beginning;

/// Added to variances before dividing by their root.
const EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Size and movement of a square convolution kernel.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    size: usize,
    config: Conv2dConfig,
}

impl Kernel {
    /// `size` pixels a side, `stride` pixels between neighbours, and a border of `padding` zero pixels.
    pub(crate) const fn new(size: usize, stride: usize, padding: usize) -> Self {
        Self { size, config: Conv2dConfig { stride, padding } }
    }

    /// 3×3 with a border of one zero pixel.
    pub(crate) const fn three(stride: usize) -> Self {
        Self::new(3, stride, 1)
    }

    /// 1×1 without border.
    pub(crate) const fn one(stride: usize) -> Self {
        Self::new(1, stride, 0)
    }
}

/// ReLU, then the maximum of every 2×2 square: halves height and width.
pub(crate) fn relu_max_pool(x: &Tensor) -> Result<Tensor> {
    rrm_kernels::relu_max_pool2d(x, PoolConfig { kernel: 2, stride: 2, padding: 0 })
}

/// ReLU, then the maximum of every second 3×3 square, within a border of `padding` pixels.
pub(crate) fn relu_overlapping_max_pool(x: &Tensor, padding: usize) -> Result<Tensor> {
    rrm_kernels::relu_max_pool2d(x, PoolConfig { kernel: 3, stride: 2, padding })
}

/// A convolution: `weight` (O, C, k, k) and maybe `bias` (O).
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    config: Conv2dConfig,
    /// What passes of a frozen network make of the weights alone.
    kept: KeptConv2d,
}

impl Conv {
    /// With bias.
    pub(crate) fn with_bias(
        vb: &VarBuilder<'_>,
        inputs: usize,
        outputs: usize,
        kernel: Kernel,
        beginning: Beginning,
    ) -> Result<Self> {
        let conv = Self::without_bias(vb, inputs, outputs, kernel, beginning)?;
        let [_, bias] = beginning.conv(inputs, outputs, kernel.size);
        Ok(Self { bias: Some(vb.get_with_hints(outputs, "bias", bias)?), ..conv })
    }

    /// Without bias, as before a batch-norm.
    pub(crate) fn without_bias(
        vb: &VarBuilder<'_>,
        inputs: usize,
        outputs: usize,
        kernel: Kernel,
        beginning: Beginning,
    ) -> Result<Self> {
        let Kernel { size, config } = kernel;
        let [weight, _] = beginning.conv(inputs, outputs, size);
        let weight = vb.get_with_hints((outputs, inputs, size, size), "weight", weight)?;
        Ok(Self { weight, bias: None, config, kept: KeptConv2d::default() })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_activated(x, Activation::Identity)
    }

    /// conv(x) + residual, as one operation.
    pub(crate) fn forward_residual(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let epilogue = Epilogue { residual: Some(residual), activation: Activation::Identity };
        self.kept.conv2d_finished(x, &self.weight, self.bias.as_ref(), self.config, epilogue)
    }

    /// relu(conv(x)), as one operation.
    pub(crate) fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_activated(x, Activation::Relu)
    }

    fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.kept.conv2d_activated(x, &self.weight, self.bias.as_ref(), self.config, activation)
    }
}

/// A batch-norm: `weight` γ and `bias` β, `running_mean`, `running_var` (all (C)) and the count of its train batches.
pub(crate) struct Norm {
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
}

impl Norm {
    pub(crate) fn new(vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        Ok(Self {
            gamma: vb.get_with_hints(channels, "weight", init::ONE)?,
            beta: vb.get_with_hints(channels, "bias", init::ZERO)?,
            // Statistics carry no gradient; detached, they still share their variable's storage.
            running_mean: vb.get_with_hints(channels, "running_mean", init::ZERO)?.detach(),
            running_var: vb.get_with_hints(channels, "running_var", init::ONE)?.detach(),
            batches: vb.get_with_hints_dtype((), "num_batches_tracked", init::ZERO, DType::I64)?.detach(),
        })
    }

    /// `epilogue(norm(x))`, of a norm that no convolution precedes.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        match mode {
            Mode::Train => self.forward_train(x, epilogue),
            Mode::Eval => {
                let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = self.frozen();
                rrm_kernels::batch_norm_eval(x, gamma, beta, running_mean, running_var, epsilon, epilogue)
            }
        }
    }

    /// Normalises by the batch's own statistics, and moves the running ones towards them.
    fn forward_train(&self, x: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let (y, batch) = rrm_kernels::batch_norm_train(x, &self.gamma, &self.beta, EPSILON, epilogue)?;
        rrm_kernels::update_running(&self.running_mean, &batch.mean, MOMENTUM)?;
        rrm_kernels::update_running(&self.running_var, &batch.unbiased_variance, MOMENTUM)?;
        self.count_batch()?;
        Ok(y)
    }

    fn count_batch(&self) -> Result<()> {
        let next = self.batches.affine(1.0, 1.0)?;
        self.batches.reshape(1)?.slice_set(&next.reshape(1)?, 0, 0)
    }

    fn frozen(&self) -> FrozenNorm<'_> {
        FrozenNorm {
            gamma: &self.gamma,
            beta: &self.beta,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            epsilon: EPSILON,
        }
    }
}

/// A convolution and the batch-norm after it, which share their passes over the image.
pub(crate) struct ConvNorm {
    conv: Conv,
    norm: Norm,
    /// What passes of a frozen network in eval mode make of both.
    kept: KeptConv2d,
}

impl ConvNorm {
    pub(crate) fn new(conv: Conv, norm: Norm) -> Self {
        Self { conv, norm, kept: KeptConv2d::default() }
    }

    /// `epilogue(norm(conv(x)))`. With running statistics and nothing tracked but `x`, both are one operation.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        let Conv { weight, bias, config, kept: _ } = &self.conv;
        match mode {
            Mode::Train => self.norm.forward_train(&self.conv.forward(x)?, epilogue),
            Mode::Eval => self.kept.conv2d_frozen_norm(x, weight, bias.as_ref(), *config, self.norm.frozen(), epilogue),
        }
    }
}

/// A fully connected layer: `weight` (O, I) and `bias` (O).
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn new(vb: &VarBuilder<'_>, inputs: usize, outputs: usize, beginning: Beginning) -> Result<Self> {
        let [weight, bias] = beginning.linear(inputs);
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", weight)?,
            bias: vb.get_with_hints(outputs, "bias", bias)?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rrm_kernels::linear(x, &self.weight, Some(&self.bias))
    }
}
