//! ResNet18 for 32×32 images (He et al. 2016, in the form of digest §1.2): a 3×3 stem without pooling, then four
//! layers of two basic blocks, then the average over the last 4×4 pixels.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::{Activation, Epilogue, PoolConfig, avg_pool2d};
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::layers::{Conv, ConvNorm, Kernel, Norm};
use crate::network::Backbone;

/// (name, channels, stride of the first block); every layer has two blocks.
const LAYERS: [(&str, usize, usize); 4] =
    [("layer1", 64, 1), ("layer2", 128, 2), ("layer3", 256, 2), ("layer4", 512, 2)];
/// Blocks of a layer.
const BLOCKS: usize = 2;
/// Channels of the stem.
const STEM: usize = 64;
/// Over what is left of a 32×32 image.
const AVERAGE: PoolConfig = PoolConfig { kernel: 4, stride: 4, padding: 0 };

pub(crate) struct ResNet {
    stem: ConvNorm,
    blocks: Vec<BasicBlock>,
}

impl ResNet {
    pub(crate) fn resnet18(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        let divided = |width: usize| width / spec.arch.width_divisor();
        let stem = conv_norm([vb.pp("conv1"), vb.pp("bn1")], spec.channels, divided(STEM), Kernel::three(1))?;
        let mut inputs = divided(STEM);
        let mut blocks = Vec::with_capacity(LAYERS.len() * BLOCKS);
        for (name, width, stride) in LAYERS {
            for block in 0..BLOCKS {
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(BasicBlock::new(&vb.pp(name).pp(block), inputs, divided(width), stride)?);
                inputs = divided(width);
            }
        }
        Ok(Self { stem, blocks })
    }
}

impl Backbone for ResNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(x, mode, Epilogue::RELU)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        avg_pool2d(&x, AVERAGE)?.flatten_from(1)
    }
}

/// relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)).
struct BasicBlock {
    first: ConvNorm,
    second: ConvNorm,
    /// Absent where the block's input fits its output as it is.
    shortcut: Option<ConvNorm>,
}

impl BasicBlock {
    fn new(vb: &VarBuilder<'_>, inputs: usize, width: usize, stride: usize) -> Result<Self> {
        let first = conv_norm([vb.pp("conv1"), vb.pp("bn1")], inputs, width, Kernel::three(stride))?;
        let second = conv_norm([vb.pp("conv2"), vb.pp("bn2")], width, width, Kernel::three(1))?;
        let shortcut = (stride != 1 || inputs != width).then(|| {
            let vb = vb.pp("shortcut");
            conv_norm([vb.pp(0), vb.pp(1)], inputs, width, Kernel::one(stride))
        });
        Ok(Self { first, second, shortcut: shortcut.transpose()? })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let y = self.first.forward(x, mode, Epilogue::RELU)?;
        let residual = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x, mode, Epilogue::NONE)?,
            None => x,
        };
        self.second.forward(&y, mode, Epilogue { residual: Some(residual), activation: Activation::Relu })
    }
}

/// A convolution without bias under the first name, and its batch-norm under the second.
fn conv_norm([conv, norm]: [VarBuilder<'_>; 2], inputs: usize, outputs: usize, kernel: Kernel) -> Result<ConvNorm> {
    Ok(ConvNorm { conv: Conv::without_bias(&conv, inputs, outputs, kernel)?, norm: Norm::new(&norm, outputs)? })
}
