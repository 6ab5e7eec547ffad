//! Which layer left the finite numbers first.

use std::fmt;

use candle_core::{Tensor, Var, backprop::GradStore};
use rrm_kernels::{Culprit, first_not_finite, watched};
use rrm_models::{Model, Network};
use rrm_spec::Mode;

/// What is no longer finite, as near to its origin as can be told.
#[derive(Clone, Debug, PartialEq)]
pub enum NotFinite {
    /// The loss, although every layer's output is finite.
    Loss {
        /// The loss.
        loss: f64,
    },
    /// The loss, because of what it is compared with: the teacher's output.
    Target {
        /// The loss.
        loss: f64,
    },
    /// The loss, because of a layer's output in the forward pass.
    Output {
        /// The loss.
        loss: f64,
        /// The first such layer, by the name of its parameters; an operation without any, such as a pooling, by its own.
        layer: String,
    },
    /// A gradient of a finite loss.
    Gradient {
        /// The parameter: the last such one in the network's order, and so the first that the backward pass came to.
        parameter: String,
    },
    /// A parameter after the update, or a running statistic.
    State {
        /// The first such tensor in the network's order.
        tensor: String,
    },
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss { loss } => write!(f, "the loss is {loss}, although every layer's output is finite"),
            Self::Target { loss } => {
                write!(f, "the loss is {loss}, because the teacher's output is not finite")
            }
            Self::Output { loss, layer } => {
                write!(f, "the loss is {loss}, and `{layer}` is the first layer whose output is not finite")
            }
            Self::Gradient { parameter } => {
                write!(f, "the gradient of `{parameter}` is not finite, the first in the backward pass")
            }
            Self::State { tensor } => write!(f, "`{tensor}` is not finite"),
        }
    }
}

/// Why a forward pass on `pixels` in train mode gave `loss`, found by making it again.
///
/// # Errors
/// When the computation fails.
pub(crate) fn in_forward_pass(network: &Network, pixels: &Tensor, loss: f64) -> candle_core::Result<NotFinite> {
    let (output, culprit) = watched(|| network.forward(pixels, Mode::Train));
    output?;
    Ok(match culprit {
        Some(culprit) => NotFinite::Output { loss, layer: layer(network, &culprit) },
        None => NotFinite::Loss { loss },
    })
}

/// The layer whose parameters the operation computed with.
fn layer(network: &Network, culprit: &Culprit) -> String {
    let mut parameters = network.parameters().iter();
    let own = parameters.find(|(_, parameter)| culprit.arguments.contains(&parameter.as_tensor().id()));
    match own.and_then(|(name, _)| name.rsplit_once('.')) {
        Some((layer, _)) => layer.to_owned(),
        None => culprit.operation.to_owned(),
    }
}

/// What an update along `gradients` spoilt, if anything: every parameter and running statistic of the network.
///
/// # Errors
/// When the computation fails.
pub(crate) fn after_update(
    network: &Network,
    state: &[(String, Tensor)],
    gradients: &GradStore,
) -> candle_core::Result<Option<NotFinite>> {
    let Some(first) = first_not_finite(state.iter().map(|(_, tensor)| tensor))? else { return Ok(None) };
    let tensor = || NotFinite::State { tensor: state[first].0.clone() };
    Ok(Some(last_gradient(network.parameters(), gradients)?.unwrap_or_else(tensor)))
}

fn last_gradient(parameters: &[(String, Var)], gradients: &GradStore) -> candle_core::Result<Option<NotFinite>> {
    let with_gradient = |(name, parameter): &'_ (String, Var)| Some((name.clone(), gradients.get(parameter)?.clone()));
    let backwards: Vec<(String, Tensor)> = parameters.iter().rev().filter_map(with_gradient).collect();
    let position = first_not_finite(backwards.iter().map(|(_, gradient)| gradient))?;
    Ok(position.map(|position| NotFinite::Gradient { parameter: backwards[position].0.clone() }))
}
