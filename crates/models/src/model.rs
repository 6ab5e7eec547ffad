//! What attacks and training ask of a classifier.

use candle_core::{DType, Device, Result, Tensor};
use rrm_spec::Mode;

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// One number per image and class: (N, classes).
    pub logits: Tensor,
    /// What the classifier's last layer sees, before any dropout: (N, D). Representation matching compares these.
    pub representation: Tensor,
}

/// A differentiable classifier of images.
pub trait Model {
    /// Logits and representation of `pixels` (N, C, H, W) in [0, 1].
    ///
    /// Clamping and normalisation are part of the model, so that attacks work in pixel units and differentiate through
    /// them. In [`Mode::Train`] batch-norm uses the batch's statistics and moves the running ones, and dropout drops.
    ///
    /// # Errors
    /// When the pixels have another shape, type or device than the model.
    fn forward(&self, pixels: &Tensor, mode: Mode) -> Result<Output>;

    /// Where the weights are.
    fn device(&self) -> &Device;

    /// The type of weights and pixels.
    fn dtype(&self) -> DType;
}
