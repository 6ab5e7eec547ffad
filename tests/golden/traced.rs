//! An attack from golden starting points that takes notes.

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use rrm_attacks::{Attack, AttackRng, Attacked, Form, Pgd, Victim};
use rrm_models::Model;
use rrm_spec::{Mode, PgdStart};

use crate::{generator::Generator, pgd::Given};

/// What an attack did to a batch.
pub(crate) struct Perturbation {
    pub(crate) natural: Tensor,
    pub(crate) images: Tensor,
    /// Mean loss of each forward pass of the search.
    pub(crate) losses: Vec<f64>,
    /// Lowest loss of each image.
    pub(crate) lowest: Vec<f64>,
}

pub(crate) type Log = Arc<Mutex<Vec<Perturbation>>>;

/// The starting points of a run: the stream's name, followed by the batch's number.
pub(crate) struct Starts {
    pub(crate) generator: Generator,
    pub(crate) name: &'static str,
    pub(crate) kind: StartKind,
}

pub(crate) enum StartKind {
    /// MadryLab's random start with (f32 sym + 1)/2 in place of uniform numbers, f32 sym in place of normal ones.
    Random,
    /// A change of f32(eps*sym), clamped to the box.
    Change,
}

impl Starts {
    fn of(&self, pgd: &Pgd, batch: u64, natural: &Tensor) -> candle_core::Result<Tensor> {
        let numbers = self.generator.sym(&format!("{}{batch}", self.name), natural.elem_count());
        let epsilon = pgd.ball.epsilon;
        match self.kind {
            StartKind::Change => {
                let change: Vec<f32> = numbers.iter().map(|sym| (epsilon * sym) as f32).collect();
                let change = Tensor::from_vec(change, natural.shape(), natural.device())?;
                (natural + change.to_dtype(natural.dtype())?)?.clamp(0.0, 1.0)
            }
            StartKind::Random => {
                let image = numbers.len() / natural.dim(0)?;
                let uniform = pgd.start == PgdStart::Uniform;
                let number =
                    move |&sym: &f64| if uniform { f64::from((sym as f32 + 1.0) / 2.0) } else { f64::from(sym as f32) };
                let random = |row: usize| Given(numbers[row * image..][..image].iter().map(number));
                pgd.ball.random_start(Form::MadryLab, pgd.start, natural, random)
            }
        }
    }
}

/// Projected gradient descent from golden starts, taking notes.
pub(crate) struct Traced {
    pub(crate) pgd: Pgd,
    pub(crate) start: Starts,
    pub(crate) log: Log,
}

impl Attack for Traced {
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> candle_core::Result<Attacked> {
        let start = self.start.of(&self.pgd, rng.epoch, pixels)?;
        let victim = Victim::by_cross_entropy(victim, mode);
        let (mut losses, mut lowest) = (Vec::new(), vec![f64::INFINITY; labels.len()]);
        let attacked = self.pgd.perturb_from(&victim, pixels, labels, &[start], &mut |pass| {
            losses.push(pass.losses.iter().sum::<f64>() / pass.losses.len() as f64);
            lowest.iter_mut().zip(pass.losses).for_each(|(lowest, loss)| *lowest = lowest.min(*loss));
        })?;
        let perturbation = Perturbation { natural: pixels.clone(), images: attacked.images.clone(), losses, lowest };
        self.log.lock().expect("no attack panics").push(perturbation);
        Ok(attacked)
    }
}
