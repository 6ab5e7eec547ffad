//! Sums over a plane and maps from planes to planes: the inner loops of batch-norm.

use std::mem::MaybeUninit;

use crate::element::Element;
use crate::epilogue::Activation;
use crate::simd::vectorized;

/// Sums run in this many lanes side by side, whatever the processor: part of the definition of a sum's bits.
const LANES: usize = 32;

/// Sum of the lanes, by halves.
#[inline(always)]
fn total<T: Element, const N: usize>(mut lanes: [T; N]) -> f64 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0].to_f64()
}

/// Runs `$body` with the array `$x` of `$slice`'s numbers if it is one of the last layers' small planes, whose other lanes would all be
/// zero: the sums of fewer lanes are the same.
macro_rules! if_small {
    ($slice:expr, $x:ident => $body:expr) => {
        if let Ok($x) = <&[T; 16]>::try_from($slice) {
            return $body;
        }
        if let Ok($x) = <&[T; 4]>::try_from($slice) {
            return $body;
        }
    };
}

/// An array of `f(i)`, by a loop: a closure would not have the instruction set, and so not its vectors.
macro_rules! lanes {
    ($like:ident, $i:ident => $number:expr) => {{
        let mut lanes = $like.map(|_| T::ZERO);
        for ($i, lane) in lanes.iter_mut().enumerate() {
            *lane = $number;
        }
        lanes
    }};
}

vectorized! {
    /// Sum of a plane.
    pub(crate) fn sum<T: Element>(x: &[T]) -> f64 {
        if_small!(x, x => total(*x));
        let mut lanes = [T::ZERO; LANES];
        let chunks = x.chunks_exact(LANES);
        lanes.iter_mut().zip(chunks.remainder()).for_each(|(lane, &x)| *lane = x);
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += chunk[lane];
            }
        }
        total(lanes)
    }
}

vectorized! {
    /// Sum of the squared distances from `centre`.
    pub(super) fn squares<T: Element>(x: &[T], centre: T) -> f64 {
        if_small!(x, x => total(lanes!(x, i => (x[i] - centre) * (x[i] - centre))));
        let mut lanes = [T::ZERO; LANES];
        let chunks = x.chunks_exact(LANES);
        lanes.iter_mut().zip(chunks.remainder()).for_each(|(lane, &x)| *lane = (x - centre) * (x - centre));
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += (chunk[lane] - centre) * (chunk[lane] - centre);
            }
        }
        total(lanes)
    }
}

vectorized! {
    /// Sums of `gradient` and of `gradient * (x - centre)`.
    pub(super) fn gradient_sums<T: Element>(gradient: &[T], x: &[T], centre: T) -> (f64, f64) {
        if_small!(x, x => {
            let gradient = lanes!(x, i => gradient[i]);
            (total(gradient), total(lanes!(x, i => gradient[i] * (x[i] - centre))))
        });
        let (mut sums, mut products) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        let whole = x.len() / LANES * LANES;
        let rest = gradient[whole..].iter().zip(&x[whole..]);
        for ((sum, product), (&gradient, &x)) in sums.iter_mut().zip(&mut products).zip(rest) {
            *sum = gradient;
            *product = gradient * (x - centre);
        }
        for (gradient, x) in gradient[..whole].chunks_exact(LANES).zip(x[..whole].chunks_exact(LANES)) {
            for lane in 0..LANES {
                sums[lane] += gradient[lane];
                products[lane] += gradient[lane] * (x[lane] - centre);
            }
        }
        (total(sums), total(products))
    }
}

/// What one output plane is made of.
#[derive(Clone, Copy)]
pub(super) struct Line<'a, T> {
    pub(super) slope: T,
    pub(super) intercept: T,
    pub(super) residual: Option<&'a [T]>,
    pub(super) activation: Activation,
}

vectorized! {
    /// `out = activation(slope * x + intercept + residual)`.
    pub(super) fn draw<T: Element>(x: &[T], line: Line<'_, T>, out: &mut [MaybeUninit<T>]) {
        let Line { slope, intercept, residual, activation } = line;
        let floor = |y: T| match activation {
            Activation::Identity => y,
            Activation::Relu => y.larger(T::ZERO),
        };
        match residual {
            None => out.iter_mut().zip(x).for_each(|(out, &x)| {
                out.write(floor(slope * x + intercept));
            }),
            Some(residual) => out.iter_mut().zip(x.iter().zip(residual)).for_each(|(out, (&x, &residual))| {
                out.write(floor(slope * x + intercept + residual));
            }),
        }
    }
}

vectorized! {
    fn write_masked<T: Element>(gradient: &[T], y: &[T], out: &mut [MaybeUninit<T>]) {
        out.iter_mut().zip(gradient.iter().zip(y)).for_each(|(out, (&gradient, &y))| {
            out.write(if y <= T::ZERO { T::ZERO } else { gradient });
        });
    }
}

/// Writes 0 where `y` is at most 0, else `gradient`, and returns the written plane. Where `y` is NaN the gradient passes, as in
/// PyTorch.
pub(crate) fn mask<'a, T: Element>(gradient: &[T], y: &[T], out: &'a mut [MaybeUninit<T>]) -> &'a [T] {
    assert!(gradient.len() == out.len() && y.len() == out.len());
    write_masked(gradient, y, out);
    // SAFETY: as long as its sources, `out` was written from end to end.
    unsafe { out.assume_init_ref() }
}

/// How a gradient passes a norm: `scale * gradient + slope * (x - centre) + shift`.
#[derive(Clone, Copy)]
pub(super) struct Slant<T> {
    pub(super) scale: T,
    pub(super) slope: T,
    pub(super) centre: T,
    pub(super) shift: T,
}

vectorized! {
    /// Applies `slant`. The centre is taken off first: where the mean is large, a product with `x` itself would cancel.
    pub(super) fn combine<T: Element>(gradient: &[T], x: &[T], slant: Slant<T>, out: &mut [MaybeUninit<T>]) {
        let Slant { scale, slope, centre, shift } = slant;
        out.iter_mut().zip(gradient.iter().zip(x)).for_each(|(out, (&gradient, &x))| {
            out.write(scale * gradient + slope * (x - centre) + shift);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_plane_sums_as_if_the_other_lanes_were_zero() {
        for len in [4, 16] {
            let x: Vec<f32> = (0..len).map(|i| (i as f32 * 1.7).sin() * 3e3).collect();
            let gradient: Vec<f32> = (0..len).map(|i| (i as f32 * 0.9).cos()).collect();
            let all = |f: &dyn Fn(usize) -> f32| {
                total::<f32, LANES>(std::array::from_fn(|i| if i < len { f(i) } else { 0.0 }))
            };
            assert_eq!(sum(&x).to_bits(), all(&|i| x[i]).to_bits());
            assert_eq!(squares(&x, 0.3).to_bits(), all(&|i| (x[i] - 0.3) * (x[i] - 0.3)).to_bits());
            let (sums, products) = gradient_sums(&gradient, &x, 0.3);
            assert_eq!(sums.to_bits(), all(&|i| gradient[i]).to_bits());
            assert_eq!(products.to_bits(), all(&|i| gradient[i] * (x[i] - 0.3)).to_bits());
        }
    }
}
