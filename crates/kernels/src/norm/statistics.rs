//! The arithmetic of a batch-norm with batch statistics, channel by channel.
//!
//! Sums run over each plane in the element type's own order, then over planes in f64, in the order of the images: the
//! bits depend on neither threads nor chunks.

use rayon::prelude::*;

use super::NormShape;
use crate::element::Element;
use crate::epilogue::Activation;

/// Mean and biased variance of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// What the forward pass reads; `parameters` is gamma, then beta.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) parameters: &'a [T],
    pub(crate) residual: Option<&'a [T]>,
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(crate) struct Backward<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) parameters: &'a [T],
    pub(crate) y: &'a [T],
    pub(crate) gradient: &'a [T],
    pub(crate) moments: &'a [Moments],
    pub(crate) epsilon: f64,
    pub(crate) activation: Activation,
}

/// Which of the large gradients are asked for; the parameters' comes for free.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) residual: bool,
}

/// The gradients.
pub(crate) struct Gradients<T> {
    pub(crate) input: Option<Vec<T>>,
    pub(crate) parameters: Vec<T>,
    pub(crate) residual: Option<Vec<T>>,
}

/// Output and moments.
pub(crate) fn forward<T: Element>(
    s: &NormShape,
    epsilon: f64,
    activation: Activation,
    input: Input<'_, T>,
) -> (Vec<T>, Vec<Moments>) {
    let moments: Vec<Moments> = (0..s.channels).into_par_iter().map(|c| moments_of(s, c, input.x)).collect();
    let lines: Vec<(T, T)> = (0..s.channels).map(|c| line(input.parameters, &moments, epsilon, c)).collect();
    let mut out = vec![T::ZERO; input.x.len()];
    super::eval::apply_lines(s, &lines, activation, input.x, input.residual, &mut out);
    (out, moments)
}

/// `a` and `b` with `a * x + b` the normalised, scaled and shifted `x`.
fn line<T: Element>(parameters: &[T], moments: &[Moments], epsilon: f64, c: usize) -> (T, T) {
    let Moments { mean, variance } = moments[c];
    let scale = parameters[c].to_f64() / (variance + epsilon).sqrt();
    (T::from_f64(scale), T::from_f64(parameters[moments.len() + c].to_f64() - mean * scale))
}

/// Moments of channel `c`: each plane's own, joined by Chan's formula, which does not cancel where the mean is large.
fn moments_of<T: Element>(s: &NormShape, c: usize, x: &[T]) -> Moments {
    let plane = s.plane as f64;
    let (mut mean, mut squares) = (0.0, 0.0);
    for n in 0..s.images {
        let x = &x[s.offset(n, c)..][..s.plane];
        let of_plane = x.iter().map(|x| x.to_f64()).sum::<f64>() / plane;
        let squares_of_plane: f64 = x.iter().map(|x| (x.to_f64() - of_plane).powi(2)).sum();
        let (seen, delta) = (n as f64 * plane, of_plane - mean);
        mean += delta * plane / (seen + plane);
        squares += squares_of_plane + delta * delta * seen * plane / (seen + plane);
    }
    Moments { mean, variance: squares / s.population() as f64 }
}

/// The gradients that are wanted.
pub(crate) fn backward<T: Element>(s: &NormShape, b: Backward<'_, T>, wanted: Wanted) -> Gradients<T> {
    let sums: Vec<(f64, f64)> = (0..s.channels).into_par_iter().map(|c| sums_of(s, c, &b)).collect();
    let gamma = sums.iter().map(|&(_, products)| T::from_f64(products));
    let beta = sums.iter().map(|&(gradients, _)| T::from_f64(gradients));
    Gradients {
        input: wanted.input.then(|| input_gradient(s, &b, &sums)),
        residual: (wanted.residual && b.activation == Activation::Relu)
            .then(|| crate::activation::map_two(b.y, b.gradient, |y, g| if y > T::ZERO { g } else { T::ZERO })),
        parameters: gamma.chain(beta).collect(),
    }
}

impl<T: Element> Backward<'_, T> {
    /// The gradient before the activation.
    fn at(&self, i: usize) -> T {
        match self.activation {
            Activation::Relu if self.y[i] <= T::ZERO => T::ZERO,
            _ => self.gradient[i],
        }
    }

    fn inverse_deviation(&self, c: usize) -> f64 {
        1.0 / (self.moments[c].variance + self.epsilon).sqrt()
    }
}

/// Sums of the gradient, and of the gradient times the normalised input, over channel `c`.
fn sums_of<T: Element>(s: &NormShape, c: usize, b: &Backward<'_, T>) -> (f64, f64) {
    let (mean, inverse) = (b.moments[c].mean, b.inverse_deviation(c));
    let (mut gradients, mut products) = (0.0, 0.0);
    for n in 0..s.images {
        for i in s.offset(n, c)..s.offset(n, c) + s.plane {
            let g = b.at(i).to_f64();
            gradients += g;
            products += g * (b.x[i].to_f64() - mean) * inverse;
        }
    }
    (gradients, products)
}

/// `gamma * inverse * (g - mean(g) - normalised * mean(g * normalised))`.
fn input_gradient<T: Element>(s: &NormShape, b: &Backward<'_, T>, sums: &[(f64, f64)]) -> Vec<T> {
    let population = s.population() as f64;
    let mut out = vec![T::ZERO; b.x.len()];
    out.par_chunks_mut(s.plane).enumerate().for_each(|(plane, out)| {
        let c = plane % s.channels;
        let (mean, inverse) = (b.moments[c].mean, b.inverse_deviation(c));
        let scale = b.parameters[c].to_f64() * inverse;
        let slope = -scale * inverse * sums[c].1 / population;
        let start = -scale * sums[c].0 / population - slope * mean;
        let (scale, slope, start) = (T::from_f64(scale), T::from_f64(slope), T::from_f64(start));
        for (out, i) in out.iter_mut().zip(plane * s.plane..) {
            *out = scale * b.at(i) + slope * b.x[i] + start;
        }
    });
    out
}
