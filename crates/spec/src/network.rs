//! Everything needed to rebuild a network without its weights.

use serde::{Deserialize, Serialize};

use crate::{Arch, Normalization, Violations, validate::Checker};

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
    /// Under which name a safetensors file's metadata holds it, as JSON.
    pub const METADATA_KEY: &str = "rrm.network";

    /// Whether an adapter leads from the architecture's features to the wanted width.
    pub fn has_adapter(&self) -> bool {
        self.representation_width != self.arch.feature_width()
    }

    /// Refuses sizes of zero, absurd sizes, a temperature that is none, and a normalisation for images of other channels.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut found = Vec::new();
        let mut check = Checker::new("", &mut found);
        let sizes = [
            ("channels", self.channels),
            ("classes", self.classes),
            ("representation_width", self.representation_width),
        ];
        for (name, size) in sizes {
            check.require((1..=MOST).contains(&size), name, size, format!("must be 1 to {MOST}"));
        }
        let temperature = self.temperature;
        check.require(temperature > 0.0 && temperature.is_finite(), "temperature", temperature, "must be above 0");
        let (normalization, channels) = (self.normalization, self.channels);
        let allowed = format!("must be for images of {channels} channels");
        check.require(normalization.suits(channels), "normalization", normalization, allowed);
        Violations::check(found)
    }

    /// Mean and standard deviation of every channel.
    pub fn normalization_per_channel(&self) -> (Vec<f64>, Vec<f64>) {
        let (mean, std) = self.normalization.constants();
        let per_channel = |entries: &[f64]| entries.iter().copied().cycle().take(self.channels).collect();
        (per_channel(mean), per_channel(std))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisations_are_called_the_same_in_json_and_on_the_command_line() {
        for normalization in Normalization::ALL {
            assert_eq!(serde_json::to_value(normalization).unwrap(), normalization.name());
            assert_eq!(normalization.name().parse(), Ok(normalization));
        }
        assert!("cifar10".parse::<Normalization>().unwrap_err().contains("cifar10-fast"));
    }

    #[test]
    fn every_fault_of_a_network_is_named_at_once() {
        let arch = "dnn/16".parse().unwrap();
        let normalization = Normalization::Cifar10Fast;
        let network = NetworkSpec {
            arch,
            channels: 1,
            classes: 0,
            normalization,
            representation_width: usize::MAX,
            temperature: 0.0,
        };
        let faults = network.validate().unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["classes", "representation_width", "temperature", "normalization"]);
    }
}
