//! Updates in place: the optimiser's step and running statistics.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::changes;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{InPlace, by_element, dtype, numbers, numbers_mut};

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Stochastic gradient descent as PyTorch does it: weight decay in the gradient, momentum without dampening.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last step's direction that is kept.
    pub momentum: f64,
    /// Factor of the weight added to its gradient.
    pub weight_decay: f64,
}

/// `b = momentum * b + gradient + weight_decay * w; w -= learning_rate * b`, in place on both variables' storage, so that
/// detached tensors that share it see the new weights. A buffer of zeros makes the first step PyTorch's first step.
///
/// # Errors
/// When the shapes differ, or the type is neither f32 nor f64.
pub fn sgd_step(parameter: &Var, gradient: &Tensor, momentum_buffer: &Var, config: SgdConfig) -> Result<()> {
    if parameter.dims() != gradient.dims() || parameter.dims() != momentum_buffer.dims() {
        bail!(
            "sgd: weight {:?}, gradient {:?}, buffer {:?}",
            parameter.shape(),
            gradient.shape(),
            momentum_buffer.shape()
        );
    }
    let (gradient, buffer) = (gradient.detach().contiguous()?, momentum_buffer.as_detached_tensor());
    let weight = parameter.as_detached_tensor();
    let done = by_device!(weight, "sgd",
        cpu => {
            let SgdConfig { learning_rate, momentum, weight_decay } = config;
            buffer.inplace_op3(&gradient, &weight, &Direction { momentum, weight_decay })?;
            weight.inplace_op2(&buffer, &Blend { keep: 1.0, add: -learning_rate })
        },
        cuda => cuda::update::sgd(&weight, &buffer, &gradient.to_dtype(weight.dtype())?, config),
    );
    // After the change: what was made of the weight meanwhile is stale.
    changes::note(&weight);
    done
}

/// `running = (1 - momentum) * running + momentum * batch`, in place on the storage of `running`.
///
/// # Errors
/// When the shapes differ, or the type is neither f32 nor f64.
pub fn update_running(running: &Tensor, batch: &Tensor, momentum: f64) -> Result<()> {
    if running.dims() != batch.dims() {
        bail!("running statistics: {:?} cannot take {:?}", running.shape(), batch.shape());
    }
    let (running, batch) = (running.detach(), batch.detach().to_dtype(running.dtype())?);
    let done = running.inplace_op2(&batch.contiguous()?, &Blend { keep: 1.0 - momentum, add: momentum });
    changes::note(&running);
    done
}

/// `a += b`, in place on the storage of `a`.
pub(crate) fn add_in_place(a: &Tensor, b: &Tensor) -> Result<()> {
    a.inplace_op2(&b.contiguous()?, &Blend { keep: 1.0, add: 1.0 })
}

/// `b = momentum * b + g + weight_decay * w`.
struct Direction {
    momentum: f64,
    weight_decay: f64,
}

impl Direction {
    fn run<T: InPlace>(&self, buffer: &mut [T], gradient: &[T], weight: &[T]) {
        let (momentum, decay) = (T::from_f64(self.momentum), T::from_f64(self.weight_decay));
        let inputs = gradient.par_chunks(CHUNK).zip(weight.par_chunks(CHUNK));
        buffer.par_chunks_mut(CHUNK).zip(inputs).for_each(|(buffer, (gradient, weight))| {
            for (b, (&g, &w)) in buffer.iter_mut().zip(gradient.iter().zip(weight)) {
                *b = momentum * *b + (g + decay * w);
            }
        });
    }
}

impl InplaceOp3 for Direction {
    fn name(&self) -> &'static str {
        "sgd_direction"
    }

    fn cpu_fwd(
        &self,
        buffer: &mut CpuStorage,
        bl: &Layout,
        gradient: &CpuStorage,
        gl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
    ) -> Result<()> {
        by_element!(dtype(buffer), "sgd", T => {
            self.run::<T>(numbers_mut(buffer, bl)?, numbers(gradient, gl)?, numbers(weight, wl)?);
        });
        Ok(())
    }
}

/// `a = keep * a + add * b`.
struct Blend {
    keep: f64,
    add: f64,
}

impl Blend {
    fn run<T: InPlace>(&self, a: &mut [T], b: &[T]) {
        let (keep, add) = (T::from_f64(self.keep), T::from_f64(self.add));
        a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(|(a, b)| {
            a.iter_mut().zip(b).for_each(|(a, &b)| *a = keep * *a + add * b);
        });
    }
}

impl InplaceOp2 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(&self, a: &mut CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<()> {
        by_element!(dtype(a), "blend", T => { self.run::<T>(numbers_mut(a, al)?, numbers(b, bl)?); });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, a: &mut CudaStorage, al: &Layout, b: &CudaStorage, bl: &Layout) -> Result<()> {
        cuda::update::blend((a, al), (b, bl), [self.keep, self.add])
    }
}
