//! What follows the backbone: the adapter, where there is one, and the classifier.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::layers::Linear;
use crate::{NetworkSpec, Output};

/// Leads from the backbone's features to representation and logits.
pub(crate) struct Head {
    adapter: Option<Linear>,
    classifier: Linear,
}

impl Head {
    /// `classifier` is the name of the last layer, which differs among the families.
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, classifier: &str) -> Result<Self> {
        let (features, width) = (spec.arch.representation_width(), spec.representation_width);
        let adapter = spec.has_adapter().then(|| Linear::new(&vb.pp("added_linear"), features, width));
        Ok(Self { adapter: adapter.transpose()?, classifier: Linear::new(&vb.pp(classifier), width, spec.classes)? })
    }

    /// `features` is (N, the architecture's representation width).
    pub(crate) fn forward(&self, features: Tensor) -> Result<Output> {
        let representation = match &self.adapter {
            Some(adapter) => adapter.forward(&features)?,
            None => features,
        };
        Ok(Output { logits: self.classifier.forward(&representation)?, representation })
    }
}
