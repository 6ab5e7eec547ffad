//! Where each restart leads each image.

use candle_core::{Result, Tensor, bail};
use rrm_spec::PgdTarget;

use super::Pgd;
use crate::{Victim, rivals::rivals, start::Starts};

/// The targets of all restarts.
pub(super) struct Aims {
    /// One list for each restart, of one class for each image; empty where images are only led away from their labels.
    targets: Vec<Vec<u32>>,
    restarts: u32,
}

impl Aims {
    /// The targets that the attack chooses, by one look at the natural images where it needs one.
    pub(super) fn of(
        pgd: &Pgd,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        starts: Starts<'_>,
    ) -> Result<Self> {
        let restarts = pgd.restarts;
        if pgd.target == PgdTarget::Untargeted {
            return Ok(Self { targets: Vec::new(), restarts });
        }
        let rivals = rivals(&victim.logits(&pixels.to_device(victim.model.device())?)?, labels);
        let others = rivals.first().map_or(0, Vec::len);
        if others == 0 {
            bail!("a targeted attack needs a network of two classes at least");
        }
        let ranked = |rank: usize| rivals.iter().map(|rivals| rivals[rank]).collect::<Vec<u32>>();
        let same = |targets: Vec<u32>| vec![targets; restarts as usize];
        let targets = match pgd.target {
            PgdTarget::Untargeted => Vec::new(),
            PgdTarget::Random => (0..restarts).map(|restart| drawn(&rivals, restart, starts)).collect::<Result<_>>()?,
            PgdTarget::LeastLikely => same(ranked(others - 1)),
            PgdTarget::SecondBest => same(ranked(0)),
            PgdTarget::Each => (0..restarts as usize).flat_map(|_| (0..others).map(&ranked)).collect(),
        };
        Ok(Self { targets, restarts })
    }

    /// How many restarts there are in all.
    pub(super) fn runs(&self) -> u32 {
        if self.is_targeted() { self.targets.len() as u32 } else { self.restarts }
    }

    pub(super) fn is_targeted(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The target of each image in one restart, where the attack chooses any.
    pub(super) fn targets(&self, run: u32) -> Option<Vec<u32>> {
        self.targets.get(run as usize).cloned()
    }
}

/// A class for each image, each as likely as the next. They are drawn in the order of the classes' numbers, so that a class's logit
/// says nothing about when it is tried.
fn drawn(rivals: &[Vec<u32>], restart: u32, starts: Starts<'_>) -> Result<Vec<u32>> {
    let rng = match starts {
        Starts::Drawn(_, rng) => rng,
        Starts::Given(_) => bail!("random targets need keys of randomness, not given starts"),
    };
    let draw = |(row, rivals): (usize, &Vec<u32>)| {
        let mut classes = rivals.clone();
        classes.sort_unstable();
        let count = classes.len() as u64;
        classes[rng.target_of(row, restart).below(count) as usize]
    };
    Ok(rivals.iter().enumerate().map(draw).collect())
}
