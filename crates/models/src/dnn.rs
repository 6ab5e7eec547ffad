//! The paper's "DNN": six convolutions and a hidden linear layer, without batch-norm (digest §1.2).
//!
//! | `features` | layer | output, undivided |
//! |---|---|---|
//! | 0, 2, pool | conv 3×3 ReLU, twice; max-pool | 32 × 16 × 16 |
//! | 5, 7, pool | conv 3×3 ReLU, twice; max-pool | 64 × 8 × 8 |
//! | 10, 12, pool | conv 3×3 ReLU, twice; max-pool | 128 × 4 × 4 |
//! | 16 | linear ReLU | 512 |

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::relu;
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::init::Beginning;
use crate::layers::{Conv, Kernel, Linear, relu_max_pool};
use crate::network::Backbone;

/// Channels of the three blocks.
const WIDTHS: [usize; 3] = [32, 64, 128];
/// Positions in PyTorch's sequence that a block takes: conv, ReLU, conv, ReLU, pool.
const BLOCK_POSITIONS: usize = 5;
/// Position of the hidden linear layer.
const HIDDEN: usize = 16;
/// Pixels of the last block's output, of images of 32×32.
const LAST_PIXELS: usize = 4 * 4;

pub(crate) struct Dnn {
    blocks: Vec<[Conv; 2]>,
    hidden: Linear,
}

impl Dnn {
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        let vb = vb.pp("features");
        let mut inputs = spec.channels;
        let mut blocks = Vec::with_capacity(WIDTHS.len());
        for (block, width) in WIDTHS.into_iter().enumerate() {
            let (first, width) = (block * BLOCK_POSITIONS, width / spec.arch.width_divisor());
            let conv = |position, inputs| {
                Conv::with_bias(&vb.pp(position), inputs, width, Kernel::three(1), Beginning::Uniform)
            };
            blocks.push([conv(first, inputs)?, conv(first + 2, width)?]);
            inputs = width;
        }
        let features = spec.arch.feature_width();
        let hidden = Linear::new(&vb.pp(HIDDEN), inputs * LAST_PIXELS, features, Beginning::Uniform)?;
        Ok(Self { blocks, hidden })
    }
}

impl Backbone for Dnn {
    fn forward(&self, x: &Tensor, _mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for [first, second] in &self.blocks {
            x = first.forward_relu(&x)?;
            x = relu_max_pool(&second.forward(&x)?)?;
        }
        relu(&self.hidden.forward(&x.flatten_from(1)?)?)
    }
}
