//! CIFAR-10's python layout: each file a pickled dict with the labels and a NumPy array of 10 000 × 3072 bytes.

use std::{fs, path::Path};

use rrm_pickle::{Fault, Kind, Object, Value};

use crate::{DataError, Images, Shape, Split, cifar_binary::RECORDS_PER_FILE};

/// The folder that the official archive unpacks to.
pub(crate) const FOLDER: &str = "cifar-10-batches-py";

const CLASSES: usize = 10;
const NAMES_FILE: &str = "batches.meta";
const TRAIN_FILES: [&str; 5] = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
const TEST_FILES: [&str; 1] = ["test_batch"];

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
    let names = with_pickle(&folder.join(NAMES_FILE), class_names)?;
    let shape = Shape::square(3);
    let mut pixels = Vec::with_capacity(files.len() * records * shape.image_len());
    let mut labels = Vec::with_capacity(files.len() * records);
    for file in files {
        with_pickle(&folder.join(file), |batch| append(batch, records, &mut pixels, &mut labels))?;
    }
    Ok(Images::new(shape, pixels, labels, names))
}

fn with_pickle<T>(path: &Path, read: impl FnOnce(Value<'_, '_>) -> Result<T, Fault>) -> Result<T, DataError> {
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    rrm_pickle::parse(&bytes)
        .and_then(|pickle| read(pickle.root()))
        .map_err(|fault| DataError::malformed(path, fault.offset as u64, fault.expected, fault.found))
}

fn append(batch: Value<'_, '_>, records: usize, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<(), Fault> {
    let list = items(entry(batch, "labels")?, records, "labels")?;
    for item in list {
        match *item.kind() {
            Kind::Int(label @ 0..=9) => labels.push(label as u32),
            Kind::Int(label) => return wrong(item, "a label of 0 to 9", label),
            _ => return wrong(item, "a label of 0 to 9", item.describe()),
        }
    }
    pixels.extend_from_slice(array(entry(batch, "data")?, records)?);
    Ok(())
}

fn class_names(meta: Value<'_, '_>) -> Result<Vec<String>, Fault> {
    let name = |item: Value<'_, '_>| match item.bytes() {
        Some(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        None => wrong(item, "the name of a class", item.describe()),
    };
    items(entry(meta, "label_names")?, CLASSES, "names of classes")?.into_iter().map(name).collect()
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
        let mut out = b"\x80\x02}q\x01(".to_vec();
        out.extend([short_string("batch_label"), b"q\x02".to_vec(), short_string("testing batch 1 of 1")].concat());
        out.extend([b"q\x03".to_vec(), short_string("labels"), b"q\x04]q\x05(".to_vec()].concat());
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
        let mut out = b"\x80\x02}q\x01(".to_vec();
        out.extend([short_string("num_cases_per_batch"), b"q\x02M\x10'".to_vec()].concat());
        out.extend([short_string("label_names"), b"q\x03]q\x04(".to_vec()].concat());
        out.extend(names.iter().flat_map(|name| short_string(name)));
        out.extend(b"eu.");
        out
    }

    fn folder(test_batch: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAMES_FILE), meta(&["a", "b", "c", "cat", "e", "f", "g", "h", "i", "j"])).unwrap();
        fs::write(folder.path().join("test_batch"), test_batch).unwrap();
        folder
    }

    fn message(test_batch: &[u8]) -> String {
        read_sized(folder(test_batch).path(), Split::Test, 2).unwrap_err().to_string()
    }

    #[test]
    fn a_batch_as_python_2_wrote_it_is_read() {
        let pixels: Vec<u8> = (0..2 * 3072).map(|i| (i % 253) as u8).collect();
        let images = read_sized(folder(&batch(&[3, 8], &pixels)).path(), Split::Test, 2).unwrap();
        assert_eq!((images.len(), images.label(0), images.label(1)), (2, 3, 8));
        assert_eq!([images.pixels(0), images.pixels(1)].concat(), pixels);
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
}
