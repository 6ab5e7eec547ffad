//! The network that is being trained.

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use rrm_kernels::{SgdConfig, sgd_step};
use rrm_models::{Model, Network};

use crate::schedule::{Rate, Timetable};

/// A network with its optimiser's state and its place in the schedule.
pub struct Student {
    network: Network,
    frozen: Network,
    /// One buffer per parameter, zero before the first update.
    momentum: Vec<Var>,
    timetable: Timetable,
    step: u64,
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
    /// The loss is infinite or not a number; the weights are as before.
    #[error("the loss is {loss}")]
    NotFinite {
        /// The loss.
        loss: f64,
    },
    /// The computation failed.
    #[error(transparent)]
    Compute(#[from] candle_core::Error),
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
        Ok(Self { frozen: network.frozen(), network, momentum, timetable, step: 0 })
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
        Ok(Self { frozen: network.frozen(), network, momentum, timetable, step })
    }

    /// The network, to be trained on: its forward pass in train mode moves the running statistics.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The same network with weights that ask for no gradient, to be attacked or measured.
    pub fn frozen(&self) -> &Network {
        &self.frozen
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

    /// Descends once along the gradient of the scalar `loss` and advances the schedule by one tick: the only place where a
    /// weight changes.
    ///
    /// # Errors
    /// [`UpdateError::NotFinite`] where the loss is infinite or no number.
    pub fn update(&mut self, loss: &Tensor) -> Result<Update, UpdateError> {
        let value = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !value.is_finite() {
            return Err(UpdateError::NotFinite { loss: value });
        }
        let gradients = loss.backward()?;
        self.descend(&gradients)?;
        self.step += 1;
        Ok(Update { loss: value, gradients })
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

    /// The first weight or running statistic that holds an infinity or no number.
    ///
    /// # Errors
    /// When the device fails.
    pub fn first_not_finite(&self) -> candle_core::Result<Option<&str>> {
        for (name, tensor) in self.network.parameters().iter().chain(self.network.buffers()) {
            // Infinities and NaN survive a sum, and finite weights do not overflow one.
            let sum = tensor.as_detached_tensor().sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !sum.is_finite() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The type of weights and pixels.
    pub fn dtype(&self) -> DType {
        self.network.dtype()
    }
}
