//! Files that appear whole or not at all, named by their contents.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rrm_spec::ArtifactHash;
use safetensors::{SafeTensorError, tensor::TensorView};
use sha2::{Digest, Sha256};

use crate::TrainError;

/// A file that lies on disk for good.
pub(crate) struct Published {
    pub(crate) sha256: ArtifactHash,
    pub(crate) bytes: u64,
}

/// Has `write` write a temporary file beside `path`, brings it to the disk, and renames it to `path`: whoever opens `path`, also
/// after a power cut, finds the old file or the new one.
pub(crate) fn publish(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<Published, TrainError> {
    let temporary = temporary(path);
    write(&temporary)?;
    let file = File::open(&temporary).map_err(failed("open", &temporary))?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    let published = digest(file).map_err(failed("read", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("rename a new file to", path))?;
    let folder = folder(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))?;
    Ok(published)
}

/// Publishes a safetensors file with one entry of metadata: several would be written in no fixed order.
pub(crate) fn publish_tensors<'t>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'t str, TensorView<'t>)>,
    metadata: HashMap<String, String>,
) -> Result<Published, TrainError> {
    publish(path, |temporary| {
        safetensors::serialize_to_file(tensors, Some(metadata), temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => failed("write", temporary)(error),
            other => TrainError::Compute(candle_core::Error::wrap(other)),
        })
    })
}

/// The name of a file of these bytes in every store.
pub(crate) fn sha256_of(bytes: &[u8]) -> ArtifactHash {
    artifact_hash(Sha256::digest(bytes).as_slice())
}

/// Makes the folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), TrainError> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Names what was tried on which file.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::File { doing, path, source }
}

/// One writer per folder, so a leftover of a killed process is simply overwritten.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn digest(mut file: File) -> io::Result<Published> {
    let (mut hasher, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Published { sha256: artifact_hash(hasher.finalize().as_slice()), bytes }),
            n => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

/// A digest as stores write it.
pub(crate) fn artifact_hash(digest: &[u8]) -> ArtifactHash {
    hex::encode(digest).parse().expect("SHA-256 has 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let write = |text: &'static str| move |path: &Path| fs::write(path, text).map_err(failed("write", path));
        publish(&path, write("old")).unwrap();
        let half = |temporary: &Path| {
            fs::write(temporary, "ne").unwrap();
            Err(failed("write", temporary)(io::ErrorKind::StorageFull.into()))
        };
        assert!(publish(&path, half).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        publish(&path, write("new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
    }

    #[test]
    fn a_published_file_is_named_by_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let published = publish(&path, |path| fs::write(path, "abc").map_err(failed("write", path))).unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((published.sha256.as_str(), published.bytes), (expected, 3));
        assert_eq!(published.sha256, sha256_of(b"abc"));
    }
}
