//! The same network from this crate's operations.

use candle_core::{Result, Tensor, Var};
use candle_nn::VarBuilder;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, avg_pool2d, batch_norm_train, conv2d,
    conv2d_frozen_norm, linear, update_running,
};

use crate::plan::{self, Block};

struct ConvNorm {
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Var,
    variance: Var,
    config: Conv2dConfig,
}

impl ConvNorm {
    fn new(vb: &VarBuilder, names: (&str, &str), sizes: (usize, usize), kernel: usize, stride: usize) -> Result<Self> {
        let norm = vb.pp(names.1);
        Ok(Self {
            weight: vb.pp(names.0).get((sizes.1, sizes.0, kernel, kernel), "weight")?,
            gamma: norm.get(sizes.1, "weight")?,
            beta: norm.get(sizes.1, "bias")?,
            mean: Var::from_tensor(&norm.get(sizes.1, "running_mean")?)?,
            variance: Var::from_tensor(&norm.get(sizes.1, "running_var")?)?,
            config: Conv2dConfig { stride, padding: kernel / 2 },
        })
    }

    fn forward(&self, x: &Tensor, epilogue: Epilogue<'_>, train: bool) -> Result<Tensor> {
        if train {
            let y = conv2d(x, &self.weight, None, self.config)?;
            let (y, batch) = batch_norm_train(&y, &self.gamma, &self.beta, 1e-5, epilogue)?;
            update_running(&self.mean, &batch.mean, 0.1)?;
            update_running(&self.variance, &batch.unbiased_variance, 0.1)?;
            return Ok(y);
        }
        let norm = FrozenNorm {
            gamma: &self.gamma,
            beta: &self.beta,
            running_mean: &self.mean.as_detached_tensor(),
            running_var: &self.variance.as_detached_tensor(),
            epsilon: 1e-5,
        };
        conv2d_frozen_norm(x, &self.weight, None, self.config, norm, epilogue)
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
        let y = self.first.forward(x, Epilogue::RELU, train)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, Epilogue::NONE, train)?,
            None => x.clone(),
        };
        self.second.forward(&y, Epilogue { residual: Some(&shortcut), activation: Activation::Relu }, train)
    }
}

/// ResNet18 from this crate's operations.
pub(crate) struct ResNet18 {
    stem: ConvNorm,
    blocks: Vec<ResidualBlock>,
    head: (Tensor, Tensor),
}

impl ResNet18 {
    /// Takes the variables of the stock network from `vb`.
    pub(crate) fn new(vb: &VarBuilder, channels: usize, divisor: usize) -> Result<Self> {
        let widths = plan::widths(divisor);
        let blocks = plan::blocks(divisor).iter().map(|block| ResidualBlock::new(vb, block)).collect::<Result<_>>()?;
        let stem = ConvNorm::new(vb, ("conv1", "bn1"), (channels, widths[0]), 3, 1)?;
        let head = vb.pp("linear");
        Ok(Self { stem, blocks, head: (head.get((10, widths[3]), "weight")?, head.get(10, "bias")?) })
    }

    /// Logits of images (N, C, 32, 32).
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.stem.forward(x, Epilogue::RELU, train)?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x, train))?;
        let x = avg_pool2d(&x, PoolConfig { kernel: 4, stride: 4, padding: 0 })?.flatten_from(1)?;
        linear(&x, &self.head.0, Some(&self.head.1))
    }
}
