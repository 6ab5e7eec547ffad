//! Projected gradient descent (Madry et al. 2018) on the cross-entropy, in the dialects of the robustness literature.
//!
//! Which iterate is handed back, and what happens to images that are broken already, differs between code bases and
//! moves results: see [`PgdSelection`].

#[cfg(feature = "cuda")]
mod on_device;
mod search;
mod selection;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{Mode, PgdSelection, PgdSpec, PgdStart};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Victim,
    attack::one_each,
    pixels::{Pixel, Pixels, by_pixel},
    region::Region,
    start::Starts,
    victim::Verdict,
};
use search::Search;
use selection::Chosen;

/// Projected gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pgd {
    /// Where it searches.
    pub ball: Ball,
    /// Gradient steps per restart.
    pub steps: u32,
    /// Length of a step, in pixel units.
    pub step_size: f64,
    /// Where each restart begins.
    pub start: PgdStart,
    /// Which iterate is handed back, in one restart and over restarts.
    pub selection: PgdSelection,
    /// Restarts from fresh starting points.
    pub restarts: u32,
}

impl From<&PgdSpec> for Pgd {
    fn from(spec: &PgdSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            steps: spec.steps.get(),
            step_size: spec.step_size.value(),
            start: spec.start,
            selection: spec.selection,
            restarts: spec.restarts.get(),
        }
    }
}

/// What one forward pass of the search said, for those who follow it.
///
/// The look that only finds out whether a last iterate succeeded is none of the search and is not shown.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The restart that it belongs to, counted from 0.
    pub restart: u32,
    /// Loss of each image.
    pub losses: &'a [f64],
    /// Whether each image is classified correctly.
    pub correct: &'a [bool],
}

/// Follows a search, pass by pass.
pub type Observer<'a> = dyn FnMut(Pass<'_>) + 'a;

impl Attack for Pgd {
    /// In train mode an attack of one restart that hands back its last iterate does not look whether it succeeded, as
    /// another forward pass would move the running statistics: `broken_by` is then empty of restarts.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        let victim = Victim::by_cross_entropy(victim, mode);
        self.attack(&victim, pixels, labels, Starts::Drawn(self.start, *rng), &mut |_| {})
    }
}

impl Pgd {
    /// Attacks a batch from given starting points (N, C, H, W), one tensor for each restart.
    ///
    /// # Errors
    /// As [`Attack::perturb`], and when there is not one tensor of starting points for each restart.
    pub fn perturb_from(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        starts: &[Tensor],
        observer: &mut Observer<'_>,
    ) -> Result<Attacked> {
        self.attack(victim, pixels, labels, Starts::Given(starts), observer)
    }

    fn attack(
        &self,
        victim: &Victim<'_>,
        pixels: &Tensor,
        labels: &[u32],
        starts: Starts<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        starts.check(self.restarts, pixels)?;
        if labels.is_empty() {
            return Ok(Attacked { images: pixels.clone(), broken_by: Vec::new() });
        }
        by_pixel!(pixels, T => {
            let region = Region::around(self.ball, Form::MadryLab, Pixels::<T>::read(pixels)?);
            let search = Search { pgd: self, victim, labels, region: &region };
            let (images, broken_by) = search.over_restarts(starts, observer)?;
            Ok(Attacked { images: images.to_tensor(pixels.device())?, broken_by })
        })
    }

    /// Whether the outcome is left open, because finding out would cost a forward pass that the original has not.
    fn looks_away(&self, mode: Mode) -> bool {
        self.selection == PgdSelection::Last && mode == Mode::Train && self.restarts == 1
    }
}

impl<T: Pixel> Search<'_, T> {
    /// All restarts: the images handed back, and the first restart that broke each.
    fn over_restarts(&self, starts: Starts<'_>, observer: &mut Observer<'_>) -> Result<(Pixels<T>, Vec<Option<u32>>)> {
        let rows: Vec<usize> = (0..self.labels.len()).collect();
        if self.pgd.looks_away(self.victim.mode) {
            let start = starts.of(self.region, 0, &rows)?;
            let last = self.last_iterate(start, &mut |verdict| observer(Pass::of(0, verdict)))?;
            return Ok((last, vec![None; rows.len()]));
        }
        let mut chosen = Chosen::new(self.pgd.selection, self.region.natural().clone());
        for restart in 0..self.pgd.restarts {
            let start = starts.of(self.region, restart, &rows)?;
            let candidate = self.candidate(start, &mut |verdict| observer(Pass::of(restart, verdict)))?;
            chosen.consider(restart, &candidate);
        }
        Ok((chosen.images, chosen.broken_by))
    }
}

impl<'a> Pass<'a> {
    fn of(restart: u32, verdict: &'a Verdict) -> Self {
        Self { restart, losses: &verdict.loss, correct: &verdict.correct }
    }
}
