//! ReLU.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
use crate::epilogue::Activation;
#[cfg(feature = "cuda")]
use crate::graph::record_stored;
use crate::graph::{Arrived, Backward, record};
use crate::norm::mask;
use crate::output::written;

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `max(x, 0)`, of any shape; as in PyTorch, the derivative at 0 is 0, and a NaN stays one.
///
/// # Errors
/// When `x` is neither f32 nor f64, nor bf16 on a CUDA device.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    by_device!(x, "relu",
        cpu => by_element!(x.dtype(), "relu", T => {
            let y = map(Borrowed::of(&x).numbers::<T>()?, |x| x.larger(T::ZERO));
            record(&[&x], y, x.shape(), Relu)
        }),
        cuda => record_stored(&[&x], cuda::activation::relu(&x)?, x.shape(), Relu),
    )
}

struct Relu;

impl Backward for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn reads_result(&self) -> bool {
        true
    }

    fn backward(&self, arrived: Arrived<'_>) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(arrived.before(Activation::Relu)?)])
    }
}

/// `gradient` where `output` is positive or no number, else 0; both contiguous.
pub(crate) fn masked(output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    by_device!(output, "relu",
        cpu => {
            let (y, g) = (Borrowed::of(output), Borrowed::of(gradient));
            by_element!(output.dtype(), "relu", T => {
                let (y, g) = (y.numbers::<T>()?, g.numbers::<T>()?);
                let write = |out: &mut [MaybeUninit<T>]| {
                    let inputs = y.par_chunks(CHUNK).zip(g.par_chunks(CHUNK));
                    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (y, g))| {
                        mask(g, y, out);
                    });
                };
                // SAFETY: the chunks cover the output.
                Tensor::from_vec(unsafe { written(y.len(), write) }, output.shape(), output.device())
            })
        },
        cuda => cuda::activation::masked(output, gradient),
    )
}

/// Applies `f` to every number, in parallel.
fn map<T: Element>(x: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    let write = |out: &mut [MaybeUninit<T>]| {
        out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
            out.iter_mut().zip(x).for_each(|(out, &x)| {
                out.write(f(x));
            });
        });
    };
    // SAFETY: the chunks cover the output.
    unsafe { written(x.len(), write) }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn a_nan_and_its_gradient_are_kept() {
        let x = Var::new(&[f32::NAN, -1.0, f32::NEG_INFINITY, f32::INFINITY], &Device::Cpu).unwrap();
        let y = relu(x.as_tensor()).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().remove(x.as_tensor()).unwrap();
        let [first, rest @ ..] = &y.to_vec1::<f32>().unwrap()[..] else { panic!("four numbers") };
        assert!(first.is_nan());
        assert_eq!(rest, [0.0, 0.0, f32::INFINITY]);
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [1.0, 0.0, 0.0, 1.0]);
    }
}
