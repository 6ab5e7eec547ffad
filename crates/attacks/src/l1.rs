//! The l1 ball.

use crate::{ball::sign, pixels::Pixel};

/// The share of an image's pixels that a step moves (Tramèr & Boneh 2019, SLIDE, q = 99 %).
const MOVED_SHARE: f64 = 0.01;

/// Sum of the sizes.
pub(crate) fn size(numbers: &[f64]) -> f64 {
    numbers.iter().map(|number| number.abs()).sum()
}

/// The nearest change, in Euclidean distance, in the ball of radius `epsilon` that keeps the image in the box (Croce & Hein 2021,
/// Proposition 2.1): every size shrinks by the same amount, but by what is outside the box at least, and not below 0.
pub(crate) fn project(change: &mut [f64], natural: impl Iterator<Item = f64>, epsilon: f64) {
    if epsilon <= 0.0 {
        return change.fill(0.0);
    }
    let excess = |change: f64, x: f64| (x + change - 1.0).max(-(x + change)).max(0.0);
    let excesses: Vec<f64> = change.iter().zip(natural).map(|(&change, x)| excess(change, x)).collect();
    let shrinkage = shrinkage(change, &excesses, epsilon);
    for (change, excess) in change.iter_mut().zip(excesses) {
        let shrunk = change.abs() - shrinkage.max(excess).min(change.abs());
        *change = shrunk * sign(*change);
    }
}

/// By how much sizes must shrink for their sum to come down to `epsilon`; 0 where the box alone brings it there.
fn shrinkage(change: &[f64], excesses: &[f64], epsilon: f64) -> f64 {
    let mut above = size(change) - excesses.iter().sum::<f64>() - epsilon;
    if above.is_nan() || above <= 0.0 {
        return 0.0;
    }
    // Where a size begins to shrink, and where it ends.
    let mut bends: Vec<(f64, f64)> =
        change.iter().zip(excesses).flat_map(|(c, &e)| [(e, 1.0), (c.abs(), -1.0)]).collect();
    bends.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut shrinking, mut at) = (0.0, 0.0);
    for (bend, more) in bends {
        let removed = shrinking * (bend - at);
        if removed >= above {
            break;
        }
        above -= removed;
        (shrinking, at) = (shrinking + more, bend);
    }
    at + if shrinking > 0.0 { above / shrinking } else { 0.0 }
}

/// A step of l1 length `step_size` along the signs of the largest hundredth of the gradient's components (Tramèr & Boneh 2019,
/// Algorithm 1). Those that would push a pixel out of the box have no say. There is none for a gradient that is not finite.
pub(crate) fn sparse_direction<T: Pixel>(image: &[T], mut gradient: Vec<f64>, step_size: f64) -> Option<Vec<f64>> {
    for (g, z) in gradient.iter_mut().zip(image) {
        let z = z.to_f64();
        if *g > 0.0 && z >= 1.0 || *g < 0.0 && z <= 0.0 {
            *g = 0.0;
        }
    }
    let moved = ((gradient.len() as f64 * MOVED_SHARE).ceil() as usize).max(1);
    keep_largest(&mut gradient, moved);
    signs_of_length(gradient, step_size)
}

/// Sets all but the `count` largest numbers to 0; more stay where sizes are equal.
pub(crate) fn keep_largest(numbers: &mut [f64], count: usize) {
    let Some(last) = count.min(numbers.len()).checked_sub(1) else { return };
    let mut sizes: Vec<f64> = numbers.iter().map(|number| number.abs()).collect();
    let (_, &mut least, _) = sizes.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
    numbers.iter_mut().filter(|number| number.abs() < least).for_each(|number| *number = 0.0);
}

/// The signs of the numbers, scaled to l1 length `length`; none where a number is not finite.
pub(crate) fn signs_of_length(numbers: Vec<f64>, length: f64) -> Option<Vec<f64>> {
    let mut signs: Vec<f64> = numbers.iter().map(|&number| sign(number)).collect();
    let scale = length / (size(&signs) + 1e-10);
    signs.iter_mut().for_each(|sign| *sign *= scale);
    numbers.iter().all(|number| number.is_finite()).then_some(signs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn projected(change: &[f64], natural: &[f64], epsilon: f64) -> Vec<f64> {
        let mut change = change.to_vec();
        project(&mut change, natural.iter().copied(), epsilon);
        change
    }

    #[test]
    fn sizes_shrink_alike_but_for_what_the_box_takes() {
        assert_eq!(projected(&[0.4, -0.2], &[0.5, 0.5], 0.7), [0.4, -0.2]);
        let found = projected(&[0.4, -0.2, 0.0], &[0.5, 0.5, 0.5], 0.4);
        assert!(found.iter().zip([0.3, -0.1, 0.0]).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        // The box takes 0.3 of the first, which is enough.
        let found = projected(&[0.4, -0.2], &[0.9, 0.5], 0.4);
        assert!(found.iter().zip([0.1, -0.2]).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    }

    #[test]
    fn a_sparse_step_moves_few_pixels_and_none_out_of_the_box() {
        let mut gradient = vec![0.1; 200];
        (gradient[3], gradient[7], gradient[9]) = (5.0, -4.0, 3.0);
        let mut image = vec![0.5f64; 200];
        image[3] = 1.0;
        let step = sparse_direction(&image, gradient, 0.6).unwrap();
        let moved: Vec<(usize, f64)> = step.into_iter().enumerate().filter(|&(_, step)| step != 0.0).collect();
        assert_eq!(moved.iter().map(|&(place, _)| place).collect::<Vec<_>>(), [7, 9]);
        assert!((moved[0].1 + 0.3).abs() < 1e-9 && (moved[1].1 - 0.3).abs() < 1e-9, "{moved:?}");
        assert!(sparse_direction(&[0.5, 0.5], vec![f64::NAN, 1.0], 0.1).is_none());
    }

    proptest! {
        #[test]
        fn no_point_of_ball_and_box_is_nearer_than_the_projection(
            points in proptest::collection::vec((0.0..=1.0f64, -1.5..1.5f64, 0.0..=1.0f64), 1..8),
            epsilon in 0.01..3.0f64,
        ) {
            let natural: Vec<f64> = points.iter().map(|p| p.0).collect();
            let change: Vec<f64> = points.iter().map(|p| p.1).collect();
            let nearest = projected(&change, &natural, epsilon);
            prop_assert!(size(&nearest) <= epsilon * (1.0 + 1e-12));
            prop_assert!(nearest.iter().zip(&natural).all(|(c, x)| (-1e-12..=1.0 + 1e-12).contains(&(x + c))));
            // Another point of the convex set lies beyond the plane through the projection.
            let other: Vec<f64> = points.iter().map(|p| p.2 - p.0).collect();
            let scale = (epsilon / size(&other).max(1e-12)).min(1.0);
            let product: f64 = (0..points.len())
                .map(|i| (change[i] - nearest[i]) * (other[i] * scale - nearest[i]))
                .sum();
            prop_assert!(product <= 1e-9, "{product}");
        }
    }
}
