//! The classes that APGD-T tries.

use candle_core::{Result, Tensor};

use super::Apgd;
use crate::{Victim, rivals::rivals};

/// How many classes the reference tries.
const MOST: usize = 9;

/// What each run leads to: first to the class of the second highest natural logit, then to that of the third, and so on; and all of them
/// again in each further restart. (The reference takes a class's restarts one after another. Its versions have one restart; in this
/// order more of them leave the first ones as they were.)
pub(super) struct Targets {
    /// One list of classes for each image, the first to try first; none where the loss is not targeted.
    rivals: Option<Vec<Vec<u32>>>,
    count: u32,
    restarts: u32,
}

impl Targets {
    /// Of a loss without targets.
    pub(super) fn none(restarts: u32) -> Self {
        Self { rivals: None, count: 1, restarts }
    }

    /// The other classes by the victim's natural logits, as many as the attack asks for or as there are.
    pub(super) fn ranked(apgd: &Apgd, victim: &Victim<'_>, pixels: &Tensor, labels: &[u32]) -> Result<Self> {
        let rivals = rivals(&victim.logits(&pixels.to_device(victim.model.device())?)?, labels);
        let others = rivals.first().map_or(0, Vec::len);
        let count = apgd.targets.map_or(MOST, |count| count as usize).min(others);
        Ok(Self { rivals: Some(rivals), count: count as u32, restarts: apgd.restarts })
    }

    /// How many runs there are in all.
    pub(super) fn runs(&self) -> u32 {
        self.count * self.restarts
    }

    /// The targets of the images `rows` in one run.
    pub(super) fn of(&self, run: u32, rows: &[usize]) -> Option<Vec<u32>> {
        let rank = (run % self.count) as usize;
        self.rivals.as_ref().map(|rivals| rows.iter().map(|&row| rivals[row][rank]).collect())
    }
}
