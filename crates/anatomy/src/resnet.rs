//! ResNets: a stem, four layers of residual blocks, and the average over what is left of the image (digest §1.2 and §1.3).

use crate::After;
use crate::builder::{Bias, Builder, Kernel};

/// (width, stride of the first block) of each layer.
pub(crate) const LAYERS: [(usize, usize); 4] = [(64, 1), (128, 2), (256, 2), (512, 2)];
/// By how much a bottleneck's output is wider than its middle.
const EXPANSION: usize = 4;

/// How the ResNets differ.
pub(crate) struct Plan {
    stem: Kernel,
    /// Whether a max-pool follows the stem.
    pooled: bool,
    block: Block,
    /// Blocks of each layer.
    blocks: [usize; 4],
    /// What the shortcuts' convolutions are called.
    shortcut: &'static str,
}

/// The convolutions of a block.
#[derive(Clone, Copy)]
enum Block {
    /// Two of 3×3.
    Basic,
    /// 1×1, 3×3, and 1×1 to four times the width.
    Bottleneck,
}

pub(crate) const RESNET18: Plan =
    Plan { stem: Kernel::three(1), pooled: false, block: Block::Basic, blocks: [2, 2, 2, 2], shortcut: "shortcut" };

pub(crate) const RESNET50: Plan = Plan { block: Block::Bottleneck, blocks: [3, 4, 6, 3], ..RESNET18 };

pub(crate) const RESNET50_IMAGENET: Plan =
    Plan { stem: Kernel::new(7, 2, 3), pooled: true, shortcut: "downsample", ..RESNET50 };

impl Block {
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

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize, plan: &Plan) {
    builder.conv("conv1", divided(64), plan.stem, Bias::Without, After::Nothing);
    builder.norm("bn1", After::Relu);
    if plan.pooled {
        builder.max_pool("maxpool", 3, 2, 1);
    }
    for ((number, (width, first_stride)), count) in (1..).zip(LAYERS).zip(plan.blocks) {
        for block in 0..count {
            let stride = if block == 0 { first_stride } else { 1 };
            residual(builder, plan, &format!("layer{number}.{block}"), divided(width), stride);
        }
    }
    builder.average_pool("");
}

/// A block: its convolutions, then the shortcut where the block's input does not fit its output as it is.
fn residual(builder: &mut Builder, plan: &Plan, name: &str, width: usize, stride: usize) {
    let input = builder.shape;
    let convolutions = plan.block.convolutions(width, stride);
    let last = convolutions.len();
    let (outputs, _) = convolutions[last - 1];
    for (number, (outputs, kernel)) in (1..).zip(convolutions) {
        builder.conv(format!("{name}.conv{number}"), outputs, kernel, Bias::Without, After::Nothing);
        let inner = if number == last { After::SumRelu } else { After::Relu };
        builder.norm(format!("{name}.bn{number}"), inner);
    }
    if builder.shape != input {
        builder.layers.last_mut().expect("a block has layers").after = After::Nothing;
        builder.shape = input;
        builder.conv(
            format!("{name}.{}.0", plan.shortcut),
            outputs,
            Kernel::one(stride),
            Bias::Without,
            After::Nothing,
        );
        builder.norm(format!("{name}.{}.1", plan.shortcut), After::SumRelu);
    }
}
