//! What follows the backbone: the adapter, where there is one, and the classifier.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use rrm_spec::Mode;

use crate::dropout::Dropout;
use crate::init::Beginning;
use crate::layers::Linear;
use crate::{NetworkSpec, Output};

/// How the families' heads differ.
pub(crate) struct Plan {
    /// The name of the last layer.
    pub(crate) classifier: &'static str,
    /// How its parameters begin.
    pub(crate) beginning: Beginning,
    /// Between representation and classifier.
    pub(crate) dropout: Option<Dropout>,
}

impl Plan {
    /// A classifier of PyTorch's default initialisation, right after the representation.
    pub(crate) fn plain(classifier: &'static str) -> Self {
        Self { classifier, beginning: Beginning::Uniform, dropout: None }
    }
}

/// Leads from the backbone's features to representation and logits.
pub(crate) struct Head {
    adapter: Option<Linear>,
    dropout: Option<Dropout>,
    classifier: Linear,
}

impl Head {
    pub(crate) fn new(vb: &VarBuilder<'_>, spec: &NetworkSpec, plan: Plan) -> Result<Self> {
        let (features, width) = (spec.arch.feature_width(), spec.representation_width);
        let Plan { classifier, beginning, dropout } = plan;
        // The authors' adapter is an ordinary PyTorch layer in every network.
        let adapter = || Linear::new(&vb.pp("added_linear"), features, width, Beginning::Uniform);
        let adapter = spec.has_adapter().then(adapter).transpose()?;
        Ok(Self { adapter, dropout, classifier: Linear::new(&vb.pp(classifier), width, spec.classes, beginning)? })
    }

    /// `features` is (N, the architecture's feature width).
    pub(crate) fn forward(&self, features: Tensor, mode: Mode) -> Result<Output> {
        let representation = match &self.adapter {
            Some(adapter) => adapter.forward(&features)?,
            None => features,
        };
        let logits = match &self.dropout {
            Some(dropout) => self.classifier.forward(&dropout.forward(&representation, mode)?)?,
            None => self.classifier.forward(&representation)?,
        };
        Ok(Output { logits, representation })
    }
}
