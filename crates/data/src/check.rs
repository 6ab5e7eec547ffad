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
    Folder {
        /// Files there that are no pictures by their names; known once the folder was read.
        passed_over: usize,
    },
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
        Self::Folder { passed_over: 0 },
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
            Self::Folder { .. } => folder::recognizes(path),
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
            Self::Folder { .. } => folder::read(path, split),
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
            Self::Folder { .. } => "a folder of pictures per class",
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
    /// Files that were passed over because they are no pictures by their names; 0 of collections, whose files are known.
    pub fn passed_over(&self) -> usize {
        match self.format {
            Format::Folder { passed_over } => passed_over,
            Format::Cifar10Binary
            | Format::Cifar10Python
            | Format::Cifar100Binary
            | Format::Cifar100Python
            | Format::Svhn
            | Format::FashionMnist
            | Format::RestrictedImageNet => 0,
        }
    }

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
        match self.passed_over() {
            0 => {}
            1 => writeln!(f, "1 other file, passed over")?,
            count => writeln!(f, "{count} other files, passed over")?,
        }
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
    let train = format.read(path, Split::Train).map_err(|error| with_faults_of_test(error, path))?;
    decode_all(&train)?;
    let (train_counts, shape) = (train.class_counts(), train.shape());
    drop(train); // One split at a time is enough memory.
    let test = format.read(path, Split::Test)?;
    decode_all(&test)?;
    let format = match format {
        Format::Folder { .. } => Format::Folder { passed_over: folder::passed_over(path)? },
        collection => collection,
    };
    Ok(Description {
        path: path.to_owned(),
        format,
        shape,
        class_names: test.class_names().to_vec(),
        train: train_counts,
        test: test.class_counts(),
    })
}

/// What is wrong with the training split of a folder of pictures, and what is with its test split besides; other errors as they are.
fn with_faults_of_test(error: DataError, path: &Path) -> DataError {
    let DataError::Folder { folder, mut faults } = error else { return error };
    if let Err(DataError::Folder { faults: of_test, .. }) = folder::read(path, Split::Test) {
        // Faults of the classes are told with either split.
        let told: Vec<String> = faults.iter().map(DataError::to_string).collect();
        faults.extend(of_test.into_iter().filter(|fault| !told.contains(&fault.to_string())));
    }
    DataError::Folder { folder, faults }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of two classes with one picture each in either split.
    fn pictures() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for class in ["train/cat", "train/dog", "test/cat", "test/dog"] {
            let class = folder.path().join(class);
            fs::create_dir_all(&class).unwrap();
            image::RgbImage::new(32, 32).save(class.join("a.png")).unwrap();
        }
        folder
    }

    #[test]
    fn files_that_were_passed_over_are_told_with_the_images() {
        let folder = pictures();
        assert!(!check(folder.path()).unwrap().to_string().contains("passed over"));
        fs::write(folder.path().join("train/notes.txt"), "hello").unwrap();
        fs::write(folder.path().join("test/cat/README.txt"), "hello").unwrap();
        let description = check(folder.path()).unwrap();
        let counts = (description.passed_over(), description.count(Split::Train), description.count(Split::Test));
        assert_eq!(counts, (2, 2, 2));
        assert!(description.to_string().contains("2 other files, passed over"), "{description}");
    }

    #[test]
    fn faults_of_both_splits_are_told_each_once() {
        let folder = pictures();
        for picture in ["train/cat/a.png", "test/dog/a.png"] {
            fs::write(folder.path().join(picture), "hello").unwrap();
        }
        fs::create_dir(folder.path().join("train/fox")).unwrap();
        let message = check(folder.path()).unwrap_err().to_string();
        assert!(message.contains("3 faults"), "{message}");
        let each_once =
            ["train/cat/a.png", "test/dog/a.png", "no folder fox"].map(|text| message.matches(text).count());
        assert_eq!(each_once, [1, 1, 1], "{message}");
    }
}
