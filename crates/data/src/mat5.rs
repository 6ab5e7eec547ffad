//! Matrices of bytes from MATLAB files of version 5 ("MAT-File Format", The MathWorks): as much of the format as SVHN's
//! files use.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::ZlibDecoder;

use crate::DataError;

/// Text, 8 bytes for MATLAB itself, version and byte order.
const HEADER: usize = 128;
/// Of files that a little-endian machine wrote: version 0x0100, then `IM`.
const LITTLE_ENDIAN_5: [u8; 4] = [0x00, 0x01, b'I', b'M'];

// Types of data elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Classes of arrays that hold numbers, double to uint64.
const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;
/// Set in an array's flags where it has an imaginary part.
const COMPLEX: u8 = 0x08;

/// Most bytes of a variable's name: MATLAB's own limit.
const LONGEST_NAME: usize = 63;
/// Most dimensions of an array here.
const MOST_DIMENSIONS: usize = 8;

/// A named array, first dimension fastest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    pub(crate) name: String,
    pub(crate) dimensions: Vec<usize>,
    pub(crate) values: Vec<u8>,
    /// Where it begins in the file.
    pub(crate) offset: u64,
}

/// Reads every variable of a file, of at most `most` values each.
///
/// # Errors
/// Where the file is of another kind, is damaged, or holds anything but arrays of unsigned bytes.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<Matrix>, DataError> {
    let mut file = Counted { stream: BufReader::new(File::open(path).map_err(DataError::io(path))?), read: 0 };
    let told = |offset, fault: Fault| DataError::malformed(path, offset, fault.expected, fault.found);
    header(&mut file).map_err(|fault| told(0, fault))?;
    let mut matrices = Vec::new();
    loop {
        let offset = file.read;
        match variable(&mut file, offset, most) {
            Ok(Some(matrix)) => matrices.push(matrix),
            Ok(None) => return Ok(matrices),
            Err(fault) => return Err(told(offset, fault)),
        }
    }
}

/// What is wrong with an element.
struct Fault {
    expected: String,
    found: String,
}

fn wrong<T>(expected: impl ToString, found: impl ToString) -> Result<T, Fault> {
    Err(Fault { expected: expected.to_string(), found: found.to_string() })
}

/// Knows how far it has been read.
struct Counted<R> {
    stream: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

fn header(file: &mut impl Read) -> Result<(), Fault> {
    let header = bytes(file, HEADER, "a MATLAB file's header")?;
    if header[HEADER - 4..] != LITTLE_ENDIAN_5 {
        return wrong(
            "a MATLAB file of version 5, little-endian",
            format!("`{}`", header[HEADER - 4..].escape_ascii()),
        );
    }
    Ok(())
}

/// The next variable; `None` at the end of the file.
fn variable(file: &mut impl Read, offset: u64, most: usize) -> Result<Option<Matrix>, Fault> {
    let mut first = [0];
    match file.read(&mut first) {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) => return wrong("a variable", error),
    }
    let tag = Tag::after(first[0], file)?;
    match tag.kind {
        MATRIX => matrix(&mut file.take(tag.length as u64), offset, most).map(Some),
        COMPRESSED => {
            let mut stream = ZlibDecoder::new(file.take(tag.length as u64));
            let inner = Tag::read(&mut stream)?;
            if inner.kind != MATRIX {
                return wrong("an array", format!("an element of type {}", inner.kind));
            }
            matrix(&mut stream, offset, most).map(Some)
        }
        kind => wrong("an array", format!("an element of type {kind}")),
    }
}

/// An array with nothing behind it.
fn matrix(stream: &mut impl Read, offset: u64, most: usize) -> Result<Matrix, Fault> {
    let flags = element(stream, UINT32, 8, "the array's flags")?;
    let [class, properties, ..] = flags[..] else { return wrong("8 bytes of flags", flags.len()) };
    if !NUMBERS.contains(&class) || properties & COMPLEX != 0 {
        return wrong("an array of real numbers", format!("class {class}, properties {properties:#04x}"));
    }
    let sizes = element(stream, INT32, 4 * MOST_DIMENSIONS, "the array's dimensions")?;
    let dimensions: Vec<usize> = sizes.chunks_exact(4).map(|size| word(size) as usize).collect();
    let name = element(stream, INT8, LONGEST_NAME, "the array's name")?;
    let product = dimensions.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let Some(count) = product.filter(|count| (1..=most).contains(count)) else {
        return wrong(format!("an array of 1 to {most} values"), format!("one of dimensions {dimensions:?}"));
    };
    let values = element(stream, UINT8, count, "the array's values")?;
    if values.len() != count {
        return wrong(format!("{count} values"), values.len());
    }
    // Of a compressed stream only the end brings the checksum.
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => return wrong("the end of the array", "further bytes"),
        Err(error) => return wrong("the end of the array", error),
    }
    Ok(Matrix { name: String::from_utf8_lossy(&name).into_owned(), dimensions, values, offset })
}

/// Type and length of an element, and its bytes where they are so few that they are stored with them.
struct Tag {
    kind: u32,
    length: usize,
    small: Option<[u8; 4]>,
}

impl Tag {
    fn read(stream: &mut impl Read) -> Result<Self, Fault> {
        let first = bytes(stream, 1, "an element")?;
        Self::after(first[0], stream)
    }

    /// The first byte was read to see whether there is one.
    fn after(first: u8, stream: &mut impl Read) -> Result<Self, Fault> {
        let rest = bytes(stream, 7, "an element")?;
        let (kind, length) = (word(&[first, rest[0], rest[1], rest[2]]), word(&rest[3..]));
        match kind >> 16 {
            0 => Ok(Self { kind, length: length as usize, small: None }),
            length @ 1..=4 => {
                let small = [rest[3], rest[4], rest[5], rest[6]];
                Ok(Self { kind: kind & 0xffff, length: length as usize, small: Some(small) })
            }
            length => wrong("an element of at most 4 bytes in its tag", length),
        }
    }
}

/// The bytes of an element of that type, without its padding.
fn element(stream: &mut impl Read, kind: u32, most: usize, what: &str) -> Result<Vec<u8>, Fault> {
    let tag = Tag::read(stream)?;
    if tag.kind != kind || tag.length > most {
        let found = format!("{} bytes of type {}", tag.length, tag.kind);
        return wrong(format!("{what} (at most {most} bytes of type {kind})"), found);
    }
    match tag.small {
        Some(small) => Ok(small[..tag.length].to_vec()),
        None => {
            let values = bytes(stream, tag.length, what)?;
            bytes(stream, tag.length.next_multiple_of(8) - tag.length, "padding")?;
            Ok(values)
        }
    }
}

fn bytes(stream: &mut impl Read, length: usize, what: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    match stream.take(length as u64).read_to_end(&mut bytes) {
        Ok(read) if read == length => Ok(bytes),
        Ok(read) => wrong(format!("{length} bytes of {what}"), format!("the end after {read}")),
        Err(error) => wrong(format!("{length} bytes of {what}"), error),
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn tagged(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    /// An array as MATLAB stores it; short names in their tag.
    pub(crate) fn array(name: &str, dimensions: &[u32], values: &[u8]) -> Vec<u8> {
        let flags = tagged(UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]);
        let sizes: Vec<u8> = dimensions.iter().flat_map(|size| size.to_le_bytes()).collect();
        let mut small = (INT8 | (name.len() as u32) << 16).to_le_bytes().to_vec();
        small.extend(name.as_bytes());
        small.resize(8, 0);
        let name = if name.len() <= 4 { small } else { tagged(INT8, name.as_bytes()) };
        tagged(MATRIX, &[flags, tagged(INT32, &sizes), name, tagged(UINT8, values)].concat())
    }

    pub(crate) fn compressed(array: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(array).unwrap();
        let stream = encoder.finish().unwrap();
        [&COMPRESSED.to_le_bytes()[..], &(stream.len() as u32).to_le_bytes(), &stream].concat()
    }

    pub(crate) fn file(variables: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec();
        out.resize(HEADER - 4, b' ');
        out.extend(LITTLE_ENDIAN_5);
        out.extend(variables.concat());
        out
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Matrix>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mat");
        fs::write(&path, bytes).unwrap();
        read(&path, 1_000)
    }

    fn message(bytes: &[u8]) -> String {
        read_bytes(bytes).unwrap_err().to_string()
    }

    #[test]
    fn plain_and_compressed_arrays_are_read() {
        let (plain, packed) =
            (array("longer", &[2, 3], &[1, 2, 3, 4, 5, 6]), compressed(&array("y", &[3, 1], &[7, 8, 9])));
        let second = (HEADER + plain.len()) as u64;
        let found = read_bytes(&file(&[plain, packed])).unwrap();
        let expected = [
            Matrix { name: "longer".into(), dimensions: vec![2, 3], values: vec![1, 2, 3, 4, 5, 6], offset: 128 },
            Matrix { name: "y".into(), dimensions: vec![3, 1], values: vec![7, 8, 9], offset: second },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_scipy_wrote_is_read() {
        // scipy.io.savemat(file, {"X": numpy.arange(24, dtype="uint8").reshape(2, 3, 4), "y": numpy.uint8([[3],
        // [10]])}, do_compression=True); X[i, j, k] is 12 i + 4 j + k.
        let found = read_bytes(include_bytes!("mat5_scipy.mat")).unwrap();
        assert_eq!((found[0].name.as_str(), found[0].dimensions.as_slice()), ("X", &[2, 3, 4][..]));
        for (at, &value) in found[0].values.iter().enumerate() {
            let (i, j, k) = (at % 2, at / 2 % 3, at / 6);
            assert_eq!(usize::from(value), 12 * i + 4 * j + k);
        }
        assert_eq!((found[1].name.as_str(), found[1].values.as_slice()), ("y", &[3, 10][..]));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_refused() {
        let first = compressed(&array("y", &[3, 1], &[7, 8, 9]));
        let whole = file(&[first.clone(), array("longer", &[2, 3], &[1, 2, 3, 4, 5, 6])]);
        for length in (0..whole.len()).filter(|&length| ![HEADER, HEADER + first.len()].contains(&length)) {
            assert!(message(&whole[..length]).contains("x.mat at byte"), "{length}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_refused_or_read_as_another_value(at in 0usize..400, value: u8) {
            let mut bytes = file(&[array("longer", &[2, 3], &[1; 6]), compressed(&array("y", &[30, 1], &[7; 30]))]);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(found) = read_bytes(&bytes) {
                prop_assert!(found.iter().all(|matrix| matrix.values.len() <= 1_000));
            }
        }
    }

    #[test]
    fn foreign_and_oversized_contents_are_told() {
        let mut big_endian = file(&[]);
        big_endian[HEADER - 4..].copy_from_slice(&[0x01, 0x00, b'M', b'I']);
        assert!(
            message(&big_endian)
                .contains("byte 0: expected a MATLAB file of version 5, little-endian, found `\\x01\\x00MI`")
        );
        assert!(
            message(b"\x89HDF\r\n")
                .contains("byte 0: expected 128 bytes of a MATLAB file's header, found the end after 6")
        );
        let huge = message(&file(&[array("X", &[u32::MAX, u32::MAX, 3], &[])]));
        assert!(huge.contains("byte 128: expected an array of 1 to 1000 values, found one of dimensions"), "{huge}");
        assert!(message(&file(&[tagged(9, &[0; 8])])).contains("expected an array, found an element of type 9"));
        let short = message(&file(&[array("X", &[2, 3], &[1, 2, 3, 4, 5])]));
        assert!(short.contains("expected 6 values, found 5"), "{short}");
        let mut packed = compressed(&array("y", &[3, 1], &[7, 8, 9]));
        let checksum = packed.len() - 1;
        packed[checksum] ^= 1;
        assert!(message(&file(&[packed])).contains("byte 128: expected"));
    }
}
