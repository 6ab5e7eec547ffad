//! ResNet18 in plain candle_nn.

use candle_core::{Result, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, batch_norm, conv2d_no_bias, linear,
};

use super::blocks::{Block, blocks, widths};

struct ConvNorm(Conv2d, BatchNorm);

impl ConvNorm {
    fn new(vb: &VarBuilder, names: (&str, &str), sizes: (usize, usize), kernel: usize, stride: usize) -> Result<Self> {
        let config = Conv2dConfig { padding: kernel / 2, stride, ..Default::default() };
        let conv = conv2d_no_bias(sizes.0, sizes.1, kernel, config, vb.pp(names.0))?;
        Ok(Self(conv, batch_norm(sizes.1, 1e-5, vb.pp(names.1))?))
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, train)
    }
}

struct ResidualBlock {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl ResidualBlock {
    fn new(vb: &VarBuilder, block: &Block) -> Result<Self> {
        let (vb, sizes) = (vb.pp(&block.name), (block.inputs, block.outputs));
        let shortcut = || ConvNorm::new(&vb, ("shortcut.0", "shortcut.1"), sizes, 1, block.stride);
        Ok(Self {
            first: ConvNorm::new(&vb, ("conv1", "bn1"), sizes, 3, block.stride)?,
            second: ConvNorm::new(&vb, ("conv2", "bn2"), (block.outputs, block.outputs), 3, 1)?,
            shortcut: block.projects().then(shortcut).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.second.forward(&self.first.forward(x, train)?.relu()?, train)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, train)?,
            None => x.clone(),
        };
        (y + shortcut)?.relu()
    }
}

/// ResNet18 from candle_nn's layers.
pub(crate) struct ResNet18 {
    stem: ConvNorm,
    blocks: Vec<ResidualBlock>,
    head: Linear,
}

impl ResNet18 {
    /// Makes the variables that `vb` lacks.
    pub(crate) fn new(vb: &VarBuilder, channels: usize, divisor: usize) -> Result<Self> {
        let widths = widths(divisor);
        let blocks = blocks(divisor).iter().map(|block| ResidualBlock::new(vb, block)).collect::<Result<_>>()?;
        let stem = ConvNorm::new(vb, ("conv1", "bn1"), (channels, widths[0]), 3, 1)?;
        Ok(Self { stem, blocks, head: linear(widths[3], 10, vb.pp("linear"))? })
    }

    /// Logits of images (N, C, 32, 32).
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.stem.forward(x, train)?.relu()?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x, train))?;
        self.head.forward(&x.avg_pool2d(4)?.flatten_from(1)?)
    }
}
