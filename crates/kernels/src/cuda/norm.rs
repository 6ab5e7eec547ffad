//! Batch-norm, and what else is done to the channels of (N, C, …): lines, sums, and folding into a convolution.

use candle_core::{CudaDevice, CudaStorage, DType, Result, Storage, Tensor};

use super::address::{Address, unwritten};
use super::kernel::{Argument, Kernel, count, pack, packed};
use super::source::KernelSource;
use super::{detached, device_of, parameter, parameter_type};
use crate::conv::FrozenNorm;
use crate::epilogue::{Activation, Epilogue};
use crate::norm::{NormShape, Wanted};

/// Numbers that a summing block takes, roughly: sixteen for each thread.
const BLOCK_NUMBERS: usize = 1 << 12;
/// Most parts that a channel's sum is cut into: CUDA's limit of a grid's height.
const MOST_PARTS: usize = u16::MAX as usize;

/// How sums over channels are cut, by the sizes alone.
#[derive(Clone, Copy)]
struct Cut {
    /// Images of a part.
    span: usize,
    parts: usize,
}

impl Cut {
    fn of(s: &NormShape) -> Self {
        let span = BLOCK_NUMBERS.div_ceil(s.plane.max(1)).max(s.images.div_ceil(MOST_PARTS)).clamp(1, s.images.max(1));
        Self { span, parts: s.images.div_ceil(span).max(1) }
    }
}

/// Sizes of a batch-norm as kernels take them.
fn sizes(s: &NormShape, cut: Cut) -> Result<[Argument; 4]> {
    Ok([count(s.images)?, count(s.channels)?, count(s.plane)?, count(cut.span)?].map(Argument::Count))
}

fn relu_flag(activation: Activation) -> Argument {
    Argument::Count(u32::from(activation == Activation::Relu))
}

/// Room for two sums of each channel and part.
fn partial_sums(device: &CudaDevice, s: &NormShape, cut: Cut) -> Result<CudaStorage> {
    unwritten(device, DType::F64, 2 * s.channels * cut.parts)
}

/// Runs a kernel that takes one thread per channel.
///
/// # Safety
/// As for [`Kernel::map`].
unsafe fn per_channel(
    device: &CudaDevice,
    name: &'static str,
    dtype: DType,
    s: &NormShape,
    arguments: &[Argument],
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { Kernel::new(KernelSource::Norm, name, dtype)?.map(device, count(s.channels)?, arguments) }
}

/// What a batch-norm with the batch's own statistics gives.
pub(crate) struct Trained {
    pub(crate) y: Storage,
    /// Mean and inverse deviation, (2, C) in f64, for the backward pass.
    pub(crate) moments: Tensor,
    /// (C).
    pub(crate) mean: Tensor,
    /// (C), over m - 1.
    pub(crate) unbiased_variance: Tensor,
}

/// `activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual)`.
pub(crate) fn train(
    s: &NormShape,
    epsilon: f64,
    x: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    epilogue: Epilogue<'_>,
) -> Result<Trained> {
    let (device, dtype, cut) = (device_of(x)?, x.dtype(), Cut::of(s));
    let (gamma, beta) = (parameter(gamma, dtype)?, parameter(beta, dtype)?);
    let partial = partial_sums(device, s, cut)?;
    sum(s, cut, x, &partial)?;
    let moments = unwritten(device, DType::F64, 2 * s.channels)?;
    let rows = unwritten(device, parameter_type(dtype), 4 * s.channels)?;
    let [partial_at, moments_at, rows_at] =
        [Address::of_new(&partial)?, Address::of_new(&moments)?, Address::of_new(&rows)?].map(Argument::At);
    let [gamma_at, beta_at] = [Address::of(&gamma)?, Address::of(&beta)?].map(Argument::At);
    let [parts, channels] = [count(cut.parts)?, count(s.channels)?].map(Argument::Count);
    let [population, epsilon] = [s.population() as f64, epsilon].map(Argument::Number);
    let arguments = [partial_at, parts, channels, population, epsilon, gamma_at, beta_at, moments_at, rows_at];
    // SAFETY: the parameters have one number per channel; the other memory was made for this kernel.
    unsafe { per_channel(device, "norm_moments", dtype, s, &arguments)? };
    let rows = detached(rows, (4, s.channels));
    let y = line(s, x, [&rows.get(0)?, &rows.get(1)?], epilogue)?;
    Ok(Trained { y, moments: detached(moments, (2, s.channels)), mean: rows.get(2)?, unbiased_variance: rows.get(3)? })
}

fn sum(s: &NormShape, cut: Cut, x: &Tensor, partial: &CudaStorage) -> Result<()> {
    let addresses = [Address::of(x)?];
    let pack = pack(s.plane, x.dtype(), &addresses)?;
    let [images, channels, plane, span] = sizes(s, cut)?;
    let arguments =
        [Argument::At(addresses[0]), Argument::At(Address::of_new(partial)?), images, channels, plane, span];
    let grid = (count(s.channels)?, count(cut.parts)?);
    // SAFETY: `x` has the sizes' shape, and `partial` room for two sums of each block.
    unsafe {
        Kernel::new(KernelSource::Norm, packed!("norm_sums", pack), x.dtype())?.launch(device_of(x)?, grid, &arguments)
    }
}

/// `activation(slope * x + intercept + residual)` with each channel's slope and intercept.
pub(crate) fn line(
    s: &NormShape,
    x: &Tensor,
    [slope, intercept]: [&Tensor; 2],
    epilogue: Epilogue<'_>,
) -> Result<Storage> {
    let (slope, intercept) = (parameter(slope, x.dtype())?, parameter(intercept, x.dtype())?);
    let y = unwritten(device_of(x)?, x.dtype(), x.elem_count())?;
    let line = [Some(&slope), Some(&intercept)];
    draw(s, (device_of(x)?, x.dtype()), Address::of(x)?, line, epilogue, Address::of_new(&y)?)?;
    Ok(Storage::Cuda(y))
}

/// `activation(y + bias + residual)` in the place of `y`.
pub(crate) fn finish(
    s: &NormShape,
    y: &CudaStorage,
    dtype: DType,
    bias: Option<&Tensor>,
    epilogue: Epilogue<'_>,
) -> Result<()> {
    if bias.is_none() && epilogue.residual.is_none() && epilogue.activation == Activation::Identity {
        return Ok(());
    }
    let address = Address::of_new(y)?;
    draw(s, (&y.device, dtype), address, [None, bias], epilogue, address)
}

fn draw(
    s: &NormShape,
    (device, dtype): (&CudaDevice, DType),
    x: Address,
    [slope, intercept]: [Option<&Tensor>; 2],
    epilogue: Epilogue<'_>,
    y: Address,
) -> Result<()> {
    let residual = epilogue.residual.map(|residual| residual.to_dtype(dtype)?.contiguous()).transpose()?;
    let residual = Address::of_any(residual.as_ref())?;
    let pack = pack(s.plane, dtype, &[x, residual, y])?;
    let packs = count(s.images * s.channels * s.plane / pack)?;
    let [channels, plane] = [count(s.channels)?, count(s.plane)?].map(Argument::Count);
    let arguments = [
        Argument::At(x),
        Argument::At(Address::of_any(slope)?),
        Argument::At(Address::of_any(intercept)?),
        Argument::At(residual),
        relu_flag(epilogue.activation),
        Argument::At(y),
        Argument::Count(packs),
        channels,
        plane,
    ];
    // SAFETY: `x`, `y` and the residual have the sizes' shape, slope and intercept one number per channel. A thread reads
    // its numbers of `x` before it writes the same ones of `y`, so that both may be one.
    unsafe { Kernel::new(KernelSource::Norm, packed!("norm_line", pack), dtype)?.map(device, packs, &arguments) }
}

/// What a backward pass of a batch-norm reads; all have the shape of the input.
#[derive(Clone, Copy)]
pub(crate) struct Arriving<'a> {
    /// The input, where it matters.
    pub(crate) x: Option<&'a Tensor>,
    /// The output, if a ReLU comes last.
    pub(crate) y: Option<&'a Tensor>,
    pub(crate) gradient: &'a Tensor,
}

/// The gradients of x, gamma, beta and residual of a batch-norm with the batch's own statistics.
pub(crate) fn gradients(
    s: &NormShape,
    arriving: Arriving<'_>,
    gamma: &Tensor,
    moments: &Tensor,
    wanted: Wanted,
) -> Result<[Option<Tensor>; 4]> {
    let (device, dtype, cut) = (device_of(arriving.gradient)?, arriving.gradient.dtype(), Cut::of(s));
    let gamma = parameter(gamma, dtype)?;
    let partial = sum_gradient(s, cut, arriving, Some(moments))?;
    let rows = unwritten(device, parameter_type(dtype), 5 * s.channels)?;
    let [parts, channels] = [count(cut.parts)?, count(s.channels)?].map(Argument::Count);
    let arguments = [
        Argument::At(Address::of_new(&partial)?),
        parts,
        channels,
        Argument::Number(s.population() as f64),
        Argument::At(Address::of(&gamma)?),
        Argument::At(Address::of(moments)?),
        Argument::At(Address::of_new(&rows)?),
    ];
    // SAFETY: gamma has one number per channel, the moments two; the other memory was made for this kernel.
    unsafe { per_channel(device, "norm_gradient_rows", dtype, s, &arguments)? };
    let rows = detached(rows, (5, s.channels));
    let (input, residual) = combine(s, arriving, &rows.narrow(0, 2, 3)?, wanted)?;
    Ok([input, Some(rows.get(0)?), Some(rows.get(1)?), residual])
}

fn sum_gradient(s: &NormShape, cut: Cut, arriving: Arriving<'_>, moments: Option<&Tensor>) -> Result<CudaStorage> {
    let Arriving { x, y, gradient } = arriving;
    let (device, dtype) = (device_of(gradient)?, gradient.dtype());
    let partial = partial_sums(device, s, cut)?;
    let addresses = [Address::of_any(x)?, Address::of_any(y)?, Address::of(gradient)?];
    let pack = pack(s.plane, dtype, &addresses)?;
    let [x_at, y_at, gradient_at] = addresses.map(Argument::At);
    let [images, channels, plane, span] = sizes(s, cut)?;
    let arguments = [
        x_at,
        y_at,
        gradient_at,
        Argument::At(Address::of_any(moments)?),
        Argument::At(Address::of_new(&partial)?),
        images,
        channels,
        plane,
        span,
    ];
    let grid = (count(s.channels)?, count(cut.parts)?);
    // SAFETY: the tensors have the sizes' shape, the moments begin with one mean per channel, and `partial` has room for two
    // sums of each block.
    unsafe {
        Kernel::new(KernelSource::Norm, packed!("norm_gradient_sums", pack), dtype)?
            .launch(device, grid, &arguments)?;
    }
    Ok(partial)
}

/// The gradients of input and residual, if they are wanted; `rows` (3, C) are the scale, slope and intercept of the former.
fn combine(
    s: &NormShape,
    arriving: Arriving<'_>,
    rows: &Tensor,
    wanted: Wanted,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    if !wanted.input && !wanted.residual {
        return Ok((None, None));
    }
    let Arriving { x, y, gradient } = arriving;
    let (device, dtype, len) = (device_of(gradient)?, gradient.dtype(), gradient.elem_count());
    let result = |wanted: bool| wanted.then(|| unwritten(device, dtype, len)).transpose();
    let (dx, residual) = (result(wanted.input)?, result(wanted.residual)?);
    let of_new = |storage: &Option<CudaStorage>| storage.as_ref().map_or(Ok(Address::NONE), Address::of_new);
    let addresses =
        [Address::of_any(x)?, Address::of_any(y)?, Address::of(gradient)?, of_new(&dx)?, of_new(&residual)?];
    let pack = pack(s.plane, dtype, &addresses)?;
    let [x_at, y_at, gradient_at, dx_at, residual_at] = addresses.map(Argument::At);
    let [scale, slope, intercept] = [0, 1, 2].map(|row| rows.get(row).and_then(|row| Address::of(&row)));
    let [scale, slope, intercept] = [scale?, slope?, intercept?].map(Argument::At);
    let packs = count(len / pack)?;
    let [channels, plane] = [count(s.channels)?, count(s.plane)?].map(Argument::Count);
    let line = [scale, slope, intercept, dx_at, residual_at, Argument::Count(packs), channels, plane];
    let arguments = [&[x_at, y_at, gradient_at][..], &line].concat();
    // SAFETY: the tensors and results have the sizes' shape, the rows one number per channel.
    unsafe { Kernel::new(KernelSource::Norm, packed!("norm_gradient", pack), dtype)?.map(device, packs, &arguments)? };
    let tensor = |storage: Option<CudaStorage>| storage.map(|storage| detached(storage, gradient.shape()));
    Ok((tensor(dx), tensor(residual)))
}

/// The gradient times each channel's scale.
pub(crate) fn scaled(s: &NormShape, scale: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let scale = parameter(scale, gradient.dtype())?;
    let (device, dtype) = (device_of(gradient)?, gradient.dtype());
    let dx = unwritten(device, dtype, gradient.elem_count())?;
    let (from, to) = (Address::of(gradient)?, Address::of_new(&dx)?);
    draw(s, (device, dtype), from, [Some(&scale), None], Epilogue::NONE, to)?;
    Ok(detached(dx, gradient.shape()))
}

/// For each channel the sum of gradient times x, and the sum of the gradient; (C) each. Without x the former are 0.
pub(crate) fn channel_sums(s: &NormShape, x: Option<&Tensor>, gradient: &Tensor) -> Result<[Tensor; 2]> {
    let (device, dtype, cut) = (device_of(gradient)?, gradient.dtype(), Cut::of(s));
    let partial = sum_gradient(s, cut, Arriving { x, y: None, gradient }, None)?;
    let totals = unwritten(device, parameter_type(dtype), 2 * s.channels)?;
    let [partial_at, totals_at] = [Address::of_new(&partial)?, Address::of_new(&totals)?].map(Argument::At);
    let [parts, channels] = [count(cut.parts)?, count(s.channels)?].map(Argument::Count);
    // SAFETY: the memory was made for this kernel.
    unsafe { per_channel(device, "norm_gradient_totals", dtype, s, &[partial_at, parts, channels, totals_at])? };
    let totals = detached(totals, (2, s.channels));
    Ok([totals.get(0)?, totals.get(1)?])
}

/// The weight and bias of a convolution with the batch-norm after it folded in, for inputs of type `dtype`.
pub(crate) fn fold(
    weight: &Tensor,
    bias: Option<&Tensor>,
    norm: FrozenNorm<'_>,
    dtype: DType,
) -> Result<(Tensor, Tensor)> {
    let FrozenNorm { gamma, beta, running_mean, running_var, epsilon } = norm;
    let device = device_of(weight)?;
    let weight = parameter(weight, dtype)?;
    let bias = bias.map(|bias| parameter(bias, dtype)).transpose()?;
    let vectors = [gamma, beta, running_mean, running_var].map(|vector| parameter(vector, dtype));
    let [gamma, beta, mean, variance] = vectors;
    let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
    let filters = weight.dim(0)?;
    let filter = weight.elem_count() / filters.max(1);
    let folded = unwritten(device, dtype, weight.elem_count())?;
    let shift = unwritten(device, parameter_type(dtype), filters)?;
    let operands = [Some(&weight), bias.as_ref(), Some(&gamma), Some(&beta), Some(&mean), Some(&variance)];
    let mut arguments =
        operands.into_iter().map(|operand| Address::of_any(operand).map(Argument::At)).collect::<Result<Vec<_>>>()?;
    arguments.push(Argument::Number(epsilon));
    arguments.extend([Address::of_new(&folded)?, Address::of_new(&shift)?].map(Argument::At));
    arguments.push(Argument::Count(count(filter)?));
    let grid = (count(filters)?.max(1), 1);
    // SAFETY: the vectors have one number per filter, and the results were made as large as the weight and as the vectors.
    unsafe { Kernel::new(KernelSource::Norm, "norm_fold", dtype)?.launch(device, grid, &arguments)? };
    Ok((detached(folded, weight.shape()), detached(shift, filters)))
}
