use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    DataError, Images, Shape, Split, cifar_binary, cifar_python, fashion_mnist, folder, prepare::decode_all,
    restricted_imagenet, svhn,
};

/// How a folder stores its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CIFAR-10, binary layout.
    Cifar10Binary,
    /// CIFAR-10, python layout.
    Cifar10Python,
    /// CIFAR-100, binary layout.
    Cifar100Binary,
    /// CIFAR-100, python layout.
    Cifar100Python,
    /// SVHN's cropped digits, MATLAB files.
    Svhn,
    /// Fashion-MNIST, gzipped IDX.
    FashionMnist,
    /// An ImageNet folder, or part of one, of which Restricted-ImageNet's classes are read.
    RestrictedImageNet,
    /// Pictures in `train/CLASS` and `test/CLASS`.
    Folder,
}

impl Format {
    const ALL: [Self; 8] = [
        Self::Cifar10Binary,
        Self::Cifar10Python,
        Self::Cifar100Binary,
        Self::Cifar100Python,
        Self::Svhn,
        Self::FashionMnist,
        Self::RestrictedImageNet,
        Self::Folder,
    ];

    fn recognizes(self, path: &Path) -> bool {
        match self {
            Self::Cifar10Binary => cifar_binary::CIFAR10.recognizes(path),
            Self::Cifar10Python => cifar_python::CIFAR10.recognizes(path),
            Self::Cifar100Binary => cifar_binary::CIFAR100.recognizes(path),
            Self::Cifar100Python => cifar_python::CIFAR100.recognizes(path),
            Self::Svhn => svhn::recognizes(path),
            Self::FashionMnist => fashion_mnist::recognizes(path),
            Self::RestrictedImageNet => restricted_imagenet::recognizes(path),
            Self::Folder => folder::recognizes(path),
        }
    }

    fn read(self, path: &Path, split: Split) -> Result<Images, DataError> {
        match self {
            Self::Cifar10Binary => cifar_binary::CIFAR10.read(path, split),
            Self::Cifar10Python => cifar_python::CIFAR10.read(path, split),
            Self::Cifar100Binary => cifar_binary::CIFAR100.read(path, split),
            Self::Cifar100Python => cifar_python::CIFAR100.read(path, split),
            Self::Svhn => svhn::read(path, split),
            Self::FashionMnist => fashion_mnist::read(path, split),
            Self::RestrictedImageNet => restricted_imagenet::read(path, split),
            Self::Folder => folder::read(path, split),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cifar10Binary => "CIFAR-10, binary layout",
            Self::Cifar10Python => "CIFAR-10, python layout",
            Self::Cifar100Binary => "CIFAR-100, binary layout",
            Self::Cifar100Python => "CIFAR-100, python layout",
            Self::Svhn => "SVHN's cropped digits, MATLAB files",
            Self::FashionMnist => "Fashion-MNIST, gzipped IDX",
            Self::RestrictedImageNet => "Restricted-ImageNet, from an ImageNet folder",
            Self::Folder => "a folder of pictures per class",
        })
    }
}

/// What a folder of images holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The folder.
    pub path: PathBuf,
    /// How it stores them.
    pub format: Format,
    /// The size of each image, as the networks see it.
    pub shape: Shape,
    /// The classes' names; labels are positions here.
    pub class_names: Vec<String>,
    /// Images of each class in the training split.
    pub train: Vec<usize>,
    /// Images of each class in the test split.
    pub test: Vec<usize>,
}

impl Description {
    /// How many images a split has.
    pub fn count(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train.iter().sum(),
            Split::Test => self.test.iter().sum(),
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.path.display(), self.format)?;
        let (train, test) = (self.count(Split::Train), self.count(Split::Test));
        writeln!(f, "{train} training and {test} test images of {}, {} classes", self.shape, self.class_names.len())?;
        let width = self.class_names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
        write!(f, "label  {:width$}  {:>7}  {:>7}", "class", "train", "test")?;
        for (label, name) in self.class_names.iter().enumerate() {
            write!(f, "\n{label:>5}  {name:width$}  {:>7}  {:>7}", self.train[label], self.test[label])?;
        }
        Ok(())
    }
}

/// Reads every image of a folder and says what it holds.
///
/// # Errors
/// Where the folder is of no known layout, or any file in it is not what it should be.
pub fn check(path: &Path) -> Result<Description, DataError> {
    let format = Format::ALL.into_iter().find(|format| format.recognizes(path));
    let format = format.ok_or_else(|| DataError::Unrecognized { path: path.to_owned() })?;
    let train = format.read(path, Split::Train)?;
    decode_all(&train)?;
    let (train_counts, shape) = (train.class_counts(), train.shape());
    drop(train); // One split at a time is enough memory.
    let test = format.read(path, Split::Test)?;
    decode_all(&test)?;
    Ok(Description {
        path: path.to_owned(),
        format,
        shape,
        class_names: test.class_names().to_vec(),
        train: train_counts,
        test: test.class_counts(),
    })
}
