//! Fashion-MNIST: gzipped IDX files of 28×28 grey images, padded with zeros to 32×32.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use crate::{DataError, Images, Shape, Split};

/// Where `rrm data fetch` puts the files.
pub(crate) const FOLDER: &str = "fashion-mnist";

/// Zalando's names of the labels.
const CLASS_NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Side of a stored image.
const SIDE: usize = 28;
/// Zeros on each side.
const MARGIN: usize = (Shape::SIDE - SIDE) / 2;

/// More images than any IDX file of this kind has; a header that claims more is foreign, and is not believed to the
/// point of asking for the memory.
const MOST_IMAGES: u32 = 10_000_000;

/// Magic numbers: two zero bytes, unsigned bytes (8), the number of dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

pub(crate) fn images_file(split: Split) -> &'static str {
    match split {
        Split::Train => "train-images-idx3-ubyte.gz",
        Split::Test => "t10k-images-idx3-ubyte.gz",
    }
}

pub(crate) fn labels_file(split: Split) -> &'static str {
    match split {
        Split::Train => "train-labels-idx1-ubyte.gz",
        Split::Test => "t10k-labels-idx1-ubyte.gz",
    }
}

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    Split::ALL.iter().any(|&split| folder.join(images_file(split)).exists())
}

/// Reads a split.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    let labels = read_labels(&folder.join(labels_file(split)))?;
    let pixels = read_images(&folder.join(images_file(split)), labels.len())?;
    let names = CLASS_NAMES.map(str::to_owned).to_vec();
    Ok(Images::new(Shape::square(1), pixels, labels, names))
}

fn read_labels(path: &Path) -> Result<Vec<u32>, DataError> {
    let mut file = Idx::open(path)?;
    file.expect_u32(LABELS_MAGIC, "the magic number of IDX labels")?;
    let count = file.count("labels")?;
    let bytes = file.bytes(count, "labels")?;
    if let Some(i) = bytes.iter().position(|&label| usize::from(label) >= CLASS_NAMES.len()) {
        return Err(DataError::malformed(path, 8 + i as u64, "a label of 0 to 9", bytes[i]));
    }
    file.expect_end()?;
    Ok(bytes.into_iter().map(u32::from).collect())
}

fn read_images(path: &Path, count: usize) -> Result<Vec<u8>, DataError> {
    let mut file = Idx::open(path)?;
    file.expect_u32(IMAGES_MAGIC, "the magic number of IDX images")?;
    file.expect_u32(count as u32, "as many images as there are labels")?;
    file.expect_u32(SIDE as u32, "28 rows")?;
    file.expect_u32(SIDE as u32, "28 columns")?;
    let mut padded = vec![0; count * Shape::square(1).image_len()];
    for image in padded.chunks_exact_mut(Shape::square(1).image_len()) {
        let stored = file.bytes(SIDE * SIDE, "pixels")?;
        for (row, values) in stored.chunks_exact(SIDE).enumerate() {
            let start = (row + MARGIN) * Shape::SIDE + MARGIN;
            image[start..start + SIDE].copy_from_slice(values);
        }
    }
    file.expect_end()?;
    Ok(padded)
}

/// A gzipped file that is read from front to back.
struct Idx {
    path: PathBuf,
    stream: MultiGzDecoder<BufReader<File>>,
    offset: u64,
}

impl Idx {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        Ok(Self { path: path.to_owned(), stream: MultiGzDecoder::new(BufReader::new(file)), offset: 0 })
    }

    /// Reads exactly `len` bytes; `what` they are is told where they are missing.
    fn bytes(&mut self, len: usize, what: &str) -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(self.malformed(filled, format!("{len} bytes of {what}"), "the end of the file")),
                Ok(read) => filled += read,
                Err(error) => return Err(self.malformed(filled, format!("gzipped {what}"), error)),
            }
        }
        self.offset += len as u64;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, DataError> {
        let bytes = self.bytes(4, what)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes were read")))
    }

    fn expect_u32(&mut self, expected: u32, what: &str) -> Result<(), DataError> {
        let found = self.u32(what)?;
        if found == expected {
            return Ok(());
        }
        self.offset -= 4;
        Err(self.malformed(0, format!("{expected} ({what})"), found))
    }

    fn count(&mut self, what: &str) -> Result<usize, DataError> {
        let count = self.u32(what)?;
        if (1..=MOST_IMAGES).contains(&count) {
            return Ok(count as usize);
        }
        self.offset -= 4;
        Err(self.malformed(0, format!("a number of {what} from 1 to {MOST_IMAGES}"), count))
    }

    fn expect_end(&mut self) -> Result<(), DataError> {
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.malformed(0, "the end of the file", "further bytes")),
            Err(error) => Err(self.malformed(0, "the end of the file", error)),
        }
    }

    fn malformed(&self, after: usize, expected: impl ToString, found: impl ToString) -> DataError {
        DataError::malformed(&self.path, self.offset + after as u64, expected.to_string(), found.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn header(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn image_bytes(count: u32) -> Vec<u8> {
        let mut bytes = header(&[IMAGES_MAGIC, count, 28, 28]);
        bytes.extend((0..count * 784).map(|i| (i % 255 + 1) as u8));
        bytes
    }

    fn label_bytes(labels: &[u8]) -> Vec<u8> {
        [header(&[LABELS_MAGIC, labels.len() as u32]), labels.to_vec()].concat()
    }

    fn folder(images: &[u8], labels: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(images_file(Split::Test)), images).unwrap();
        fs::write(folder.path().join(labels_file(Split::Test)), labels).unwrap();
        folder
    }

    fn message(images: &[u8], labels: &[u8]) -> String {
        read(folder(images, labels).path(), Split::Test).unwrap_err().to_string()
    }

    #[test]
    fn images_are_centred_on_zeros() {
        let folder = folder(&gzip(&image_bytes(2)), &gzip(&label_bytes(&[9, 0])));
        let images = read(folder.path(), Split::Test).unwrap();
        assert_eq!((images.len(), images.label(0), images.shape()), (2, 9, Shape::square(1)));
        let image = images.pixels(1).unwrap();
        for (i, &value) in image.iter().enumerate() {
            let (y, x) = (i / 32, i % 32);
            let inside = (2..30).contains(&y) && (2..30).contains(&x);
            let stored = if inside { (784 + (y - 2) * 28 + (x - 2)) % 255 + 1 } else { 0 };
            assert_eq!(usize::from(value), stored, "row {y}, column {x}");
        }
    }

    #[test]
    fn faults_are_told_with_offset_and_expectation() {
        let (images, labels) = (image_bytes(2), label_bytes(&[1, 2]));
        let cut = message(&gzip(&images[..1000]), &gzip(&labels));
        assert!(cut.contains("byte 1000: expected 784 bytes of pixels, found the end of the file"), "{cut}");
        let swapped = message(&gzip(&labels), &gzip(&labels));
        assert!(swapped.contains("byte 0: expected 2051"), "{swapped}");
        let fewer = message(&gzip(&image_bytes(1)), &gzip(&labels));
        assert!(fewer.contains("byte 4: expected 2 (as many images as there are labels), found 1"), "{fewer}");
        let label = message(&gzip(&images), &gzip(&label_bytes(&[1, 10])));
        assert!(label.contains("byte 9: expected a label of 0 to 9, found 10"), "{label}");
        let longer = message(&gzip(&[images.clone(), vec![0]].concat()), &gzip(&labels));
        assert!(longer.contains("byte 1584: expected the end of the file"), "{longer}");
        let huge = message(&gzip(&images), &gzip(&header(&[LABELS_MAGIC, u32::MAX])));
        assert!(huge.contains("byte 4: expected a number of labels"), "{huge}");
    }

    #[test]
    fn a_damaged_or_plain_file_is_refused() {
        let labels = gzip(&label_bytes(&[1, 2]));
        assert!(message(&image_bytes(2), &labels).contains("byte 0: expected gzipped"));
        let mut images = gzip(&image_bytes(2));
        let half = images.len() / 2;
        assert!(message(&images[..half], &labels).contains("images-idx3"));
        let checksum = images.len() - 8;
        images[checksum] ^= 1;
        assert!(message(&images, &labels).contains("byte 1584"), "{}", message(&images, &labels));
    }
}
