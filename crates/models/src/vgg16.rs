//! VGG16 without batch-norm for 224×224 images (Simonyan & Zisserman 2015, in torchvision's form with the authors' narrower
//! second hidden layer; digest §1.3).
//!
//! Thirteen 3×3 convolutions with ReLU, five max-pools to 7×7 pixels, then
//!
//! | `classifier` | layer | output, undivided |
//! |---|---|---|
//! | 0, 2 | linear ReLU, dropout | 4096 |
//! | 3 | linear ReLU | 2048, the representation |
//!
//! The dropout between representation and classifier is the head's. torchvision's adaptive average over 7×7 pixels changes
//! nothing at this size and is left out.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::relu;
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::dropout::{Dropout, Masks};
use crate::init::Beginning;
use crate::layers::{Conv, Kernel, Linear, relu_max_pool};
use crate::network::Backbone;

/// (channels, convolutions) of each block; a max-pool follows each.
const BLOCKS: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
/// Width of the first hidden layer.
const HIDDEN: usize = 4096;
/// Pixels of the last image.
const LAST_PIXELS: usize = 7 * 7;

pub(crate) struct Vgg16 {
    blocks: Vec<Vec<Conv>>,
    hidden: [Linear; 2],
    dropout: Dropout,
}

impl Vgg16 {
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, masks: &Masks) -> Result<Self> {
        let (features, classifier) = (vb.pp("features"), vb.pp("classifier"));
        let divided = |width: usize| width / spec.arch.width_divisor();
        // In PyTorch's sequence a convolution and its ReLU take a position each, and so does a pool.
        let (mut position, mut inputs) = (0, spec.channels);
        let mut blocks = Vec::with_capacity(BLOCKS.len());
        for (width, count) in BLOCKS {
            let mut block = Vec::with_capacity(count);
            for _ in 0..count {
                let (vb, kernel) = (features.pp(position), Kernel::three(1));
                block.push(Conv::with_bias(&vb, inputs, divided(width), kernel, Beginning::Normal)?);
                (position, inputs) = (position + 2, divided(width));
            }
            blocks.push(block);
            position += 1;
        }
        let linear = |position: usize, inputs, outputs| {
            Linear::new(&classifier.pp(position), inputs, outputs, Beginning::Normal)
        };
        let first = linear(0, inputs * LAST_PIXELS, divided(HIDDEN))?;
        let second = linear(3, divided(HIDDEN), spec.arch.feature_width())?;
        Ok(Self { blocks, hidden: [first, second], dropout: Dropout::new(masks) })
    }
}

impl Backbone for Vgg16 {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            let (last, before) = block.split_last().expect("a block has convolutions");
            for conv in before {
                x = conv.forward_relu(&x)?;
            }
            x = relu_max_pool(&last.forward(&x)?)?;
        }
        let [first, second] = &self.hidden;
        let x = relu(&first.forward(&x.flatten_from(1)?)?)?;
        relu(&second.forward(&self.dropout.forward(&x, mode)?)?)
    }
}
