//! Ball and box around a batch of natural images, ready to project into many times.

#[cfg(feature = "cuda")]
mod on_device;

use rrm_spec::{Norm, PgdStart};

use crate::{
    Ball, Form, Randomness,
    ball::{ascend, sign, stride},
    l1,
    pixels::{Pixel, Pixels},
    start::displacement,
};

/// The images that an adversary may choose instead of each natural image of a batch.
pub(crate) struct Region<T> {
    ball: Ball,
    form: Form,
    natural: Pixels<T>,
    limits: Limits<T>,
}

/// What is worked out once, since a region is projected into at every step.
enum Limits<T> {
    /// l∞: ball and box make one box.
    Linf { lower: Pixels<T>, upper: Pixels<T> },
    /// l2: nothing.
    L2,
    /// l1: nothing.
    L1,
}

/// An image's part of the region.
struct Cell<'a, T> {
    region: &'a Region<T>,
    row: usize,
}

impl<T: Pixel> Region<T> {
    pub(crate) fn around(ball: Ball, form: Form, natural: Pixels<T>) -> Self {
        let limits = match ball.norm {
            Norm::Linf => Limits::Linf {
                lower: shifted(&natural, |x| (x - ball.epsilon).max(0.0)),
                upper: shifted(&natural, |x| (x + ball.epsilon).min(1.0)),
            },
            Norm::L2 => Limits::L2,
            Norm::L1 => Limits::L1,
        };
        Self { ball, form, natural, limits }
    }

    pub(crate) fn ball(&self) -> Ball {
        self.ball
    }

    pub(crate) fn natural(&self) -> &Pixels<T> {
        &self.natural
    }

    /// The region of some of the images, in the order of `rows`.
    pub(crate) fn gather(&self, rows: &[usize]) -> Self {
        let limits = match &self.limits {
            Limits::Linf { lower, upper } => Limits::Linf { lower: lower.gather(rows), upper: upper.gather(rows) },
            Limits::L2 => Limits::L2,
            Limits::L1 => Limits::L1,
        };
        Self { ball: self.ball, form: self.form, natural: self.natural.gather(rows), limits }
    }

    /// Moves every image to its place in the region.
    pub(crate) fn project(&self, pixels: &mut Pixels<T>) {
        pixels.par_images_mut(|row, image| self.cell(row).project(image));
    }

    /// One projected step for each image that `gradient` gives one for.
    pub(crate) fn climb<'g>(
        &self,
        pixels: &mut Pixels<T>,
        gradient: impl Fn(usize) -> Option<&'g [T]> + Sync,
        step_size: f64,
    ) {
        pixels.par_images_mut(|row, image| {
            if let Some(gradient) = gradient(row) {
                ascend(self.ball.norm, self.form, image, gradient, step_size);
                self.cell(row).project(image);
            }
        });
    }

    /// AutoPGD's step of each image (Croce & Hein 2020, Eq. 3 and 4): w = P(z + η d), then
    /// z ← P(z + a (w − z) + (1 − a)(z − z_previous)) and z_previous ← the old z.
    pub(crate) fn climb_with_momentum(
        &self,
        pixels: &mut Pixels<T>,
        previous: &mut Pixels<T>,
        gradient: &Pixels<T>,
        step_size: impl Fn(usize) -> f64 + Sync,
        momentum: f64,
    ) {
        pixels.par_images_mut_with(previous, |row, image, previous| {
            let step = MomentumStep { gradient: gradient.image(row), step_size: step_size(row), momentum };
            self.cell(row).climb_with_momentum(image, previous, step);
        });
    }

    /// Starting points of the images `rows`, in their order, inside the region. `random` gives the randomness of each
    /// of `rows` by its position there.
    pub(crate) fn random_start<R: Randomness>(
        &self,
        start: PgdStart,
        rows: &[usize],
        random: impl Fn(usize) -> R + Sync,
    ) -> Pixels<T> {
        let mut started = self.natural.gather(rows);
        started.par_images_mut(|position, image| {
            let Some(change) = displacement(self.ball, self.form, start, image.len(), || random(position)) else {
                return;
            };
            if self.ball.norm == Norm::L1 {
                let mut target: Vec<f64> = image.iter().zip(&change).map(|(x, change)| x.to_f64() + change).collect();
                self.settle(rows[position], &mut target, image);
            } else {
                displace(image, &change);
            }
        });
        started
    }

    /// Writes to `image` the point of the region that takes the place of `target`, for the image `row`.
    pub(crate) fn settle(&self, row: usize, target: &mut [f64], image: &mut [T]) {
        let cell = self.cell(row);
        match &self.limits {
            Limits::Linf { lower, upper } => {
                target.iter_mut().for_each(|z| *z = z.clamp(0.0, 1.0));
                cell.round(target, image);
                let limits = lower.image(row).iter().zip(upper.image(row));
                image.iter_mut().zip(limits).for_each(|(z, (&lower, &upper))| *z = clamp(*z, lower, upper));
            }
            Limits::L2 | Limits::L1 => {
                cell.project_target(target);
                cell.round(target, image);
            }
        }
    }

    fn cell(&self, row: usize) -> Cell<'_, T> {
        Cell { region: self, row }
    }
}

/// Every pixel shifted, rounded towards where it was.
fn shifted<T: Pixel>(pixels: &Pixels<T>, shift: impl Fn(f64) -> f64 + Sync) -> Pixels<T> {
    let mut shifted = pixels.clone();
    shifted.par_images_mut(|_, image| {
        for x in image {
            let from = x.to_f64();
            *x = T::rounded_towards(shift(from), from);
        }
    });
    shifted
}

/// Adds a change inside the ball, and clips to the box.
pub(crate) fn displace<T: Pixel>(image: &mut [T], change: &[f64]) {
    for (z, change) in image.iter_mut().zip(change) {
        let x = z.to_f64();
        *z = T::rounded_towards((x + change).clamp(0.0, 1.0), x);
    }
}

/// What a step of AutoPGD goes by.
struct MomentumStep<'a, T> {
    gradient: &'a [T],
    step_size: f64,
    momentum: f64,
}

impl<T: Pixel> Cell<'_, T> {
    fn natural(&self) -> &[T] {
        self.region.natural.image(self.row)
    }

    fn project(&self, image: &mut [T]) {
        match &self.region.limits {
            Limits::Linf { lower, upper } => {
                let limits = lower.image(self.row).iter().zip(upper.image(self.row));
                image.iter_mut().zip(limits).for_each(|(z, (&lower, &upper))| *z = clamp(*z, lower, upper));
            }
            Limits::L2 | Limits::L1 => {
                let mut target: Vec<f64> = image.iter().map(|z| z.to_f64()).collect();
                self.project_target(&mut target);
                self.round(&target, image);
            }
        }
    }

    fn climb_with_momentum(&self, image: &mut [T], previous: &mut [T], step: MomentumStep<'_, T>) {
        match &self.region.limits {
            Limits::Linf { lower, upper } => {
                climb_linf(image, previous, step, lower.image(self.row), upper.image(self.row));
            }
            Limits::L2 | Limits::L1 => self.climb_by_length(image, previous, step),
        }
    }

    fn climb_by_length(&self, image: &mut [T], previous: &mut [T], step: MomentumStep<'_, T>) {
        let Region { ball, form, .. } = *self.region;
        let change = stride(ball.norm, form, image, step.gradient, step.step_size).unwrap_or(vec![0.0; image.len()]);
        let mut target: Vec<f64> = image.iter().zip(change).map(|(z, change)| z.to_f64() + change).collect();
        self.project_target(&mut target);
        for (t, (z, last)) in target.iter_mut().zip(image.iter().zip(&mut *previous)) {
            let here = z.to_f64();
            *t = here + (*t - here) * step.momentum + (here - last.to_f64()) * (1.0 - step.momentum);
            *last = *z;
        }
        self.project_target(&mut target);
        self.round(&target, image);
    }

    /// Moves a point to its place in an l2 or l1 region.
    fn project_target(&self, target: &mut [f64]) {
        let Region { ball, form, .. } = *self.region;
        let natural = || self.natural().iter().map(|x| x.to_f64());
        if form == Form::Art {
            target.iter_mut().for_each(|z| *z = z.clamp(0.0, 1.0));
        }
        target.iter_mut().zip(natural()).for_each(|(z, x)| *z -= x);
        if ball.norm == Norm::L1 && form != Form::Art {
            l1::project(target, natural(), ball.epsilon);
        } else {
            let size = if ball.norm == Norm::L1 { l1::size(target) } else { length(target) };
            let shrinkage = form.shrinkage(size, ball.epsilon);
            target.iter_mut().for_each(|z| *z *= shrinkage);
        }
        target.iter_mut().zip(natural()).for_each(|(z, x)| *z = (x + *z).clamp(0.0, 1.0));
    }

    fn round(&self, target: &[f64], image: &mut [T]) {
        for ((z, &target), x) in image.iter_mut().zip(target).zip(self.natural()) {
            *z = T::rounded_towards(target, x.to_f64());
        }
    }
}

fn climb_linf<T: Pixel>(image: &mut [T], previous: &mut [T], step: MomentumStep<'_, T>, lower: &[T], upper: &[T]) {
    let (step_size, keep) = (T::from_f64(step.step_size), T::from_f64(step.momentum));
    let rest = T::from_f64(1.0 - step.momentum);
    let limits = lower.iter().zip(upper);
    for (((z, last), &g), (&lower, &upper)) in image.iter_mut().zip(previous).zip(step.gradient).zip(limits) {
        let plain = clamp(*z + step_size * sign(g), lower, upper);
        let moved = *z + (plain - *z) * keep + (*z - *last) * rest;
        *last = *z;
        *z = clamp(moved, lower, upper);
    }
}

/// NaN becomes `lower`: whatever a broken gradient says, the image stays inside.
fn clamp<T: Pixel>(number: T, lower: T, upper: T) -> T {
    let raised = if number > lower { number } else { lower };
    if raised < upper { raised } else { upper }
}

/// Euclidean length, by eight partial sums, which the processor adds at once.
pub(crate) fn length(numbers: &[f64]) -> f64 {
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, number) in sums.iter_mut().zip(eight) {
            *sum += number * number;
        }
    }
    let rest: f64 = rest.iter().map(|number| number * number).sum();
    (sums.iter().sum::<f64>() + rest).sqrt()
}
