//! How much less time a row took than adversarial training of the same network.

use rrm_recipes::PaperNumbers;
use rrm_spec::{Arch, Dataset, Precision};
use serde::Serialize;

use super::StudyRow;

/// A training's time as a share of another's, turned over: how many times faster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratios {
    /// By the time of the training alone.
    pub without_teacher: Option<f64>,
    /// By the time of the training and of all that it builds on; absent where that is not known.
    pub with_teacher: Option<f64>,
    /// The label of the row that it is compared with.
    pub reference: String,
    /// Whether all of both rows' trainings ran on the same machine and kind of device; not told of the paper's, and taken for granted.
    pub same_machine: bool,
    /// Whether that row began with another network's weights.
    pub is_fine_tuning: bool,
    /// Whether both computed in the same precision; of the paper's it is not so (SAT in f32, the others in f16), and not marked.
    pub same_precision: bool,
}

/// Fills in the speed-ups of all rows.
pub(super) fn compare(rows: &mut [StudyRow]) {
    let ratios: Vec<_> = rows.iter().map(|row| (ours(row, rows), papers(row, rows))).collect();
    for (row, (ours, papers)) in rows.iter_mut().zip(ratios) {
        (row.speed_up, row.paper_speed_up) = (ours, papers);
    }
}

fn ours(row: &StudyRow, rows: &[StudyRow]) -> Option<Ratios> {
    let reference = reference(row, rows)?;
    let time = reference.ours.training?.mean;
    let own = row.ours.training?;
    Some(Ratios {
        without_teacher: Some(time / own.mean),
        with_teacher: row.ours.training_with_teacher.map(|total| time / total.mean),
        reference: reference.label.clone(),
        same_machine: row.ours.machines().len() == 1 && row.ours.machines() == reference.ours.machines(),
        is_fine_tuning: is_fine_tuning(reference),
        same_precision: precision(row) == precision(reference),
    })
}

fn papers(row: &StudyRow, rows: &[StudyRow]) -> Option<Ratios> {
    let reference = reference(row, rows)?;
    let time = reference.paper.training_min?;
    let PaperNumbers { training_min, with_teacher_min, .. } = row.paper;
    if training_min.is_none() && with_teacher_min.is_none() {
        return None;
    }
    Some(Ratios {
        without_teacher: training_min.map(|own| time / own),
        with_teacher: with_teacher_min.map(|total| time / total),
        reference: reference.label.clone(),
        same_machine: true,
        // Of the paper's trainings none is known to.
        is_fine_tuning: false,
        same_precision: true,
    })
}

/// SAT of the same network or, for want of a row of that name, the first row of the same network that is trained adversarially, from
/// fresh weights where there is such a one.
///
/// A row without jobs might be of any network: then it is what the paper calls SAT, if that is one row alone.
fn reference<'a>(row: &StudyRow, rows: &'a [StudyRow]) -> Option<&'a StudyRow> {
    let alike = |other: &&StudyRow| match (network(row), network(other)) {
        (Some(own), Some(others)) => own == others && is_adversarial(other),
        (None, _) | (_, None) => is_sat(other),
    };
    let candidates = || rows.iter().filter(alike);
    let named = || candidates().filter(|other| is_sat(other));
    match named().count() {
        0 => candidates().find(|other| !is_fine_tuning(other)).or_else(|| candidates().next()),
        1 => named().next(),
        // Of several networks' SAT, only the row's own will do.
        _ => named().find(|other| network(row).is_some() && network(other) == network(row)),
    }
}

/// What decides whether two times are of the same work: the network and the images.
fn network(row: &StudyRow) -> Option<(Arch, &Dataset)> {
    row.ours.runs.first().map(|run| (run.row.network, &run.row.dataset))
}

fn precision(row: &StudyRow) -> Option<Precision> {
    row.ours.runs.first().map(|run| run.row.precision)
}

fn is_adversarial(row: &StudyRow) -> bool {
    row.ours.runs.first().is_some_and(|run| run.row.training_attack.is_some())
}

fn is_fine_tuning(row: &StudyRow) -> bool {
    row.ours.runs.first().is_some_and(|run| run.row.is_fine_tuning)
}

fn is_sat(row: &StudyRow) -> bool {
    row.label.split(|c: char| !c.is_alphanumeric()).any(|word| word == "SAT")
}
