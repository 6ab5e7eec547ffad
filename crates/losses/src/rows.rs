//! Losses of single rows as one differentiable operation.
//!
//! Every loss of this crate looks at one image at a time: a row of logits or of representations, beside constants of
//! that image (its label, its teacher's row). Such a loss is a function of a few hundred numbers whose derivative is
//! known in closed form, so forward and backward are one pass each, instead of the dozen tensors that a chain of small
//! operations would allocate in every attack step. The arithmetic is in f64 whatever the tensor's type: it costs
//! nothing beside a convolution, and an f32 result is then right to its last place.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail};

/// The loss of one image as a function of its row, with its derivative.
pub(crate) trait RowLoss: Send + Sync + 'static {
    /// What error messages call it.
    const NAME: &'static str;

    /// The loss of image `row`.
    fn value(&self, row: usize, x: &[f64]) -> f64;

    /// Writes the derivative of `value` with respect to `x`; `out` comes as zeros and is as long as `x`.
    fn derivative(&self, row: usize, x: &[f64], out: &mut [f64]);
}

/// `loss` of every row of `x` (N, D): (N), on `x`'s device and of its type.
///
/// The rows of another device than the CPU are brought here and back: they are small.
pub(crate) fn apply<L: RowLoss>(x: &Tensor, loss: L) -> Result<Tensor> {
    let (_, columns) = x.dims2()?;
    let losses = x.to_device(&Device::Cpu)?.contiguous()?.apply_op1(Rows { loss, columns })?;
    losses.to_device(x.device())
}

/// A constant operand's numbers in row-major order.
///
/// # Errors
/// When the operand is tracked: it would silently get no gradient.
pub(crate) fn constant(name: &str, tensor: &Tensor) -> Result<Vec<f64>> {
    if tensor.track_op() {
        bail!("{name} is a constant of the loss: detach it, or compute it with a frozen network");
    }
    numbers(tensor)
}

/// One class per image, each checked to be one of `classes`.
pub(crate) fn classes_of(name: &str, tensor: &Tensor, images: usize, classes: usize) -> Result<Vec<usize>> {
    let indices = tensor.to_dtype(DType::U32)?.to_vec1::<u32>()?;
    if indices.len() != images {
        bail!("{} {name} for {images} images", indices.len());
    }
    match indices.iter().position(|&class| class as usize >= classes) {
        Some(image) => bail!("{name}: class {} of image {image} is not one of {classes}", indices[image]),
        None => Ok(indices.into_iter().map(|class| class as usize).collect()),
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

struct Rows<L> {
    loss: L,
    columns: usize,
}

impl<L: RowLoss> Rows<L> {
    fn forward(&self, numbers: impl Iterator<Item = f64>) -> Vec<f64> {
        let numbers: Vec<f64> = numbers.collect();
        numbers.chunks_exact(self.columns).enumerate().map(|(row, x)| self.loss.value(row, x)).collect()
    }

    fn backward(&self, numbers: &[f64], upstream: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; numbers.len()];
        let rows = numbers.chunks_exact(self.columns).zip(out.chunks_exact_mut(self.columns)).zip(upstream);
        for (row, ((x, out), &upstream)) in rows.enumerate() {
            self.loss.derivative(row, x, out);
            out.iter_mut().for_each(|gradient| *gradient *= upstream);
        }
        out
    }
}

impl<L: RowLoss> CustomOp1 for Rows<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("{}: rows are not contiguous", L::NAME) };
        let losses = match storage {
            CpuStorage::F32(all) => {
                let losses = self.forward(all[start..end].iter().map(|&x| f64::from(x)));
                CpuStorage::F32(losses.into_iter().map(|loss| loss as f32).collect())
            }
            CpuStorage::F64(all) => CpuStorage::F64(self.forward(all[start..end].iter().copied())),
            _ => bail!("{}: only for f32 and f64", L::NAME),
        };
        Ok((losses, Shape::from(layout.dims()[0])))
    }

    fn bwd(&self, x: &Tensor, _losses: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.backward(&numbers(x)?, &numbers(upstream)?);
        Tensor::from_vec(gradient, x.shape(), x.device())?.to_dtype(x.dtype()).map(Some)
    }
}

#[cfg(test)]
pub(crate) mod check {
    //! What the tests of every loss need.

    use candle_core::{DType, Device, Result, Tensor, Var};

    /// A tensor of the CPU in f64.
    pub(crate) fn rows<const N: usize, const D: usize>(numbers: [[f64; D]; N]) -> Tensor {
        Tensor::new(&numbers, &Device::Cpu).unwrap()
    }

    /// One u32 class per image.
    pub(crate) fn classes<const N: usize>(classes: [u32; N]) -> Tensor {
        Tensor::new(&classes, &Device::Cpu).unwrap()
    }

    /// The losses, and the gradient of their sum.
    pub(crate) fn losses_and_gradient(
        x: &Tensor,
        loss: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let x = Var::from_tensor(x).unwrap();
        let losses = loss(x.as_tensor()).unwrap();
        let gradients = losses.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(x.as_tensor()).unwrap().to_dtype(DType::F64).unwrap();
        (losses.to_dtype(DType::F64).unwrap().to_vec1().unwrap(), gradient.to_vec2().unwrap())
    }

    /// Asserts that the gradient of a weighted sum of the losses at `x` (N, D) agrees with central differences.
    pub(crate) fn assert_gradient(x: &Tensor, loss: impl Fn(&Tensor) -> Result<Tensor>) {
        const STEP: f64 = 1e-5;
        let (images, width) = x.dims2().unwrap();
        let weights = Tensor::arange(1.0, images as f64 + 1.0, &Device::Cpu).unwrap();
        let weighted = |x: &Tensor| loss(x).unwrap().mul(&weights).unwrap().sum_all().unwrap();
        let x = Var::from_tensor(x).unwrap();
        let gradients = weighted(x.as_tensor()).backward().unwrap();
        let analytic = gradients.get(x.as_tensor()).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let numbers = x.as_tensor().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let moved = |i: usize, step: f64| {
            let mut numbers = numbers.clone();
            numbers[i] += step;
            let moved = Tensor::from_vec(numbers, (images, width), &Device::Cpu).unwrap();
            weighted(&moved).to_scalar::<f64>().unwrap()
        };
        for (i, analytic) in analytic.into_iter().enumerate() {
            let numeric = (moved(i, STEP) - moved(i, -STEP)) / (2.0 * STEP);
            assert!((analytic - numeric).abs() < 1e-7 * (1.0 + numeric.abs()), "element {i}: {analytic} vs {numeric}");
        }
    }

    /// Asserts equality up to rounding.
    pub(crate) fn assert_close(actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 1e-12 * (1.0 + e.abs()), "{actual:?} is not {expected:?}");
        }
    }
}
