//! Whatever runs, of all plans, until interrupted.

use std::time::Duration;

use rrm_spec::{JobId, JobState};

use super::{board::Board, display::Display};
use crate::{
    daemon::Daemon,
    exit::{Exit, Failure},
    output::Output,
    time,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
const OPEN: [JobState; 3] = [JobState::Waiting, JobState::Queued, JobState::Running];

/// Looks at the list rather than at the events, since these begin with the first plan that ever was.
pub(super) async fn follow(daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let mut board = Board::empty();
    let mut display = Display::new(output, &board);
    // A daemon that is not there is an error at the beginning, and waited for later.
    look(daemon, &mut board, &mut display).await?;
    let daemon = daemon.impatient();
    loop {
        tokio::time::sleep(PAUSE).await;
        match look(&daemon, &mut board, &mut display).await {
            Err(failure) if failure.is_unreachable() => display.absent(),
            looked => looked?,
        }
    }
}

async fn look(daemon: &Daemon, board: &mut Board, display: &mut Display) -> Result<(), Failure> {
    let mut jobs = daemon.list(&OPEN, None, usize::MAX).await?;
    // What was open and is no longer has ended.
    let ended: Vec<JobId> = board.open().into_iter().filter(|id| jobs.iter().all(|job| job.id != *id)).collect();
    jobs.extend(daemon.summaries(&ended).await?);
    for job in jobs.iter().rev() {
        for happening in board.summary(job) {
            display.happening(&happening, time::now_us(), board)?;
        }
    }
    display.refresh(board);
    Ok(())
}
