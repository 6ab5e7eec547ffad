//! AutoPGD in l1 (Croce & Hein 2021, "Mind the box", Algorithm 1), with the radii of AutoAttack.
//!
//! A step moves some pixels only: those of the gradient's largest components, two thirds as many as the best point has changed so
//! far. The search begins in a ball three times as large, goes on in one twice as large, and ends in the ball itself, which alone
//! can break an image.

use candle_core::Result;
use rrm_spec::Norm;

use super::{
    ledger::Ledger,
    run::{Finished, Iteration, Observer, Run, look},
};
use crate::{
    Ball, Form, Seen,
    l1::{keep_largest, signs_of_length},
    pixels::{Pixel, Pixels},
    region::Region,
    victim::Verdict,
};

/// Radii in units of epsilon, each with its share of the iterations but the last, which gets the rest.
const PHASES: [(f64, f64); 3] = [(3.0, 0.3), (2.0, 0.3), (1.0, 0.4)];

/// The share of iterations between two decisions on the steps.
const WINDOW: f64 = 0.04;

/// Of the pixels that the best point has changed so many are not moved by the next steps.
const SPARSER: f64 = 1.5;

/// By what steps are divided while the number of changed pixels stays.
const SHORTER: f64 = 1.5;

/// The shortest step against the longest.
const SHORTEST: f64 = 0.1;

/// The number of changed pixels has come down where it is below this share of the last.
const FEWER: f64 = 0.95;

/// Where starts are drawn: for l1 in the largest of the balls.
pub(super) fn region_of_starts<T: Pixel>(region: &Region<T>) -> Option<Region<T>> {
    (region.ball().norm == Norm::L1).then(|| widened(region, PHASES[0].0))
}

fn widened<T: Pixel>(region: &Region<T>, factor: f64) -> Region<T> {
    let ball = Ball { epsilon: region.ball().epsilon * factor, ..region.ball() };
    Region::around(ball, Form::CroceHein, region.natural().clone())
}

/// Radii in units of epsilon and iterations in each. A run of one or two iterations has the last radius only.
fn phases(iterations: u32) -> Vec<(f64, u32)> {
    let share = |share: f64| (share * f64::from(iterations)).ceil() as u32;
    let wide: Vec<(f64, u32)> = PHASES[..2].iter().map(|&(radius, part)| (radius, share(part))).collect();
    let used: u32 = wide.iter().map(|&(_, iterations)| iterations).sum();
    match iterations.checked_sub(used) {
        Some(rest @ 1..) => [wide, vec![(PHASES[2].0, rest)]].concat(),
        Some(0) | None => vec![(PHASES[2].0, iterations)],
    }
}

/// One image's steps.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// Pixels that the best point had changed at the last decision.
    changed: usize,
    /// Share of the pixels that a step moves.
    moved_share: f64,
}

/// A phase on its way.
struct Phase<T> {
    region: Region<T>,
    iterate: Pixels<T>,
    gradient: Pixels<T>,
    best: Pixels<T>,
    best_gradient: Pixels<T>,
    adversarial: Pixels<T>,
    ledgers: Vec<Ledger>,
    steps: Vec<Steps>,
    seen: Vec<Seen>,
    verdict: Verdict,
}

impl<T: Pixel> Run<'_, T> {
    /// A run through all radii. What its last phase found counts.
    pub(super) fn sparse(&self, start: Pixels<T>, observer: &mut Observer<'_>) -> Result<Finished<T>> {
        let mut phases = phases(self.iterations).into_iter();
        let (radius, mut last) = phases.next().expect("a run has a phase at least");
        let (mut phase, mut earlier) = (self.phase(radius, last, start, observer)?, 0);
        for (radius, iterations) in phases {
            earlier += last;
            (phase, last) = (self.phase(radius, iterations, phase.best, observer)?, iterations);
        }
        let Phase { best, adversarial, ledgers, mut seen, .. } = phase;
        for (seen, ledger) in seen.iter_mut().zip(&ledgers) {
            seen.iteration = ledger.first_broken.map(|iteration| earlier + iteration);
        }
        Ok(Finished { highest: best, adversarial, ledgers, seen })
    }

    fn phase(&self, radius: f64, iterations: u32, start: Pixels<T>, observer: &mut Observer<'_>) -> Result<Phase<T>> {
        let window = ((WINDOW * f64::from(iterations)) as u32).max(1);
        let mut phase = self.begin_phase(widened(self.region, radius), iterations, start)?;
        phase.show(0, observer);
        for iteration in 1..=iterations {
            phase.step();
            (phase.verdict, phase.gradient) = self.victim.differentiate(&phase.iterate, self.labels)?;
            phase.enter(iteration);
            if iteration % window == 0 {
                phase.decide();
            }
            phase.show(iteration, observer);
        }
        Ok(phase)
    }

    fn begin_phase(&self, region: Region<T>, iterations: u32, mut start: Pixels<T>) -> Result<Phase<T>> {
        region.project(&mut start);
        let (verdict, gradient) = self.victim.differentiate(&start, self.labels)?;
        let radius = region.ball().epsilon;
        let open = |(&loss, &correct)| Ledger::open(iterations, radius, loss, correct);
        let mut seen = vec![Seen::NOTHING; start.len()];
        look(&mut seen, &verdict);
        let steps = |row: usize| {
            let changed = changed(start.image(row), region.natural().image(row));
            Steps { changed, moved_share: changed as f64 / start.image(row).len() as f64 / SPARSER }
        };
        Ok(Phase {
            ledgers: verdict.loss.iter().zip(&verdict.correct).map(open).collect(),
            steps: (0..start.len()).map(steps).collect(),
            seen,
            best: start.clone(),
            adversarial: start.clone(),
            iterate: start,
            best_gradient: gradient.clone(),
            gradient,
            verdict,
            region,
        })
    }
}

impl<T: Pixel> Phase<T> {
    /// One projected step of every image; none where its gradient is not finite.
    fn step(&mut self) {
        let Self { region, iterate, gradient, ledgers, steps, .. } = self;
        iterate.par_images_mut(|row, image| {
            let mut sparse: Vec<f64> = gradient.image(row).iter().map(|g| g.to_f64()).collect();
            let count = sparse.len();
            let left = (((1.0 - steps[row].moved_share) * count as f64) as usize).min(count - 1);
            keep_largest(&mut sparse, count - left);
            let Some(change) = signs_of_length(sparse, ledgers[row].step_size) else { return };
            let mut target: Vec<f64> = image.iter().zip(change).map(|(z, change)| z.to_f64() + change).collect();
            region.settle(row, &mut target, image);
        });
    }

    fn enter(&mut self, iteration: u32) {
        look(&mut self.seen, &self.verdict);
        for (row, ledger) in self.ledgers.iter_mut().enumerate() {
            let correct = self.verdict.correct[row];
            if !correct {
                self.adversarial.replace(row, self.iterate.image(row));
            }
            if ledger.enter(iteration, self.verdict.loss[row], correct) {
                self.best.replace(row, self.iterate.image(row));
                self.best_gradient.replace(row, self.gradient.image(row));
            }
        }
    }

    /// Images whose best point has fewer changed pixels than before go on from it with the longest step, the others with a shorter
    /// one from where they are.
    fn decide(&mut self) {
        let longest = self.region.ball().epsilon;
        for row in 0..self.ledgers.len() {
            let best = self.best.image(row);
            let changed = changed(best, self.region.natural().image(row));
            let has_fewer = (changed as f64 / self.steps[row].changed as f64) < FEWER;
            self.steps[row] = Steps { changed, moved_share: changed as f64 / best.len() as f64 / SPARSER };
            let step_size = &mut self.ledgers[row].step_size;
            *step_size = if has_fewer { longest } else { (*step_size / SHORTER).max(longest * SHORTEST) };
            if has_fewer {
                self.iterate.replace(row, best);
                self.gradient.replace(row, self.best_gradient.image(row));
            }
        }
    }

    fn show(&self, index: u32, observer: &mut Observer<'_>) {
        observer(&Iteration {
            index,
            losses: &self.verdict.loss,
            correct: &self.verdict.correct,
            ledgers: &self.ledgers,
            iterate: &|row| self.iterate.image(row).iter().map(|z| z.to_f64()).collect(),
        });
    }
}

/// Pixels that are not those of the natural image.
fn changed<T: Pixel>(image: &[T], natural: &[T]) -> usize {
    image.iter().zip(natural).filter(|(z, x)| z != x).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_in_the_ball_itself() {
        assert_eq!(phases(100), [(3.0, 30), (2.0, 30), (1.0, 40)]);
        assert_eq!(phases(5), [(3.0, 2), (2.0, 2), (1.0, 1)]);
        assert_eq!(phases(3), [(3.0, 1), (2.0, 1), (1.0, 1)]);
        assert_eq!((phases(2), phases(1)), (vec![(1.0, 2)], vec![(1.0, 1)]));
    }
}
