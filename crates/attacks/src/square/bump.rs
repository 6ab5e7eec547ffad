//! The smooth pattern of which l2 changes are made (Andriushchenko et al. 2020, §4.2, η).

use crate::{Randomness, region::length};

/// A square of `side` × `side` numbers of length 1: a hill beside a valley of the same shape, one above the other or side by side
/// with equal chance.
pub(super) fn bump(side: usize, random: &mut impl Randomness) -> Vec<f64> {
    let mut numbers = hill(side / 2, side);
    numbers.extend(hill(side - side / 2, side).into_iter().map(|number| -number));
    let length = length(&numbers);
    numbers.iter_mut().for_each(|number| *number /= length);
    if random.uniform() > 0.5 {
        numbers = (0..side * side).map(|place| numbers[place % side * side + place / side]).collect();
    }
    numbers
}

/// Rectangles around the middle, each larger and lower than the one before; of length 1.
fn hill(rows: usize, columns: usize) -> Vec<f64> {
    let mut numbers = vec![0.0; rows * columns];
    let middle = (rows / 2, columns / 2);
    for distance in 0..rows.max(columns) / 2 + 1 {
        let within = |place: usize, middle: usize| place.abs_diff(middle) <= distance;
        let height = 1.0 / ((distance + 1) * (distance + 1)) as f64;
        for (place, number) in numbers.iter_mut().enumerate() {
            if within(place / columns, middle.0) && within(place % columns, middle.1) {
                *number += height;
            }
        }
    }
    let length = length(&numbers);
    numbers.iter_mut().for_each(|number| *number /= length);
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
    fn a_bump_has_length_one_and_turns() {
        for side in 1..12 {
            let (upright, turned) = (bump(side, &mut Always(0.2)), bump(side, &mut Always(0.7)));
            assert!((length(&upright) - 1.0).abs() < 1e-12, "{side}");
            let transposed: Vec<f64> = (0..side * side).map(|p| upright[p % side * side + p / side]).collect();
            assert_eq!(turned, transposed);
        }
    }

    #[test]
    fn a_hill_is_highest_in_its_middle() {
        // Two rows of three: the middle is in the second row; 1 + 1/4 there, 1/4 elsewhere.
        let length = (1.25f64 * 1.25 + 5.0 / 16.0).sqrt();
        let expected = [0.25, 0.25, 0.25, 0.25, 1.25, 0.25].map(|number: f64| number / length);
        assert!(hill(2, 3).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{:?}", hill(2, 3));
    }
}
