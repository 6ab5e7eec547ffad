//! Taking turns: A B A B, so that whatever slows the machine down slows both.

use std::{thread, time::Duration};

use crate::peer::Peer;

/// A turn has as many steps as fill this time, so that the first step's cold caches count little.
const TURN_MS: f64 = 300.0;

/// Between turns: the threads of the one that was at work stop spinning and go to sleep.
const SETTLE: Duration = Duration::from_millis(30);

/// Something that does steps.
pub trait Contestant {
    /// Does `count` steps; returns the milliseconds of each.
    ///
    /// # Errors
    /// When a step fails.
    fn steps(&mut self, count: u32) -> anyhow::Result<Vec<f64>>;
}

impl Contestant for Peer {
    fn steps(&mut self, count: u32) -> anyhow::Result<Vec<f64>> {
        Peer::steps(self, count)
    }
}

/// Milliseconds per step, of each contestant, in each of `rounds` rounds.
///
/// # Errors
/// When a step of any of them fails.
pub fn take_turns<const N: usize>(contestants: [&mut dyn Contestant; N], rounds: u32) -> anyhow::Result<[Vec<f64>; N]> {
    let mut contestants = contestants;
    let mut counts = [1; N];
    for (contestant, count) in contestants.iter_mut().zip(&mut counts) {
        *count = steps_of_a_turn(*contestant)?;
    }
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for ((contestant, count), times) in contestants.iter_mut().zip(counts).zip(&mut times) {
            thread::sleep(SETTLE);
            let steps = contestant.steps(count)?;
            times.push(steps.iter().sum::<f64>() / f64::from(count));
        }
    }
    Ok(times)
}

/// By the second of two steps; the first warms up.
fn steps_of_a_turn(contestant: &mut dyn Contestant) -> anyhow::Result<u32> {
    let times = contestant.steps(2)?;
    Ok((TURN_MS / times[1]).ceil().clamp(1.0, 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    struct Scripted {
        name: char,
        step_ms: f64,
        log: Rc<RefCell<Vec<(char, u32)>>>,
    }

    impl Contestant for Scripted {
        fn steps(&mut self, count: u32) -> anyhow::Result<Vec<f64>> {
            self.log.borrow_mut().push((self.name, count));
            Ok(vec![self.step_ms; count as usize])
        }
    }

    #[test]
    fn turns_alternate_and_last_about_equally_long() {
        let log = Rc::default();
        let mut a = Scripted { name: 'a', step_ms: 100.0, log: Rc::clone(&log) };
        let mut b = Scripted { name: 'b', step_ms: 1000.0, log: Rc::clone(&log) };
        let [times_a, times_b] = take_turns([&mut a, &mut b], 2).unwrap();
        assert_eq!((times_a, times_b), (vec![100.0; 2], vec![1000.0; 2]));
        assert_eq!(*log.borrow(), [('a', 2), ('b', 2), ('a', 3), ('b', 1), ('a', 3), ('b', 1)]);
    }
}
