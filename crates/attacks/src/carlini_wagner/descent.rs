//! One image's optimisation with one constant.

use super::{adam::Adam, space};

/// The share of the loss that progress must take away.
const PROGRESS: f64 = 1e-4;

/// An optimisation on its way.
pub(super) struct Descent {
    /// The image's row.
    pub(super) row: usize,
    constant: f64,
    natural: Vec<f64>,
    /// The natural image's pixels, as the space gives them back.
    origin: Vec<f64>,
    change: Vec<f64>,
    adam: Adam,
    loss_at_check: f64,
}

impl Descent {
    /// Begins at the natural image, which `natural` gives in the space of the search.
    pub(super) fn begin(row: usize, constant: f64, natural: Vec<f64>) -> Self {
        let (change, adam) = (vec![0.0; natural.len()], Adam::new(natural.len()));
        let origin = natural.iter().map(|&natural| space::to_pixel(natural).0).collect();
        Self { row, constant, natural, origin, change, adam, loss_at_check: f64::INFINITY }
    }

    /// The point's pixels.
    pub(super) fn pixels(&self) -> impl Iterator<Item = f64> {
        self.natural.iter().zip(&self.change).map(|(natural, change)| space::to_pixel(natural + change).0)
    }

    /// One step, given by how much the label still leads (0 where it does not) and the lead's gradient in the pixels. The loss
    /// before the step is returned.
    pub(super) fn step(&mut self, lead: f64, gradient: Option<impl Iterator<Item = f64>>, learning_rate: f64) -> f64 {
        let mut distance = 0.0;
        let (mut whole, mut slopes) = (Vec::with_capacity(self.change.len()), Vec::with_capacity(self.change.len()));
        for ((natural, change), origin) in self.natural.iter().zip(&self.change).zip(&self.origin) {
            let (pixel, slope) = space::to_pixel(natural + change);
            distance += (pixel - origin) * (pixel - origin);
            whole.push(2.0 * (pixel - origin));
            slopes.push(slope);
        }
        if let Some(gradient) = gradient {
            whole.iter_mut().zip(gradient).for_each(|(whole, g)| *whole += self.constant * g);
        }
        whole.iter_mut().zip(slopes).for_each(|(whole, slope)| *whole *= slope);
        // A gradient that is no number says nothing.
        if whole.iter().all(|g| g.is_finite()) {
            self.adam.descend(&mut self.change, &whole, learning_rate);
        }
        self.constant * lead + distance
    }

    /// Whether the loss has come down since the last check.
    pub(super) fn progresses(&mut self, loss: f64) -> bool {
        let progresses = loss <= (1.0 - PROGRESS) * self.loss_at_check;
        self.loss_at_check = loss;
        progresses
    }
}
