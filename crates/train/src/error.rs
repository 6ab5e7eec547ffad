//! What can go wrong with a job, by what its owner can do about it.

use std::{error::Error, fmt, io, path::PathBuf};

use rrm_data::DataError;
use rrm_models::{LoadFault, ModelError};
use rrm_spec::{ArtifactRef, FailureClass, JobRef, Violations};

use crate::{checkpoint::ResumeFault, divergence::NotFinite, interrupt::is_interruption};

/// Adversarial images are held in memory and sent as one file: as much as a checkpoint may have.
pub(crate) const MOST_KEPT_BYTES: u64 = 4 << 30;

/// Why a job failed. The message alone says what happened, why (its sources included), and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images could not be read.
    #[error("cannot read the images: {0}")]
    Data(#[from] DataError),
    /// Images and network do not belong together.
    #[error("{what}; check the dataset and the model that the job names")]
    Mismatch {
        /// What contradicts what.
        what: String,
    },
    /// The attack cannot be made on a network of so many classes.
    #[error("the attack does not suit the network: {faults}")]
    Attack {
        /// Why.
        faults: Violations,
    },
    /// The job names a network whose file it was not given.
    #[error(
        "what job `{job}` has made is needed, but no file was given for it; pass `--input ID=PATH` with the job's number, \
         or name a file in the spec"
    )]
    MissingInput {
        /// The job whose final weights or images are needed.
        job: JobRef,
    },
    /// The network of the artifact store was not handed over.
    #[error(
        "the network `{artifact}` is needed, but no file was given for it; pass `--input sha256:HASH=PATH` with the hash that the \
         spec names, or name a checkpoint file in the spec"
    )]
    MissingArtifact {
        /// What the spec names.
        artifact: ArtifactRef,
    },
    /// A network's file could not be used.
    #[error("cannot {}; use the final checkpoint of a training", Chain(.0))]
    Network(#[source] ModelError),
    /// A new network could not be built, or its weights not be written.
    #[error("cannot {}", Chain(.0))]
    Model(#[from] ModelError),
    /// The checkpoint to go on from could not be used.
    #[error("cannot resume from {}: {}", path.display(), Chain(fault))]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        fault: ResumeFault,
    },
    /// The training left the finite numbers.
    #[error(
        "training diverged in epoch {epoch}, step {step}: {what}; the last checkpoint is from before; lower the learning rate \
         or, if it happened at once, look at the data"
    )]
    Diverged {
        /// Counted from 1.
        epoch: u32,
        /// Step within the epoch, counted from 1: a batch with all its replays.
        step: u64,
        /// What is not finite, and in which layer.
        what: NotFinite,
    },
    /// The adversarial images are more than can be kept.
    #[error(
        "the adversarial images of {images} images would take more than {} GiB; set images to at most {most}, or leave \
         keep_images out",
        MOST_KEPT_BYTES >> 30
    )]
    TooManyKept {
        /// Images that are attacked.
        images: usize,
        /// Images that could be kept.
        most: u64,
    },
    /// The device that was asked for cannot be used.
    #[error("cannot use {device}: {why}")]
    Device {
        /// `cpu` or `cuda:N`.
        device: rrm_spec::Device,
        /// Why, and what to do.
        why: String,
    },
    /// The device's memory does not hold the job.
    #[error(
        "out of device memory at batch size {batch_size}: {source}; use a smaller batch_size or a device with more memory"
    )]
    OutOfMemory {
        /// Images per batch.
        batch_size: u32,
        /// What the device reported.
        source: candle_core::Error,
    },
    /// A computation failed for another reason.
    #[error(
        "a computation failed: {0}; this is a fault of the machine or of rrm itself, please report it with the log"
    )]
    Compute(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TrainError {
    /// Whose fault it is.
    pub fn class(&self) -> FailureClass {
        match self {
            // Another machine may have the images that nobody has fetched here, and the device that is sick here.
            Self::Data(DataError::NotFetched { .. } | DataError::NoFolder { .. } | DataError::Io { .. })
            | Self::Device { .. } => FailureClass::Machine,
            Self::Data(DataError::Folder { faults, .. })
                if faults.iter().all(|fault| matches!(fault, DataError::Io { .. })) =>
            {
                FailureClass::Machine
            }
            // A disk may recover; a file that is not there will not appear.
            Self::Network(ModelError::Load { source: LoadFault::Io(source), .. })
                if source.kind() != io::ErrorKind::NotFound =>
            {
                FailureClass::Machine
            }
            Self::Data(_)
            | Self::Mismatch { .. }
            | Self::Attack { .. }
            | Self::TooManyKept { .. }
            | Self::MissingInput { .. }
            | Self::MissingArtifact { .. }
            | Self::Network(_) => FailureClass::User,
            Self::Resume { fault, .. } if fault.is_foreign() => FailureClass::User,
            Self::Diverged { .. } => FailureClass::Diverged,
            Self::OutOfMemory { .. } => FailureClass::OutOfMemory,
            Self::Model(_) | Self::Resume { .. } | Self::Compute(_) | Self::File { .. } => FailureClass::Machine,
        }
    }

    /// Tells a lack of memory from other failures of computations on batches of `batch_size` images.
    pub(crate) fn at_batch_size(self, batch_size: u32) -> Self {
        match self {
            Self::Compute(source)
            | Self::Model(ModelError::Tensor(source))
            | Self::Network(ModelError::Tensor(source))
                if is_out_of_memory(&source) =>
            {
                Self::OutOfMemory { batch_size, source }
            }
            other => other,
        }
    }
}

/// An error and its sources on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut told = self.0.to_string();
        let sources = std::iter::successors(self.0.source(), |&error| error.source());
        for source in sources {
            // Some errors name their source in their own message.
            let text = source.to_string();
            if !told.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            told = text;
        }
        Ok(())
    }
}

/// Candle hands CUDA's errors on in a box whose type exists only where CUDA is compiled in, so the text must do: the
/// driver's `CUDA_ERROR_OUT_OF_MEMORY`, cuBLAS's `ALLOC_FAILED`, cuDNN's `INTERNAL_ERROR_..._ALLOCATION_FAILED`.
fn is_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    ["out_of_memory", "out of memory", "alloc_failed", "allocation_failed"].iter().any(|sign| text.contains(sign))
}

/// Why a job ends early: it was told to, or it failed.
#[derive(Debug)]
pub(crate) enum Halt {
    Stopped,
    Failed(Box<TrainError>),
}

impl<E: Into<TrainError>> From<E> for Halt {
    fn from(error: E) -> Self {
        match error.into() {
            TrainError::Compute(error) if is_interruption(&error) => Self::Stopped,
            error => Self::Failed(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_without_memory_is_told_from_other_failures() {
        let driver = candle_core::Error::Cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
        let error = TrainError::from(driver).at_batch_size(512);
        assert_eq!(error.class(), FailureClass::OutOfMemory);
        assert!(error.to_string().contains("batch size 512"), "{error}");
        let other = TrainError::from(candle_core::Error::Msg("shape mismatch".into())).at_batch_size(512);
        assert_eq!(other.class(), FailureClass::Machine);
    }

    #[test]
    fn a_network_that_does_not_fit_the_device_is_a_lack_of_memory_too() {
        let driver = || candle_core::Error::Cuda("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
        for error in [TrainError::Model(driver().into()), TrainError::Network(driver().into())] {
            assert_eq!(error.at_batch_size(512).class(), FailureClass::OutOfMemory);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_the_machine_s_fault_and_one_with_foreign_files_its_owner_s() {
        let unreadable = || DataError::Io { path: "a".into(), source: io::ErrorKind::PermissionDenied.into() };
        let foreign = DataError::Contents { path: "b".into(), expected: "a picture".into(), found: "a folder".into() };
        let class = |faults| TrainError::Data(DataError::Folder { folder: "pets".into(), faults }).class();
        assert_eq!(class(vec![unreadable(), unreadable()]), FailureClass::Machine);
        assert_eq!(class(vec![unreadable(), foreign]), FailureClass::User);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn every_library_without_memory_is_recognised_by_its_own_error() {
        use candle_core::cuda_backend::CudaError;
        use candle_core::cuda_backend::cudarc::{cublas, cudnn, driver};

        let of_driver = |code| candle_core::Error::from(CudaError::Cuda(driver::DriverError(code)));
        let of_cudnn = |status| candle_core::Error::from(cudnn::CudnnError(status));
        let of_cublas = |status| candle_core::Error::from(CudaError::Cublas(cublas::result::CublasError(status)));
        let lacks = [
            of_driver(driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY),
            of_cudnn(cudnn::sys::cudnnStatus_t::CUDNN_STATUS_ALLOC_FAILED),
            of_cudnn(cudnn::sys::cudnnStatus_t::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED),
            of_cublas(cublas::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED),
        ];
        for error in lacks {
            let told = error.to_string();
            let class = TrainError::from(error).at_batch_size(8).class();
            assert_eq!(class, FailureClass::OutOfMemory, "{told}");
        }
        let others = [
            of_driver(driver::sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS),
            of_cudnn(cudnn::sys::cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED),
        ];
        for error in others {
            assert_eq!(TrainError::from(error).at_batch_size(8).class(), FailureClass::Machine);
        }
    }
}
