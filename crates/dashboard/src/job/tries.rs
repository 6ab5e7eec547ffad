//! Attempts, and what they left.

use maud::{Markup, html};
use rrm_spec::{CheckpointRole, JobDetail};

use crate::time::{between, moment, optional_moment};
use crate::words::bytes;

pub(super) fn attempts(job: &JobDetail) -> Markup {
    html! {
        @if !job.attempts.is_empty() {
            h2 { "Attempts" }
            div.wide {
                table {
                    caption { "Oldest first" }
                    thead { tr {
                        th scope="col" { "Attempt" } th scope="col" { "Where" } th scope="col" { "Started" }
                        th scope="col" { "Ended" } th scope="col" { "Took" } th scope="col" { "First epoch" }
                        th scope="col" { "End" } th scope="col" { "Log" }
                    } }
                    tbody {
                        @for it in &job.attempts {
                            tr {
                                th scope="row" { (it.id) }
                                td { (it.node) ", " (it.device) }
                                td { (moment(it.started_at)) }
                                td { (optional_moment(it.ended_at)) }
                                td { @if let Some(ended) = it.ended_at { (between(it.started_at, ended)) } }
                                td.number { @if let Some(run) = &it.run { (run.first_epoch) } }
                                td.words {
                                    @match it.outcome { Some(outcome) => (outcome.name()), None => "runs" }
                                    @if let Some(message) = &it.message { ": " (message) }
                                }
                                td { a href={ "/jobs/" (job.summary.id) "/log?attempt=" (it.id) } { "log" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn checkpoints(job: &JobDetail) -> Markup {
    html! {
        @if !job.checkpoints.is_empty() {
            h2 { "Checkpoints" }
            div.wide {
                table {
                    caption { "Files that the artifact store holds" }
                    thead { tr { th scope="col" { "Epoch" } th scope="col" { "For" } th scope="col" { "Size" } th scope="col" { "SHA-256" } } }
                    tbody {
                        @for it in &job.checkpoints {
                            tr {
                                th scope="row" { (it.epoch) }
                                td { @match it.role {
                                    CheckpointRole::Resume => "going on",
                                    CheckpointRole::Final => "what the job was for",
                                } }
                                td.number { (bytes(it.bytes)) }
                                td { code.hash { (it.sha256) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
