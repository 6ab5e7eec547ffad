use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rrm_spec::{Dataset, DatasetName};
use sha2::{Digest, Sha256};

use crate::{DataError, Picture, cifar_binary, cifar_python, fashion_mnist, folder, restricted_imagenet, svhn};

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
    /// Height and width of small images.
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

/// A split: small images in memory, or the files of pictures, which are decoded when they are asked for; and their
/// labels.
///
/// A clone shares the pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    shape: Shape,
    source: Arc<Source>,
    labels: Vec<u32>,
    class_names: Vec<String>,
}

/// Where pixels are. There may be more than labels: images beyond these were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// 8-bit channel-major pixels of all images.
    Memory(Vec<u8>),
    /// A file for each image.
    Pictures(Vec<PictureFile>),
}

/// A picture on disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PictureFile {
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
}

impl Images {
    /// Panics where the parts do not fit: readers have checked their files by then.
    pub(crate) fn new(shape: Shape, pixels: Vec<u8>, labels: Vec<u32>, class_names: Vec<String>) -> Self {
        assert_eq!(pixels.len(), labels.len() * shape.image_len(), "every label has its image");
        Self::of(shape, Source::Memory(pixels), labels, class_names)
    }

    /// Panics where the parts do not fit.
    pub(crate) fn of_pictures(
        shape: Shape,
        files: Vec<PictureFile>,
        labels: Vec<u32>,
        class_names: Vec<String>,
    ) -> Self {
        assert_eq!(files.len(), labels.len(), "every label has its picture");
        assert!(shape.channels == 3 && shape.height == shape.width, "pictures become coloured squares, not {shape}");
        Self::of(shape, Source::Pictures(files), labels, class_names)
    }

    fn of(shape: Shape, source: Source, labels: Vec<u32>, class_names: Vec<String>) -> Self {
        assert!(labels.iter().all(|&label| (label as usize) < class_names.len()), "every label has its class");
        Self { shape, source: Arc::new(source), labels, class_names }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The same labels and classes with other pixels: (N, C, H, W), channel-major.
    ///
    /// # Panics
    /// Where there are not as many pixels.
    pub fn with_pixels(&self, pixels: Vec<u8>) -> Self {
        Self::new(self.shape, pixels, self.labels.clone(), self.class_names.clone())
    }

    /// SHA-256 of sizes, labels and pixels: equal for equal splits alone.
    ///
    /// Pictures on disk are told by their last two names (such as `n02085620/n02085620_10026.JPEG`) and sizes instead
    /// of pixels, for which all of ImageNet would have to be read.
    pub fn sha256(&self) -> [u8; 32] {
        let Shape { channels, height, width } = self.shape;
        let mut hasher = Sha256::new();
        for size in [channels, height, width, self.labels.len()] {
            hasher.update((size as u64).to_le_bytes());
        }
        self.labels.iter().for_each(|label| hasher.update(label.to_le_bytes()));
        match &*self.source {
            Source::Memory(pixels) => hasher.update(&pixels[..self.len() * self.shape.image_len()]),
            Source::Pictures(files) => files[..self.len()].iter().for_each(|file| file.hash(&mut hasher)),
        }
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

    /// The pixels of image `i` as networks are tested on it: C·H·W values. Of a picture, the middle after a resize of
    /// the shorter side to 8/7 of the image's (256 for 224).
    ///
    /// # Errors
    /// Where a picture cannot be read.
    pub fn pixels(&self, i: usize) -> Result<Cow<'_, [u8]>, DataError> {
        match &*self.source {
            Source::Memory(pixels) => {
                let len = self.shape.image_len();
                Ok(Cow::Borrowed(&pixels[i * len..(i + 1) * len]))
            }
            Source::Pictures(files) => {
                let side = self.shape.height;
                Ok(Cow::Owned(Picture::read(&files[i].path)?.middle(side * 8 / 7, side)))
            }
        }
    }

    /// Only the first `n` images; all of them where there are no more.
    pub fn truncated(mut self, n: usize) -> Self {
        self.labels.truncate(n);
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

impl PictureFile {
    fn hash(&self, hasher: &mut Sha256) {
        let names = [self.path.parent().and_then(Path::file_name), self.path.file_name()];
        for name in names.into_iter().flatten().map(std::ffi::OsStr::as_encoded_bytes) {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
        }
        hasher.update(self.bytes.to_le_bytes());
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
        DatasetName::Cifar10 => read_cifar(name, &cifar_binary::CIFAR10, &cifar_python::CIFAR10, split, data_dir),
        DatasetName::Cifar100 => read_cifar(name, &cifar_binary::CIFAR100, &cifar_python::CIFAR100, split, data_dir),
        DatasetName::Svhn => svhn::read(&fetched(name, data_dir.join(svhn::FOLDER))?, split),
        DatasetName::FashionMnist => {
            let folder = fetched(name, data_dir.join(fashion_mnist::FOLDER))?;
            fashion_mnist::read(&folder, split)
        }
        DatasetName::RestrictedImageNet => {
            let folder = data_dir.join(restricted_imagenet::FOLDER);
            if !folder.is_dir() {
                return Err(DataError::NoImageNet { folder });
            }
            restricted_imagenet::read(&folder, split)
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

/// In the binary layout where it is there, else in the python layout.
fn read_cifar(
    name: &DatasetName,
    binary: &cifar_binary::Layout,
    python: &cifar_python::Layout,
    split: Split,
    data_dir: &Path,
) -> Result<Images, DataError> {
    let python_folder = data_dir.join(python.folder);
    if python_folder.is_dir() && !data_dir.join(binary.folder).is_dir() {
        return python.read(&python_folder, split);
    }
    binary.read(&fetched(name, data_dir.join(binary.folder))?, split)
}

fn fetched(name: &DatasetName, folder: PathBuf) -> Result<PathBuf, DataError> {
    if folder.is_dir() { Ok(folder) } else { Err(DataError::NotFetched { name: name.to_string(), folder }) }
}
