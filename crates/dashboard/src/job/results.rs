//! What evaluations measured.

use maud::{Markup, html};
use rrm_spec::{Diagnostic, EvaluationRecord, JobDetail};

use crate::time::duration;
use crate::words::accuracy;

pub(super) fn results(job: &JobDetail) -> Markup {
    html! {
        @if !job.evaluations.is_empty() {
            h2 { "Evaluation" }
            div.wide { (evaluations(&job.evaluations)) }
        }
        @if let Some(record) = &job.diagnostics {
            h2 { "Diagnostics" }
            details { summary { (record.numbers.len()) " numbers" } div.wide { (diagnostics(&record.numbers)) } }
        }
    }
}

fn evaluations(records: &[EvaluationRecord]) -> Markup {
    html! {
        table {
            caption { "Accuracy with Wilson's interval at 95 % and counts" }
            thead { tr {
                th scope="col" { "Attack" } th scope="col" { "Ball" } th scope="col" { "Natural" }
                th scope="col" { "Under attack" } th scope="col" { "Took" } th scope="col" { "Weights" }
            } }
            tbody {
                @for it in records {
                    @let threat = it.attack.threat();
                    tr {
                        th scope="row" { (it.attack.label()) }
                        td { (threat.norm) " " (threat.epsilon) }
                        td { (accuracy(it.natural)) }
                        td { (accuracy(it.robust)) }
                        td { (duration(it.elapsed_us)) }
                        td { code.hash { (it.weights) } }
                    }
                }
            }
        }
    }
}

fn diagnostics(numbers: &[Diagnostic]) -> Markup {
    html! {
        table {
            caption { "What the evaluation measured besides" }
            thead { tr { th scope="col" { "Number" } th scope="col" { "Value" } th scope="col" { "Detail" } } }
            tbody {
                @for it in numbers {
                    tr { th scope="row" { (it.name) } td.number { (it.value) } td.words { (it.detail) } }
                }
            }
        }
    }
}
