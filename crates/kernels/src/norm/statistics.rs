//! The arithmetic of a batch-norm with batch statistics.
//!
//! A channel is one task, which reads its planes twice, the second time from the cache. Its sums run over each plane in
//! fixed lanes, then over the planes in f64, in the order of the images: the bits do not depend on threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::NormShape;
use super::sums::{self, Line, Slant};
use crate::element::Element;
use crate::epilogue::Activation;
use crate::output::{Shared, overwritable, written};
use crate::scratch;

/// Mean and biased variance of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

/// What the forward pass reads.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) gamma: &'a [T],
    pub(crate) beta: &'a [T],
    pub(crate) residual: Option<&'a [T]>,
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(crate) struct Backward<'a, T> {
    pub(crate) x: &'a [T],
    pub(crate) gamma: &'a [T],
    /// The output, if a ReLU comes last.
    pub(crate) y: Option<&'a [T]>,
    pub(crate) gradient: &'a [T],
    pub(crate) moments: &'a [Moments],
    pub(crate) epsilon: f64,
}

/// Which of the large gradients are asked for; the parameters' comes for free.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) residual: bool,
}

/// The gradients; the residual's is only here where it differs from the output's.
pub(crate) struct Gradients<T> {
    pub(crate) input: Option<Vec<T>>,
    pub(crate) gamma: Vec<T>,
    pub(crate) beta: Vec<T>,
    pub(crate) residual: Option<Vec<T>>,
}

/// Output and moments.
pub(crate) fn forward<T: Element>(
    s: &NormShape,
    epsilon: f64,
    activation: Activation,
    input: Input<'_, T>,
) -> (Vec<T>, Vec<Moments>) {
    let mut moments = Vec::new();
    // SAFETY: the channels' planes cover the output, and each is of one channel, whose task alone asks for it.
    let out = unsafe {
        written(input.x.len(), |out| {
            let out = Shared::new(out);
            let channels = (0..s.channels).into_par_iter().map(|c| {
                let of_channel = moments_of(s, c, input.x);
                let scale = input.gamma[c].to_f64() / (of_channel.variance + epsilon).sqrt();
                let shift = input.beta[c].to_f64() - of_channel.mean * scale;
                for here in s.planes(c) {
                    let residual = input.residual.map(|residual| &residual[here..here + s.plane]);
                    let line = Line { slope: T::from_f64(scale), intercept: T::from_f64(shift), residual, activation };
                    sums::draw(&input.x[here..here + s.plane], line, out.plane(here, s.plane));
                }
                of_channel
            });
            channels.collect_into_vec(&mut moments);
        })
    };
    (out, moments)
}

/// Moments of channel `c`: each plane's own, joined by Chan's formula, which does not cancel where the mean is large.
fn moments_of<T: Element>(s: &NormShape, c: usize, x: &[T]) -> Moments {
    let plane = s.plane as f64;
    let (mut mean, mut squares) = (0.0, 0.0);
    for (n, here) in s.planes(c).enumerate() {
        let x = &x[here..here + s.plane];
        let of_plane = sums::sum(x) / plane;
        let centre = T::from_f64(of_plane);
        let squares_of_plane = sums::squares(x, centre) - plane * (of_plane - centre.to_f64()).powi(2);
        let (seen, delta) = (n as f64 * plane, of_plane - mean);
        mean += delta * plane / (seen + plane);
        squares += squares_of_plane + delta * delta * seen * plane / (seen + plane);
    }
    Moments { mean, variance: squares / s.population() as f64 }
}

/// The gradients that are wanted.
pub(crate) fn backward<T: Element>(s: &NormShape, b: Backward<'_, T>, wanted: Wanted) -> Gradients<T> {
    let mut sums = Vec::new();
    // SAFETY: each channel's task writes the channel's planes, so that together they are complete.
    let (input, residual) = unsafe {
        let (input, (residual, ())) = written_if(wanted.input, b.x.len(), |input| {
            written_if(wanted.residual && b.y.is_some(), b.x.len(), |residual| {
                let gradients = |c| channel_gradients(s, &b, c, input, residual);
                (0..s.channels).into_par_iter().map(gradients).collect_into_vec(&mut sums);
            })
        });
        (input, residual)
    };
    let gamma = sums.iter().map(|&(_, products): &(f64, f64)| T::from_f64(products)).collect();
    let beta = sums.iter().map(|&(gradients, _)| T::from_f64(gradients)).collect();
    Gradients { input, gamma, beta, residual }
}

/// [`written`], if it is wanted, and what `write` returns.
///
/// # Safety
/// `write` must write every number of what it is given.
unsafe fn written_if<T: Element, R>(
    wanted: bool,
    len: usize,
    write: impl FnOnce(Option<&Shared<'_, T>>) -> R,
) -> (Option<Vec<T>>, R) {
    if !wanted {
        return (None, write(None));
    }
    let mut result = None;
    // SAFETY: the caller's promise.
    let numbers = unsafe { written(len, |out| result = Some(write(Some(&Shared::new(out))))) };
    (Some(numbers), result.expect("`written` calls its closure"))
}

/// Writes channel `c`'s planes of the wanted gradients, and returns the sums that are the gradients of beta and gamma.
fn channel_gradients<T: Element>(
    s: &NormShape,
    b: &Backward<'_, T>,
    c: usize,
    input: Option<&Shared<'_, T>>,
    residual: Option<&Shared<'_, T>>,
) -> (f64, f64) {
    let Moments { mean, variance } = b.moments[c];
    let inverse = 1.0 / (variance + b.epsilon).sqrt();
    let kept = if b.y.is_some() && residual.is_none() { s.population() } else { 0 };
    scratch::with(kept, |memory: &mut [T]| {
        let centre = T::from_f64(mean);
        let off_centre = mean - centre.to_f64();
        let (mut gradients, mut products) = (0.0, 0.0);
        let mut memory = overwritable(memory).chunks_exact_mut(s.plane);
        let mut masked = Vec::with_capacity(s.images);
        for here in s.planes(c) {
            // SAFETY: the plane is this channel's.
            let out = residual.map(|residual| unsafe { residual.plane(here, s.plane) }).or_else(|| memory.next());
            // Summed up at once, while it is in the cache.
            let plane = before_activation(s, b, here, out);
            let (gradient, product) = sums::gradient_sums(plane, &b.x[here..here + s.plane], centre);
            gradients += gradient;
            products += product - off_centre * gradient;
            masked.push(plane);
        }
        let products = products * inverse;
        if let Some(input) = input {
            let population = s.population() as f64;
            let scale = b.gamma[c].to_f64() * inverse;
            let slope = -scale * inverse * products / population;
            let shift = -scale * gradients / population - slope * off_centre;
            let (scale, slope, shift) = (T::from_f64(scale), T::from_f64(slope), T::from_f64(shift));
            let slant = Slant { scale, slope, centre, shift };
            for (here, masked) in s.planes(c).zip(&masked) {
                // SAFETY: the plane is this channel's.
                let out = unsafe { input.plane(here, s.plane) };
                sums::combine(masked, &b.x[here..here + s.plane], slant, out);
            }
        }
        (gradients, products)
    })
}

/// The gradient before the activation on the plane at `here`: the gradient itself, or else what is written to `out`.
fn before_activation<'a, T: Element>(
    s: &NormShape,
    b: &Backward<'a, T>,
    here: usize,
    out: Option<&'a mut [MaybeUninit<T>]>,
) -> &'a [T] {
    let gradient = &b.gradient[here..here + s.plane];
    match (b.y, out) {
        (Some(y), Some(out)) => sums::mask(gradient, &y[here..here + s.plane], out),
        _ => gradient,
    }
}
