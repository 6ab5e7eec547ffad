//! What frozen convolutions make of their weights before the first product, kept from pass to pass.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Result, Tensor};

use super::frozen::{Constant, FrozenNorm, is_tracked};
use super::{Conv2dConfig, conv2d_finished, conv2d_frozen_norm};
use crate::changes::Snapshot;
use crate::epilogue::{Activation, Epilogue};

/// A place for what a convolution makes of its weight before the first product: the norm folded in, and the forms that algorithms
/// read. An attack or an evaluation finds it there on the next pass.
///
/// It is made anew when other tensors are given, or when [`sgd_step`](crate::sgd_step) or
/// [`update_running`](crate::update_running) has changed one. Other changes in place go unnoticed: whoever makes them must take a
/// new place. Where a weight is tracked, nothing is kept.
#[derive(Debug, Default)]
pub struct KeptConv2d(Mutex<Option<Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    recipe: Recipe,
    made_of: Arc<Snapshot>,
    constant: Arc<Constant>,
}

/// How it was made: for images of this type, and with a norm of this epsilon.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Recipe {
    dtype: DType,
    epsilon: Option<f64>,
}

impl KeptConv2d {
    /// [`conv2d_activated`](super::conv2d_activated), to the bit.
    ///
    /// # Errors
    /// As there.
    pub fn conv2d_activated(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        config: Conv2dConfig,
        activation: Activation,
    ) -> Result<Tensor> {
        self.conv2d_finished(x, weight, bias, config, Epilogue { residual: None, activation })
    }

    /// [`conv2d_finished`], to the bit.
    ///
    /// # Errors
    /// As there.
    pub fn conv2d_finished(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        config: Conv2dConfig,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        let tensors: Vec<&Tensor> = std::iter::once(weight).chain(bias).collect();
        if tensors.iter().any(|tensor| tensor.track_op()) {
            return conv2d_finished(x, weight, bias, config, epilogue);
        }
        let constant =
            self.of(Recipe { dtype: x.dtype(), epsilon: None }, &tensors, || Constant::plain(weight, bias))?;
        constant.apply(x, config, epilogue)
    }

    /// [`conv2d_frozen_norm`], to the bit.
    ///
    /// # Errors
    /// As there.
    pub fn conv2d_frozen_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        config: Conv2dConfig,
        norm: FrozenNorm<'_>,
        epilogue: Epilogue<'_>,
    ) -> Result<Tensor> {
        if is_tracked(weight, bias, &norm) {
            return conv2d_frozen_norm(x, weight, bias, config, norm, epilogue);
        }
        let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = norm;
        let tensors: Vec<&Tensor> = [weight, gamma, beta, running_mean, running_var].into_iter().chain(bias).collect();
        let recipe = Recipe { dtype: x.dtype(), epsilon: Some(epsilon) };
        let constant = self.of(recipe, &tensors, || Constant::folded(x, weight, bias, norm))?;
        constant.apply(x, config, epilogue)
    }

    /// What was made of these tensors as they are, or `make` makes.
    fn of(
        &self,
        recipe: Recipe,
        tensors: &[&Tensor],
        make: impl FnOnce() -> Result<Constant>,
    ) -> Result<Arc<Constant>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept
            && kept.recipe == recipe
            && kept.made_of.shows(tensors)
        {
            return Ok(kept.constant);
        }
        // First the snapshot: what changes meanwhile makes it stale.
        let made_of = Arc::new(Snapshot::of(tensors));
        let constant = Arc::new(make()?.kept());
        let kept = Kept { recipe, made_of, constant: constant.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(constant)
    }
}
