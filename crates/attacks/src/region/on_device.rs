//! The region as a CUDA device sees it: an attack's images stay there between two gradients.

use candle_core::{Device, Result, Tensor};
use rrm_kernels::cuda::{BallStep, Shrinkage, climb_in_ball, climb_in_box};

use super::{Limits, Region};
use crate::{Ball, Form, pixels::Pixel};

/// What a step on the device reads.
pub(crate) struct DeviceRegion {
    ball: Ball,
    form: Form,
    bounds: Bounds,
}

enum Bounds {
    /// Lower and upper ends of the box that ball and pixel box make.
    Linf([Tensor; 2]),
    /// The natural images.
    L2(Tensor),
}

impl<T: Pixel> Region<T> {
    /// The region on `device`.
    pub(crate) fn on_device(&self, device: &Device) -> Result<DeviceRegion> {
        let bounds = match &self.limits {
            Limits::Linf { lower, upper } => Bounds::Linf([lower.to_tensor(device)?, upper.to_tensor(device)?]),
            Limits::L2 => Bounds::L2(self.natural.to_tensor(device)?),
            Limits::L1 => candle_core::bail!("steps in l1 are made on the host"),
        };
        Ok(DeviceRegion { ball: self.ball, form: self.form, bounds })
    }
}

impl DeviceRegion {
    /// One projected step of every image.
    pub(crate) fn climb(&self, pixels: &Tensor, gradient: &Tensor, step_size: f64) -> Result<Tensor> {
        let gradient = gradient.contiguous()?;
        match &self.bounds {
            Bounds::Linf([lower, upper]) => climb_in_box(pixels, &gradient, [lower, upper], step_size),
            Bounds::L2(natural) => {
                let (epsilon, gradient_guard) = (self.ball.epsilon, self.form.gradient_guard());
                let step = BallStep { step_size, gradient_guard, epsilon, shrinkage: shrinkage(self.form) };
                climb_in_ball(pixels, &gradient, natural, step)
            }
        }
    }
}

/// [`Form::shrinkage`] and the order of the two clips, as the kernels name them.
fn shrinkage(form: Form) -> Shrinkage {
    match form {
        Form::MadryLab => Shrinkage::WhereOutside,
        Form::CroceHein => Shrinkage::Always,
        Form::Art => Shrinkage::AfterTheBox,
    }
}
