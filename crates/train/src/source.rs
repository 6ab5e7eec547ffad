//! Networks that a job starts from: a teacher, or what is evaluated.

use std::path::{Path, PathBuf};

use candle_core::DType;
use rrm_data::{Images, Shape};
use rrm_models::{Network, NetworkSpec};
use rrm_spec::{ArtifactHash, ImagesSource, JobRef, ModelSource};

use crate::{Environment, TrainError, files};

/// A trained network and the hash of its file.
pub(crate) struct Source {
    pub(crate) network: Network,
    pub(crate) sha256: ArtifactHash,
}

impl Source {
    pub(crate) fn load(model: &ModelSource, environment: &Environment) -> Result<Self, TrainError> {
        let path = resolve(model, environment)?;
        let loaded = Network::load_with_bytes(path, &environment.device, DType::F32);
        let (network, bytes) = loaded.map_err(TrainError::Network)?;
        Ok(Self { network, sha256: files::sha256_of(&bytes) })
    }

    /// The network with another temperature, where one is told.
    pub(crate) fn at_temperature(self, temperature: Option<f64>) -> Self {
        match temperature {
            Some(temperature) => Self { network: self.network.with_temperature(temperature), ..self },
            None => self,
        }
    }

    /// Refuses a network that cannot take such images.
    pub(crate) fn must_take(&self, images: &Images, role: &str) -> Result<(), TrainError> {
        let NetworkSpec { arch, channels, .. } = self.network.spec();
        let side = arch.family().image_side();
        let (wanted, found) = (Shape { channels: *channels, height: side, width: side }, images.shape());
        if wanted == found {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            what: format!("the {role} takes images of {wanted}, those of the dataset are {found}"),
        })
    }

    /// Refuses a network that tells other classes apart.
    pub(crate) fn must_classify(&self, images: &Images, role: &str) -> Result<(), TrainError> {
        let (wanted, found) = (self.network.spec().classes, images.classes());
        if wanted == found {
            return Ok(());
        }
        Err(TrainError::Mismatch { what: format!("the {role} knows {wanted} classes, the dataset has {found}") })
    }

    /// Refuses a teacher that divides its logits by another number.
    pub(crate) fn must_divide_by(&self, temperature: f64) -> Result<(), TrainError> {
        let found = self.network.spec().temperature;
        if found == temperature {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            what: format!(
                "the teacher divides its logits by {found}, and not by the method's temperature, {temperature}, as it must in the \
                 form `paper`"
            ),
        })
    }

    /// Refuses a teacher whose representations cannot be compared with this network's.
    pub(crate) fn must_represent_like(&self, teacher: &Self) -> Result<(), TrainError> {
        let width = |source: &Self| source.network.spec().representation_width;
        let (own, wanted) = (width(self), width(teacher));
        if own == wanted {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            what: format!(
                "the network's representations have {own} numbers, the teacher's {wanted}: an adaptive attack can go through the \
                 teacher by transfer alone"
            ),
        })
    }
}

fn resolve<'a>(model: &'a ModelSource, environment: &'a Environment) -> Result<&'a Path, TrainError> {
    match model {
        ModelSource::Checkpoint(path) => Ok(path),
        ModelSource::Job(job) => product_of(job, environment),
        ModelSource::Artifact(artifact) => {
            let file = artifact.sha256().and_then(|sha256| environment.artifacts.get(sha256));
            let missing = || TrainError::MissingArtifact { artifact: artifact.clone() };
            file.map(PathBuf::as_path).ok_or_else(missing)
        }
    }
}

/// The file of a set of images.
pub(crate) fn set_path<'a>(images: &'a ImagesSource, environment: &'a Environment) -> Result<&'a Path, TrainError> {
    match images {
        ImagesSource::File(path) => Ok(path),
        ImagesSource::Job(job) => product_of(job, environment),
    }
}

fn product_of<'a>(job: &JobRef, environment: &'a Environment) -> Result<&'a Path, TrainError> {
    let file = match job {
        JobRef::Id(id) => environment.inputs.get(id),
        JobRef::Name(_) => None,
    };
    file.map(PathBuf::as_path).ok_or_else(|| TrainError::MissingInput { job: job.clone() })
}
