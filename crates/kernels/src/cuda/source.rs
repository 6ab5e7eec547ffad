//! The kernels' source text, and its compilation at run time by NVIDIA's nvrtc.

use std::ffi::CString;

use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts, result, sys};
use candle_core::cuda_backend::{CudaError, WrapErr};
use candle_core::{DType, Result, bail};

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelSource {
    /// ReLU.
    Activation,
    /// Steps of an attack.
    Climb,
    /// Dropout.
    Dropout,
    /// The search for infinities and NaN.
    Finite,
    /// Batch-norm, and what is done to a convolution's result.
    Norm,
    /// Pixel normalisation.
    Pixels,
    /// Max- and average-pooling.
    Pool,
    /// Weights of a convolution, turned for its gradient.
    Turn,
    /// Updates in place.
    Update,
}

impl KernelSource {
    /// Every file.
    pub const ALL: [Self; 9] = [
        Self::Activation,
        Self::Climb,
        Self::Dropout,
        Self::Finite,
        Self::Norm,
        Self::Pixels,
        Self::Pool,
        Self::Turn,
        Self::Update,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Activation => include_str!("activation.cu"),
            Self::Climb => include_str!("climb.cu"),
            Self::Dropout => include_str!("dropout.cu"),
            Self::Finite => include_str!("finite.cu"),
            Self::Norm => include_str!("norm.cu"),
            Self::Pixels => include_str!("pixels.cu"),
            Self::Pool => include_str!("pool.cu"),
            Self::Turn => include_str!("turn.cu"),
            Self::Update => include_str!("update.cu"),
        }
    }
}

/// The number type that a file of kernels is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberType {
    /// bfloat16, with arithmetic in f32.
    Bf16,
    /// f32.
    F32,
    /// f64.
    F64,
}

impl NumberType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Bf16, Self::F32, Self::F64];

    pub(super) fn of(dtype: DType) -> Result<Self> {
        match dtype {
            DType::BF16 => Ok(Self::Bf16),
            DType::F32 => Ok(Self::F32),
            DType::F64 => Ok(Self::F64),
            other => bail!("no CUDA kernel for {other:?}, only for bf16, f32 and f64"),
        }
    }

    fn bits(self) -> usize {
        match self {
            Self::Bf16 => 16,
            Self::F32 => 32,
            Self::F64 => 64,
        }
    }

    pub(super) fn bytes(self) -> usize {
        self.bits() / 8
    }
}

/// What nvrtc compiles: what all files share, then the file.
fn whole(source: KernelSource) -> String {
    [include_str!("number.cu"), source.text()].concat()
}

fn options(number: NumberType, architecture: &str) -> Vec<String> {
    vec![format!("--gpu-architecture={architecture}"), format!("--define-macro=NUMBER={}", number.bits())]
}

/// Compiles a file of kernels to PTX for a virtual architecture such as `compute_80`; needs no GPU.
///
/// # Errors
/// With the compiler's own words, when the text is at fault.
pub fn compile_to_ptx(source: KernelSource, number: NumberType, architecture: &str) -> Result<String> {
    let options = CompileOptions { options: options(number, architecture), ..CompileOptions::default() };
    Ok(compile_ptx_with_opts(whole(source), options).w()?.to_src())
}

/// Compiles a file of kernels for devices of compute capability `major`.`minor`.
///
/// To machine code, not PTX: a driver refuses PTX of a compiler that is newer than itself.
pub(super) fn compile(source: KernelSource, number: NumberType, (major, minor): (i32, i32)) -> Result<Ptx> {
    let text = CString::new(whole(source)).expect("the sources hold no NUL");
    let program = Program(result::create_program(&text, None).map_err(CompileError::CreationError).w()?);
    let options = options(number, &format!("sm_{major}{minor}"));
    // SAFETY: the program is alive.
    if let Err(nvrtc) = unsafe { result::compile_program(program.0, &options) } {
        return Err(program.complaint(nvrtc, options).into());
    }
    Ok(Ptx::from_binary(program.machine_code()?))
}

/// A program in nvrtc's hands.
struct Program(sys::nvrtcProgram);

impl Program {
    fn complaint(&self, nvrtc: result::NvrtcError, options: Vec<String>) -> CudaError {
        // SAFETY: the program is alive.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).take_while(|&byte| byte != 0).collect();
        let log = CString::new(log).expect("cut at the first NUL");
        CompileError::CompileError { nvrtc, options, log }.into()
    }

    fn machine_code(&self) -> Result<Vec<u8>> {
        let mut size = 0;
        // SAFETY: the program is alive and compiled, and `size` is where its size may be written.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut size) }.result().map_err(CompileError::GetPtxError).w()?;
        let mut code = vec![0u8; size];
        // SAFETY: as above, and `code` has room for as many bytes as were announced.
        unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()) }
            .result()
            .map_err(CompileError::GetPtxError)
            .w()?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is alive, and nobody uses it after this. Should it not be destroyed, a little memory leaks.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}
