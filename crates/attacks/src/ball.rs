//! The ball of allowed changes, cut by the pixel box: projecting into it, stepping in it, starting in it.

use candle_core::{Result, Tensor};
use rrm_spec::{Norm, PgdDialect, PgdStart, ThreatModel};

use crate::{
    Randomness,
    l1::{self, sparse_direction},
    pixels::{Pixel, Pixels, by_pixel},
    region::{Region, length},
};

/// All changes of an image whose norm is at most `epsilon`.
///
/// In f32 results are rounded towards the natural image, so that the bound holds exactly and not but for rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ball {
    /// How changes are measured.
    pub norm: Norm,
    /// The largest allowed change, in pixel units.
    pub epsilon: f64,
}

impl From<&ThreatModel> for Ball {
    fn from(threat: &ThreatModel) -> Self {
        Self { norm: threat.norm, epsilon: threat.epsilon.value() }
    }
}

/// Whose form of the operations: they differ for l2 in the order of the two clips and in what guards a division.
///
/// For l∞ ball and box are both boxes, whose clips commute, and all forms are one. For l1 MadryLab has none, and the projection to
/// ball and box at once of Croce & Hein (2021) stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `attack_steps.py` of MadryLab/robustness: shrink to the ball where outside, then clip to the box.
    MadryLab,
    /// `autopgd_base.py` of fra31/auto-attack: scale to the smaller of length and radius, then clip to the box.
    CroceHein,
    /// ART 1.7.2: clip to the box, then scale into the ball.
    Art,
}

impl From<PgdDialect> for Form {
    fn from(dialect: PgdDialect) -> Self {
        match dialect {
            PgdDialect::Madry => Self::MadryLab,
            PgdDialect::Art => Self::Art,
        }
    }
}

impl Form {
    /// What is added to a gradient's length before dividing by it.
    pub(crate) fn gradient_guard(self) -> f64 {
        match self {
            Self::MadryLab => 1e-10,
            Self::CroceHein => 1e-12,
            Self::Art => 1e-7,
        }
    }

    /// The factor that brings a change of this length into a ball of radius `epsilon`.
    pub(crate) fn shrinkage(self, length: f64, epsilon: f64) -> f64 {
        match self {
            // torch.renorm leaves lengths up to the radius alone.
            Self::MadryLab if length <= epsilon => 1.0,
            Self::MadryLab => epsilon / (length + 1e-7),
            Self::CroceHein => length.min(epsilon) / (length + 1e-12),
            Self::Art => (epsilon / (length + 1e-7)).min(1.0),
        }
    }
}

impl Ball {
    /// The points of ball and box that take the place of `pixels`; both arguments (N, ...), `natural` in [0, 1].
    ///
    /// # Errors
    /// When the shapes differ or the type is neither f32 nor f64.
    pub fn project(&self, form: Form, pixels: &Tensor, natural: &Tensor) -> Result<Tensor> {
        by_pixel!(natural, T => {
            let natural = Pixels::<T>::read(natural)?;
            let mut projected = natural.read_alike(pixels)?;
            Region::around(*self, form, natural).project(&mut projected);
            projected.to_tensor(pixels.device())
        })
    }

    /// A step of length `step_size` up the gradient, not projected: along its sign for l∞, along its direction for l2, along the
    /// signs of its largest components for l1 (for ART along its direction too).
    ///
    /// # Errors
    /// When the shapes differ or the type is neither f32 nor f64.
    pub fn step(&self, form: Form, pixels: &Tensor, gradient: &Tensor, step_size: f64) -> Result<Tensor> {
        by_pixel!(pixels, T => {
            let mut moved = Pixels::<T>::read(pixels)?;
            let gradient = moved.read_alike(gradient)?;
            moved.par_images_mut(|row, image| ascend(self.norm, form, image, gradient.image(row), step_size));
            moved.to_tensor(pixels.device())
        })
    }

    /// Starting points (N, ...) around `natural`, inside ball and box. `random` gives the randomness of each row.
    ///
    /// # Errors
    /// When the type is neither f32 nor f64.
    pub fn random_start<R: Randomness>(
        &self,
        form: Form,
        start: PgdStart,
        natural: &Tensor,
        random: impl Fn(usize) -> R + Sync,
    ) -> Result<Tensor> {
        by_pixel!(natural, T => {
            let device = natural.device();
            let region = Region::around(*self, form, Pixels::<T>::read(natural)?);
            let rows: Vec<usize> = (0..region.natural().len()).collect();
            region.random_start(start, &rows, random).to_tensor(device)
        })
    }

    /// Distance of each image (N, ...) from its natural image in the ball's norm.
    ///
    /// # Errors
    /// When the shapes differ or the type is neither f32 nor f64.
    pub fn distances(&self, pixels: &Tensor, natural: &Tensor) -> Result<Vec<f64>> {
        by_pixel!(natural, T => {
            let natural = Pixels::<T>::read(natural)?;
            let pixels = natural.read_alike(pixels)?;
            Ok((0..natural.len()).map(|row| distance(self.norm, pixels.image(row), natural.image(row))).collect())
        })
    }
}

/// How far an image is from its natural image.
pub(crate) fn distance<T: Pixel>(norm: Norm, image: &[T], natural: &[T]) -> f64 {
    let change: Vec<f64> = image.iter().zip(natural).map(|(z, x)| z.to_f64() - x.to_f64()).collect();
    extent(norm, &change)
}

/// How large a change is.
pub(crate) fn extent(norm: Norm, change: &[f64]) -> f64 {
    match norm {
        Norm::Linf => change.iter().fold(0.0, |largest, change| change.abs().max(largest)),
        Norm::L2 => length(change),
        Norm::L1 => l1::size(change),
    }
}

/// Moves one image up the gradient, without projecting it.
pub(crate) fn ascend<T: Pixel>(norm: Norm, form: Form, image: &mut [T], gradient: &[T], step_size: f64) {
    match norm {
        Norm::Linf => {
            let step_size = T::from_f64(step_size);
            image.iter_mut().zip(gradient).for_each(|(z, &g)| *z += step_size * sign(g));
        }
        Norm::L2 | Norm::L1 => {
            if let Some(change) = stride(norm, form, image, gradient, step_size) {
                image.iter_mut().zip(change).for_each(|(z, change)| *z = T::from_f64(z.to_f64() + change));
            }
        }
    }
}

/// A step of length `step_size` in l2 or l1. There is none for a gradient that is not finite: it says nothing, and following
/// it would leave the box, where a network's answer counts for nothing.
pub(crate) fn stride<T: Pixel>(
    norm: Norm,
    form: Form,
    image: &[T],
    gradient: &[T],
    step_size: f64,
) -> Option<Vec<f64>> {
    let mut gradient: Vec<f64> = gradient.iter().map(|g| g.to_f64()).collect();
    let length = match (norm, form) {
        (Norm::L2 | Norm::Linf, _) => length(&gradient),
        (Norm::L1, Form::Art) => gradient.iter().map(|g| g.abs()).sum(),
        (Norm::L1, Form::MadryLab | Form::CroceHein) => {
            return sparse_direction(image, gradient, step_size);
        }
    };
    let scale = step_size / (length + form.gradient_guard());
    gradient.iter_mut().for_each(|g| *g *= scale);
    length.is_finite().then_some(gradient)
}

/// -1, 0 or 1, as `torch.sign`; 0 for what is no number.
pub(crate) fn sign<T: Pixel>(number: T) -> T {
    let one = |holds: bool| if holds { T::one() } else { T::zero() };
    one(number > T::zero()) - one(number < T::zero())
}
