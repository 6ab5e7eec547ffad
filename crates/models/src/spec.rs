//! Everything needed to rebuild a network without its weights.

use rrm_spec::{Arch, Normalization};
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A network's shape. Stored with its weights, as JSON in the safetensors metadata under `rrm.network`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Family and width.
    pub arch: Arch,
    /// Colour channels of an image.
    pub channels: usize,
    /// Classes, and so logits.
    pub classes: usize,
    /// How the first layer normalises pixels.
    pub normalization: Normalization,
    /// Width D of the representation that comes out. Where it is not the width of the architecture's features, a linear layer
    /// without activation, `added_linear`, leads from the one to the other.
    pub representation_width: usize,
    /// What logits are divided by as the last thing of all, above 0 (digest §1.1). Written only where it is not 1, so that files
    /// from before there was a choice say the same.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

fn is_one(temperature: &f64) -> bool {
    *temperature == 1.0
}

/// Far above every real network, and low enough that no product of sizes overflows: descriptions come from files.
const MOST: usize = 1 << 16;

impl NetworkSpec {
    /// Whether an adapter leads from the architecture's features to the wanted width.
    pub fn has_adapter(&self) -> bool {
        self.representation_width != self.arch.feature_width()
    }

    /// Refuses sizes of zero, absurd sizes, a temperature that is none, and a normalisation for images of other channels.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("channels", self.channels),
            ("classes", self.classes),
            ("representation_width", self.representation_width),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..=MOST).contains(size)) {
            return Err(ModelError::Spec(format!("{name} = {size} must be from 1 to {MOST}")));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(ModelError::Spec(format!("temperature = {} must be above 0", self.temperature)));
        }
        if !self.normalization.suits(self.channels) {
            let (normalization, channels) = (self.normalization, self.channels);
            return Err(ModelError::Spec(format!("normalisation {normalization:?} is not for {channels} channels")));
        }
        Ok(())
    }

    /// Mean and standard deviation of every channel.
    pub(crate) fn normalization_per_channel(&self) -> (Vec<f64>, Vec<f64>) {
        let (mean, std) = self.normalization.constants();
        let per_channel = |entries: &[f64]| entries.iter().copied().cycle().take(self.channels).collect();
        (per_channel(mean), per_channel(std))
    }
}
