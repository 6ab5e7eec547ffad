//! What is known of networks that differ in their seed alone.

use rrm_spec::{Accuracy, JobState};
use serde::Serialize;

use crate::{EpochTime, Measurement, Row, Run, SampleMean, Source, csv};

/// Numbers of one network over the seeds that it was trained with. Times are in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// The single networks, by seed.
    pub runs: Vec<Run>,
    /// Epochs of a complete training, times the replays of free adversarial training; absent where the seeds do not agree.
    pub epochs: Option<u32>,
    /// Time of an epoch, or of one replay of it: of one seed over its epochs, of several over the seeds' means.
    pub epoch_time: Option<SampleMean>,
    /// The same without the first (warm-up) epoch of each training.
    pub epoch_time_without_first: Option<SampleMean>,
    /// Time of the training.
    pub training: Option<SampleMean>,
    /// Time of the training and of all that it builds on.
    pub training_with_teacher: Option<SampleMean>,
    /// Accuracy on natural images.
    pub natural: Option<Accuracies>,
    /// Accuracy under the attack of [`Run::attack`].
    pub robust: Option<Accuracies>,
}

/// An accuracy over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracies {
    /// The seeds' mean, a fraction.
    pub mean: SampleMean,
    /// All seeds' images together.
    pub pooled: Accuracy,
    /// The mean over seeds of the mean over classes, where classes differ much in size.
    pub balanced: Option<f64>,
    /// How many of the seeds have it from their training's own validation, for want of an evaluation.
    pub validated: usize,
}

impl Measures {
    pub(crate) fn of(runs: Vec<Run>) -> Self {
        let over = |of: fn(&Row) -> Option<u64>| {
            let times: Vec<f64> = runs.iter().filter_map(|run| Some(of(&run.row)? as f64)).collect();
            SampleMean::of(&times)
        };
        Self {
            epochs: epochs(&runs),
            epoch_time: epoch_time(&runs, |row| row.epoch_time.as_ref()),
            epoch_time_without_first: epoch_time(&runs, |row| row.epoch_time_without_first.as_ref()),
            training: over(|row| row.training_us),
            training_with_teacher: over(|row| row.training_with_teacher_us),
            natural: Accuracies::of(runs.iter().map(|run| run.row.natural)),
            robust: Accuracies::of(runs.iter().map(|run| run.robust)),
            runs,
        }
    }

    /// Replays of free adversarial training; 1 of other methods.
    pub(crate) fn replays(&self) -> u32 {
        self.runs.first().map_or(1, |run| run.replays)
    }

    /// Where the trainings stand, such as `2 running, 1 waiting`; what nobody is to train is not in this plan.
    pub(crate) fn training_states(&self) -> String {
        states(self.runs.iter().map(|run| run.row.state))
    }

    /// Why an accuracy is missing.
    pub(crate) fn evaluation_states(&self, of: impl Fn(&Run) -> Measurement) -> String {
        let state = |run: &Run| match of(run) {
            Measurement::Measured { .. } => None,
            Measurement::Pending { state, .. } => Some(state),
            // Nobody evaluates it, so that its training's state tells the most.
            Measurement::Absent => Some(run.row.state).filter(|state| *state != JobState::Succeeded),
        };
        match self.runs.is_empty() {
            true => states(std::iter::empty()),
            false => {
                let missing: Vec<JobState> = self.runs.iter().filter_map(state).collect();
                if missing.is_empty() { "not measured".to_owned() } else { states(missing.into_iter()) }
            }
        }
    }

    /// What the networks were made of, as fields of a CSV.
    pub(crate) fn origin(&self) -> [String; 5] {
        csv::origin(&self.runs.iter().map(|run| &run.provenance.made).collect::<Vec<_>>(), &self.machines())
    }

    /// Where the networks were trained, such as `node1/cpu`.
    pub(crate) fn machines(&self) -> Vec<&str> {
        let mut machines: Vec<&str> = self.runs.iter().flat_map(|run| &run.row.machines).map(String::as_str).collect();
        machines.sort_unstable();
        machines.dedup();
        machines
    }
}

impl Accuracies {
    fn of(measurements: impl Iterator<Item = Measurement>) -> Option<Self> {
        let mut pooled = Accuracy { correct: 0, total: 0 };
        let (mut fractions, mut balanced, mut validated) = (Vec::new(), Vec::new(), 0);
        for measurement in measurements {
            let Measurement::Measured { accuracy, source, balanced: by_class } = measurement else { continue };
            let Some(fraction) = accuracy.fraction() else { continue };
            fractions.push(fraction);
            balanced.extend(by_class);
            pooled = Accuracy { correct: pooled.correct + accuracy.correct, total: pooled.total + accuracy.total };
            validated += usize::from(source == Source::Validation);
        }
        let of_all = balanced.len() == fractions.len();
        let balanced = SampleMean::of(&balanced).filter(|_| of_all).map(|mean| mean.mean);
        Some(Self { mean: SampleMean::of(&fractions)?, pooled, balanced, validated })
    }

    /// The 95 % interval as fractions: over several seeds Student's of their mean, cut at 0 and 1; of one seed Wilson's over its images.
    pub fn interval(&self) -> (f64, f64) {
        match self.mean.half_width {
            Some(half_width) => ((self.mean.mean - half_width).max(0.0), (self.mean.mean + half_width).min(1.0)),
            None => self.pooled.wilson95().unwrap_or((0.0, 1.0)),
        }
    }

    /// Images of one seed's test set, on which digits depend.
    pub(crate) fn images(&self) -> u64 {
        self.pooled.total / self.mean.n as u64
    }
}

fn epochs(runs: &[Run]) -> Option<u32> {
    let counted = |run: &Run| run.row.epochs_total.saturating_mul(run.replays);
    let first = counted(runs.first()?);
    runs.iter().all(|run| counted(run) == first).then_some(first)
}

fn epoch_time(runs: &[Run], of: fn(&Row) -> Option<&EpochTime>) -> Option<SampleMean> {
    let of_run = |run: &Run| {
        let EpochTime { n, mean_us: mean, std_us: std, half_width_us: half_width } = *of(&run.row)?;
        Some(SampleMean { n, mean, std, half_width }.scaled(1.0 / f64::from(run.replays)))
    };
    match runs {
        [only] => of_run(only),
        runs => SampleMean::of(&runs.iter().filter_map(|run| Some(of_run(run)?.mean)).collect::<Vec<_>>()),
    }
}

fn states(states: impl Iterator<Item = JobState> + Clone) -> String {
    let count = |state| states.clone().filter(|other| *other == state).count();
    let counts: Vec<String> = JobState::ALL
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| if count == 1 { state.to_string() } else { format!("{count} {state}") })
        .collect();
    if counts.is_empty() { "not in this plan".to_owned() } else { counts.join(", ") }
}
