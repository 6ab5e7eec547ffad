//! AutoPGD that knows the teacher of the network under attack.
//!
//! A student of Robust Representation Matching is robust as far as it represents images as its teacher does. So there are three
//! ways that an ordinary attack does not try: through the teacher's own weaknesses, away from the teacher's representation of the
//! natural image, and both that and up the student's cross-entropy.

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::{AdaptiveSpec, ApgdLoss, Mode, PgdStart, RepresentationLoss, Through};

use crate::{
    Apgd, Attack, AttackRng, Attacked, Ball, Ensemble, Victim,
    lead::{Anchor, Lead},
    start::Starts,
};

/// One way through the teacher.
#[derive(Clone, Copy)]
pub(crate) struct Adaptive<'t> {
    /// AutoPGD on the cross-entropy, whose ball, iterations and restarts are the attack's.
    apgd: Apgd,
    way: Way,
    teacher: &'t (dyn Model + Sync),
}

#[derive(Clone, Copy)]
enum Way {
    Transfer,
    Away { distance: RepresentationLoss, weight: f64, beside_objective: bool },
}

/// The attack that a spec describes, on a network that has learned from `teacher`.
pub(crate) fn adaptive<'t>(spec: &AdaptiveSpec, teacher: &'t (dyn Model + Sync)) -> Box<dyn Attack + 't> {
    let ways: Vec<Adaptive<'t>> = spec.parts().iter().flat_map(|part| Adaptive::new(part, teacher)).collect();
    match ways.as_slice() {
        [one] => Box::new(*one),
        _ => Box::new(Ensemble::new(ways.into_iter().map(|way| Box::new(way) as Box<dyn Attack + 't>).collect())),
    }
}

impl<'t> Adaptive<'t> {
    /// Nothing for all ways at once, which are several attacks.
    fn new(spec: &AdaptiveSpec, teacher: &'t (dyn Model + Sync)) -> Option<Self> {
        let away = |weight, beside_objective| Way::Away { distance: spec.distance, weight, beside_objective };
        let way = match spec.through {
            Through::All => return None,
            Through::Transfer => Way::Transfer,
            // No factor changes where a distance alone leads to; it would only change what AutoPGD's bookkeeping sees.
            Through::Representation => away(1.0, false),
            Through::Joint => away(spec.weight, true),
        };
        let apgd = Apgd {
            ball: Ball::from(&spec.threat),
            iterations: spec.iterations.get(),
            restarts: spec.restarts.get(),
            loss: ApgdLoss::Ce,
            targets: None,
            passes: std::num::NonZeroU32::MIN,
        };
        Some(Self { apgd, way, teacher })
    }
}

impl Attack for Adaptive<'_> {
    /// Hands back the natural image where the attack failed; whatever it climbs, an image counts as broken where the victim
    /// misclassifies an iterate. Images that the victim misclassifies as they are count as broken by restart 0.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        let by_cross_entropy = Victim::by_cross_entropy(victim, mode);
        let starts = Starts::Drawn(PgdStart::Sphere, *rng);
        match self.way {
            Way::Transfer => {
                let victim = Victim { lead: Lead::Surrogate(self.teacher), ..by_cross_entropy };
                self.apgd.attack(&victim, pixels, labels, starts)
            }
            Way::Away { .. } if labels.is_empty() => self.apgd.attack(&by_cross_entropy, pixels, labels, starts),
            Way::Away { distance, weight, beside_objective } => {
                let natural = pixels.to_device(self.teacher.device())?;
                let representations = self.teacher.forward(&natural, Mode::Eval)?.representation.detach();
                let anchor = Anchor { representations, distance, weight, beside_objective };
                let victim = Victim { lead: Lead::Away(&anchor), ..by_cross_entropy };
                self.apgd.attack(&victim, pixels, labels, starts)
            }
        }
    }
}
