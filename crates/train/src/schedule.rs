//! Learning rate and momentum as a pure function of the step (digest §2.2).

use std::f64::consts::PI;

use rrm_spec::{OptimizerSpec, Schedule};

/// Where the cosine schedule ends.
const LAST_COSINE_RATE: f64 = 1e-6;

/// What one update uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last update's direction that is kept.
    pub momentum: f64,
}

/// A schedule laid out over the updates of one training.
///
/// A tick is one update, so replays count. Nothing is remembered between ticks: a resumed training continues the schedule
/// by asking for its step.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    optimizer: OptimizerSpec,
    steps_per_epoch: u64,
    total_steps: u64,
}

impl Timetable {
    /// The schedule of `optimizer` over `epochs` of `steps_per_epoch` updates each.
    pub fn new(optimizer: &OptimizerSpec, epochs: u32, steps_per_epoch: u64) -> Self {
        Self { optimizer: optimizer.clone(), steps_per_epoch, total_steps: steps_per_epoch * u64::from(epochs) }
    }

    /// Updates in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Updates in the whole training.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// L2 weight decay, which no schedule changes.
    pub fn weight_decay(&self) -> f64 {
        self.optimizer.weight_decay
    }

    /// The rate of update `step`, counted from 0; `step` = [`Self::total_steps`] gives the end of the curve.
    pub fn at(&self, step: u64) -> Rate {
        let OptimizerSpec { learning_rate: peak, momentum, weight_decay: _, ref schedule } = self.optimizer;
        match schedule {
            Schedule::Constant => Rate { learning_rate: peak, momentum },
            Schedule::Step { milestones, factor } => {
                let epoch = step.checked_div(self.steps_per_epoch).unwrap_or(0);
                let passed = milestones.iter().filter(|&&milestone| u64::from(milestone) <= epoch);
                Rate { learning_rate: passed.fold(peak, |rate, _| rate * factor), momentum }
            }
            Schedule::Cosine => Rate { learning_rate: self.cosine(peak, step), momentum },
            Schedule::Triangular { peak_momentum } => {
                let height = self.height(step);
                let momentum = peak_momentum.map_or(momentum, |lowest| momentum - (momentum - lowest) * height);
                Rate { learning_rate: peak * height, momentum }
            }
        }
    }

    /// The part of the training that lies before `step`, 0 to 1.
    fn progress(&self, step: u64) -> f64 {
        if self.total_steps == 0 { 0.0 } else { step as f64 / self.total_steps as f64 }
    }

    fn cosine(&self, peak: f64, step: u64) -> f64 {
        // A peak below the last rate stays as it is: no schedule climbs above what was asked for.
        let floor = (LAST_COSINE_RATE / peak).min(1.0);
        peak * (floor + (1.0 - floor) * 0.5 * (1.0 + (PI * self.progress(step)).cos()))
    }

    /// How high the triangle stands at `step`: 0 at both ends, 1 in the middle.
    fn height(&self, step: u64) -> f64 {
        1.0 - (2.0 * self.progress(step) - 1.0).abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timetable(schedule: Schedule, epochs: u32, steps_per_epoch: u64) -> Timetable {
        let optimizer = OptimizerSpec { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, schedule };
        Timetable::new(&optimizer, epochs, steps_per_epoch)
    }

    fn rates(timetable: &Timetable) -> Vec<f64> {
        (0..timetable.total_steps()).map(|step| timetable.at(step).learning_rate).collect()
    }

    #[test]
    fn cosine_falls_from_the_full_rate_to_a_millionth() {
        // PyTorch's LambdaLR with the formula of the authors' train_rrm scripts, five steps.
        let expected = [0.1, 0.0904509452102502, 0.06545119521025018, 0.034549804789749824, 0.009550054789749822];
        let timetable = timetable(Schedule::Cosine, 1, 5);
        for (got, expected) in rates(&timetable).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
        assert!((timetable.at(5).learning_rate - 1e-6).abs() < 1e-12);
    }

    #[test]
    fn cosine_never_climbs_above_a_rate_that_is_lower_than_its_last() {
        let optimizer =
            OptimizerSpec { learning_rate: 1e-8, momentum: 0.9, weight_decay: 0.0, schedule: Schedule::Cosine };
        let timetable = Timetable::new(&optimizer, 1, 5);
        assert!(rates(&timetable).iter().all(|&rate| (rate - 1e-8).abs() < 1e-20));
    }

    #[test]
    fn a_step_schedule_falls_when_the_epoch_of_a_milestone_begins() {
        let schedule = Schedule::Step { milestones: vec![2, 3], factor: 0.1 };
        let expected = [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001];
        for (got, expected) in rates(&timetable(schedule, 4, 2)).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }

    #[test]
    fn a_triangle_begins_at_zero_and_cycles_the_momentum_in_antiphase() {
        let timetable = timetable(Schedule::Triangular { peak_momentum: Some(0.8) }, 2, 12);
        let at = |step| timetable.at(step);
        assert_eq!(at(0), Rate { learning_rate: 0.0, momentum: 0.9 });
        assert!((at(12).learning_rate - 0.1).abs() < 1e-12 && (at(12).momentum - 0.8).abs() < 1e-12);
        assert!((at(3).momentum - 0.875).abs() < 1e-12, "{}", at(3).momentum);
        assert!(at(24).learning_rate.abs() < 1e-12 && (at(24).momentum - 0.9).abs() < 1e-12);
    }

    #[test]
    fn a_triangle_without_a_peak_momentum_keeps_the_momentum() {
        let timetable = timetable(Schedule::Triangular { peak_momentum: None }, 1, 10);
        assert!((0..10).all(|step| timetable.at(step).momentum == 0.9));
    }

    proptest! {
        #[test]
        fn no_schedule_leaves_zero_to_the_full_rate(epochs in 1..50u32, steps in 1..100u64, at in 0.0..1.0f64) {
            let step = (at * (u64::from(epochs) * steps) as f64) as u64;
            let schedules = [Schedule::Constant, Schedule::Cosine, Schedule::Triangular { peak_momentum: Some(0.8) }];
            for schedule in schedules {
                let rate = timetable(schedule, epochs, steps).at(step);
                prop_assert!((0.0..=0.1 + 1e-15).contains(&rate.learning_rate));
                prop_assert!((0.8 - 1e-12..=0.9 + 1e-12).contains(&rate.momentum));
            }
        }
    }
}
