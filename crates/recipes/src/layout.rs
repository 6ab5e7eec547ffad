//! What a recipe's report shows: rows and series in the paper's order, by the names of the jobs, beside the paper's own numbers.

use serde::Deserialize;

/// The form of a recipe's result.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// As one of the paper's tables.
    Table(TableLayout),
    /// As one of the paper's figures.
    Figure(FigureLayout),
}

/// A table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLayout {
    /// What it shows, in a line.
    pub title: String,
    /// Its columns of numbers, from left to right.
    pub columns: Vec<Column>,
    /// Its rows, from top to bottom.
    pub rows: Vec<RowLayout>,
}

/// A column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Column {
    /// Epochs trained; under free adversarial training, times the replays.
    Epochs,
    /// Mean time of an epoch with its interval; under free adversarial training, of one replay of it.
    EpochTime,
    /// Time of the training alone.
    TrainingTime,
    /// Time of the training and of all that it builds on.
    TrainingTimeWithTeacher,
    /// Accuracy on natural images.
    Natural,
    /// Accuracy under the recipe's attack.
    Robust,
}

/// A row of a table: one network, over all seeds that it was trained with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowLayout {
    /// The row's name, as the paper has it.
    pub label: String,
    /// The train job's name in the plan, without what a sweep appends.
    pub job: String,
    /// What the paper has in this row.
    #[serde(default)]
    pub paper: PaperNumbers,
}

/// Numbers of the paper, each absent where it has none.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperNumbers {
    /// Epochs.
    pub epochs: Option<u32>,
    /// Mean time of an epoch, in seconds.
    pub epoch_s: Option<f64>,
    /// Half the width of that mean's 95 % interval, in seconds.
    pub epoch_half_width_s: Option<f64>,
    /// Time of the training alone, in minutes.
    pub training_min: Option<f64>,
    /// Time of the training with its teacher's, in minutes.
    pub with_teacher_min: Option<f64>,
    /// Natural accuracy, in percent.
    pub natural: Option<f64>,
    /// Robust accuracy, in percent.
    pub robust: Option<f64>,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureLayout {
    /// What it shows, in a line.
    pub title: String,
    /// Its axes.
    pub kind: FigureKind,
    /// Its lines, or groups of bars, in the legend's order.
    pub series: Vec<Series>,
}

/// What a figure's axes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Natural and robust accuracy over the time of the training (Figure 2).
    AccuracyOverTime,
    /// The time of each network's training, its teacher's part set off (Figure 3).
    TrainingTime,
    /// Natural and robust accuracy over lambda, on a logarithmic axis (Figure 4).
    AccuracyOverLambda,
    /// Robust accuracy of each architecture (Figure 5).
    AccuracyByNetwork,
}

/// A line of a figure, or a group of its bars.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// Names of the train jobs that are its points, in the plan, without what a sweep appends.
    pub jobs: Vec<String>,
    /// The points that the paper's text fixes.
    #[serde(default)]
    pub paper: Vec<PaperPoint>,
}

/// A point that the paper's text fixes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperPoint {
    /// The job that it is of.
    pub job: String,
    /// Its numbers.
    #[serde(default)]
    pub numbers: PaperNumbers,
}
