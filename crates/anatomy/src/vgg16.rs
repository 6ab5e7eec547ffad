//! VGG16 without batch-norm for 224×224 images, with the authors' narrower second hidden layer (digest §1.3).

use crate::After;
use crate::builder::{Bias, Builder, Kernel};

/// (channels, convolutions) of each block; a max-pool follows each.
const BLOCKS: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize) {
    // In PyTorch's sequence a convolution and its ReLU take a position each, and so does a pool.
    let mut position = 0;
    for (width, count) in BLOCKS {
        for _ in 0..count {
            let kernel = Kernel::three(1);
            builder.conv(format!("features.{position}"), divided(width), kernel, Bias::With, After::Relu);
            position += 2;
        }
        builder.max_pool(format!("features.{position}"), 2, 2, 0);
        position += 1;
    }
    builder.linear("classifier.0", divided(4096), After::Relu);
    builder.dropout("classifier.2");
    builder.linear("classifier.3", divided(2048), After::Relu);
}
