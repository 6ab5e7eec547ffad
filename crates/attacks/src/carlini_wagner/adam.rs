//! Adam (Kingma & Ba 2015), for one image.

const MEAN_DECAY: f64 = 0.9;
const SQUARE_DECAY: f64 = 0.999;
const GUARD: f64 = 1e-8;

/// Running means of gradients and of their squares.
pub(super) struct Adam {
    means: Vec<f64>,
    squares: Vec<f64>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(count: usize) -> Self {
        Self { means: vec![0.0; count], squares: vec![0.0; count], steps: 0 }
    }

    /// One step of `point` down the gradient.
    pub(super) fn descend(&mut self, point: &mut [f64], gradient: &[f64], step_size: f64) {
        self.steps += 1;
        let corrections = [MEAN_DECAY, SQUARE_DECAY].map(|decay| 1.0 - decay.powi(self.steps));
        let state = self.means.iter_mut().zip(&mut self.squares);
        for ((p, &g), (mean, square)) in point.iter_mut().zip(gradient).zip(state) {
            *mean = MEAN_DECAY * *mean + (1.0 - MEAN_DECAY) * g;
            *square = SQUARE_DECAY * *square + (1.0 - SQUARE_DECAY) * g * g;
            *p -= step_size * (*mean / corrections[0]) / ((*square / corrections[1]).sqrt() + GUARD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_step_is_as_long_as_the_step_size_whatever_the_gradient() {
        let (mut adam, mut point) = (Adam::new(3), vec![0.0; 3]);
        adam.descend(&mut point, &[1e-3, -50.0, 0.0], 0.1);
        assert!(point.iter().zip([-0.1, 0.1, 0.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{point:?}");
    }
}
