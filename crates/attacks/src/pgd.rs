//! Projected gradient descent (Madry et al. 2018) on the cross-entropy, in the dialects of the robustness literature.
//!
//! Which iterate is handed back, and what happens to images that are broken already, differs between code bases and
//! moves results: see [`PgdSelection`].

mod aim;
#[cfg(feature = "cuda")]
mod on_device;
mod search;
mod selection;

use std::num::NonZeroU32;

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{Mode, PgdSelection, PgdSpec, PgdStart, PgdTarget};

use crate::{
    Attack, AttackRng, Attacked, Ball, Form, Seen, Victim,
    attack::one_each,
    pixels::{Pixel, Pixels, by_pixel},
    region::Region,
    seen::Watch,
    start::Starts,
    victim::Verdict,
};
use aim::Aims;
use search::Search;
use selection::Chosen;

/// Projected gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pgd {
    /// Where it searches.
    pub ball: Ball,
    /// Whose steps and, in l1, whose starting points.
    pub form: Form,
    /// Gradient steps per restart.
    pub steps: u32,
    /// Length of a step, in pixel units.
    pub step_size: f64,
    /// Where each restart begins.
    pub start: PgdStart,
    /// Which iterate is handed back, in one restart and over restarts.
    pub selection: PgdSelection,
    /// Restarts from fresh starting points, for [`PgdTarget::Each`] of each class.
    pub restarts: u32,
    /// Where images are led to.
    pub target: PgdTarget,
    /// Passes that each gradient is averaged over by [`Attack::perturb`]; where a [`Victim`] is given, its own are.
    pub passes: NonZeroU32,
}

impl From<&PgdSpec> for Pgd {
    fn from(spec: &PgdSpec) -> Self {
        Self {
            ball: Ball::from(&spec.threat),
            form: Form::from(spec.dialect),
            steps: spec.steps.get(),
            step_size: spec.step_size.value(),
            start: spec.start,
            selection: spec.selection,
            restarts: spec.restarts.get(),
            target: spec.target,
            passes: spec.eot,
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
        let victim = match self.target {
            PgdTarget::Untargeted => Victim::by_cross_entropy(victim, mode),
            PgdTarget::Random | PgdTarget::LeastLikely | PgdTarget::SecondBest | PgdTarget::Each => {
                Victim::towards(victim, mode, None)
            }
        };
        let victim = Victim { passes: self.passes, ..victim };
        self.attack(&victim, pixels, labels, Starts::Drawn(self.start, *rng), &mut |_| {})
    }
}

impl Pgd {
    /// Attacks a batch from given starting points (N, C, H, W), one tensor for each restart. The objective is the victim's, and so are
    /// the targets where this attack chooses none.
    ///
    /// # Errors
    /// As [`Attack::perturb`], when there is not one tensor of starting points for each restart, and when targets are to be drawn.
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
        if labels.is_empty() {
            return Ok(Attacked::new(pixels.clone(), Vec::new()));
        }
        let aims = Aims::of(self, victim, pixels, labels, starts)?;
        starts.check(aims.runs(), pixels)?;
        by_pixel!(pixels, T => {
            let region = Region::around(self.ball, self.form, Pixels::<T>::read(pixels)?);
            let search = Search { pgd: self, victim, labels, region: &region };
            let (images, broken_by, seen) = search.over_restarts(&aims, starts, observer)?;
            Ok(Attacked { images: images.to_tensor(pixels.device())?, broken_by, seen })
        })
    }

    /// Whether the outcome is left open, because finding out would cost a forward pass that the original has not.
    fn looks_away(&self, mode: Mode, runs: u32) -> bool {
        self.selection == PgdSelection::Last && mode == Mode::Train && runs == 1
    }
}

/// What is handed back, the first restart that broke each image, and what was seen.
type Found<T> = (Pixels<T>, Vec<Option<u32>>, Vec<Seen>);

impl<T: Pixel> Search<'_, T> {
    /// All restarts, of all targets.
    fn over_restarts(&self, aims: &Aims, starts: Starts<'_>, observer: &mut Observer<'_>) -> Result<Found<T>> {
        let rows: Vec<usize> = (0..self.labels.len()).collect();
        let mut watch = Watch::new(rows.len());
        let looks_away = self.pgd.looks_away(self.victim.mode, aims.runs());
        let mut chosen = Chosen::new(self.pgd.selection, aims.is_targeted(), self.region.natural().clone());
        for run in 0..aims.runs() {
            let targets = aims.targets(run);
            let victim = Victim { targets: targets.as_deref().or(self.victim.targets), ..*self.victim };
            let search = Search { victim: &victim, ..*self };
            let start = starts.of(self.region, run, &rows)?;
            watch.begin();
            let mut observe = |verdict: &Verdict| {
                watch.look(verdict);
                observer(Pass::of(run, verdict));
            };
            if looks_away {
                let last = search.last_iterate(start, &mut observe)?;
                return Ok((last, vec![None; rows.len()], watch.finish()));
            }
            let candidate = search.candidate(start, &mut observe)?;
            if self.pgd.selection == PgdSelection::Last {
                watch.look(&candidate.verdict);
            }
            chosen.consider(run, &candidate).into_iter().for_each(|row| watch.note_broken(row));
        }
        Ok((chosen.images, chosen.broken_by, watch.finish()))
    }
}

impl<'a> Pass<'a> {
    fn of(restart: u32, verdict: &'a Verdict) -> Self {
        Self { restart, losses: &verdict.loss, correct: &verdict.correct }
    }
}
