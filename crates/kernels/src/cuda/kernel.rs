//! Loading kernels on a device, and launching them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, DType, Result, bail};

use super::address::Address;
use super::source::{KernelSource, NumberType, compile};

/// Threads of a block; the summing kernels count on it.
const THREADS: u32 = 256;
/// Blocks of a map: enough to fill every device, few enough that each thread has some numbers to go on with.
const MOST_BLOCKS: u32 = 1 << 14;
/// Neighbouring numbers that a thread takes at once, where sizes and addresses allow it.
const PACK: usize = 4;

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub(super) enum Argument {
    At(Address),
    Count(u32),
    Number(f64),
    Word(u64),
    Pooling([u32; 7]),
}

/// A kernel and the form that it is wanted in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    source: KernelSource,
    number: NumberType,
    name: &'static str,
}

impl Kernel {
    /// The kernel `name` for numbers of type `dtype`.
    pub(super) fn new(source: KernelSource, name: &'static str, dtype: DType) -> Result<Self> {
        Ok(Self { source, number: NumberType::of(dtype)?, name })
    }

    /// One thread per number, for `count` of them.
    ///
    /// # Safety
    /// The arguments must be the kernel's, and the memory behind addresses as large as the kernel takes it to be.
    pub(super) unsafe fn map(self, device: &CudaDevice, count: u32, arguments: &[Argument]) -> Result<()> {
        let blocks = count.div_ceil(THREADS).clamp(1, MOST_BLOCKS);
        // SAFETY: the caller's promise.
        unsafe { self.launch(device, (blocks, 1), arguments) }
    }

    /// A grid of blocks of 256 threads.
    ///
    /// # Safety
    /// As for [`Kernel::map`].
    pub(super) unsafe fn launch(self, device: &CudaDevice, grid: (u32, u32), arguments: &[Argument]) -> Result<()> {
        let (function, stream) = (self.function(device)?, device.cuda_stream());
        let mut launch = stream.launch_builder(&function);
        for argument in arguments {
            match argument {
                Argument::At(Address(address)) => launch.arg(address),
                Argument::Count(count) => launch.arg(count),
                Argument::Number(number) => launch.arg(number),
                Argument::Word(word) => launch.arg(word),
                Argument::Pooling(sizes) => launch.arg(sizes),
            };
        }
        let config = LaunchConfig { grid_dim: (grid.0, grid.1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the caller's promise.
        unsafe { launch.launch(config) }.w().map(drop)
    }

    fn function(self, device: &CudaDevice) -> Result<CudaFunction> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(&(device.id(), self)) {
            return Ok(function.clone());
        }
        let function = loaded.module(device, self)?.load_function(self.name).w()?;
        loaded.functions.insert((device.id(), self), function.clone());
        Ok(function)
    }
}

/// What was loaded so far, on every device.
#[derive(Default)]
struct Loaded {
    modules: HashMap<(DeviceId, KernelSource, NumberType), Arc<CudaModule>>,
    functions: HashMap<(DeviceId, Kernel), CudaFunction>,
}

static LOADED: LazyLock<Mutex<Loaded>> = LazyLock::new(Mutex::default);

impl Loaded {
    fn module(&mut self, device: &CudaDevice, kernel: Kernel) -> Result<Arc<CudaModule>> {
        let key = (device.id(), kernel.source, kernel.number);
        if let Some(module) = self.modules.get(&key) {
            return Ok(module.clone());
        }
        let stream = device.cuda_stream();
        let capability = stream.context().compute_capability().w()?;
        let module = stream.context().load_module(compile(kernel.source, kernel.number, capability)?).w()?;
        self.modules.insert(key, module.clone());
        Ok(module)
    }
}

/// A number of things as a kernel counts them.
pub(super) fn count(things: usize) -> Result<u32> {
    match u32::try_from(things) {
        Ok(count) if count <= i32::MAX as u32 => Ok(count),
        _ => bail!("{things} numbers are more than a CUDA kernel counts"),
    }
}

/// How many neighbouring numbers a thread may take at once: they must be of one plane, and lie where a wide access is allowed.
pub(super) fn pack(plane: usize, dtype: DType, addresses: &[Address]) -> Result<usize> {
    let bytes = (PACK * NumberType::of(dtype)?.bytes()) as u64;
    let aligned = addresses.iter().all(|address| address.0.is_multiple_of(bytes));
    Ok(if plane.is_multiple_of(PACK) && aligned { PACK } else { 1 })
}

/// The kernel's name in the form for packs of a size.
macro_rules! packed {
    ($name:literal, $pack:expr) => {
        if $pack == 1 { concat!($name, "_1") } else { concat!($name, "_4") }
    };
}
pub(super) use packed;
