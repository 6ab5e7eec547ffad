//! A network whose logits are multiplied by a number.

use candle_core::{DType, Device, Result, Tensor};
use rrm_models::{Model, Output};
use rrm_spec::Mode;

/// The same classifier to whom classes are all that counts, and another one to gradients of the cross-entropy.
pub(super) struct Scaled<'a> {
    pub(super) network: &'a dyn Model,
    /// Above 0.
    pub(super) scale: f64,
}

impl Model for Scaled<'_> {
    fn forward(&self, pixels: &Tensor, mode: Mode) -> Result<Output> {
        let output = self.network.forward(pixels, mode)?;
        let logits = if self.scale == 1.0 { output.logits } else { (output.logits * self.scale)? };
        Ok(Output { logits, ..output })
    }

    fn device(&self) -> &Device {
        self.network.device()
    }

    fn dtype(&self) -> DType {
        self.network.dtype()
    }
}
