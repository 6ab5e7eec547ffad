//! The python layout of CIFAR-10 and CIFAR-100: each file a pickled dict with the labels and a NumPy array of so many ×
//! 3072 bytes.

use std::{fs, path::Path};

use rrm_pickle::{Fault, Kind, Object, Value};

use crate::{DataError, Images, Shape, Split};

/// How one of the two is stored.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The folder that the official archive unpacks to.
    pub(crate) folder: &'static str,
    names_file: &'static str,
    names_key: &'static str,
    labels_key: &'static str,
    classes: usize,
    train_files: &'static [&'static str],
    test_files: &'static [&'static str],
    /// Images of each training and test file.
    records: (usize, usize),
}

pub(crate) static CIFAR10: Layout = Layout {
    folder: "cifar-10-batches-py",
    names_file: "batches.meta",
    names_key: "label_names",
    labels_key: "labels",
    classes: 10,
    train_files: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test_files: &["test_batch"],
    records: (10_000, 10_000),
};

pub(crate) static CIFAR100: Layout = Layout {
    folder: "cifar-100-python",
    names_file: "meta",
    names_key: "fine_label_names",
    labels_key: "fine_labels",
    classes: 100,
    train_files: &["train"],
    test_files: &["test"],
    records: (50_000, 10_000),
};

impl Layout {
    /// Whether the folder looks like one of this layout. Folders named `train` are no such files.
    pub(crate) fn recognizes(&self, folder: &Path) -> bool {
        [self.train_files[0], self.test_files[0]].iter().any(|name| folder.join(name).is_file())
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
        let names = with_pickle(&folder.join(self.names_file), |meta| self.class_names(meta))?;
        let shape = Shape::square(3);
        let mut pixels = Vec::with_capacity(files.len() * records * shape.image_len());
        let mut labels = Vec::with_capacity(files.len() * records);
        for file in files {
            with_pickle(&folder.join(file), |batch| self.append(batch, records, &mut pixels, &mut labels))?;
        }
        Ok(Images::new(shape, pixels, labels, names))
    }

    fn append(
        &self,
        batch: Value<'_, '_>,
        records: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<(), Fault> {
        let expected = || format!("a label of 0 to {}", self.classes - 1);
        for item in items(entry(batch, self.labels_key)?, records, "labels")? {
            match *item.kind() {
                Kind::Int(label) => match usize::try_from(label).ok().filter(|&label| label < self.classes) {
                    Some(label) => labels.push(label as u32),
                    None => return wrong(item, expected(), label),
                },
                _ => return wrong(item, expected(), item.describe()),
            }
        }
        pixels.extend_from_slice(array(entry(batch, "data")?, records)?);
        Ok(())
    }

    fn class_names(&self, meta: Value<'_, '_>) -> Result<Vec<String>, Fault> {
        let name = |item: Value<'_, '_>| match item.bytes() {
            Some(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            None => wrong(item, "the name of a class", item.describe()),
        };
        items(entry(meta, self.names_key)?, self.classes, "names of classes")?.into_iter().map(name).collect()
    }
}

fn with_pickle<T>(path: &Path, read: impl FnOnce(Value<'_, '_>) -> Result<T, Fault>) -> Result<T, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    rrm_pickle::parse(&bytes)
        .and_then(|pickle| read(pickle.root()))
        .map_err(|fault| DataError::malformed(path, fault.offset as u64, fault.expected, fault.found))
}

fn entry<'p, 'a>(dict: Value<'p, 'a>, key: &str) -> Result<Value<'p, 'a>, Fault> {
    match dict.entry(key) {
        Some(value) => Ok(value),
        None => wrong(dict, format!("a dict with the key `{key}`"), dict.describe()),
    }
}

fn items<'p, 'a>(list: Value<'p, 'a>, count: usize, what: &str) -> Result<Vec<Value<'p, 'a>>, Fault> {
    match list.list() {
        Some(items) if items.len() == count => Ok(items),
        Some(items) => wrong(list, format!("{count} {what}"), items.len()),
        None => wrong(list, format!("a list of {count} {what}"), list.describe()),
    }
}

/// The bytes of a C-ordered NumPy array of `records` × 3072 unsigned bytes.
///
/// It is pickled as `_reconstruct(ndarray, (0,), 'b')` with the state (version, shape, type, is Fortran, bytes).
fn array<'a>(value: Value<'_, 'a>, records: usize) -> Result<&'a [u8], Fault> {
    let Kind::Object(Object { function, state: Some(state), .. }) = value.kind() else {
        return wrong(value, "a NumPy array", value.describe());
    };
    let (function, state) = (value.at(*function), value.at(*state));
    let reconstruct =
        matches!(function.global(), Some(("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct")));
    let Some(parts) = state.tuple() else { return wrong(state, "the state of an array", state.describe()) };
    let [_version, shape, element, order, bytes] = parts[..] else {
        return wrong(state, "the five parts of an array", parts.len());
    };
    if !reconstruct || !is_unsigned_byte(element) || !matches!(order.kind(), Kind::Bool(false)) {
        return wrong(value, "a NumPy array of unsigned bytes in C order", "another object");
    }
    let width = Shape::square(3).image_len();
    if !is_shape(shape, [records, width]) {
        return wrong(shape, format!("an array of {records} x {width}"), "another shape");
    }
    match bytes.bytes() {
        Some(pixels) if pixels.len() == records * width => Ok(pixels),
        Some(short) => wrong(bytes, format!("{} bytes of pixels", records * width), short.len()),
        None => wrong(bytes, "the bytes of the pixels", bytes.describe()),
    }
}

fn is_unsigned_byte(value: Value<'_, '_>) -> bool {
    let Kind::Object(Object { function, arguments, .. }) = value.kind() else { return false };
    let Some(arguments) = value.at(*arguments).tuple() else { return false };
    value.at(*function).global() == Some(("numpy", "dtype"))
        && arguments.first().and_then(|first| first.bytes()) == Some(b"u1")
}

fn is_shape(value: Value<'_, '_>, expected: [usize; 2]) -> bool {
    let Some(sizes) = value.tuple() else { return false };
    let sizes = sizes.into_iter().map(|size| size.integer().and_then(|size| usize::try_from(size).ok()));
    sizes.eq(expected.map(Some))
}

fn wrong<T>(value: Value<'_, '_>, expected: impl ToString, found: impl ToString) -> Result<T, Fault> {
    Err(value.wrong(expected, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short_string(text: &str) -> Vec<u8> {
        [&[b'U', text.len() as u8], text.as_bytes()].concat()
    }

    /// The bytes that Python 2's cPickle wrote, opcode by opcode, for so many images.
    fn batch(labels: &[u8], pixels: &[u8]) -> Vec<u8> {
        batch_with("labels", labels, pixels)
    }

    fn batch_with(key: &str, labels: &[u8], pixels: &[u8]) -> Vec<u8> {
        let mut out = b"\x80\x02}q\x01(".to_vec();
        out.extend([short_string("batch_label"), b"q\x02".to_vec(), short_string("testing batch 1 of 1")].concat());
        out.extend([b"q\x03".to_vec(), short_string(key), b"q\x04]q\x05(".to_vec()].concat());
        out.extend(labels.iter().flat_map(|&label| [b'K', label]));
        out.extend([b"e".to_vec(), short_string("data"), b"q\x06".to_vec()].concat());
        out.extend(b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\x09U\x01bq\x0a\x87q\x0bRq\x0c");
        out.extend(b"(K\x01");
        out.extend([&b"M"[..], &(labels.len() as u16).to_le_bytes(), b"M\x00\x0c\x86q\x0d"].concat());
        out.extend(b"cnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11");
        out.extend(b"(K\x03U\x01|q\x12NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89");
        out.extend([&b"T"[..], &(pixels.len() as u32).to_le_bytes(), pixels, b"q\x14tq\x15b"].concat());
        out.extend([short_string("filenames"), b"q\x16]q\x17(".to_vec(), short_string("domestic_cat.png")].concat());
        out.extend(b"q\x18eu.");
        out
    }

    fn meta(names: &[&str]) -> Vec<u8> {
        meta_with("label_names", names)
    }

    fn meta_with(key: &str, names: &[&str]) -> Vec<u8> {
        let mut out = b"\x80\x02}q\x01(".to_vec();
        out.extend([short_string("num_cases_per_batch"), b"q\x02M\x10'".to_vec()].concat());
        out.extend([short_string(key), b"q\x03]q\x04(".to_vec()].concat());
        out.extend(names.iter().flat_map(|name| short_string(name)));
        out.extend(b"eu.");
        out
    }

    fn folder(test_batch: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CIFAR10.names_file), meta(&["a", "b", "c", "cat", "e", "f", "g", "h", "i", "j"]))
            .unwrap();
        fs::write(folder.path().join("test_batch"), test_batch).unwrap();
        folder
    }

    fn message(test_batch: &[u8]) -> String {
        CIFAR10.read_sized(folder(test_batch).path(), Split::Test, (2, 2)).unwrap_err().to_string()
    }

    #[test]
    fn a_batch_as_python_2_wrote_it_is_read() {
        let pixels: Vec<u8> = (0..2 * 3072).map(|i| (i % 253) as u8).collect();
        let images = CIFAR10.read_sized(folder(&batch(&[3, 8], &pixels)).path(), Split::Test, (2, 2)).unwrap();
        assert_eq!((images.len(), images.label(0), images.label(1)), (2, 3, 8));
        assert_eq!([images.pixels(0).unwrap(), images.pixels(1).unwrap()].concat(), pixels);
        assert_eq!(images.class_names()[3], "cat");
    }

    #[test]
    fn a_batch_cut_off_anywhere_is_refused() {
        let whole = batch(&[3, 8], &[7; 2 * 3072]);
        for length in (0..whole.len()).step_by(97).chain(whole.len() - 40..whole.len()) {
            let message = message(&whole[..length]);
            assert!(message.contains("test_batch at byte"), "{length}: {message}");
        }
    }

    #[test]
    fn foreign_contents_are_refused_with_place_and_expectation() {
        let pixels = [7; 2 * 3072];
        assert!(message(&batch(&[3, 10], &pixels)).contains("expected a label of 0 to 9, found 10"));
        assert!(message(&batch(&[3, 8], &pixels[1..])).contains("expected 6144 bytes of pixels, found 6143"));
        assert!(message(&batch(&[3], &pixels[..3072])).contains("expected 2 labels, found 1"));
        assert!(message(&meta(&["a"])).contains("expected a dict with the key `labels`, found a dict"));
        assert!(message(b"\x80\x02cos\nsystem\nU\x04true\x85R.").contains("a dict with the key `labels`"));
        assert!(message(b"not a pickle").contains("byte 0: expected an opcode"));
    }

    #[test]
    fn cifar_100_is_read_by_its_fine_labels() {
        let folder = tempfile::tempdir().unwrap();
        let pixels = [[9; 3072], [200; 3072]].concat();
        let names: Vec<String> = (0..100).map(|class| format!("c{class}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fs::write(folder.path().join("meta"), meta_with("fine_label_names", &names)).unwrap();
        fs::write(folder.path().join("train"), batch_with("fine_labels", &[99, 0], &pixels)).unwrap();
        fs::write(folder.path().join("test"), batch_with("fine_labels", &[1, 100], &pixels)).unwrap();
        assert!(CIFAR100.recognizes(folder.path()));
        let train = CIFAR100.read_sized(folder.path(), Split::Train, (2, 2)).unwrap();
        assert_eq!((train.label(0), train.label(1), train.pixels(1).unwrap()[0]), (99, 0, 200));
        assert_eq!(train.class_names()[99], "c99");
        let message = CIFAR100.read_sized(folder.path(), Split::Test, (2, 2)).unwrap_err().to_string();
        assert!(message.contains("expected a label of 0 to 99, found 100"), "{message}");
    }
}
