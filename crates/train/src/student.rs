//! The network that is being trained.

use std::sync::{Arc, atomic::AtomicBool};

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use rrm_kernels::{SgdConfig, first_not_finite, sgd_step};
use rrm_models::{Model, Network};
use rrm_spec::Precision;

use crate::divergence::{self, NotFinite};
use crate::interrupt::{Interruptible, must_go_on};
use crate::schedule::{Rate, Timetable};

/// A network with its optimiser's state and its place in the schedule.
pub struct Student {
    network: Network,
    frozen: Network,
    /// One buffer per parameter, zero before the first update.
    momentum: Vec<Var>,
    /// Parameters and running statistics in the network's order, whose storage these tensors share.
    state: Vec<(String, Tensor)>,
    timetable: Timetable,
    step: u64,
    /// Set where the training is to end.
    stop: Arc<AtomicBool>,
}

/// What an update leaves behind.
pub struct Update {
    /// The loss before the update.
    pub loss: f64,
    /// The gradients of that loss with respect to every variable it was computed from, weights and others.
    pub gradients: GradStore,
}

/// Why an update was not made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The training left the finite numbers. If the loss did, the weights are as before; a gradient or a weight is noticed when
    /// the weights have changed.
    #[error("{0}")]
    NotFinite(NotFinite),
    /// The computation failed.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
}

impl UpdateError {
    /// Where the student's own numbers are finite and its loss is not, its teacher's may be the reason.
    pub(crate) fn or_of_target(self, target: &Tensor) -> Self {
        let Self::NotFinite(NotFinite::Loss { loss }) = self else { return self };
        match first_not_finite([target]) {
            Ok(Some(_)) => Self::NotFinite(NotFinite::Target { loss }),
            Ok(None) => self,
            Err(failed) => Self::Compute(failed),
        }
    }
}

impl Student {
    /// A student before its first update.
    ///
    /// # Errors
    /// When the device has no memory for the momentum buffers.
    pub fn new(network: Network, timetable: Timetable) -> candle_core::Result<Self> {
        let momentum = network
            .parameters()
            .iter()
            .map(|(_, parameter)| Var::zeros(parameter.shape(), parameter.dtype(), parameter.device()));
        let momentum = momentum.collect::<Result<_, _>>()?;
        Ok(Self::with_momentum(network, momentum, timetable, 0))
    }

    /// A student that has made `step` updates and goes on from their `momentum` buffers, in the order of the network's
    /// parameters.
    ///
    /// # Errors
    /// When a buffer does not have its parameter's shape and type, or buffers are missing or left over.
    pub fn resume(network: Network, momentum: &[Tensor], timetable: Timetable, step: u64) -> candle_core::Result<Self> {
        let fits = |((name, parameter), buffer): (&(String, Var), &Tensor)| match () {
            () if buffer.shape() == parameter.shape() && buffer.dtype() == parameter.dtype() => {
                Var::from_tensor(buffer)
            }
            () => candle_core::bail!("momentum of {name} is {buffer:?}, not {parameter:?}"),
        };
        let parameters = network.parameters();
        if momentum.len() != parameters.len() {
            candle_core::bail!("{} momentum buffers for {} parameters", momentum.len(), parameters.len());
        }
        let momentum = parameters.iter().zip(momentum).map(fits).collect::<candle_core::Result<_>>()?;
        Ok(Self::with_momentum(network, momentum, timetable, step))
    }

    fn with_momentum(network: Network, momentum: Vec<Var>, timetable: Timetable, step: u64) -> Self {
        // Counters are whole numbers.
        let state = network.state().into_iter().filter(|(_, tensor)| tensor.dtype().is_float()).collect();
        Self { frozen: network.frozen(), network, momentum, state, timetable, step, stop: Arc::default() }
    }

    /// The same student, trained and attacked in `precision`. Weights and momentum stay as wide as they are.
    pub fn with_precision(self, precision: Precision) -> Self {
        let (network, frozen) = (self.network.with_precision(precision), self.frozen.with_precision(precision));
        Self { network, frozen, ..self }
    }

    /// The same student, whose steps fail at their next update or pass of an attack once `stop` is set: what they leave behind is to be
    /// dropped.
    pub(crate) fn stopped_by(self, stop: &Arc<AtomicBool>) -> Self {
        Self { stop: Arc::clone(stop), ..self }
    }

    /// The network, to be trained on: its forward pass in train mode moves the running statistics.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The same network with weights that ask for no gradient.
    pub fn frozen(&self) -> &Network {
        &self.frozen
    }

    /// The frozen network as attacks have it, which end with the training.
    pub(crate) fn victim(&self) -> Interruptible<'_> {
        Interruptible::new(&self.frozen, &self.stop)
    }

    /// The momentum buffers, by the name of their parameter.
    pub fn momentum(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.network.parameters().iter().map(|(name, _)| name.as_str()).zip(&self.momentum)
    }

    /// Updates made so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The schedule.
    pub fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// The rate of the last update; of the first where none was made.
    pub fn last_rate(&self) -> Rate {
        self.timetable.at(self.step.saturating_sub(1))
    }

    /// Descends once along the gradient of the scalar `loss` of a forward pass on `pixels` and advances the schedule by one tick:
    /// the only place where a weight changes.
    ///
    /// # Errors
    /// [`UpdateError::NotFinite`] where the loss, or a weight after the update, is infinite or no number; which layer was the
    /// first is found by a second forward pass on `pixels`.
    pub fn update(&mut self, loss: &Tensor, pixels: &Tensor) -> Result<Update, UpdateError> {
        must_go_on(&self.stop)?;
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(UpdateError::NotFinite(divergence::in_forward_pass(&self.network, pixels, value)?));
        }
        let gradients = loss.backward()?;
        self.descend(&gradients)?;
        self.step += 1;
        match divergence::after_update(&self.network, &self.state, &gradients)? {
            None => Ok(Update { loss: value, gradients }),
            Some(spoilt) => Err(UpdateError::NotFinite(spoilt)),
        }
    }

    fn descend(&self, gradients: &GradStore) -> candle_core::Result<()> {
        let Rate { learning_rate, momentum } = self.timetable.at(self.step);
        let config = SgdConfig { learning_rate, momentum, weight_decay: self.timetable.weight_decay() };
        for ((_, parameter), buffer) in self.network.parameters().iter().zip(&self.momentum) {
            match gradients.get(parameter) {
                Some(gradient) => sgd_step(parameter, gradient, buffer, config)?,
                // The loss does not reach this weight (an RRM student's classifier at λ = 0 in some graphs): decay alone acts.
                None => sgd_step(parameter, &parameter.zeros_like()?, buffer, config)?,
            }
        }
        Ok(())
    }

    /// The type of weights and pixels.
    pub fn dtype(&self) -> DType {
        self.network.dtype()
    }
}
