//! How a watcher sees it: bars on a terminal, lines elsewhere, JSON for programs.

use rrm_api::WatchItem;
use rrm_spec::JobState;

use super::{
    bars::Bars,
    board::Board,
    happening::{Happening, What},
    json_of,
};
use crate::{
    exit::Failure,
    output::{Format, Output},
    summary, time,
};

/// One of the ways.
pub(super) enum Display {
    /// On a terminal: a bar per running job, and above them what has ended.
    Bars(Box<Bars>, Output),
    /// A line for everything that happens.
    Lines(Output),
    /// Every item as a JSON line.
    Json(Output),
    /// Nothing: the exit code says it all.
    Silent,
}

impl Display {
    pub(super) fn new(output: Output, board: &Board) -> Self {
        match output.format() {
            Format::Json => Self::Json(output),
            Format::Ids => Self::Silent,
            Format::Human if output.is_live() => Self::Bars(Box::new(Bars::new(board)), output),
            Format::Human => Self::Lines(output),
        }
    }

    /// Anything that came, as it came.
    pub(super) fn item(&mut self, item: &WatchItem) -> Result<(), Failure> {
        match self {
            Self::Json(output) => output.json_line(json_of(item)),
            Self::Bars(..) | Self::Lines(_) | Self::Silent => Ok(()),
        }
    }

    /// Something new, which happened at `at_us`.
    pub(super) fn happening(&mut self, happening: &Happening, at_us: i64, board: &Board) -> Result<(), Failure> {
        let Some(job) = board.get(happening.job) else { return Ok(()) };
        let text = happening.what.text(job.epochs_total);
        let line = format!("{}  {:>4}  {}  {text}", time::local_clock(at_us), happening.job.0, job.name);
        match self {
            Self::Lines(output) => output.line(&line),
            Self::Bars(bars, output) => {
                if let Some(tone) = worth_keeping(&happening.what) {
                    bars.print(&output.paint(&line, tone));
                }
                Ok(())
            }
            Self::Json(_) | Self::Silent => Ok(()),
        }
    }

    /// Brings what is drawn up to date.
    pub(super) fn refresh(&mut self, board: &Board) {
        match self {
            Self::Bars(bars, _) => bars.draw(board),
            Self::Lines(_) | Self::Json(_) | Self::Silent => {}
        }
    }

    /// The daemon does not answer.
    pub(super) fn absent(&mut self) {
        match self {
            Self::Bars(bars, _) => bars.absent(),
            Self::Lines(_) | Self::Json(_) | Self::Silent => {}
        }
    }

    /// Every job has ended.
    pub(super) fn end(self, board: &Board) -> Result<(), Failure> {
        let counts = format!("{}: {}", board.plan, summary::counts(board.states()));
        match self {
            Self::Bars(bars, output) => {
                bars.clear();
                output.note(&counts);
                Ok(())
            }
            Self::Lines(output) => output.line(&counts),
            Self::Json(_) | Self::Silent => Ok(()),
        }
    }
}

/// What is worth a line above the bars: the bars themselves show the rest.
fn worth_keeping(what: &What) -> Option<crate::output::Tone> {
    match what {
        What::State(JobState::Waiting | JobState::Queued | JobState::Running, _) => None,
        What::State(state, _) => Some(summary::tone(*state)),
        What::Epoch(_) | What::Epochs(_) => None,
        What::Evaluation(_) | What::Retried(_) | What::Wish(_) => Some(crate::output::Tone::Plain),
        What::Setback(..) | What::Warning(_) => Some(crate::output::Tone::Bad),
    }
}
