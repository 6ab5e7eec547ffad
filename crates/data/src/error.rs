use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
};

/// Why images could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A collection that can be fetched is not there.
    #[error("the dataset {name} is not in {}: fetch it with `rrm data fetch {name}`", folder.display())]
    NotFetched {
        /// The collection's name.
        name: String,
        /// The folder in which it was looked for.
        folder: PathBuf,
    },
    /// A folder of the user's own images is not there.
    #[error("there is no folder {}: it must hold train/CLASS/* and test/CLASS/*", folder.display())]
    NoFolder {
        /// The folder that was looked for.
        folder: PathBuf,
    },
    /// ImageNet is not there, and cannot be fetched.
    #[error(
        "there is no folder {}: it must hold ImageNet's train/WNID/* and val/WNID/*, or those of them that you have; \
         ImageNet's publisher gives them to registered researchers only", folder.display()
    )]
    NoImageNet {
        /// The folder that was looked for.
        folder: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what its name or its place promises.
    #[error("{} at byte {offset}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file; in the uncompressed bytes where it is compressed.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A folder of which nothing is known.
    #[error(
        "{} holds no dataset: expected data_batch_1.bin (CIFAR-10, binary), data_batch_1 (CIFAR-10, python), \
         train.bin (CIFAR-100, binary), train (CIFAR-100, python), train_32x32.mat (SVHN), train-images-idx3-ubyte.gz (Fashion-MNIST), the folders train and val with classes of Restricted-ImageNet (n02085620 and so on), \
         or the folders train and test", path.display()
    )]
    Unrecognized {
        /// The folder.
        path: PathBuf,
    },
    /// What is wrong with a folder of the user's own pictures.
    #[error("{}", told(folder, faults))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Every fault, in the order of the files; never empty.
        faults: Vec<DataError>,
    },
    /// A folder whose files are sound and yet not those of the collection.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Contents {
        /// The folder or file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// Faults of a folder that its message tells; more would only push the first ones out of sight.
const TOLD_FAULTS: usize = 20;

fn told(folder: &Path, faults: &[DataError]) -> String {
    if let [fault] = faults {
        return fault.to_string();
    }
    let mut told: Vec<String> = faults.iter().take(TOLD_FAULTS).map(DataError::to_string).collect();
    if faults.len() > TOLD_FAULTS {
        told.push(format!("and {} more", faults.len() - TOLD_FAULTS));
    }
    format!("{} has {} faults: {}", folder.display(), faults.len(), told.join("; "))
}

impl DataError {
    /// Whether it is about a folder of the user's own pictures, which nobody but the user can put right: there is nothing to fetch.
    pub fn is_of_own_folder(&self) -> bool {
        matches!(self, Self::NoFolder { .. } | Self::Folder { .. })
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn malformed(
        path: impl Into<PathBuf>,
        offset: u64,
        expected: impl Display,
        found: impl Display,
    ) -> Self {
        Self::Malformed { path: path.into(), offset, expected: expected.to_string(), found: found.to_string() }
    }

    pub(crate) fn contents(path: impl Into<PathBuf>, expected: impl Display, found: impl Display) -> Self {
        Self::Contents { path: path.into(), expected: expected.to_string(), found: found.to_string() }
    }
}
