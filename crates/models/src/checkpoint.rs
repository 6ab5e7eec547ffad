//! Networks in safetensors files, under PyTorch's names.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use crate::{LoadFault, ModelError, Network, NetworkSpec};

/// Four times the largest network in f64, a VGG16; a larger file is read by mistake.
const LARGEST_FILE: u64 = 4 << 30;

impl Network {
    /// Reads a network from a file that [`Network::save`] wrote.
    ///
    /// # Errors
    /// [`ModelError::Load`], when the file cannot be read, is damaged or foreign, or its tensors are not those of the
    /// network that it describes.
    pub fn load(path: &Path, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        Ok(Self::load_with_bytes(path, device, dtype)?.0)
    }

    /// As [`Network::load`], with the bytes that were read, for whoever names networks by their contents: read twice, the
    /// file might have been another by then.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn load_with_bytes(path: &Path, device: &Device, dtype: DType) -> Result<(Self, Vec<u8>), ModelError> {
        let load = || {
            let bytes = read(path)?;
            let (spec, tensors) = parse(&bytes)?;
            Ok((Self::from_tensors(&spec, tensors, device, dtype).map_err(fault)?, bytes))
        };
        load().map_err(|source| ModelError::Load { path: path.to_owned(), source })
    }

    /// Writes the network to a file: every tensor under its name in PyTorch, and the network's description as metadata.
    /// The same network always gives the same bytes.
    ///
    /// Writes in place; a caller that may be interrupted writes elsewhere and renames.
    ///
    /// # Errors
    /// [`ModelError::Save`], when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        // One entry alone: the order of several in a hash map would change from run to run.
        let description = serde_json::to_string(self.spec()).expect("a spec is plain data");
        let metadata = HashMap::from([(NetworkSpec::METADATA_KEY.to_owned(), description)]);
        let bytes = safetensors::serialize(self.state(), Some(metadata))?;
        fs::write(path, bytes).map_err(|source| ModelError::Save { path: path.to_owned(), source })
    }
}

fn fault(error: ModelError) -> LoadFault {
    LoadFault::Network(Box::new(error))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadFault> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > LARGEST_FILE {
        return Err(LoadFault::TooLarge { bytes, limit: LARGEST_FILE });
    }
    let mut all = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut all)?;
    Ok(all)
}

fn parse(bytes: &[u8]) -> Result<(NetworkSpec, HashMap<String, Tensor>), LoadFault> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let description = header.metadata().as_ref().and_then(|metadata| metadata.get(NetworkSpec::METADATA_KEY));
    let spec = serde_json::from_str(description.ok_or(LoadFault::NoDescription)?)?;
    let views = SafeTensors::deserialize(bytes)?.tensors();
    let load = |(name, view): (String, safetensors::tensor::TensorView<'_>)| Ok((name, view.load(&Device::Cpu)?));
    let tensors = views.into_iter().map(load).collect::<candle_core::Result<_>>();
    Ok((spec, tensors.map_err(|error| fault(error.into()))?))
}
