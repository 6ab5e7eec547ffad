//! Victims with simple landscapes, and shorthands for batches of few pixels.

use std::sync::Mutex;

use candle_core::{D, DType, Device, Result, Tensor};
use rrm_attacks::AttackRng;
use rrm_data::Stream;
use rrm_models::{Model, Output};
use rrm_spec::Mode;

/// A function from pixels (N, D) to logits (N, classes).
type Logits = dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync;

/// A classifier given by a formula. It counts the images of every forward pass.
pub(crate) struct Formula {
    logits: Box<Logits>,
    dtype: DType,
    passes: Mutex<Vec<usize>>,
}

impl Formula {
    pub(crate) fn new(dtype: DType, logits: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Self { logits: Box::new(logits), dtype, passes: Mutex::default() }
    }

    /// Images in each forward pass so far.
    pub(crate) fn passes(&self) -> Vec<usize> {
        self.passes.lock().unwrap().clone()
    }

    /// Logits w·x + b, one row of weights and one bias for each class.
    pub(crate) fn linear(weights: &'static [&'static [f64]], biases: &'static [f64]) -> Self {
        Self::new(DType::F64, move |x| {
            let logit = |(weight, &bias): (&&[f64], &f64)| {
                let weight = Tensor::new(*weight, &Device::Cpu)?;
                x.broadcast_mul(&weight)?.sum_keepdim(D::Minus1)?.affine(1.0, bias)
            };
            let logits: Result<Vec<Tensor>> = weights.iter().zip(biases).map(logit).collect();
            Tensor::cat(&logits?, 1)
        })
    }

    /// One pixel, two classes: class 0 is least sure at 1/2, with a margin of `margin` there.
    pub(crate) fn valley(margin: f64) -> Self {
        Self::new(DType::F64, move |x| Tensor::cat(&[&(x - 0.5)?.sqr()?.affine(64.0, margin)?, &x.zeros_like()?], 1))
    }

    /// Waves over `pixels` pixels, as many classes as orders in `classes`: class c in column `classes[c]`.
    ///
    /// Each image's logits are computed from its own pixels by sums in a fixed order, so that they are the same bits in
    /// any batch.
    pub(crate) fn waves(dtype: DType, pixels: usize, classes: &'static [usize]) -> Self {
        Self::new(dtype, move |x| {
            let wave = |&class: &usize| {
                let entries = |scale: f64| {
                    let numbers: Vec<f64> = (0..pixels).map(|i| (scale * (1 + i + 5 * class) as f64).sin()).collect();
                    Tensor::new(numbers, &Device::Cpu)?.to_dtype(dtype)
                };
                let (frequency, phase) = ((entries(1.7)? * 9.0)?, (entries(2.3)? * 3.0)?);
                let wave = x.broadcast_mul(&frequency)?.broadcast_add(&phase)?.sin()?;
                wave.broadcast_mul(&entries(0.9)?)?.sum_keepdim(D::Minus1)
            };
            let logits: Result<Vec<Tensor>> = classes.iter().map(wave).collect();
            Tensor::cat(&logits?, 1)
        })
    }
}

impl Model for Formula {
    fn forward(&self, pixels: &Tensor, _: Mode) -> Result<Output> {
        self.passes.lock().unwrap().push(pixels.dim(0)?);
        let logits = (self.logits)(&pixels.flatten_from(1)?)?;
        Ok(Output { representation: logits.clone(), logits })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

/// Images (N, 1, 1, D) from rows of pixels.
pub(crate) fn images<const D: usize>(rows: &[[f64; D]]) -> Tensor {
    let numbers: Vec<f64> = rows.concat();
    Tensor::from_vec(numbers, (rows.len(), 1, 1, D), &Device::Cpu).unwrap()
}

/// The pixels of all images, one after another.
pub(crate) fn pixels(images: &Tensor) -> Vec<f64> {
    images.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Randomness of the images with these positions.
pub(crate) fn keys(seed: u64, images: &[u32]) -> AttackRng<'_> {
    AttackRng { seed, stream: Stream::AttackEvaluation, epoch: 0, images }
}

pub(crate) fn assert_close(found: &[f64], expected: &[f64]) {
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(found.len() == expected.len() && close, "{found:?} is not {expected:?}");
}
