//! A study as comma-separated values: raw counts, fractions and microseconds, empty where there is nothing.

use rrm_recipes::PaperNumbers;

use super::{Ratios, Study, StudyRow};
use crate::{
    Accuracies, Measures, SampleMean,
    csv::{ORIGIN, joined, line, optional},
};

pub(super) fn render(study: &Study) -> String {
    let mut lines = vec![line(header())];
    lines.extend(study.rows.iter().map(|row| line(fields(row))));
    lines.concat()
}

fn header() -> Vec<String> {
    let mut header: Vec<String> = ["method", "job", "jobs", "seeds", "states", "epochs"].map(str::to_owned).into();
    header.extend(measures_header());
    header.extend(["speed_up", "speed_up_with_teacher", "reference"].map(str::to_owned));
    header.extend(paper_header());
    header.extend(["paper_speed_up", "paper_speed_up_with_teacher"].map(str::to_owned));
    header.extend(ORIGIN.into_iter().chain(["dataset", "train_images"]).map(str::to_owned));
    header
}

fn fields(row: &StudyRow) -> Vec<String> {
    let StudyRow { label, job, ours, paper, speed_up, paper_speed_up, .. } = row;
    let runs = || ours.runs.iter();
    let mut fields = vec![
        label.clone(),
        job.clone(),
        joined(runs().map(|run| run.row.job)),
        joined(runs().map(|run| run.seed)),
        joined(runs().map(|run| run.row.state)),
        optional(ours.epochs),
    ];
    fields.extend(measures(ours));
    fields.extend(ratios(speed_up.as_ref()));
    fields.push(speed_up.as_ref().map_or(String::new(), |ratios| ratios.reference.clone()));
    fields.extend(paper_fields(paper));
    fields.extend(ratios(paper_speed_up.as_ref()));
    fields.extend(provenance(ours));
    fields
}

/// Headings of [`measures`].
pub(crate) fn measures_header() -> Vec<String> {
    let of = |name: &str, parts: &[&str]| parts.iter().map(|part| format!("{name}_{part}")).collect::<Vec<_>>();
    let time = ["n", "mean_us", "std_us", "half_width_us"];
    let accuracy = ["n", "mean", "std", "half_width", "correct", "total", "low", "high", "balanced", "validated"];
    let times = ["epoch_time", "epoch_time_without_first", "training", "training_with_teacher"];
    let times = times.into_iter().flat_map(|name| of(name, &time));
    times.chain(["natural", "robust"].into_iter().flat_map(|name| of(name, &accuracy))).collect()
}

/// Times and accuracies.
pub(crate) fn measures(ours: &Measures) -> Vec<String> {
    let times = [ours.epoch_time, ours.epoch_time_without_first, ours.training, ours.training_with_teacher];
    let accuracies = [ours.natural, ours.robust];
    times.into_iter().flat_map(mean).chain(accuracies.into_iter().flat_map(accuracy)).collect()
}

fn mean(mean: Option<SampleMean>) -> [String; 4] {
    let Some(SampleMean { n, mean, std, half_width }) = mean else { return [const { String::new() }; 4] };
    [n.to_string(), mean.to_string(), optional(std), optional(half_width)]
}

fn accuracy(accuracies: Option<Accuracies>) -> Vec<String> {
    let Some(Accuracies { mean: over_seeds, pooled, balanced, validated }) = accuracies else {
        return vec![String::new(); 10];
    };
    let (low, high) = pooled.wilson95().unzip();
    let counts = [pooled.correct.to_string(), pooled.total.to_string(), optional(low), optional(high)];
    let rest = [optional(balanced), validated.to_string()];
    mean(Some(over_seeds)).into_iter().chain(counts).chain(rest).collect()
}

fn ratios(ratios: Option<&Ratios>) -> [String; 2] {
    ratios.map_or([const { String::new() }; 2], |ratios| {
        [optional(ratios.without_teacher), optional(ratios.with_teacher)]
    })
}

/// Headings of [`paper_fields`].
pub(crate) fn paper_header() -> Vec<String> {
    ["epochs", "epoch_s", "epoch_half_width_s", "training_min", "with_teacher_min", "natural_percent", "robust_percent"]
        .map(|name| format!("paper_{name}"))
        .into()
}

/// The paper's numbers, in its units.
pub(crate) fn paper_fields(paper: &PaperNumbers) -> Vec<String> {
    let PaperNumbers { epochs, epoch_s, epoch_half_width_s, training_min, with_teacher_min, natural, robust } = paper;
    let rest = [epoch_s, epoch_half_width_s, training_min, with_teacher_min, natural, robust];
    std::iter::once(optional(*epochs)).chain(rest.map(|number| optional(*number))).collect()
}

fn provenance(ours: &Measures) -> Vec<String> {
    let dataset = ours.runs.first().map(|run| &run.provenance.made.dataset);
    let data = [
        dataset.map_or(String::new(), |dataset| dataset.name.to_string()),
        dataset.map_or(String::new(), |dataset| optional(dataset.train_images)),
    ];
    ours.origin().into_iter().chain(data).collect()
}
