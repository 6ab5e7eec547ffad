//! A file of any of the forms: its tensors, and the way to their numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rrm_spec::NetworkSpec;
use safetensors::SafeTensors;

use crate::printable::{plain_text, printable};
use crate::tensor::{MOST_DIMENSIONS, Storage, Stored};
use crate::torch::{Content, Named, StateDict};
use crate::torch_zip::Archive;
use crate::{CheckpointError, Dtype, torch_legacy};

/// A VGG16 in f64 with its optimiser's state takes half of this.
pub const LARGEST_FILE: u64 = 4 << 30;

/// The forms of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// PyTorch's zip archive.
    TorchZip,
    /// PyTorch's form before 1.6.
    TorchLegacy,
    /// Safetensors.
    Safetensors,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch's zip archive",
            Self::TorchLegacy => "PyTorch's form before 1.6",
            Self::Safetensors => "safetensors",
        })
    }
}

impl Form {
    /// By a file's first bytes.
    fn of(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let found = match bytes {
            [b'P', b'K', 3, 4, ..] => return Ok(Self::TorchZip),
            _ if bytes.starts_with(torch_legacy::BEGINNING) => return Ok(Self::TorchLegacy),
            // The header's length, and the header, a JSON object.
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => return Ok(Self::Safetensors),
            [] => "an empty file",
            [0x80, 2..=5, ..] => "a pickle of something else",
            [0x1f, 0x8b, ..] => "a gzip file: unpack it first",
            _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive: unpack it first",
            _ => "something else",
        };
        Err(CheckpointError::Unrecognized { found })
    }
}

/// Reads a file whole.
///
/// # Errors
/// [`CheckpointError::Io`] and [`CheckpointError::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > LARGEST_FILE {
        return Err(CheckpointError::TooLarge { bytes, limit: LARGEST_FILE });
    }
    let mut all = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut all)?;
    Ok(all)
}

/// A file's state dict.
pub(crate) struct Opened<'b> {
    pub(crate) form: Form,
    pub(crate) entries: Vec<Named>,
    /// Entries of the file beside the state dict.
    pub(crate) passed_over: Vec<String>,
    /// What the file says its network is; only the project's own do.
    pub(crate) description: Option<NetworkSpec>,
    bytes: &'b [u8],
    archive: Option<Archive<'b>>,
    /// Storages of the archive that have been read.
    read: HashMap<String, Arc<[u8]>>,
    /// How many bytes may still be read: entries that overlap would give more than the file has.
    left: u64,
}

impl<'b> Opened<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, CheckpointError> {
        let form = Form::of(bytes)?;
        let (mut archive, mut description) = (None, None);
        let StateDict { entries, passed_over } = match form {
            Form::TorchZip => {
                let mut opened = Archive::open(bytes)?;
                let state_dict = opened.state_dict()?;
                archive = Some(opened);
                state_dict
            }
            Form::TorchLegacy => torch_legacy::read(bytes)?,
            Form::Safetensors => {
                description = described(bytes)?;
                StateDict { entries: safetensors_entries(bytes)?, passed_over: Vec::new() }
            }
        };
        let (read, left) = (HashMap::new(), bytes.len() as u64);
        Ok(Self { form, entries, passed_over, description, bytes, archive, read, left })
    }

    /// A tensor's numbers as they are in the file, in C order.
    ///
    /// # Errors
    /// Where its storage is missing, damaged or too small.
    pub(crate) fn raw(&mut self, name: &str, tensor: &Stored) -> Result<Vec<u8>, CheckpointError> {
        match &tensor.storage {
            Storage::Span(span) => {
                let storage = self.bytes.get(span.clone()).expect("spans were checked against the file's length");
                tensor.gather(name, storage)
            }
            Storage::Entry { key, bytes } => tensor.gather(name, &self.entry(key, *bytes)?),
        }
    }

    fn entry(&mut self, key: &str, claimed: usize) -> Result<Arc<[u8]>, CheckpointError> {
        let storage = match self.read.get(key) {
            Some(read) => Arc::clone(read),
            None => {
                let archive = self.archive.as_mut().expect("only archives have entries");
                let read: Arc<[u8]> = archive.entry(&format!("data/{key}"), self.left)?.into();
                self.left -= read.len() as u64;
                self.read.insert(key.to_owned(), Arc::clone(&read));
                read
            }
        };
        match storage.len() == claimed {
            true => Ok(storage),
            false => {
                let what = format!("it has {} bytes instead of {claimed}", storage.len());
                Err(CheckpointError::malformed(format!("the archive's entry data/{key}"), what))
            }
        }
    }
}

/// What a safetensors file says its network is.
fn described(bytes: &[u8]) -> Result<Option<NetworkSpec>, CheckpointError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(NetworkSpec::METADATA_KEY));
    let Some(text) = text else { return Ok(None) };
    let spec: NetworkSpec =
        serde_json::from_str(text).map_err(|e| CheckpointError::Description(plain_text(&e.to_string())))?;
    spec.validate()?;
    Ok(Some(spec))
}

fn safetensors_entries(bytes: &[u8]) -> Result<Vec<Named>, CheckpointError> {
    let (header_bytes, header) = SafeTensors::read_metadata(bytes)?;
    // Checks that the tensors fill the file without a gap.
    SafeTensors::deserialize(bytes)?;
    let begin = 8 + header_bytes;
    let mut entries = Vec::new();
    for name in header.offset_keys() {
        let info = header.info(&name).expect("the name was just told");
        let (first, end) = info.data_offsets;
        let value = match Dtype::of_safetensors(info.dtype) {
            Some(dtype) if info.shape.len() <= MOST_DIMENSIONS => {
                let storage = Storage::Span(begin + first..begin + end);
                Content::Tensor(Stored::contiguous(dtype, info.shape.clone(), storage))
            }
            Some(_) | None => Content::Other("a tensor of another type"),
        };
        entries.push(Named { name: printable(&name), value });
    }
    Ok(entries)
}
