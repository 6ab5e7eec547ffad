//! How a training went, epoch by epoch.

use maud::{Markup, html};
use rrm_spec::{Accuracy, EpochRecord, JobDetail};

use crate::chart::{Chart, Draws, Series, chart};
use crate::words::percent;

pub(super) fn curves(job: &JobDetail) -> Markup {
    html! {
        @if !job.epochs.is_empty() {
            h2 { "Curves" }
            div.charts {
                (chart(accuracies(&job.epochs)))
                (chart(loss(&job.epochs)))
            }
            (numbers(&job.epochs))
        }
    }
}

fn accuracies(epochs: &[EpochRecord]) -> Chart<'static> {
    let series = |name: &str, style, of: fn(&EpochRecord) -> Option<Accuracy>| {
        let points = epochs.iter().filter_map(|it| Some((f64::from(it.epoch), 100.0 * of(it)?.fraction()?)));
        Series { name: name.to_owned(), style, points: points.collect() }
    };
    let series = vec![
        series("natural test images", 0, |it| Some(it.natural)),
        series("under attack", 1, |it| it.robust),
        series("training batches", 2, |it| Some(it.train)),
    ];
    Chart { id: "accuracy-title", title: "Accuracy", x: "epoch", y: "accuracy, %", draws: Draws::Lines, series }
}

fn loss(epochs: &[EpochRecord]) -> Chart<'static> {
    let points = epochs.iter().map(|it| (f64::from(it.epoch), it.loss)).collect();
    let series = vec![Series { name: "training loss".to_owned(), style: 3, points }];
    Chart { id: "loss-title", title: "Loss", x: "epoch", y: "loss", draws: Draws::Lines, series }
}

/// The same as numbers: for those who do not see the curves, and to copy.
fn numbers(epochs: &[EpochRecord]) -> Markup {
    html! {
        details {
            summary { "Epochs as numbers" }
            div.wide {
                table {
                    caption { "Epochs that count" }
                    thead { tr {
                        th scope="col" { "Epoch" } th scope="col" { "Loss" } th scope="col" { "Training" }
                        th scope="col" { "Natural" } th scope="col" { "Under attack" }
                        th scope="col" { "Learning rate" } th scope="col" { "Time, s" }
                    } }
                    tbody {
                        @for it in epochs {
                            tr {
                                th scope="row" { (it.epoch) }
                                td.number { (format!("{:.4}", it.loss)) }
                                td.number { (percent(Some(it.train))) }
                                td.number { (percent(Some(it.natural))) }
                                td.number { (percent(it.robust)) }
                                td.number { (format!("{:.3e}", it.learning_rate)) }
                                td.number { (format!("{:.2}", it.train_us as f64 / 1e6)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
