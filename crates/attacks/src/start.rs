//! Where attacks begin.

use candle_core::{Result, Tensor, bail};
use rrm_data::ImageRng;
use rrm_spec::{Norm, PgdStart};

use crate::{
    AttackRng, Ball, Form,
    attack::one_each,
    l1,
    pixels::{Pixel, Pixels},
    region::{Region, length},
};

/// The random numbers that a starting point is made of, in the order in which they are drawn.
pub trait Randomness {
    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64;
    /// Normal with mean 0 and deviation 1.
    fn normal(&mut self) -> f64;
}

impl Randomness for ImageRng {
    fn uniform(&mut self) -> f64 {
        self.uniform()
    }

    fn normal(&mut self) -> f64 {
        self.normal()
    }
}

/// The change of one image of `count` pixels that makes its starting point; none for the natural start.
///
/// l∞ draws one uniform number per pixel; l2 draws one normal number per pixel, and for the uniform start one uniform
/// number after them; l1 does as l2, but draws a uniform number per pixel where it does not project normal ones. The change may
/// leave the ball for l1.
pub(crate) fn displacement<R: Randomness>(
    ball: Ball,
    form: Form,
    start: PgdStart,
    count: usize,
    random: impl FnOnce() -> R,
) -> Option<Vec<f64>> {
    match (start, ball.norm) {
        (PgdStart::Natural, _) => None,
        (PgdStart::Uniform, Norm::Linf) => Some(scaled(symmetric(&mut random(), count), ball.epsilon)),
        (PgdStart::Sphere, Norm::Linf) => {
            let change = symmetric(&mut random(), count);
            let largest = change.iter().fold(0.0, |largest: f64, change| largest.max(change.abs()));
            Some(scaled(change, ball.epsilon / (largest + 1e-12)))
        }
        (PgdStart::Uniform, Norm::L2) => {
            let mut random = random();
            let direction = direction(&mut random, count, form);
            // The volume inside a radius grows with its power of the dimension. ART draws the same distribution by
            // an incomplete gamma function of the direction's length.
            let radius = random.uniform().powf(1.0 / count as f64);
            Some(scaled(direction, ball.epsilon * radius))
        }
        (PgdStart::Sphere, Norm::L2) => Some(scaled(direction(&mut random(), count, form), ball.epsilon)),
        (PgdStart::Uniform, Norm::L1) => {
            let mut random = random();
            let direction = l1_direction(&mut random, count);
            // ART draws the square of the radius evenly whatever the dimension, which leaves most starts far inside.
            let dimension = if form == Form::Art { 2.0 } else { count as f64 };
            Some(scaled(direction, ball.epsilon * random.uniform().powf(1.0 / dimension)))
        }
        // Croce & Hein project normal numbers, which leaves most pixels as they are.
        (PgdStart::Sphere, Norm::L1) if form == Form::CroceHein => {
            let mut random = random();
            Some((0..count).map(|_| random.normal()).collect())
        }
        (PgdStart::Sphere, Norm::L1) => Some(scaled(l1_direction(&mut random(), count), ball.epsilon)),
    }
}

/// Numbers uniform in ±1.
fn symmetric(random: &mut impl Randomness, count: usize) -> Vec<f64> {
    (0..count).map(|_| 2.0 * (random.uniform() - 0.5)).collect()
}

/// A direction without preference, of length 1.
fn direction(random: &mut impl Randomness, count: usize, form: Form) -> Vec<f64> {
    let normal: Vec<f64> = (0..count).map(|_| random.normal()).collect();
    let scale = 1.0 / (length(&normal) + form.gradient_guard());
    scaled(normal, scale)
}

/// A change without preference, of l1 length 1: Laplacian numbers, scaled.
fn l1_direction(random: &mut impl Randomness, count: usize) -> Vec<f64> {
    let laplacian = |number: f64| -(1.0 - number.abs()).max(f64::MIN_POSITIVE).ln() * number.signum();
    let numbers: Vec<f64> = symmetric(random, count).into_iter().map(laplacian).collect();
    let scale = 1.0 / (l1::size(&numbers) + 1e-12);
    scaled(numbers, scale)
}

fn scaled(mut numbers: Vec<f64>, scale: f64) -> Vec<f64> {
    numbers.iter_mut().for_each(|number| *number *= scale);
    numbers
}

/// Where each restart of an attack gets its starting points from.
#[derive(Clone, Copy)]
pub(crate) enum Starts<'a> {
    /// Drawn by a rule, with each image's own randomness.
    Drawn(PgdStart, AttackRng<'a>),
    /// Given for all images, one tensor for each restart.
    Given(&'a [Tensor]),
}

impl Starts<'_> {
    /// Fails unless there are starts for `restarts` restarts of the images `pixels`.
    pub(crate) fn check(&self, restarts: u32, pixels: &Tensor) -> Result<()> {
        match self {
            Self::Drawn(_, rng) => one_each("keys of randomness", rng.images.len(), pixels),
            Self::Given(starts) if starts.len() == restarts as usize => Ok(()),
            Self::Given(starts) => bail!("{} starts for {restarts} restarts", starts.len()),
        }
    }

    /// The starting points of the images `rows` in one restart, in the box.
    pub(crate) fn of<T: Pixel>(&self, region: &Region<T>, restart: u32, rows: &[usize]) -> Result<Pixels<T>> {
        match self {
            Self::Drawn(start, rng) => {
                Ok(region.random_start(*start, rows, |position| rng.of(rows[position], restart)))
            }
            Self::Given(starts) => {
                let start = starts[restart as usize].clamp(0.0, 1.0)?;
                Ok(region.natural().read_alike(&start)?.gather(rows))
            }
        }
    }
}
