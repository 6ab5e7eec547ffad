use std::{
    fmt,
    path::{Path, PathBuf},
};

use rrm_spec::{Dataset, DatasetName};
use sha2::{Digest, Sha256};

use crate::{DataError, cifar_binary, cifar_python, fashion_mnist, folder};

/// The size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Colour channels.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl Shape {
    /// The only height and width that the networks take.
    pub(crate) const SIDE: usize = 32;

    pub(crate) fn square(channels: usize) -> Self {
        Self { channels, height: Self::SIDE, width: Self::SIDE }
    }

    /// Values of one image.
    pub fn image_len(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Which part of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What networks are trained on.
    Train,
    /// What they are judged by.
    Test,
}

impl Split {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// All images of a split in memory, as 8-bit channel-major pixels, with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    shape: Shape,
    pixels: Vec<u8>,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

impl Images {
    /// Panics where the parts do not fit: readers have checked their files by then.
    pub(crate) fn new(shape: Shape, pixels: Vec<u8>, labels: Vec<u32>, class_names: Vec<String>) -> Self {
        assert_eq!(pixels.len(), labels.len() * shape.image_len(), "every label has its image");
        assert!(labels.iter().all(|&label| (label as usize) < class_names.len()), "every label has its class");
        Self { shape, pixels, labels, class_names }
    }

    /// The same labels and classes with other pixels: (N, C, H, W), channel-major.
    ///
    /// # Panics
    /// Where there are not as many pixels.
    pub fn with_pixels(&self, pixels: Vec<u8>) -> Self {
        Self::new(self.shape, pixels, self.labels.clone(), self.class_names.clone())
    }

    /// SHA-256 of sizes, labels and pixels: equal for equal splits alone.
    pub fn sha256(&self) -> [u8; 32] {
        let Shape { channels, height, width } = self.shape;
        let mut hasher = Sha256::new();
        for size in [channels, height, width, self.labels.len()] {
            hasher.update((size as u64).to_le_bytes());
        }
        self.labels.iter().for_each(|label| hasher.update(label.to_le_bytes()));
        hasher.update(&self.pixels);
        hasher.finalize().into()
    }

    /// The size of each image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The classes' names; labels are positions here.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The label of image `i`.
    pub fn label(&self, i: usize) -> u32 {
        self.labels[i]
    }

    /// The pixels of image `i`: C·H·W values.
    pub fn pixels(&self, i: usize) -> &[u8] {
        let len = self.shape.image_len();
        &self.pixels[i * len..(i + 1) * len]
    }

    /// Only the first `n` images; all of them where there are no more.
    pub fn truncated(mut self, n: usize) -> Self {
        self.labels.truncate(n);
        self.pixels.truncate(n.saturating_mul(self.shape.image_len()));
        self
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }
}

/// Reads a split of a collection from the data directory; of the training split as many images as `dataset` asks for.
///
/// # Errors
/// Where the collection is missing, or any file of it is not what it should be.
pub fn open(dataset: &Dataset, split: Split, data_dir: &Path) -> Result<Images, DataError> {
    let images = read(&dataset.name, split, data_dir)?;
    match (split, dataset.train_images) {
        (Split::Train, Some(count)) if count.get() as usize > images.len() => {
            let found = format!("{} training images", images.len());
            Err(DataError::contents(data_dir, format!("at least {count} training images of {}", dataset.name), found))
        }
        (Split::Train, Some(count)) => Ok(images.truncated(count.get() as usize)),
        (Split::Train | Split::Test, _) => Ok(images),
    }
}

fn read(name: &DatasetName, split: Split, data_dir: &Path) -> Result<Images, DataError> {
    match name {
        DatasetName::Cifar10 => read_cifar10(split, data_dir),
        DatasetName::FashionMnist => {
            let folder = fetched(name, data_dir.join(fashion_mnist::FOLDER))?;
            fashion_mnist::read(&folder, split)
        }
        DatasetName::Folder(folder_name) => {
            let folder = data_dir.join(folder_name);
            if !folder.is_dir() {
                return Err(DataError::NoFolder { folder });
            }
            folder::read(&folder, split)
        }
    }
}

fn read_cifar10(split: Split, data_dir: &Path) -> Result<Images, DataError> {
    let python = data_dir.join(cifar_python::FOLDER);
    if python.is_dir() && !data_dir.join(cifar_binary::FOLDER).is_dir() {
        return cifar_python::read(&python, split);
    }
    let binary = fetched(&DatasetName::Cifar10, data_dir.join(cifar_binary::FOLDER))?;
    cifar_binary::read(&binary, split)
}

fn fetched(name: &DatasetName, folder: PathBuf) -> Result<PathBuf, DataError> {
    if folder.is_dir() { Ok(folder) } else { Err(DataError::NotFetched { name: name.to_string(), folder }) }
}
