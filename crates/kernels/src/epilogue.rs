//! What an operation does with its result before writing it: add a bias and a residual, apply an activation.

use candle_core::{Result, Tensor};

use crate::element::Element;

/// The function applied to an operation's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The result itself.
    Identity,
    /// `max(y, 0)`, with derivative 0 at 0.
    Relu,
}

/// What a batch-norm does after normalising: `y = activation(norm(x) + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// Added before the activation; the shape of the output.
    pub residual: Option<&'a Tensor>,
    /// Applied last.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Neither residual nor activation.
    pub const NONE: Epilogue<'static> = Epilogue { residual: None, activation: Activation::Identity };
    /// ReLU alone.
    pub const RELU: Epilogue<'static> = Epilogue { residual: None, activation: Activation::Relu };

    /// The same through Candle's own operations, for devices without kernels of ours.
    pub(crate) fn compose(&self, y: Tensor) -> Result<Tensor> {
        let y = match self.residual {
            Some(residual) => (y + residual)?,
            None => y,
        };
        match self.activation {
            Activation::Identity => Ok(y),
            Activation::Relu => y.relu(),
        }
    }
}

/// The numbers behind an epilogue of a convolution; `apply` finishes one output plane.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T> {
    /// One number per output channel.
    pub(crate) bias: Option<&'a [T]>,
    /// As long as the output.
    pub(crate) residual: Option<&'a [T]>,
    pub(crate) activation: Activation,
}

impl<T: Element> Finish<'_, T> {
    /// Finishes output plane number `plane`, which is of channel `channel`.
    pub(crate) fn apply(&self, plane: usize, channel: usize, out: &mut [T]) {
        if let Some(bias) = self.bias {
            out.iter_mut().for_each(|y| *y += bias[channel]);
        }
        if let Some(residual) = self.residual {
            let here = plane * out.len();
            out.iter_mut().zip(&residual[here..]).for_each(|(y, &r)| *y += r);
        }
        if self.activation == Activation::Relu {
            out.iter_mut().for_each(|y| *y = y.larger(T::ZERO));
        }
    }
}

/// The gradient before the activation: `gradient` where the output is positive, else 0.
///
/// # Errors
/// When the tensors are not f32 or f64.
pub(crate) fn before_activation(activation: Activation, output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Identity => gradient.contiguous(),
        Activation::Relu => crate::activation::masked(output, gradient),
    }
}
