//! How much faster a network was trained than adversarially.

use crate::{Baseline, Comparable, Row, SpeedUp, Teacher};

/// Compares `row` with adversarial training of the same network, in the same precision, on the same images.
///
/// `None` where no such run is complete, and for a run of adversarial training that is itself a mere timing reference.
pub(crate) fn speed_up(row: &Row, rows: &[Row]) -> Option<SpeedUp> {
    let own = row.training_us? as f64;
    let epochs = reference_epochs(row, rows)?;
    // A fine-tuning is short by its nature, and no reference for anything.
    if row.training_attack.is_some() && !row.is_fine_tuning && row.epochs_total < epochs {
        return None;
    }
    let baseline = baseline(row, rows, epochs)?;
    if baseline.job == row.job && baseline.scaled_to_epochs.is_some() {
        return None;
    }
    Some(SpeedUp {
        without_teacher: baseline.training_us / own,
        with_teacher: row.training_with_teacher_us.map(|total| baseline.training_us / total as f64),
        baseline,
    })
}

/// For how many epochs adversarial training counts: the teacher's, if it was trained adversarially; without such a teacher,
/// those of the longest adversarial training on the same images, of which fine-tunings count for want of others alone.
fn reference_epochs(row: &Row, rows: &[Row]) -> Option<u32> {
    let adversarial = || rows.iter().filter(|other| other.training_attack.is_some() && other.dataset == row.dataset);
    let teacher = match &row.teacher {
        Some(Teacher::Job { id, .. }) => adversarial().find(|other| other.job == *id),
        Some(Teacher::Checkpoint(_) | Teacher::Artifact(_)) | None => None,
    };
    let longest = || adversarial().max_by_key(|other| (!other.is_fine_tuning, other.epochs_total));
    teacher.or_else(longest).map(|other| other.epochs_total)
}

fn baseline(row: &Row, rows: &[Row], reference_epochs: u32) -> Option<Baseline> {
    let candidates = rows.iter().filter(|other| {
        let alike = other.network == row.network && other.dataset == row.dataset;
        // Otherwise the ratio would be the method's and the arithmetic's together.
        other.training_attack.is_some() && alike && other.precision == row.precision
    });
    let complete: Vec<_> =
        candidates.filter_map(|other| Some((other, other.training_us?, other.epoch_time.as_ref()?))).collect();
    // A run from fresh weights before a fine-tuning, one of full length before a scaled one, the row itself before others, then the
    // same seed, then the oldest.
    let (run, training_us, epoch_time) = complete.iter().copied().min_by_key(|(other, ..)| {
        let is_scaled = other.epochs_total < reference_epochs;
        (other.is_fine_tuning, is_scaled, other.job != row.job, other.seed != row.seed, other.job)
    })?;
    let scaled_to_epochs = (run.epochs_total < reference_epochs).then_some(reference_epochs);
    Some(Baseline {
        job: run.job,
        name: run.name.clone(),
        epochs: run.epochs_total,
        training_us: scaled_to_epochs.map_or(training_us as f64, |epochs| epoch_time.mean_us * f64::from(epochs)),
        is_fine_tuning: run.is_fine_tuning,
        candidates: complete.iter().filter(|(other, ..)| other.is_fine_tuning == run.is_fine_tuning).count(),
        scaled_to_epochs,
        comparable: comparable(row, run),
    })
}

fn comparable(row: &Row, run: &Row) -> Comparable {
    match row.machines == run.machines && row.machines.len() == 1 {
        true => Comparable::SameMachine,
        false => Comparable::OtherMachine,
    }
}
