//! VGG11 and VGG19 with batch-norm for 32×32 images (Simonyan & Zisserman 2015, in the form of digest §1.2).
//!
//! Their final average pooling over 1×1 pixels changes nothing and is left out.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_kernels::Epilogue;
use rrm_spec::Mode;

use crate::NetworkSpec;
use crate::init::Beginning;
use crate::layers::{Conv, ConvNorm, Kernel, Norm, relu_max_pool};
use crate::network::Backbone;

use Stage::{Conv3x3, MaxPool};

/// The layers in order; the comments give the positions in PyTorch's `features`, where conv, norm and ReLU count as one
/// each.
const VGG11: [Stage; 13] = [
    Conv3x3(64), // 0
    MaxPool,
    Conv3x3(128), // 4
    MaxPool,
    Conv3x3(256), // 8
    Conv3x3(256), // 11
    MaxPool,
    Conv3x3(512), // 15
    Conv3x3(512), // 18
    MaxPool,
    Conv3x3(512), // 22
    Conv3x3(512), // 25
    MaxPool,
];

/// As [`VGG11`], with convolutions at 0, 3; 7, 10; 14, 17, 20, 23; 27, 30, 33, 36; 40, 43, 46, 49.
const VGG19: [Stage; 21] = [
    Conv3x3(64),
    Conv3x3(64),
    MaxPool,
    Conv3x3(128),
    Conv3x3(128),
    MaxPool,
    Conv3x3(256),
    Conv3x3(256),
    Conv3x3(256),
    Conv3x3(256),
    MaxPool,
    Conv3x3(512),
    Conv3x3(512),
    Conv3x3(512),
    Conv3x3(512),
    MaxPool,
    Conv3x3(512),
    Conv3x3(512),
    Conv3x3(512),
    Conv3x3(512),
    MaxPool,
];

#[derive(Clone, Copy)]
enum Stage {
    /// Convolution to so many channels, batch-norm, ReLU.
    Conv3x3(usize),
    /// Halves height and width.
    MaxPool,
}

/// A convolution with its batch-norm and ReLU.
struct Layer {
    conv: ConvNorm,
    /// Whether a max-pool follows.
    pooled: bool,
}

pub(crate) struct Vgg {
    layers: Vec<Layer>,
}

impl Vgg {
    pub(crate) fn vgg11(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        Self::new(vb, spec, &VGG11)
    }

    pub(crate) fn vgg19(vb: &VarBuilder<'_>, spec: &NetworkSpec) -> Result<Self> {
        Self::new(vb, spec, &VGG19)
    }

    fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, stages: &[Stage]) -> Result<Self> {
        let vb = vb.pp("features");
        let (mut position, mut inputs) = (0, spec.channels);
        let mut layers: Vec<Layer> = Vec::with_capacity(stages.len());
        for stage in stages {
            match stage {
                Conv3x3(width) => {
                    let (width, kernel) = (width / spec.arch.width_divisor(), Kernel::three(1));
                    let conv = Conv::with_bias(&vb.pp(position), inputs, width, kernel, Beginning::Uniform)?;
                    let conv = ConvNorm::new(conv, Norm::new(&vb.pp(position + 1), width)?);
                    layers.push(Layer { conv, pooled: false });
                    (position, inputs) = (position + 3, width);
                }
                MaxPool => {
                    layers.last_mut().expect("a pool follows a convolution").pooled = true;
                    position += 1;
                }
            }
        }
        Ok(Self { layers })
    }
}

impl Backbone for Vgg {
    fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for Layer { conv, pooled } in &self.layers {
            x = match pooled {
                true => relu_max_pool(&conv.forward(&x, mode, Epilogue::NONE)?)?,
                false => conv.forward(&x, mode, Epilogue::RELU)?,
            };
        }
        x.flatten_from(1)
    }
}
