//! An operation's results and gradients on a device, compared with those of the CPU in f64.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::Outcome;
use crate::support::{flat, tensor};

/// An operation on several tensors, with several results; the first result is differentiated.
pub(crate) type Operation<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// What role an input has, and so which type it takes beside activations of bf16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Of the type under test.
    Activation,
    /// Of f32 where activations are bf16.
    Parameter,
}

/// Largest error allowed, as the length of the difference over the length of the expected numbers.
#[derive(Clone, Copy)]
pub(crate) struct Tolerance {
    pub(crate) f64: f64,
    pub(crate) f32: f64,
    pub(crate) bf16: f64,
}

/// f64: sums of some thousand numbers in another order, far below what any fault would leave. f32: a hundred roundings; TF32's
/// factors are each off by 2^-12 and more, ten times this. bf16: a handful of roundings of up to 2^-9 each.
pub(crate) const SMOOTH: Tolerance = Tolerance { f64: 1e-12, f32: 2e-5, bf16: 2e-2 };

/// As [`SMOOTH`], but in bf16 large summands that cancel may still round to the other side of a ReLU, and the gradient of such a
/// number is wholly off.
pub(crate) const WITH_RELU: Tolerance = Tolerance { bf16: 0.15, ..SMOOTH };

/// Numbers that are picked, not computed.
pub(crate) const EXACT: Tolerance = Tolerance { f64: 0.0, f32: 0.0, bf16: 0.0 };

/// Results, then gradients of the inputs, of `operation` on copies of `inputs` on `device`.
pub(crate) fn everything(
    operation: &Operation<'_>,
    inputs: &[(Tensor, Role)],
    device: &Device,
    dtype: DType,
) -> Result<Vec<Tensor>> {
    let copy = |(input, role): &(Tensor, Role)| {
        let dtype = if *role == Role::Parameter && dtype == DType::BF16 { DType::F32 } else { dtype };
        Var::from_tensor(&input.to_dtype(dtype)?.to_device(device)?)
    };
    let vars: Vec<Var> = inputs.iter().map(copy).collect::<Result<_>>()?;
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let mut all = operation(&tracked)?;
    let weights = tensor(99, all[0].dims()).to_dtype(all[0].dtype())?.to_device(device)?;
    let gradients = (&all[0] * weights)?.to_dtype(if dtype == DType::BF16 { DType::F32 } else { dtype })?;
    let gradients = gradients.sum_all()?.backward()?;
    for var in &vars {
        let gradient = gradients.get(var).ok_or_else(|| candle_core::Error::msg("an input has no gradient"))?;
        if gradient.dtype() != var.dtype() {
            candle_core::bail!("a gradient of {:?} for an input of {:?}", gradient.dtype(), var.dtype());
        }
        all.push(gradient.clone());
    }
    Ok(all)
}

/// What comparisons found, of which none ends a test before all have run: a device may be lent for a short time.
#[derive(Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    /// Holds the device's results in f64, f32 and bf16 against the CPU's in f64.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        operation: &Operation<'_>,
        inputs: &[(Tensor, Role)],
        device: &Device,
        tolerance: Tolerance,
    ) -> Result<()> {
        let expected = everything(operation, inputs, &Device::Cpu, DType::F64)?;
        for (dtype, allowed) in
            [(DType::F64, tolerance.f64), (DType::F32, tolerance.f32), (DType::BF16, tolerance.bf16)]
        {
            match everything(operation, inputs, device, dtype).and_then(|got| worst(&got, &expected)) {
                Ok((error, _)) if error <= allowed => {
                    println!("    {name} in {dtype:?}: off by {error:.1e}, allowed {allowed:.0e}");
                }
                Ok((error, which)) => {
                    self.0
                        .push(format!("{name} in {dtype:?}: output {which} is off by {error:.1e}, not {allowed:.0e}"));
                }
                Err(error) => self.0.push(format!("{name} in {dtype:?}: {error}")),
            }
        }
        Ok(())
    }

    /// Fails with everything that was found.
    pub(crate) fn outcome(self) -> Outcome {
        if self.0.is_empty() { Ok(()) } else { Err(self.0.join("\n").into()) }
    }
}

/// The largest error, infinite for what is no number, and the output that has it.
fn worst(got: &[Tensor], expected: &[Tensor]) -> Result<(f64, usize)> {
    let mut worst = (0.0, 0);
    for (which, (got, expected)) in got.iter().zip(expected).enumerate() {
        if got.dims() != expected.dims() {
            candle_core::bail!("output {which} is {:?} instead of {:?}", got.shape(), expected.shape());
        }
        let error = error(&flat(got)?, &flat(expected)?);
        if error.is_nan() || error > worst.0 {
            worst = (if error.is_nan() { f64::INFINITY } else { error }, which);
        }
    }
    Ok(worst)
}

/// Length of the difference over the length of the expected numbers.
pub(crate) fn error(got: &[f64], expected: &[f64]) -> f64 {
    let length = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let difference = length(&mut got.iter().zip(expected).map(|(a, b)| a - b));
    if difference == 0.0 { 0.0 } else { difference / length(&mut expected.iter().copied()) }
}
