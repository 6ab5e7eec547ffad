//! The pre-activation ResNet18 (He et al. 2016, "Identity mappings in deep residual networks") that fast_adversarial trains
//! (Wong, Rice & Kolter 2020, `CIFAR10/preact_resnet.py`; digest §1.4).
//!
//! A block is `conv2(relu(bn2(conv1(relu(bn1(x)))))) + shortcut(x)`, without activation after the sum; a last batch-norm with ReLU
//! precedes the average over 4×4 pixels. Where shapes differ, the shortcut is a 1×1 convolution without batch-norm of the block's
//! *input*, as in fast_adversarial and in RobustBench's copy of it. Others, robust_overfitting among them, have it read
//! `relu(bn1(x))`, under the same keys: these are other networks.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::{Epilogue, PoolConfig, avg_pool2d};
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::init::Beginning;
use crate::layers::{Conv, ConvNorm, Kernel, Norm};
use crate::network::Backbone;
use crate::resnet::{LAYERS, STEM};

/// Blocks of each layer.
const BLOCKS: usize = 2;
/// Height and width of the last image.
const LAST_SIDE: usize = 4;

pub(crate) struct PreActResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: Norm,
}

impl PreActResNet {
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        let divided = |width: usize| width / spec.arch.width_divisor();
        let mut inputs = divided(STEM);
        let stem = conv(&vb.pp("conv1"), spec.channels, inputs, Kernel::three(1))?;
        let mut blocks = Vec::with_capacity(BLOCKS * LAYERS.len());
        for (name, width, first_stride) in LAYERS {
            for block in 0..BLOCKS {
                let stride = if block == 0 { first_stride } else { 1 };
                blocks.push(Block::new(&vb.pp(name).pp(block), inputs, divided(width), stride)?);
                inputs = divided(width);
            }
        }
        Ok(Self { stem, blocks, norm: Norm::new(&vb.pp("bn"), inputs)? })
    }
}

impl Backbone for PreActResNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(x)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        let x = self.norm.forward(&x, mode, Epilogue::RELU)?;
        avg_pool2d(&x, PoolConfig { kernel: LAST_SIDE, stride: LAST_SIDE, padding: 0 })?.flatten_from(1)
    }
}

/// Two convolutions, each after a batch-norm with ReLU, and the sum with the block's input.
struct Block {
    /// `bn1`, which follows no convolution but a sum.
    first: Norm,
    /// `conv1` and `bn2`.
    middle: ConvNorm,
    /// `conv2`.
    last: Conv,
    /// Absent where the block's input fits its output as it is.
    shortcut: Option<Conv>,
}

impl Block {
    fn new(vb: &VarBuilder<'_>, inputs: usize, width: usize, stride: usize) -> Result<Self> {
        let first = Norm::new(&vb.pp("bn1"), inputs)?;
        let middle = conv(&vb.pp("conv1"), inputs, width, Kernel::three(stride))?;
        let middle = ConvNorm::new(middle, Norm::new(&vb.pp("bn2"), width)?);
        let last = conv(&vb.pp("conv2"), width, width, Kernel::three(1))?;
        let shortcut = (stride != 1 || inputs != width)
            .then(|| conv(&vb.pp("shortcut").pp(0), inputs, width, Kernel::one(stride)))
            .transpose()?;
        Ok(Self { first, middle, last, shortcut })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let y = self.first.forward(x, mode, Epilogue::RELU)?;
        let y = self.middle.forward(&y, mode, Epilogue::RELU)?;
        let residual = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x)?,
            None => x,
        };
        self.last.forward_residual(&y, residual)
    }
}

fn conv(vb: &VarBuilder<'_>, inputs: usize, outputs: usize, kernel: Kernel) -> Result<Conv> {
    Conv::without_bias(vb, inputs, outputs, kernel, Beginning::Uniform)
}
