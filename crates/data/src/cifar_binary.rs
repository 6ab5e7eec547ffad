//! The binary layout of CIFAR-10 and CIFAR-100: records of label bytes and 3072 pixel bytes, channel-major.

use std::{fs, path::Path};

use crate::{DataError, Images, Shape, Split};

/// How one of the two is stored.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The folder that the official archive unpacks to.
    pub(crate) folder: &'static str,
    names_file: &'static str,
    classes: usize,
    /// Bytes before the pixels, of which the last is the label.
    label_bytes: usize,
    train_files: &'static [&'static str],
    test_files: &'static [&'static str],
    /// Records of each training and test file. A file cut off between two records is told by this alone.
    records: (usize, usize),
}

pub(crate) static CIFAR10: Layout = Layout {
    folder: "cifar-10-batches-bin",
    names_file: "batches.meta.txt",
    classes: 10,
    label_bytes: 1,
    train_files: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test_files: &["test_batch.bin"],
    records: (10_000, 10_000),
};

/// Its records tell one of 20 coarse classes first, which is passed over.
pub(crate) static CIFAR100: Layout = Layout {
    folder: "cifar-100-binary",
    names_file: "fine_label_names.txt",
    classes: 100,
    label_bytes: 2,
    train_files: &["train.bin"],
    test_files: &["test.bin"],
    records: (50_000, 10_000),
};

impl Layout {
    /// Whether the folder looks like one of this layout.
    pub(crate) fn recognizes(&self, folder: &Path) -> bool {
        [self.train_files[0], self.test_files[0]].iter().any(|name| folder.join(name).exists())
    }

    /// Reads a split.
    pub(crate) fn read(&self, folder: &Path, split: Split) -> Result<Images, DataError> {
        self.read_sized(folder, split, self.records)
    }

    fn read_sized(&self, folder: &Path, split: Split, (train, test): (usize, usize)) -> Result<Images, DataError> {
        let (files, records) = match split {
            Split::Train => (self.train_files, train),
            Split::Test => (self.test_files, test),
        };
        let names = self.class_names(&folder.join(self.names_file))?;
        let shape = Shape::square(3);
        let mut pixels = Vec::with_capacity(files.len() * records * shape.image_len());
        let mut labels = Vec::with_capacity(files.len() * records);
        for file in files {
            self.append(&folder.join(file), records, &mut pixels, &mut labels)?;
        }
        Ok(Images::new(shape, pixels, labels, names))
    }

    fn append(
        &self,
        path: &Path,
        records: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let record = self.label_bytes + Shape::square(3).image_len();
        let bytes = fs::read(path).map_err(DataError::io(path))?;
        if bytes.len() != records * record {
            let expected = format!("{records} records of {record} bytes, {} bytes in all", records * record);
            let offset = bytes.len().min(records * record) as u64;
            return Err(DataError::malformed(path, offset, expected, format!("a file of {} bytes", bytes.len())));
        }
        for (i, record_bytes) in bytes.chunks_exact(record).enumerate() {
            let (label_bytes, pixel_bytes) = record_bytes.split_at(self.label_bytes);
            let label = label_bytes[self.label_bytes - 1];
            if usize::from(label) >= self.classes {
                let offset = (i * record + self.label_bytes - 1) as u64;
                return Err(DataError::malformed(path, offset, format!("a label of 0 to {}", self.classes - 1), label));
            }
            labels.push(u32::from(label));
            pixels.extend_from_slice(pixel_bytes);
        }
        Ok(())
    }

    fn class_names(&self, path: &Path) -> Result<Vec<String>, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(path))?;
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        if names.len() != self.classes {
            let (expected, found) =
                (format!("the names of {} classes, one a line", self.classes), format!("{} lines", names.len()));
            return Err(DataError::malformed(path, text.len() as u64, expected, found));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

    fn record(label: u8, fill: u8) -> Vec<u8> {
        let mut record = vec![fill; 3073];
        record[0] = label;
        record[1] = 200; // The first red pixel.
        record
    }

    fn folder(test_batch: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CIFAR10.names_file), NAMES).unwrap();
        fs::write(folder.path().join("test_batch.bin"), test_batch).unwrap();
        for (i, name) in CIFAR10.train_files.iter().enumerate() {
            fs::write(folder.path().join(name), [record(i as u8, 1), record(9, 2)].concat()).unwrap();
        }
        folder
    }

    #[test]
    fn records_become_labels_and_pixels_in_the_order_of_the_files() {
        let folder = folder(&[record(3, 10), record(7, 20)].concat());
        let test = CIFAR10.read_sized(folder.path(), Split::Test, (2, 2)).unwrap();
        assert_eq!((test.len(), test.label(0), test.label(1)), (2, 3, 7));
        assert_eq!(
            (test.pixels(1).unwrap()[0], test.pixels(1).unwrap()[1], test.pixels(1).unwrap()[3071]),
            (200, 20, 20)
        );
        assert_eq!(test.class_names()[3], "cat");
        let train = CIFAR10.read_sized(folder.path(), Split::Train, (2, 2)).unwrap();
        let labels: Vec<u32> = (0..10).map(|i| train.label(i)).collect();
        assert_eq!(labels, [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused_with_its_end() {
        for length in [0, 1, 3072, 3073, 6145] {
            let folder = folder(&[record(0, 0), record(0, 0)].concat()[..length]);
            let message = CIFAR10.read_sized(folder.path(), Split::Test, (2, 2)).unwrap_err().to_string();
            assert!(message.contains("test_batch.bin") && message.contains(&format!("byte {length}")), "{message}");
        }
    }

    #[test]
    fn a_label_beyond_the_classes_is_refused_with_its_offset() {
        let folder = folder(&[record(0, 0), record(10, 0)].concat());
        let message = CIFAR10.read_sized(folder.path(), Split::Test, (2, 2)).unwrap_err().to_string();
        assert!(message.contains("byte 3073: expected a label of 0 to 9, found 10"), "{message}");
    }

    #[test]
    fn foreign_class_names_are_refused() {
        let folder = folder(&record(0, 0));
        fs::write(folder.path().join(CIFAR10.names_file), "one\ntwo\n").unwrap();
        let message = CIFAR10.read_sized(folder.path(), Split::Test, (1, 1)).unwrap_err().to_string();
        assert!(message.contains(CIFAR10.names_file) && message.contains("found 2 lines"), "{message}");
    }

    #[test]
    fn records_of_cifar_100_have_a_coarse_label_first() {
        let folder = tempfile::tempdir().unwrap();
        let names: String = (0..100).map(|class| format!("class {class}\n")).collect();
        fs::write(folder.path().join(CIFAR100.names_file), names).unwrap();
        let record = |coarse: u8, fine: u8| [&[coarse, fine][..], &[fine; 3072]].concat();
        fs::write(folder.path().join("train.bin"), [record(19, 99), record(3, 0), record(0, 42)].concat()).unwrap();
        fs::write(folder.path().join("test.bin"), [record(255, 7), record(1, 100)].concat()).unwrap();
        assert!(CIFAR100.recognizes(folder.path()) && !CIFAR10.recognizes(folder.path()));
        let train = CIFAR100.read_sized(folder.path(), Split::Train, (3, 2)).unwrap();
        assert_eq!([0, 1, 2].map(|i| train.label(i)), [99, 0, 42]);
        assert!(train.pixels(2).unwrap().iter().all(|&value| value == 42));
        assert_eq!(train.class_names()[42], "class 42");
        let message = CIFAR100.read_sized(folder.path(), Split::Test, (3, 2)).unwrap_err().to_string();
        assert!(message.contains("byte 3075: expected a label of 0 to 99, found 100"), "{message}");
    }
}
