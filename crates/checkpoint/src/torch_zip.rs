//! PyTorch's form since 1.6: a zip archive, not compressed, with a pickle and one entry for each storage.

use std::io::{Cursor, Read};

use rrm_pickle::parse;
use zip::{CompressionMethod, ZipArchive};

use crate::CheckpointError;
use crate::tensor::Storage;
use crate::torch::{StateDict, StorageId, state_dict};

/// The pickle of every archive, in the archive's only folder.
const PICKLE: &str = "data.pkl";

/// Larger pickles are refused: numbers lie outside of them.
const LARGEST_PICKLE: u64 = 64 << 20;

/// An archive whose entries can be read.
pub(crate) struct Archive<'b> {
    zip: ZipArchive<Cursor<&'b [u8]>>,
    /// The folder that all entries lie in.
    folder: String,
}

impl<'b> Archive<'b> {
    pub(crate) fn open(bytes: &'b [u8]) -> Result<Self, CheckpointError> {
        let zip = ZipArchive::new(Cursor::new(bytes))?;
        let names = zip.file_names().collect::<Result<Vec<_>, _>>()?;
        let mut folders = names.iter().filter_map(|name| name.strip_suffix(&format!("/{PICKLE}")));
        let (first, further) = (folders.next().map(str::to_owned), folders.next().is_some());
        match (first, further) {
            (Some(folder), false) => Ok(Self { folder, zip }),
            (None, _) => Err(CheckpointError::NoStateDict { what: format!("the zip archive has no {PICKLE}") }),
            (Some(_), true) => {
                Err(CheckpointError::NoStateDict { what: format!("the zip archive has several {PICKLE}") })
            }
        }
    }

    /// The network's state dict.
    pub(crate) fn state_dict(&mut self) -> Result<StateDict, CheckpointError> {
        self.check_byte_order()?;
        let bytes = self.entry(PICKLE, LARGEST_PICKLE)?;
        let pickle = parse(&bytes).map_err(|fault| CheckpointError::Pickle { part: PICKLE.to_owned(), fault })?;
        state_dict(pickle.root(), &locate)
    }

    fn check_byte_order(&mut self) -> Result<(), CheckpointError> {
        let name = "byteorder";
        if self.zip.index_for_name(&format!("{}/{name}", self.folder)).is_none() {
            return Ok(());
        }
        match self.entry(name, 16)?.as_slice() {
            b"little" => Ok(()),
            _ => Err(CheckpointError::malformed(name, "only little-endian files are read")),
        }
    }

    /// The bytes of an entry, whose checksum is verified.
    ///
    /// # Errors
    /// Where it is not there, larger than `limit`, compressed or damaged.
    pub(crate) fn entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, CheckpointError> {
        let part = || format!("the archive's entry {name}");
        let index = self.zip.index_for_name(&format!("{}/{name}", self.folder));
        let index = index.ok_or_else(|| CheckpointError::malformed(part(), "it is not there"))?;
        let described = self.zip.by_index_raw(index)?;
        if described.compression() != CompressionMethod::Stored || described.encrypted() {
            return Err(CheckpointError::malformed(part(), "it is compressed or encrypted, which PyTorch never does"));
        }
        drop(described);
        let entry = self.zip.by_index(index)?;
        if entry.size() > limit {
            let what = format!("{} bytes are more than the {limit} that it may have", entry.size());
            return Err(CheckpointError::malformed(part(), what));
        }
        let mut bytes = Vec::new();
        let size = entry.size();
        // What is claimed is not allocated before it comes.
        entry.take(limit).read_to_end(&mut bytes).map_err(|e| CheckpointError::malformed(part(), e.to_string()))?;
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(CheckpointError::malformed(part(), format!("{} of its {size} bytes are there", bytes.len()))),
        }
    }
}

fn locate(id: &StorageId<'_>) -> Result<(Storage, usize), CheckpointError> {
    let beyond = || CheckpointError::malformed(format!("the storage {}", id.key), "its size is beyond all measure");
    let bytes = id.elements.checked_mul(id.dtype.bytes()).ok_or_else(beyond)?;
    Ok((Storage::Entry { key: id.key.to_owned(), bytes }, 0))
}
