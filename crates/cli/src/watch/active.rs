//! Whatever runs, of all plans, until interrupted.

use std::{collections::BTreeSet, time::Duration};

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

/// Every so many looks is at all open jobs, the others at what runs: a long queue need not be carried over every second.
const THOROUGH: u32 = 10;
const OPEN: [JobState; 3] = [JobState::Waiting, JobState::Queued, JobState::Running];

/// Looks at the list rather than at the events, since these begin with the first plan that ever was.
pub(super) async fn follow(daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let mut board = Board::empty();
    let mut display = Display::new(output, &board);
    // A daemon that is not there is an error at the beginning, and waited for later.
    look(daemon, &OPEN, &mut board, &mut display).await?;
    let daemon = daemon.impatient();
    for turn in 1_u32.. {
        tokio::time::sleep(PAUSE).await;
        let states = if turn.is_multiple_of(THOROUGH) { &OPEN[..] } else { &[JobState::Running] };
        match look(&daemon, states, &mut board, &mut display).await {
            Err(failure) if failure.is_unreachable() => display.absent(),
            looked => looked?,
        }
    }
    Ok(Exit::Done)
}

/// Looks at the jobs in some states.
async fn look(daemon: &Daemon, states: &[JobState], board: &mut Board, display: &mut Display) -> Result<(), Failure> {
    let mut jobs = daemon.list(states, None, usize::MAX).await?;
    // What was in one of them and no longer is has gone on.
    let listed: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
    let gone: Vec<JobId> = board.in_states(states).filter(|id| !listed.contains(id)).collect();
    jobs.extend(daemon.summaries(&gone).await?);
    for job in jobs.iter().rev() {
        for happening in board.summary(job) {
            display.happening(&happening, time::now_us(), board)?;
        }
    }
    display.refresh(board);
    Ok(())
}
