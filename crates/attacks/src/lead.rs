//! What an attack goes by besides the logits of the network under attack.

use candle_core::{Result, Tensor};
use rrm_losses::{cosine, l2_distance, relative_l2};
use rrm_models::Model;
use rrm_spec::RepresentationLoss;

/// Below which a representation's norm is taken to be this, as RRM's loss does with which students are trained.
const COSINE_EPSILON: f64 = 1e-6;

/// What the loss that is climbed is made of.
#[derive(Clone, Copy)]
pub(crate) enum Lead<'a> {
    /// The objective of the victim's own logits.
    Own,
    /// The objective of this network's logits of the same pixels, in eval mode. The verdict is the victim's.
    Surrogate(&'a dyn Model),
    /// The distance of the victim's representations from given ones.
    Away(&'a Anchor),
}

/// Representations that a batch is led away from.
#[derive(Clone)]
pub(crate) struct Anchor {
    /// One row for each image (N, D), of the victim's width.
    pub(crate) representations: Tensor,
    pub(crate) distance: RepresentationLoss,
    /// What the distance is multiplied by.
    pub(crate) weight: f64,
    /// Whether the objective of the logits is climbed, too.
    pub(crate) beside_objective: bool,
}

impl Anchor {
    /// The anchors of some of the images, in the order of `rows`.
    pub(crate) fn gather(&self, rows: &[usize]) -> Result<Self> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, self.representations.device())?;
        Ok(Self { representations: self.representations.index_select(&rows, 0)?, ..self.clone() })
    }

    /// The weighted distance of each row of `representations` (N, D) from its anchor: (N).
    pub(crate) fn distance_to(&self, representations: &Tensor) -> Result<Tensor> {
        let distance = match self.distance {
            RepresentationLoss::Cosine => {
                cosine(representations, &self.representations, COSINE_EPSILON)?.affine(-1.0, 1.0)?
            }
            RepresentationLoss::RelativeL2 => relative_l2(representations, &self.representations)?,
            RepresentationLoss::L2 => l2_distance(representations, &self.representations)?,
        };
        distance * self.weight
    }
}
