//! AlexNet for 224×224 images (Krizhevsky 2014, in torchvision's form with the authors' narrower second hidden layer; digest
//! §1.3).
//!
//! | `features` | layer | output, undivided |
//! |---|---|---|
//! | 0, pool | conv 11×11 stride 4 ReLU; max-pool | 64 × 27 × 27 |
//! | 3, pool | conv 5×5 ReLU; max-pool | 192 × 13 × 13 |
//! | 6 | conv 3×3 ReLU | 384 × 13 × 13 |
//! | 8 | conv 3×3 ReLU | 256 × 13 × 13 |
//! | 10, pool | conv 3×3 ReLU; max-pool | 256 × 6 × 6 |
//!
//! | `classifier` | layer | output, undivided |
//! |---|---|---|
//! | 0, 1 | dropout, linear ReLU | 4096 |
//! | 3, 4 | dropout, linear ReLU | 2048, the representation |
//!
//! torchvision's adaptive average over 6×6 pixels changes nothing at this size and is left out.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::relu;
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::dropout::{Dropout, Masks};
use crate::init::Beginning;
use crate::layers::{Conv, Kernel, Linear, relu_overlapping_max_pool};
use crate::network::Backbone;

/// (position in PyTorch's `features`, channels, kernel, whether a max-pool follows).
const CONVOLUTIONS: [(usize, usize, Kernel, bool); 5] = [
    (0, 64, Kernel::new(11, 4, 2), true),
    (3, 192, Kernel::new(5, 1, 2), true),
    (6, 384, Kernel::three(1), false),
    (8, 256, Kernel::three(1), false),
    (10, 256, Kernel::three(1), true),
];
/// Width of the first hidden layer.
const HIDDEN: usize = 4096;
/// Pixels of the last image.
const LAST_PIXELS: usize = 6 * 6;

pub(crate) struct AlexNet {
    convolutions: Vec<(Conv, bool)>,
    /// Each after a dropout.
    hidden: [Linear; 2],
    dropout: Dropout,
}

impl AlexNet {
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, masks: &Masks) -> Result<Self> {
        let (features, classifier) = (vb.pp("features"), vb.pp("classifier"));
        let divided = |width: usize| width / spec.arch.width_divisor();
        let mut inputs = spec.channels;
        let mut convolutions = Vec::with_capacity(CONVOLUTIONS.len());
        for (position, width, kernel, pooled) in CONVOLUTIONS {
            let conv = Conv::with_bias(&features.pp(position), inputs, divided(width), kernel, Beginning::Uniform)?;
            convolutions.push((conv, pooled));
            inputs = divided(width);
        }
        let linear = |position: usize, inputs, outputs| {
            Linear::new(&classifier.pp(position), inputs, outputs, Beginning::Uniform)
        };
        let first = linear(1, inputs * LAST_PIXELS, divided(HIDDEN))?;
        let second = linear(4, divided(HIDDEN), spec.arch.feature_width())?;
        Ok(Self { convolutions, hidden: [first, second], dropout: Dropout::new(masks) })
    }
}

impl Backbone for AlexNet {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for (conv, pooled) in &self.convolutions {
            x = match pooled {
                true => relu_overlapping_max_pool(&conv.forward(&x)?, 0)?,
                false => conv.forward_relu(&x)?,
            };
        }
        x = x.flatten_from(1)?;
        for linear in &self.hidden {
            x = relu(&linear.forward(&self.dropout.forward(&x, mode)?)?)?;
        }
        Ok(x)
    }
}
