//! The network under attack, as attacks see it: losses, whether each image is classified correctly, and gradients.

use std::num::NonZeroU32;

use candle_core::{Result, Tensor, Var, bail};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::{
    Seen,
    lead::{Anchor, Lead},
    logits::{cross_entropy, is_correct, margin, rows},
    pixels::{Pixel, Pixels},
};

/// The loss that an attack maximises, per image: logits (N, classes) and classes (N) of u32 to (N). The classes are the labels, or
/// the victim's targets.
pub type Objective<'a> = dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a;

/// A network under attack.
#[derive(Clone, Copy)]
pub struct Victim<'a> {
    /// The network. Only its input is tracked here, so a frozen one computes no weight gradient.
    pub model: &'a dyn Model,
    /// Which statistics its batch-norms use. In train mode every forward pass moves the running ones.
    pub mode: Mode,
    /// What is maximised.
    pub objective: &'a Objective<'a>,
    /// The class that each image of the batch is led to, which the objective is given in place of the labels; none where the
    /// attack only leads away from the label.
    pub targets: Option<&'a [u32]>,
    /// Passes that each gradient is averaged over, for networks that draw random numbers. The verdict is that of the last one, as
    /// in the reference.
    pub passes: NonZeroU32,
    /// What the loss is made of besides the objective of the victim's own logits.
    pub(crate) lead: Lead<'a>,
}

/// What the victim makes of a batch, per image.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// What the objective says.
    pub(crate) loss: Vec<f64>,
    pub(crate) correct: Vec<bool>,
    /// The label's logit less the highest other one.
    pub(crate) margin: Vec<f64>,
    /// Of the label, whatever the objective.
    pub(crate) cross_entropy: Vec<f64>,
}

impl<'a> Victim<'a> {
    /// A victim whose `objective` of the labels is maximised.
    pub fn new(model: &'a dyn Model, mode: Mode, objective: &'a Objective<'a>) -> Self {
        Self { model, mode, objective, targets: None, passes: NonZeroU32::MIN, lead: Lead::Own }
    }

    /// A victim whose cross-entropy is maximised.
    pub fn by_cross_entropy(model: &'a dyn Model, mode: Mode) -> Self {
        Self::new(model, mode, &rrm_losses::cross_entropy)
    }

    /// A victim whose cross-entropy of the targets is minimised.
    pub fn towards(model: &'a dyn Model, mode: Mode, targets: Option<&'a [u32]>) -> Self {
        Self { targets, ..Self::new(model, mode, &nearness) }
    }

    /// The targets of some images of the batch.
    pub(crate) fn targets_of(&self, rows: &[usize]) -> Option<Vec<u32>> {
        self.targets.map(|targets| rows.iter().map(|&row| targets[row]).collect())
    }

    /// The representations that some images of the batch are led away from.
    pub(crate) fn anchor_of(&self, rows: &[usize]) -> Result<Option<Anchor>> {
        match self.lead {
            Lead::Own | Lead::Surrogate(_) => Ok(None),
            Lead::Away(anchor) => anchor.gather(rows).map(Some),
        }
    }

    /// Logits of each image, by the running statistics whatever the mode, so that looking changes nothing.
    pub(crate) fn logits(&self, pixels: &Tensor) -> Result<Vec<Vec<f64>>> {
        rows(&self.model.forward(pixels, Mode::Eval)?.logits)
    }

    /// Judges a batch without a gradient.
    pub(crate) fn judge<T: Pixel>(&self, pixels: &Pixels<T>, labels: &[u32]) -> Result<Verdict> {
        self.judge_tensor(&pixels.to_tensor(self.model.device())?, labels)
    }

    /// Judges a batch on the device.
    pub(crate) fn judge_tensor(&self, pixels: &Tensor, labels: &[u32]) -> Result<Verdict> {
        Ok(self.forward(pixels, labels)?.1)
    }

    /// Judges a batch and gives the gradient of each image's loss in its pixels.
    pub(crate) fn differentiate<T: Pixel>(&self, pixels: &Pixels<T>, labels: &[u32]) -> Result<(Verdict, Pixels<T>)> {
        let (verdict, gradient) = self.gradient_in(&pixels.to_var(self.model.device())?, labels)?;
        Ok((verdict, pixels.read_alike(&gradient)?))
    }

    /// The same for a batch on the device, where the gradient stays.
    pub(crate) fn gradient_in(&self, input: &Var, labels: &[u32]) -> Result<(Verdict, Tensor)> {
        let (mut verdict, mut sum) = self.gradient_once(input, labels)?;
        for _ in 1..self.passes.get() {
            let (last, gradient) = self.gradient_once(input, labels)?;
            (verdict, sum) = (last, (sum + gradient)?);
        }
        let is_mean = self.passes == NonZeroU32::MIN;
        let gradient = if is_mean { sum } else { (sum / f64::from(self.passes.get()))? };
        Ok((verdict, gradient))
    }

    fn gradient_once(&self, input: &Var, labels: &[u32]) -> Result<(Verdict, Tensor)> {
        let (losses, verdict) = self.forward(input.as_tensor(), labels)?;
        // Of the sum, not the mean: an image's gradient must not depend on how many others share its batch.
        let mut gradients = losses.sum_all()?.backward()?;
        let Some(gradient) = gradients.remove(input.as_tensor()) else {
            bail!("the attacked network's loss does not depend on its input");
        };
        Ok((verdict, gradient))
    }

    /// Losses (N), tracked where the pixels are, and what they say.
    fn forward(&self, pixels: &Tensor, labels: &[u32]) -> Result<(Tensor, Verdict)> {
        let classes = Tensor::new(self.targets.unwrap_or(labels), self.model.device())?;
        let (losses, logits) = match self.lead {
            Lead::Own => {
                let logits = self.model.forward(pixels, self.mode)?.logits;
                ((self.objective)(&logits, &classes)?, logits)
            }
            Lead::Surrogate(other) => {
                let losses = (self.objective)(&other.forward(pixels, Mode::Eval)?.logits, &classes)?;
                (losses, self.model.forward(&pixels.detach(), self.mode)?.logits)
            }
            Lead::Away(anchor) => {
                let output = self.model.forward(pixels, self.mode)?;
                let distance = anchor.distance_to(&output.representation)?;
                let losses = match anchor.beside_objective {
                    true => ((self.objective)(&output.logits, &classes)? + distance)?,
                    false => distance,
                };
                (losses, output.logits)
            }
        };
        let loss = losses.detach().to_dtype(candle_core::DType::F64)?.to_vec1()?;
        Ok((losses, Verdict::of(loss, &rows(&logits)?, labels)))
    }
}

impl Verdict {
    /// What it says of one image.
    pub(crate) fn seen(&self, row: usize) -> Seen {
        Seen { margin: self.margin[row], cross_entropy: self.cross_entropy[row], ..Seen::NOTHING }
    }

    fn of(loss: Vec<f64>, logits: &[Vec<f64>], labels: &[u32]) -> Self {
        let each = || logits.iter().zip(labels).map(|(row, &label)| (row.as_slice(), label));
        Self {
            loss,
            correct: each().map(|(row, label)| is_correct(row, label)).collect(),
            margin: each().map(|(row, label)| margin(row, label)).collect(),
            cross_entropy: each().map(|(row, label)| cross_entropy(row, label)).collect(),
        }
    }
}

/// What is maximised to lead images to their targets: the cross-entropy of the targets, negated.
fn nearness(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    rrm_losses::cross_entropy(logits, targets)?.neg()
}
