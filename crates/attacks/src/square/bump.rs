//! The pattern of which l2 and l1 changes are made (Andriushchenko et al. 2020, §4.2, η; for l1 `square.py` of fra31/auto-attack).

use rrm_spec::Norm;

use crate::{Randomness, ball::extent};

/// A square of `side` × `side` numbers, of size 1 in `norm`: a hill beside a valley of the same shape, one above the other or side by
/// side with equal chance.
pub(super) fn bump(norm: Norm, side: usize, random: &mut impl Randomness) -> Vec<f64> {
    let mut numbers = hill(norm, side / 2, side);
    numbers.extend(hill(norm, side - side / 2, side).into_iter().map(|number| -number));
    let size = extent(norm, &numbers);
    numbers.iter_mut().for_each(|number| *number /= size);
    if random.uniform() > 0.5 {
        numbers = (0..side * side).map(|place| numbers[place % side * side + place / side]).collect();
    }
    numbers
}

/// How fast a hill falls away from its middle: the rectangle at distance d is 1 / (d + 1) to this power high.
fn steepness(norm: Norm) -> i32 {
    match norm {
        Norm::Linf | Norm::L2 => 2,
        Norm::L1 => 4,
    }
}

/// Rectangles around the middle, each larger and lower than the one before; of size 1 in `norm`.
fn hill(norm: Norm, rows: usize, columns: usize) -> Vec<f64> {
    let mut numbers = vec![0.0; rows * columns];
    let middle = (rows / 2, columns / 2);
    for distance in 0..rows.max(columns) / 2 + 1 {
        let within = |place: usize, middle: usize| place.abs_diff(middle) <= distance;
        let height = 1.0 / ((distance + 1) as f64).powi(steepness(norm));
        for (place, number) in numbers.iter_mut().enumerate() {
            if within(place / columns, middle.0) && within(place % columns, middle.1) {
                *number += height;
            }
        }
    }
    let size = extent(norm, &numbers);
    numbers.iter_mut().for_each(|number| *number /= size);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(f64);

    impl Randomness for Always {
        fn uniform(&mut self) -> f64 {
            self.0
        }

        fn normal(&mut self) -> f64 {
            self.0
        }
    }

    #[test]
    fn a_bump_has_size_one_and_turns() {
        for (norm, side) in [Norm::L2, Norm::L1].into_iter().flat_map(|norm| (1..12).map(move |side| (norm, side))) {
            let (upright, turned) = (bump(norm, side, &mut Always(0.2)), bump(norm, side, &mut Always(0.7)));
            assert!((extent(norm, &upright) - 1.0).abs() < 1e-12, "{norm} {side}");
            let transposed: Vec<f64> = (0..side * side).map(|p| upright[p % side * side + p / side]).collect();
            assert_eq!(turned, transposed);
        }
    }

    #[test]
    fn a_hill_is_highest_in_its_middle() {
        // Two rows of three: the middle is in the second row; 1 + 1/4 there, 1/4 elsewhere.
        let length = (1.25f64 * 1.25 + 5.0 / 16.0).sqrt();
        let expected = [0.25, 0.25, 0.25, 0.25, 1.25, 0.25].map(|number: f64| number / length);
        let found = hill(Norm::L2, 2, 3);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    }

    #[test]
    fn a_hill_of_l1_is_steeper() {
        // 1 + 1/16 in the middle, 1/16 elsewhere.
        let expected = [1.0, 1.0, 1.0, 1.0, 17.0, 1.0].map(|number: f64| number / 22.0);
        let found = hill(Norm::L1, 2, 3);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    }
}
