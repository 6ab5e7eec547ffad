//! ResNets (He et al. 2016): a stem, four layers of residual blocks, and the average over what is left of the image.
//!
//! | network | stem | blocks | last image | source |
//! |---|---|---|---|---|
//! | ResNet18 | 3×3 | 2, 2, 2, 2 of two 3×3 convolutions | 4×4 | digest §1.2 |
//! | ResNet50 | 3×3 | 3, 4, 6, 3 bottlenecks | 4×4 | digest §1.2 |
//! | ResNet50 for 224×224 images | 7×7 stride 2, max-pool | 3, 4, 6, 3 bottlenecks | 7×7 | digest §1.3 |
//!
//! A bottleneck strides in its 3×3 convolution, as torchvision's "v1.5" does and the paper's first 1×1 does not.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::{Activation, Epilogue, PoolConfig, avg_pool2d};
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::init::Beginning;
use crate::layers::{Conv, ConvNorm, Kernel, Norm, relu_overlapping_max_pool};
use crate::network::Backbone;

/// (name, width, stride of the first block).
pub(crate) const LAYERS: [(&str, usize, usize); 4] =
    [("layer1", 64, 1), ("layer2", 128, 2), ("layer3", 256, 2), ("layer4", 512, 2)];
/// Channels of the stem.
pub(crate) const STEM: usize = 64;
/// By how much a bottleneck's output is wider than its middle.
const EXPANSION: usize = 4;

/// How the ResNets differ.
struct Plan {
    stem: Kernel,
    /// Whether a max-pool follows the stem.
    pooled: bool,
    block: Shape,
    /// Blocks of each layer.
    blocks: [usize; 4],
    /// What the shortcuts' convolutions are called.
    shortcut: &'static str,
    /// How convolutions begin.
    beginning: Beginning,
    /// Height and width of the last image.
    last_side: usize,
}

const RESNET18: Plan = Plan {
    stem: Kernel::three(1),
    pooled: false,
    block: Shape::Basic,
    blocks: [2, 2, 2, 2],
    shortcut: "shortcut",
    beginning: Beginning::Uniform,
    last_side: 4,
};

const RESNET50: Plan = Plan { block: Shape::Bottleneck, blocks: [3, 4, 6, 3], ..RESNET18 };

const RESNET50_IMAGENET: Plan = Plan {
    stem: Kernel::new(7, 2, 3),
    pooled: true,
    shortcut: "downsample",
    beginning: Beginning::Normal,
    last_side: 7,
    ..RESNET50
};

/// The convolutions of a block.
#[derive(Clone, Copy)]
enum Shape {
    /// Two of 3×3.
    Basic,
    /// 1×1, 3×3, and 1×1 to four times the width.
    Bottleneck,
}

impl Shape {
    /// (outputs, kernel) of each convolution.
    fn convolutions(self, width: usize, stride: usize) -> Vec<(usize, Kernel)> {
        match self {
            Self::Basic => vec![(width, Kernel::three(stride)), (width, Kernel::three(1))],
            Self::Bottleneck => {
                vec![(width, Kernel::one(1)), (width, Kernel::three(stride)), (EXPANSION * width, Kernel::one(1))]
            }
        }
    }
}

pub(crate) struct ResNet {
    stem: ConvNorm,
    pooled: bool,
    blocks: Vec<Block>,
    average: PoolConfig,
}

impl ResNet {
    pub(crate) fn resnet18(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        Self::new(vb, spec, &RESNET18)
    }

    pub(crate) fn resnet50(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        Self::new(vb, spec, &RESNET50)
    }

    pub(crate) fn resnet50_imagenet(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        Self::new(vb, spec, &RESNET50_IMAGENET)
    }

    fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, plan: &Plan) -> Result<Self> {
        let divided = |width: usize| width / spec.arch.width_divisor();
        let mut inputs = divided(STEM);
        let names = [vb.pp("conv1"), vb.pp("bn1")];
        let stem = conv_norm(names, spec.channels, inputs, plan.stem, plan.beginning)?;
        let mut blocks = Vec::with_capacity(plan.blocks.iter().sum());
        for ((name, width, first_stride), count) in LAYERS.into_iter().zip(plan.blocks) {
            for block in 0..count {
                let stride = if block == 0 { first_stride } else { 1 };
                blocks.push(Block::new(&vb.pp(name).pp(block), plan, &mut inputs, divided(width), stride)?);
            }
        }
        let average = PoolConfig { kernel: plan.last_side, stride: plan.last_side, padding: 0 };
        Ok(Self { stem, pooled: plan.pooled, blocks, average })
    }
}

impl Backbone for ResNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = match self.pooled {
            true => relu_overlapping_max_pool(&self.stem.forward(x, mode, Epilogue::NONE)?, 1)?,
            false => self.stem.forward(x, mode, Epilogue::RELU)?,
        };
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        avg_pool2d(&x, self.average)?.flatten_from(1)
    }
}

/// Convolutions with batch-norms; a ReLU follows each, and the block's input is added before the last one.
struct Block {
    inner: Vec<ConvNorm>,
    last: ConvNorm,
    /// Absent where the block's input fits its output as it is.
    shortcut: Option<ConvNorm>,
}

impl Block {
    /// Takes `inputs` channels, and leaves in it how many it yields.
    fn new(vb: &VarBuilder<'_>, plan: &Plan, inputs: &mut usize, width: usize, stride: usize) -> Result<Self> {
        let block_inputs = *inputs;
        let mut convolutions = Vec::new();
        for (number, (outputs, kernel)) in (1..).zip(plan.block.convolutions(width, stride)) {
            let names = [vb.pp(format!("conv{number}")), vb.pp(format!("bn{number}"))];
            convolutions.push(conv_norm(names, *inputs, outputs, kernel, plan.beginning)?);
            *inputs = outputs;
        }
        let last = convolutions.pop().expect("a block has convolutions");
        let shortcut = (stride != 1 || block_inputs != *inputs).then(|| {
            let vb = vb.pp(plan.shortcut);
            conv_norm([vb.pp(0), vb.pp(1)], block_inputs, *inputs, Kernel::one(stride), plan.beginning)
        });
        Ok(Self { inner: convolutions, last, shortcut: shortcut.transpose()? })
    }

    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut y = x.clone();
        for conv in &self.inner {
            y = conv.forward(&y, mode, Epilogue::RELU)?;
        }
        let residual = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(x, mode, Epilogue::NONE)?,
            None => x,
        };
        self.last.forward(&y, mode, Epilogue { residual: Some(residual), activation: Activation::Relu })
    }
}

/// A convolution without bias under the first name, and its batch-norm under the second.
fn conv_norm(
    [conv, norm]: [VarBuilder<'_>; 2],
    inputs: usize,
    outputs: usize,
    kernel: Kernel,
    beginning: Beginning,
) -> Result<ConvNorm> {
    let conv = Conv::without_bias(&conv, inputs, outputs, kernel, beginning)?;
    Ok(ConvNorm::new(conv, Norm::new(&norm, outputs)?))
}
