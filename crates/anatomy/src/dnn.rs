//! The paper's "DNN": six convolutions and a hidden linear layer, without batch-norm (digest §1.2).

use crate::After;
use crate::builder::{Bias, Builder, Kernel};

/// Channels of the three blocks.
const WIDTHS: [usize; 3] = [32, 64, 128];
/// Positions in PyTorch's sequence that a block takes: conv, ReLU, conv, ReLU, pool.
const BLOCK_POSITIONS: usize = 5;

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize) {
    for (block, width) in WIDTHS.into_iter().enumerate() {
        let first = block * BLOCK_POSITIONS;
        for position in [first, first + 2] {
            let name = format!("features.{position}");
            builder.conv(name, divided(width), Kernel::three(1), Bias::With, After::Relu);
        }
        builder.max_pool(format!("features.{}", first + 4), 2, 2, 0);
    }
    builder.linear("features.16", divided(512), After::Relu);
}
