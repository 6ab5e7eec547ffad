//! Progress bars.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rrm_spec::JobId;

use super::board::{Board, Standing};
use crate::{summary, time};

/// More running jobs than this do not fit a screen.
const MOST_BARS: usize = 16;
const NAME_WIDTH: usize = 24;

/// A line about all jobs, and a bar for each that runs.
pub(super) struct Bars {
    screen: MultiProgress,
    head: ProgressBar,
    bars: HashMap<JobId, ProgressBar>,
}

impl Bars {
    pub(super) fn new(board: &Board) -> Self {
        let screen = MultiProgress::new();
        let style = ProgressStyle::with_template("{elapsed_precise}  {wide_msg}").expect("the template is well-formed");
        let head = screen.add(ProgressBar::new_spinner().with_style(style));
        // The clock goes on between two events.
        head.enable_steady_tick(std::time::Duration::from_secs(1));
        let mut bars = Self { screen, head, bars: HashMap::new() };
        bars.draw(board);
        bars
    }

    /// A line that stays above the bars.
    pub(super) fn print(&self, line: &str) {
        // A terminal that is gone is noticed elsewhere.
        let _ = self.screen.println(line);
    }

    pub(super) fn draw(&mut self, board: &Board) {
        self.head.set_message(head(board));
        self.bars.retain(|job, bar| {
            let runs = board.running().any(|(id, _)| id == *job);
            if !runs {
                bar.finish_and_clear();
                self.screen.remove(bar);
            }
            runs
        });
        for (id, job) in board.running().take(MOST_BARS) {
            let bar = self.bars.entry(id).or_insert_with(|| self.screen.add(new_bar(id, job)));
            update(bar, job);
        }
    }

    pub(super) fn absent(&self) {
        self.head.set_message("the daemon does not answer: waiting for it; jobs that run go on meanwhile");
    }

    pub(super) fn clear(self) {
        // A terminal that is gone needs no clearing.
        let _ = self.screen.clear();
    }
}

fn head(board: &Board) -> String {
    let counts = summary::counts(board.states());
    let more = board.running().count().saturating_sub(MOST_BARS);
    let more = if more > 0 { format!(" ({more} of the running not shown)") } else { String::new() };
    match (board.plan.as_str(), counts.as_str()) {
        ("", "") => "nothing to do".to_owned(),
        ("", counts) => format!("{counts}{more}"),
        (plan, counts) => format!("{plan}: {counts}{more}"),
    }
}

fn new_bar(id: JobId, job: &Standing) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3} %  {wide_msg}")
        .expect("the template is well-formed");
    let name: String = job.name.chars().take(NAME_WIDTH).collect();
    ProgressBar::new(0).with_style(style).with_prefix(format!("{:>4}  {name:NAME_WIDTH$}", id.0))
}

fn update(bar: &ProgressBar, job: &Standing) {
    let Some(progress) = &job.progress else {
        bar.set_message("starting");
        return;
    };
    bar.set_length(progress.total);
    bar.set_position(progress.done.min(progress.total));
    let left = job.left.map_or_else(String::new, |left| format!(", ~{} left", time::duration(left)));
    bar.set_message(format!("{}, {:.0} images/s{left}", progress.phase, progress.images_per_second));
}
