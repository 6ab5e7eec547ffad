//! What an operation does with its result before writing it: add a bias and a residual, apply an activation.

use std::mem::MaybeUninit;

use candle_core::Tensor;

use crate::element::Element;
use crate::simd::vectorized;

/// The function applied to an operation's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The result itself.
    Identity,
    /// `max(y, 0)`, with derivative 0 at 0.
    Relu,
}

/// What a batch-norm or a convolution does last: `y = activation(norm(x) + residual)`.
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
}

/// The numbers behind an epilogue of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a, T> {
    /// One number per output channel.
    pub(crate) bias: Option<&'a [T]>,
    /// As long as the output.
    pub(crate) residual: Option<&'a [T]>,
    pub(crate) activation: Activation,
}

/// Rows of a plane somewhere in working memory: `width` numbers every `pitch`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub(crate) from: &'a [T],
    pub(crate) pitch: usize,
    pub(crate) width: usize,
}

impl<T: Element> Finish<'_, T> {
    /// Changes nothing.
    pub(crate) const NONE: Finish<'static, T> = Finish { bias: None, residual: None, activation: Activation::Identity };

    /// Finishes output plane number `plane`, which is of channel `channel`, and writes it to `out`.
    pub(crate) fn write_plane(&self, plane: usize, channel: usize, rows: Rows<'_, T>, out: &mut [MaybeUninit<T>]) {
        let bias = self.bias.map_or(T::ZERO, |bias| bias[channel]);
        let residual = self.residual.map(|residual| &residual[plane * out.len()..][..out.len()]);
        write_rows(rows, bias, residual, self.activation, out);
    }
}

impl<T: Element> Finish<'_, T> {
    /// Whether nothing is added and no activation applied.
    pub(crate) fn is_none(&self) -> bool {
        self.bias.is_none() && self.residual.is_none() && self.activation == Activation::Identity
    }

    /// Finishes number `at` of the whole output, which is of channel `channel`.
    pub(crate) fn one(&self, at: usize, channel: usize, from: T) -> T {
        let y = from + self.bias.map_or(T::ZERO, |bias| bias[channel]);
        let y = self.residual.map_or(y, |residual| y + residual[at]);
        match self.activation {
            Activation::Identity => y,
            Activation::Relu => y.larger(T::ZERO),
        }
    }

    /// Finishes numbers `at..` of the whole output, which are of channel `channel`, and writes them to `out`.
    pub(crate) fn write_run(&self, at: usize, channel: usize, from: &[T], out: &mut [MaybeUninit<T>]) {
        let bias = self.bias.map_or(T::ZERO, |bias| bias[channel]);
        let residual = self.residual.map(|residual| &residual[at..at + out.len()]);
        write_rows(Rows { from, pitch: out.len(), width: out.len() }, bias, residual, self.activation, out);
    }
}

vectorized! {
    fn write_rows<T: Element>(
        rows: Rows<'_, T>,
        bias: T,
        residual: Option<&[T]>,
        activation: Activation,
        out: &mut [MaybeUninit<T>],
    ) {
        let floor = |y: T| match activation {
            Activation::Identity => y,
            Activation::Relu => y.larger(T::ZERO),
        };
        for (row, out) in out.chunks_exact_mut(rows.width).enumerate() {
            let from = &rows.from[row * rows.pitch..][..rows.width];
            match residual {
                None => out.iter_mut().zip(from).for_each(|(out, &from)| {
                    out.write(floor(from + bias));
                }),
                Some(residual) => {
                    let residual = &residual[row * rows.width..][..rows.width];
                    out.iter_mut().zip(from.iter().zip(residual)).for_each(|(out, (&from, &residual))| {
                        out.write(floor(from + bias + residual));
                    });
                }
            }
        }
    }
}
