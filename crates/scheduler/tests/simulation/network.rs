//! A network that delays, loses, repeats and reorders, and the order in which things happen.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rrm_api::ApiError;
use rrm_spec::{Assignment, AttemptId, AttemptOutcome, Device, HeartbeatReply, JobId, Record, WorkerId};

use crate::dice::Dice;
use crate::world::TTL;

/// Which of a worker's lives: a process that was killed hears nothing more.
pub(crate) type Life = (usize, u32);

/// A call on its way to the daemon.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Submit {
        number: usize,
    },
    /// Another plan under the request of one that is stored.
    Contradict {
        number: usize,
    },
    Cancel {
        job: JobId,
    },
    Register {
        from: Life,
    },
    Lease {
        from: Life,
        worker: WorkerId,
        request: u64,
        free: Vec<Device>,
        held: Vec<AttemptId>,
    },
    Heartbeat {
        from: Life,
        worker: WorkerId,
        held: Vec<AttemptId>,
    },
    Upload {
        from: Life,
        attempt: AttemptId,
        content: String,
    },
    Report {
        from: Life,
        job: JobId,
        attempt: AttemptId,
        first: u64,
        records: Vec<Record>,
    },
    Settle {
        from: Life,
        job: JobId,
        attempt: AttemptId,
        records: u64,
        outcome: AttemptOutcome,
    },
    Deregister {
        worker: WorkerId,
    },
}

/// The daemon's answer to a worker, on its way back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Registered(WorkerId),
    Leased(Vec<Assignment>),
    Beat(HeartbeatReply),
    Uploaded(AttemptId, String, Result<(), ApiError>),
    Durable(AttemptId, Result<u64, ApiError>),
    Settled(AttemptId, Result<(), ApiError>),
    /// The worker is not known any more.
    Unknown,
}

/// What happens next.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrival(Call),
    Return(Life, Answer),
    Beat(Life),
    Work(Life),
    Sweep,
    Collect,
    User,
    Fate,
}

struct Due {
    at: Duration,
    order: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// All that is to come, earliest first.
#[derive(Default)]
pub(crate) struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl Agenda {
    pub(crate) fn at(&mut self, at: Duration, what: Happening) {
        self.order += 1;
        self.due.push(Reverse(Due { at, order: self.order, what }));
    }

    pub(crate) fn next(&mut self) -> Option<(Duration, Happening)> {
        self.due.pop().map(|Reverse(due)| (due.at, due.what))
    }
}

/// What became of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) late: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) traffic: Traffic,
    /// Nothing is lost, repeated or late any more.
    pub(crate) calm: bool,
}

impl Network {
    /// When a message arrives: never, once, or twice.
    pub(crate) fn delays(&mut self, dice: &mut Dice) -> Vec<Duration> {
        let soon = |dice: &mut Dice| dice.between(Duration::from_millis(1), Duration::from_millis(200));
        self.traffic.sent += 1;
        if self.calm {
            return vec![soon(dice)];
        }
        match dice.below(100) {
            0..10 => {
                self.traffic.lost += 1;
                vec![]
            }
            10..20 => {
                self.traffic.repeated += 1;
                vec![soon(dice), dice.between(Duration::ZERO, TTL)]
            }
            20..30 => {
                self.traffic.late += 1;
                vec![dice.between(Duration::from_secs(1), 3 * TTL)]
            }
            _ => vec![soon(dice)],
        }
    }
}
