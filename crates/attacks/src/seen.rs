//! What an attack saw of each image, whatever it hands back.

use crate::{
    logits::{cross_entropy, margin},
    victim::Verdict,
};

/// What an attack saw of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Which part of the attack, counted from 0: the one that broke the image, or else the one that came closest.
    pub part: u32,
    /// The first iteration, 0 for the start, at which the restart that broke the image had it misclassified.
    pub iteration: Option<u32>,
    /// The lowest margin of all points that were looked at: the label's logit less the highest other one.
    pub margin: f64,
    /// Cross-entropy of the label at that point.
    pub cross_entropy: f64,
}

impl Seen {
    /// Of an image that was not looked at.
    pub const NOTHING: Self =
        Self { part: 0, iteration: None, margin: f64::INFINITY, cross_entropy: f64::NEG_INFINITY };

    /// Looks at another point.
    pub(crate) fn look(&mut self, margin: f64, cross_entropy: f64) {
        if margin < self.margin {
            (self.margin, self.cross_entropy) = (margin, cross_entropy);
        }
    }

    /// Looks at another point by its logits.
    pub(crate) fn look_at(&mut self, logits: &[f64], label: u32) {
        self.look(margin(logits, label), cross_entropy(logits, label));
    }

    /// Takes what a later part of the attack saw, which may have broken the image.
    pub fn join_part(&mut self, part: u32, other: &Self, is_broken: bool) {
        if is_broken || other.margin < self.margin {
            *self = Self { part, ..*other };
        }
    }
}

/// Watches the restarts of a batch.
pub(crate) struct Watch {
    seen: Vec<Seen>,
    first_broken: Vec<Option<u32>>,
    iteration: u32,
}

impl Watch {
    pub(crate) fn new(images: usize) -> Self {
        Self { seen: vec![Seen::NOTHING; images], first_broken: vec![None; images], iteration: 0 }
    }

    /// Begins a restart.
    pub(crate) fn begin(&mut self) {
        self.first_broken.fill(None);
        self.iteration = 0;
    }

    /// Looks at the restart's next iterate of every image.
    pub(crate) fn look(&mut self, verdict: &Verdict) {
        for (row, seen) in self.seen.iter_mut().enumerate() {
            seen.look(verdict.margin[row], verdict.cross_entropy[row]);
            if !verdict.correct[row] {
                self.first_broken[row].get_or_insert(self.iteration);
            }
        }
        self.iteration += 1;
    }

    /// Notes that the restart broke an image.
    pub(crate) fn note_broken(&mut self, row: usize) {
        self.seen[row].iteration = self.first_broken[row];
    }

    pub(crate) fn finish(self) -> Vec<Seen> {
        self.seen
    }
}
