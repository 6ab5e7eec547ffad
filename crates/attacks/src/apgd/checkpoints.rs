//! When step sizes are decided on.

/// A decision on step sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Iterations done when it falls.
    pub after: u32,
    /// Iterations since the decision before, which it looks back on.
    pub window: u32,
}

/// The decisions of a run of so many iterations, in the reference's integers: the first after 22 % of them, every window
/// then 3 % shorter than the one before, down to 6 %.
pub fn checkpoints(iterations: u32) -> Vec<Checkpoint> {
    let share = |share: f64| ((share * f64::from(iterations)) as u32).max(1);
    let (mut window, shortest, shortening) = (share(0.22), share(0.06), share(0.03));
    let mut found = Vec::new();
    let mut after = window;
    while after <= iterations {
        found.push(Checkpoint { after, window });
        window = window.saturating_sub(shortening).max(shortest);
        after += window;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(iterations: u32) -> Vec<u32> {
        checkpoints(iterations).iter().map(|checkpoint| checkpoint.after).collect()
    }

    #[test]
    fn checkpoints_are_those_of_the_reference() {
        assert_eq!(after(5), [1, 2, 3, 4, 5]);
        assert_eq!(after(10), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(after(20), [4, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(after(40), [8, 15, 21, 26, 30, 33, 35, 37, 39]);
        assert_eq!(after(50), [11, 21, 30, 38, 45]);
        assert_eq!(after(100), [22, 41, 57, 70, 80, 87, 93, 99]);
    }

    #[test]
    fn windows_reach_from_checkpoint_to_checkpoint() {
        for iterations in 1..200 {
            let checkpoints = checkpoints(iterations);
            let mut last = 0;
            for checkpoint in checkpoints {
                assert_eq!(checkpoint.after - checkpoint.window, last);
                last = checkpoint.after;
            }
            assert!((1..=iterations).contains(&last));
        }
    }
}
