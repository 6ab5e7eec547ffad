//! Where infinities and NaN come from.

use std::cell::RefCell;

use candle_core::{Result, Tensor, TensorId};
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::device::by_device;
use crate::element::{Borrowed, Element, by_element};
use crate::simd::vectorized;

/// Numbers that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The position of the first of `tensors`, all of one device, that holds an infinity or a NaN.
///
/// One read of all the numbers; on CUDA devices one transfer for all tensors together.
///
/// # Errors
/// When a type is neither f32 nor f64, the tensors are of several devices, or one fails.
pub fn first_not_finite<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Option<usize>> {
    let tensors: Vec<&Tensor> = tensors.into_iter().collect();
    let Some(first) = tensors.first() else { return Ok(None) };
    by_device!(first, "first_not_finite",
        cpu => {
            for (position, tensor) in tensors.iter().enumerate() {
                if !is_finite(tensor)? {
                    return Ok(Some(position));
                }
            }
            Ok(None)
        },
        cuda => cuda::finite::first_not_finite(&tensors),
    )
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    let tensor = tensor.contiguous()?;
    let borrowed = Borrowed::of(&tensor);
    by_element!(tensor.dtype(), "first_not_finite", T => {
        Ok(borrowed.numbers::<T>()?.par_chunks(CHUNK).all(all_finite))
    })
}

vectorized! {
    fn all_finite<T: Element>(numbers: &[T]) -> bool {
        const LANES: usize = 32;
        // Times 0, what is finite is 0 and everything else NaN, which stays in a sum.
        let mut lanes = [T::ZERO; LANES];
        let chunks = numbers.chunks_exact(LANES);
        lanes.iter_mut().zip(chunks.remainder()).for_each(|(lane, &number)| *lane = number * T::ZERO);
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += chunk[lane] * T::ZERO;
            }
        }
        lanes.iter().all(|&lane| lane == T::ZERO)
    }
}

/// The first operation whose result was not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// Its name, such as `conv2d`.
    pub operation: &'static str,
    /// The tensors that it computed with, by which its caller may know it.
    pub arguments: Vec<TensorId>,
}

/// What is known while work is watched.
#[derive(Default)]
struct Watch {
    culprit: Option<Culprit>,
}

thread_local! {
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Runs `work`, and tells which of this crate's differentiable operations that it ran on this thread was the first to have a
/// result that is not finite. Every result is read once more for that: for looking into a failure, not for every step.
///
/// # Panics
/// When `work` itself watches.
pub fn watched<R>(work: impl FnOnce() -> R) -> (R, Option<Culprit>) {
    /// Watching ends with the work, also where that panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            WATCH.take();
        }
    }
    let before = WATCH.replace(Some(Watch::default()));
    assert!(before.is_none(), "work that is watched cannot watch");
    let _end = End;
    let result = work();
    (result, WATCH.take().and_then(|watch| watch.culprit))
}

/// Looks at the result `y` of `operation`, if anybody watches.
pub(crate) fn look_at(operation: &'static str, arguments: &[&Tensor], y: &Tensor) -> Result<()> {
    let searching = WATCH.with_borrow(|watch| watch.as_ref().is_some_and(|watch| watch.culprit.is_none()));
    if searching && first_not_finite([y])?.is_some() {
        let arguments = arguments.iter().map(|argument| argument.id()).collect();
        WATCH.set(Some(Watch { culprit: Some(Culprit { operation, arguments }) }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::{linear, relu};

    fn numbers(len: usize) -> Vec<f32> {
        // Large enough for their sum to overflow.
        (0..len).map(|i| if i % 2 == 0 { 3e38 } else { 2.5e38 }).collect()
    }

    fn tensor(numbers: &[f32]) -> Tensor {
        Tensor::new(numbers, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_number_that_is_not_finite_is_found_wherever_it_stands() {
        for len in [1, 31, 32, 33, 100, CHUNK + 5] {
            let clean = numbers(len);
            assert_eq!(first_not_finite([&tensor(&clean)]).unwrap(), None);
            for place in [0, len / 2, len - 1] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut numbers = clean.clone();
                    numbers[place] = bad;
                    let spoilt = tensor(&numbers);
                    let found = first_not_finite([&tensor(&clean), &spoilt, &spoilt]).unwrap();
                    assert_eq!(found, Some(1), "{bad} at {place} of {len}");
                    let wide = spoilt.to_dtype(DType::F64).unwrap();
                    assert_eq!(first_not_finite([&wide]).unwrap(), Some(0), "{bad} at {place} of {len} in f64");
                }
            }
        }
    }

    #[test]
    fn of_no_tensors_none_is_spoilt() {
        assert_eq!(first_not_finite([]).unwrap(), None);
    }

    #[test]
    fn the_first_operation_with_a_spoilt_result_is_named_by_its_arguments() {
        let x = Tensor::full(1e20f32, (2, 3), &Device::Cpu).unwrap();
        let weight = Tensor::full(1e20f32, (3, 3), &Device::Cpu).unwrap();
        let run = || relu(&linear(&relu(&linear(&x, &weight, None)?)?, &weight, None)?);
        let (y, culprit) = watched(run);
        assert!(y.unwrap().to_vec2::<f32>().unwrap().concat().iter().all(|number| number.is_infinite()));
        assert_eq!(culprit, Some(Culprit { operation: "linear", arguments: vec![x.id(), weight.id()] }));
        assert_eq!(watched(|| relu(&x).unwrap()).1, None);
    }

    #[test]
    fn watching_ends_with_the_work_even_if_it_panics() {
        let panicked = std::panic::catch_unwind(|| watched(|| panic!("a failing test")));
        assert!(panicked.is_err());
        assert_eq!(watched(|| ()).1, None);
    }
}
