//! CIFAR-10's binary layout: records of one label byte and 3072 pixel bytes, channel-major.

use std::{fs, path::Path};

use crate::{DataError, Images, Shape, Split};

/// The folder that the official archive unpacks to.
pub(crate) const FOLDER: &str = "cifar-10-batches-bin";

/// Records of each official file. A file cut off between two records is told by this alone.
pub(crate) const RECORDS_PER_FILE: usize = 10_000;

const CLASSES: usize = 10;
const NAMES_FILE: &str = "batches.meta.txt";
const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_FILES: [&str; 1] = ["test_batch.bin"];

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    [TRAIN_FILES[0], TEST_FILES[0]].iter().any(|name| folder.join(name).exists())
}

/// Reads a split.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    read_sized(folder, split, RECORDS_PER_FILE)
}

fn read_sized(folder: &Path, split: Split, records: usize) -> Result<Images, DataError> {
    let files: &[&str] = match split {
        Split::Train => &TRAIN_FILES,
        Split::Test => &TEST_FILES,
    };
    let names = class_names(&folder.join(NAMES_FILE))?;
    let shape = Shape::square(3);
    let mut pixels = Vec::with_capacity(files.len() * records * shape.image_len());
    let mut labels = Vec::with_capacity(files.len() * records);
    for file in files {
        append(&folder.join(file), records, &mut pixels, &mut labels)?;
    }
    Ok(Images::new(shape, pixels, labels, names))
}

fn append(path: &Path, records: usize, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<(), DataError> {
    let record = 1 + Shape::square(3).image_len();
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    if bytes.len() != records * record {
        let expected = format!("{records} records of {record} bytes, {} bytes in all", records * record);
        let offset = bytes.len().min(records * record) as u64;
        return Err(DataError::malformed(path, offset, expected, format!("a file of {} bytes", bytes.len())));
    }
    for (i, record_bytes) in bytes.chunks_exact(record).enumerate() {
        let label = record_bytes[0];
        if usize::from(label) >= CLASSES {
            let offset = (i * record) as u64;
            return Err(DataError::malformed(path, offset, "a label of 0 to 9", label));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(&record_bytes[1..]);
    }
    Ok(())
}

fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::io(path))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != CLASSES {
        let found = format!("{} lines", names.len());
        return Err(DataError::malformed(path, text.len() as u64, "the names of 10 classes, one a line", found));
    }
    Ok(names)
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
        fs::write(folder.path().join(NAMES_FILE), NAMES).unwrap();
        fs::write(folder.path().join("test_batch.bin"), test_batch).unwrap();
        for (i, name) in TRAIN_FILES.iter().enumerate() {
            fs::write(folder.path().join(name), [record(i as u8, 1), record(9, 2)].concat()).unwrap();
        }
        folder
    }

    #[test]
    fn records_become_labels_and_pixels_in_the_order_of_the_files() {
        let folder = folder(&[record(3, 10), record(7, 20)].concat());
        let test = read_sized(folder.path(), Split::Test, 2).unwrap();
        assert_eq!((test.len(), test.label(0), test.label(1)), (2, 3, 7));
        assert_eq!((test.pixels(1)[0], test.pixels(1)[1], test.pixels(1)[3071]), (200, 20, 20));
        assert_eq!(test.class_names()[3], "cat");
        let train = read_sized(folder.path(), Split::Train, 2).unwrap();
        let labels: Vec<u32> = (0..10).map(|i| train.label(i)).collect();
        assert_eq!(labels, [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused_with_its_end() {
        for length in [0, 1, 3072, 3073, 6145] {
            let folder = folder(&[record(0, 0), record(0, 0)].concat()[..length]);
            let message = read_sized(folder.path(), Split::Test, 2).unwrap_err().to_string();
            assert!(message.contains("test_batch.bin") && message.contains(&format!("byte {length}")), "{message}");
        }
    }

    #[test]
    fn a_label_beyond_the_classes_is_refused_with_its_offset() {
        let folder = folder(&[record(0, 0), record(10, 0)].concat());
        let message = read_sized(folder.path(), Split::Test, 2).unwrap_err().to_string();
        assert!(message.contains("byte 3073: expected a label of 0 to 9, found 10"), "{message}");
    }

    #[test]
    fn foreign_class_names_are_refused() {
        let folder = folder(&record(0, 0));
        fs::write(folder.path().join(NAMES_FILE), "one\ntwo\n").unwrap();
        let message = read_sized(folder.path(), Split::Test, 1).unwrap_err().to_string();
        assert!(message.contains(NAMES_FILE) && message.contains("found 2 lines"), "{message}");
    }
}
