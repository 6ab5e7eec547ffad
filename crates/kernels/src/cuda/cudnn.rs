//! cuDNN's three passes of a convolution, and which algorithm each uses.
//!
//! The algorithm is asked of cuDNN's own rules once per shape and then kept. Timing the candidates might find a faster one, but
//! another one from run to run, with other bits; and of the candidates only those count that give the same bits every time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType, CudnnError,
    FilterDescriptor, TensorDescriptor,
    sys::{
        cudnnConvolutionBwdDataAlgo_t as DataAlgorithm, cudnnConvolutionBwdFilterAlgo_t as FilterAlgorithm,
        cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionMode_t as Mode, cudnnMathType_t as MathType,
        cudnnTensorFormat_t as Format,
    },
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr};
use candle_core::cuda_backend::{CudaDType, DeviceId};
use candle_core::{CudaDevice, DType, Result, WithDType, bail};
use half::bf16;

use crate::conv::ConvShape;
use crate::precision::tf32_allowed;

/// Most working memory that an algorithm may ask for; none of those that are fast on our sizes comes near.
const MOST_WORKSPACE: usize = 1 << 30;

/// Number types that cuDNN convolves.
pub(super) trait Convolved: CudnnDataType + CudaDType + WithDType + DeviceRepr {
    /// What sums are kept in.
    type Sum: CudnnDataType;

    /// How products may be formed.
    fn math(tf32: bool) -> MathType;
}

impl Convolved for f32 {
    type Sum = f32;

    fn math(tf32: bool) -> MathType {
        // The default rounds to TF32.
        if tf32 { MathType::CUDNN_DEFAULT_MATH } else { MathType::CUDNN_FMA_MATH }
    }
}

impl Convolved for f64 {
    type Sum = f64;

    fn math(_: bool) -> MathType {
        MathType::CUDNN_DEFAULT_MATH
    }
}

impl Convolved for bf16 {
    type Sum = f32;

    /// On tensor cores, which lose nothing of bf16; the default leaves them idle, and a ResNet18's training step on an H200 took more than
    /// three times as long.
    fn math(_: bool) -> MathType {
        MathType::CUDNN_TENSOR_OP_MATH
    }
}

/// What an algorithm is chosen for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Problem {
    shape: ConvShape,
    dtype: DType,
    tf32: bool,
}

/// An algorithm and the bytes of working memory that it takes.
#[derive(Clone, Copy)]
struct Choice<A> {
    algorithm: A,
    workspace: usize,
}

/// A thread's handle on cuDNN for one device, with the choices made so far.
struct Library {
    cudnn: Arc<Cudnn>,
    forward: RefCell<HashMap<Problem, Choice<ForwardAlgorithm>>>,
    data: RefCell<HashMap<Problem, Choice<DataAlgorithm>>>,
    filter: RefCell<HashMap<Problem, Choice<FilterAlgorithm>>>,
}

thread_local! {
    /// A handle belongs to one thread. It is never destroyed: on a device that has failed even that fails, and takes the process
    /// down while it reports.
    static LIBRARIES: RefCell<HashMap<DeviceId, ManuallyDrop<Arc<Library>>>> = RefCell::default();
}

/// Runs `work` with this thread's handle for `device`.
fn with_library<R>(device: &CudaDevice, work: impl FnOnce(&Library) -> Result<R>) -> Result<R> {
    let library = LIBRARIES.with_borrow_mut(|libraries| -> Result<Arc<Library>> {
        if let Some(library) = libraries.get(&device.id()) {
            return Ok((**library).clone());
        }
        let cudnn = Cudnn::new(device.cuda_stream())?;
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "it stays on this thread; cudarc's own handle is such an Arc too"
        )]
        let library = Arc::new(Library {
            cudnn,
            forward: RefCell::default(),
            data: RefCell::default(),
            filter: RefCell::default(),
        });
        libraries.insert(device.id(), ManuallyDrop::new(library.clone()));
        Ok(library)
    })?;
    work(&library)
}

/// One convolution in cuDNN's terms.
struct Descriptors<T: Convolved> {
    conv: ConvDescriptor<T::Sum>,
    x: TensorDescriptor<T>,
    weight: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
    problem: Problem,
}

impl<T: Convolved> Descriptors<T> {
    fn new(cudnn: &Arc<Cudnn>, s: &ConvShape) -> Result<Self> {
        let pair = |size: usize| int(size).map(|size| [size; 2]);
        let mut conv =
            cudnn.create_conv2d::<T::Sum>(pair(s.padding)?, pair(s.stride)?, [1, 1], Mode::CUDNN_CROSS_CORRELATION)?;
        let problem = Problem { shape: *s, dtype: T::DTYPE, tf32: tf32_allowed() };
        conv.set_math_type(T::math(problem.tf32))?;
        let format = Format::CUDNN_TENSOR_NCHW;
        Ok(Self {
            conv,
            x: cudnn.create_4d_tensor(format, ints([s.images, s.in_channels, s.height, s.width])?)?,
            weight: cudnn.create_4d_filter(format, ints([s.out_channels, s.in_channels, s.kernel, s.kernel])?)?,
            y: cudnn.create_4d_tensor(format, ints([s.images, s.out_channels, s.out_height(), s.out_width()])?)?,
            problem,
        })
    }
}

fn int(size: usize) -> Result<i32> {
    i32::try_from(size).map_err(candle_core::Error::wrap)
}

fn ints(sizes: [usize; 4]) -> Result<[i32; 4]> {
    let mut all = [0; 4];
    for (to, size) in all.iter_mut().zip(sizes) {
        *to = int(size)?;
    }
    Ok(all)
}

/// The choice for a problem: the one made before, or the first candidate that cuDNN can run within the limit.
fn choose<A: Copy>(
    made: &RefCell<HashMap<Problem, Choice<A>>>,
    problem: Problem,
    candidates: impl FnOnce() -> std::result::Result<Vec<A>, CudnnError>,
    workspace_of: impl Fn(A) -> std::result::Result<usize, CudnnError>,
) -> Result<Choice<A>> {
    if let Some(&choice) = made.borrow().get(&problem) {
        return Ok(choice);
    }
    for algorithm in candidates()? {
        if let Ok(workspace) = workspace_of(algorithm)
            && workspace <= MOST_WORKSPACE
        {
            made.borrow_mut().insert(problem, Choice { algorithm, workspace });
            return Ok(Choice { algorithm, workspace });
        }
    }
    bail!("cuDNN has no algorithm for {:?} of {:?}", problem.shape, problem.dtype)
}

fn workspace(device: &CudaDevice, bytes: usize) -> Result<Option<CudaSlice<u8>>> {
    // SAFETY: cuDNN writes its working memory before it reads it.
    (bytes > 0).then(|| unsafe { device.alloc(bytes) }).transpose()
}

/// Alpha and beta of `result = alpha * product + beta * result`: the product alone, whatever was there before.
fn replacing<T: WithDType>() -> (T, T) {
    (T::from_f64(1.0), T::from_f64(0.0))
}

/// `conv(x, weight)`.
pub(super) fn forward<T: Convolved>(
    device: &CudaDevice,
    s: &ConvShape,
    x: &CudaView<'_, T>,
    weight: &CudaView<'_, T>,
) -> Result<CudaSlice<T>> {
    with_library(device, |library| {
        let d = Descriptors::<T>::new(&library.cudnn, s)?;
        let pass = ConvForward { conv: &d.conv, x: &d.x, w: &d.weight, y: &d.y };
        let candidates =
            || Ok(vec![pass.pick_algorithm()?, ForwardAlgorithm::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM]);
        let choice = choose(&library.forward, d.problem, candidates, |a| pass.get_workspace_size(a))?;
        let mut workspace = workspace(device, choice.workspace)?;
        // SAFETY: the pass writes all of the output before anybody reads it; the views have the descriptors' sizes.
        unsafe {
            let mut y = device.alloc::<T>(s.out_len())?;
            pass.launch(choice.algorithm, workspace.as_mut(), replacing(), x, weight, &mut y)?;
            Ok(y)
        }
    })
}

/// Gradient of the input.
pub(super) fn input_gradient<T: Convolved>(
    device: &CudaDevice,
    s: &ConvShape,
    gradient: &CudaView<'_, T>,
    weight: &CudaView<'_, T>,
) -> Result<CudaSlice<T>> {
    with_library(device, |library| {
        let d = Descriptors::<T>::new(&library.cudnn, s)?;
        let pass = ConvBackwardData { conv: &d.conv, dx: &d.x, w: &d.weight, dy: &d.y };
        let candidates = || {
            let mut all = vec![pass.pick_algorithm()?, DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1];
            // Adds with atomics, in any order.
            all.retain(|&a| a != DataAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0);
            Ok(all)
        };
        let choice = choose(&library.data, d.problem, candidates, |a| pass.get_workspace_size(a))?;
        let mut workspace = workspace(device, choice.workspace)?;
        // SAFETY: as for the forward pass.
        unsafe {
            let mut dx = device.alloc::<T>(s.in_len())?;
            pass.launch(choice.algorithm, workspace.as_mut(), replacing(), &mut dx, weight, gradient)?;
            Ok(dx)
        }
    })
}

/// Gradient of the weight.
pub(super) fn weight_gradient<T: Convolved>(
    device: &CudaDevice,
    s: &ConvShape,
    x: &CudaView<'_, T>,
    gradient: &CudaView<'_, T>,
) -> Result<CudaSlice<T>> {
    use FilterAlgorithm::{
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 as ATOMIC_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 as ALWAYS,
        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 as ATOMIC_3,
    };
    with_library(device, |library| {
        let d = Descriptors::<T>::new(&library.cudnn, s)?;
        let pass = ConvBackwardFilter { conv: &d.conv, x: &d.x, dw: &d.weight, dy: &d.y };
        let candidates = || {
            let mut all = vec![pass.pick_algorithm()?, ALWAYS];
            all.retain(|&a| a != ATOMIC_0 && a != ATOMIC_3);
            Ok(all)
        };
        let choice = choose(&library.filter, d.problem, candidates, |a| pass.get_workspace_size(a))?;
        let mut workspace = workspace(device, choice.workspace)?;
        // SAFETY: as for the forward pass.
        unsafe {
            let mut dw = device.alloc::<T>(s.weight_len())?;
            pass.launch(choice.algorithm, workspace.as_mut(), replacing(), x, &mut dw, gradient)?;
            Ok(dw)
        }
    })
}
