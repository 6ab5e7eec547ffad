//! The pre-activation ResNet18 of fast_adversarial (`CIFAR10/preact_resnet.py`; digest §1.4): batch-norm and ReLU come before each
//! convolution, sums have no activation, and a last batch-norm with ReLU precedes the average.

use crate::After;
use crate::builder::{Bias, Builder, Kernel};
use crate::resnet::LAYERS;

/// Blocks of each layer.
const BLOCKS: usize = 2;

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize) {
    builder.conv("conv1", divided(64), Kernel::three(1), Bias::Without, After::Nothing);
    for (number, (width, first_stride)) in (1..).zip(LAYERS) {
        for block in 0..BLOCKS {
            let stride = if block == 0 { first_stride } else { 1 };
            residual(builder, &format!("layer{number}.{block}"), divided(width), stride);
        }
    }
    builder.norm("bn", After::Relu);
    builder.average_pool("");
}

/// A block: twice a batch-norm and a convolution, then the shortcut where the block's input does not fit its output as it is.
fn residual(builder: &mut Builder, name: &str, width: usize, stride: usize) {
    let input = builder.shape;
    for (number, stride) in [(1, stride), (2, 1)] {
        builder.norm(format!("{name}.bn{number}"), After::Relu);
        let after = if number == 2 { After::Sum } else { After::Nothing };
        builder.conv(format!("{name}.conv{number}"), width, Kernel::three(stride), Bias::Without, after);
    }
    if builder.shape != input {
        builder.layers.last_mut().expect("a block has layers").after = After::Nothing;
        builder.shape = input;
        builder.conv(format!("{name}.shortcut.0"), width, Kernel::one(stride), Bias::Without, After::Sum);
    }
}
