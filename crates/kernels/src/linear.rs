//! Fully connected layers.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::conv::count_weight_gradient;
use crate::element::{Borrowed, Element, by_element, dtype, numbers, stored};

/// `x (N, I) · weightᵀ (I, O) + bias (O)`, where `weight` is (O, I).
///
/// # Errors
/// When the shapes do not fit, or the type is neither f32 nor f64.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let ((rows, inputs), (outputs, weight_inputs)) = (x.dims2()?, weight.dims2()?);
    if inputs != weight_inputs || bias.is_some_and(|bias| bias.dims() != [outputs]) {
        bail!(
            "linear: input {:?}, weight {:?}, bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.map(Tensor::shape)
        );
    }
    if !x.device().is_cpu() {
        let y = x.matmul(&weight.t()?)?;
        return bias.map_or(Ok(y.clone()), |bias| y.broadcast_add(bias));
    }
    let (x, weight, op) = (x.contiguous()?, weight.contiguous()?, Linear { rows, inputs, outputs });
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

struct Linear {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    fn forward<T: Element>(&self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let mut out = vec![T::ZERO; self.rows * self.outputs];
        out.par_chunks_mut(self.outputs).zip(x.par_chunks(self.inputs)).for_each(|(y, x)| {
            for (o, y) in y.iter_mut().enumerate() {
                *y = dot(x, &weight[o * self.inputs..][..self.inputs]) + bias.map_or(T::ZERO, |bias| bias[o]);
            }
        });
        out
    }

    fn input_gradient<T: Element>(&self, weight: &[T], gradient: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; self.rows * self.inputs];
        out.par_chunks_mut(self.inputs).zip(gradient.par_chunks(self.outputs)).for_each(|(x, gradient)| {
            for (&g, weight) in gradient.iter().zip(weight.chunks_exact(self.inputs)) {
                x.iter_mut().zip(weight).for_each(|(x, &w)| *x += g * w);
            }
        });
        out
    }

    fn weight_gradient<T: Element>(&self, x: &[T], gradient: &[T]) -> Vec<T> {
        let mut out = vec![T::ZERO; self.outputs * self.inputs];
        out.par_chunks_mut(self.inputs).enumerate().for_each(|(o, out)| {
            for (x, gradient) in x.chunks_exact(self.inputs).zip(gradient.chunks_exact(self.outputs)) {
                let g = gradient[o];
                out.iter_mut().zip(x).for_each(|(out, &x)| *out += g * x);
            }
        });
        out
    }

    fn run(&self, x: Operand<'_>, weight: Operand<'_>, bias: Option<Operand<'_>>) -> Result<(CpuStorage, Shape)> {
        let out = by_element!(dtype(x.0), "linear", T => {
            let bias = bias.map(|(storage, layout)| numbers::<T>(storage, layout)).transpose()?;
            stored(self.forward(numbers::<T>(x.0, x.1)?, numbers::<T>(weight.0, weight.1)?, bias))
        });
        Ok((out, (self.rows, self.outputs).into()))
    }

    fn backward(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (bx, bw, bg) = (Borrowed::of(x), Borrowed::of(weight), Borrowed::of(gradient));
        by_element!(x.dtype(), "linear", T => {
            let (nx, nw, ng) = (bx.numbers::<T>()?, bw.numbers::<T>()?, bg.numbers::<T>()?);
            let dx = x.track_op().then(|| Tensor::from_vec(self.input_gradient(nw, ng), x.shape(), x.device()));
            let dw = weight.track_op().then(|| {
                count_weight_gradient();
                Tensor::from_vec(self.weight_gradient(nx, ng), weight.shape(), x.device())
            });
            Ok((dx.transpose()?, dw.transpose()?))
        })
    }
}

type Operand<'a> = (&'a CpuStorage, &'a Layout);

/// Scalar product in eight fixed lanes, so that it can be vectorised and always has the same bits.
fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::ZERO; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let mut tail = T::ZERO;
    rest.for_each(|(&a, &b)| tail += a * b);
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.into_iter().fold(tail, |sum, lane| sum + lane)
}

fn column_sums(columns: usize, gradient: &Tensor) -> Result<Tensor> {
    let borrowed = Borrowed::of(gradient);
    by_element!(gradient.dtype(), "linear", T => {
        let mut sums = vec![T::ZERO; columns];
        for row in borrowed.numbers::<T>()?.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, &g)| *sum += g);
        }
        Tensor::from_vec(sums, columns, gradient.device())
    })
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run((x, xl), (w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, &gradient.contiguous()?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (dx, dw) = self.backward(x, w, &gradient)?;
        Ok((dx, dw, b.track_op().then(|| column_sums(self.outputs, &gradient)).transpose()?))
    }
}
