//! Steps of an attack that stay on the device: up a gradient, and back into the region where it may search.
//!
//! The same arithmetic as an attack does on the host, number for number.

use candle_core::{Result, Tensor, bail};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count};
use super::source::KernelSource;
use super::{detached, device_of};

/// Which rule brings a change back into a ball; they differ where the change is almost as long as the radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shrinkage {
    /// Changes longer than the radius are scaled to it, others left alone.
    WhereOutside,
    /// Every change is scaled to the smaller of its length and the radius.
    Always,
    /// The image is clipped to the pixel box first; then it is scaled by at most 1.
    AfterTheBox,
}

/// A Euclidean ball, and how to move in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BallStep {
    /// Length of the step.
    pub step_size: f64,
    /// Added to the gradient's length before dividing by it.
    pub gradient_guard: f64,
    /// The ball's radius.
    pub epsilon: f64,
    /// How a change is brought back.
    pub shrinkage: Shrinkage,
}

fn check(others: &[&Tensor], z: &Tensor) -> Result<()> {
    match others.iter().find(|other| other.dims() != z.dims() || other.dtype() != z.dtype()) {
        Some(other) => {
            bail!("climb: images {:?} of {:?}, and {:?} of {:?}", z.shape(), z.dtype(), other.shape(), other.dtype())
        }
        None => Ok(()),
    }
}

/// `clamp(z + step_size * sign(gradient), lower, upper)`; all tensors contiguous and of one shape and type, on a CUDA device.
///
/// # Errors
/// When shapes or types differ, or the device fails.
pub fn climb_in_box(z: &Tensor, gradient: &Tensor, [lower, upper]: [&Tensor; 2], step_size: f64) -> Result<Tensor> {
    check(&[gradient, lower, upper], z)?;
    let (device, len) = (device_of(z)?, count(z.elem_count())?);
    let out = unwritten(device, z.dtype(), z.elem_count())?;
    let addresses = [z, gradient, lower, upper].map(Address::of);
    let [z_at, gradient_at, lower_at, upper_at] = addresses.map(|address| address.map(Argument::At));
    let arguments = [
        z_at?,
        gradient_at?,
        lower_at?,
        upper_at?,
        Argument::Number(step_size),
        Argument::At(Address::of_new(&out)?),
        Argument::Count(len),
    ];
    // SAFETY: all five tensors hold `len` numbers.
    unsafe { Kernel::new(KernelSource::Climb, "climb_box", z.dtype())?.map(device, len, &arguments)? };
    Ok(detached(out, z.shape()))
}

/// Every image (N, …) moved along its gradient, then brought back into the ball around `natural` and into the pixel box; all
/// tensors contiguous and of one shape and type, on a CUDA device.
///
/// # Errors
/// When shapes or types differ, or the device fails.
pub fn climb_in_ball(z: &Tensor, gradient: &Tensor, natural: &Tensor, step: BallStep) -> Result<Tensor> {
    check(&[gradient, natural], z)?;
    let (device, images) = (device_of(z)?, z.dim(0)?);
    count(z.elem_count())?;
    let out = unwritten(device, z.dtype(), z.elem_count())?;
    if images == 0 {
        return Ok(detached(out, z.shape()));
    }
    let form = match step.shrinkage {
        Shrinkage::WhereOutside => 0,
        Shrinkage::Always => 1,
        Shrinkage::AfterTheBox => 2,
    };
    let [z_at, gradient_at, natural_at] = [z, gradient, natural].map(|tensor| Address::of(tensor).map(Argument::At));
    let arguments = [
        z_at?,
        gradient_at?,
        natural_at?,
        Argument::Number(step.step_size),
        Argument::Number(step.gradient_guard),
        Argument::Number(step.epsilon),
        Argument::Count(form),
        Argument::At(Address::of_new(&out)?),
        Argument::Count(count(z.elem_count() / images)?),
    ];
    // SAFETY: all four tensors hold as many images of as many numbers.
    unsafe {
        Kernel::new(KernelSource::Climb, "climb_ball", z.dtype())?.launch(device, (count(images)?, 1), &arguments)?;
    }
    Ok(detached(out, z.shape()))
}
