//! VGG11 and VGG19 with batch-norm for 32×32 images (digest §1.2).

use crate::After;
use crate::builder::{Bias, Builder, Kernel};

/// Channels of the convolutions of each block, which a max-pool ends.
pub(crate) const VGG11: [&[usize]; 5] = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];
/// The same for VGG19.
pub(crate) const VGG19: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 4], &[512; 4], &[512; 4]];

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize, blocks: &[&[usize]]) {
    // In PyTorch's sequence convolution, norm and ReLU take a position each, and so does a pool.
    let mut position = 0;
    for block in blocks {
        for &width in *block {
            let kernel = Kernel::three(1);
            builder.conv(format!("features.{position}"), divided(width), kernel, Bias::With, After::Nothing);
            builder.norm(format!("features.{}", position + 1), After::Relu);
            position += 3;
        }
        builder.max_pool(format!("features.{position}"), 2, 2, 0);
        position += 1;
    }
}
