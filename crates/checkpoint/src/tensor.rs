//! A tensor that lies in a file, and its numbers.

use crate::{CheckpointError, Dtype};

/// Tensors have fewer dimensions than this.
pub(crate) const MOST_DIMENSIONS: usize = 8;

/// A tensor may have more numbers than its storage, by strides of 0, as long as they are no more bytes than these: normalisers'
/// constants are written so, weights of real networks never. Otherwise a file of some bytes could ask for gigabytes.
const MOST_REPEATED: usize = 1 << 20;

/// A tensor in a file: how it lies in its storage, which other tensors may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Distance of neighbours along each dimension, in numbers.
    pub(crate) strides: Vec<usize>,
    /// Position of the first number in the storage.
    pub(crate) offset: usize,
    pub(crate) storage: Storage,
}

/// Where a storage's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In the file from here to there.
    Span(std::ops::Range<usize>),
    /// The entry `data/KEY` of a zip archive, which should have so many bytes.
    Entry { key: String, bytes: usize },
}

impl Stored {
    /// A tensor in C order, all of its storage.
    pub(crate) fn contiguous(dtype: Dtype, shape: Vec<usize>, storage: Storage) -> Self {
        let strides = contiguous(&shape);
        Self { dtype, shape, strides, offset: 0, storage }
    }

    /// How many numbers it has; `None` where that is beyond all measure.
    pub(crate) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))
    }

    /// One past the last number that it needs of its storage; `None` where that is beyond all measure.
    fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (&size, &stride)| last.checked_add(stride.checked_mul(size - 1)?));
        last?.checked_add(1)
    }

    /// The bytes of the tensor's numbers in C order, gathered from the storage.
    ///
    /// # Errors
    /// Where it reaches beyond its storage, or repeats the storage's numbers beyond measure.
    pub(crate) fn gather(&self, name: &str, storage: &[u8]) -> Result<Vec<u8>, CheckpointError> {
        let width = self.dtype.bytes();
        let reach = self.reach().and_then(|reach| reach.checked_mul(width));
        let (Some(elements), true) = (self.elements(), reach.is_some_and(|reach| reach <= storage.len())) else {
            let (shape, strides) = (&self.shape, &self.strides);
            let what = format!(
                "shape {shape:?} with strides {strides:?} from number {} reaches beyond its storage of {} bytes",
                self.offset,
                storage.len()
            );
            return Err(CheckpointError::malformed(format!("the tensor `{name}`"), what));
        };
        let most = storage.len().max(MOST_REPEATED);
        let Some(length) = elements.checked_mul(width).filter(|length| *length <= most) else {
            let what = format!("shape {:?} repeats the numbers of a storage of {} bytes", self.shape, storage.len());
            return Err(CheckpointError::malformed(format!("the tensor `{name}`"), what));
        };
        if self.strides == contiguous(&self.shape) {
            let start = self.offset * width;
            return Ok(storage[start..start + length].to_vec());
        }
        let mut bytes = Vec::with_capacity(length);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..elements {
            let position: usize = index.iter().zip(&self.strides).map(|(at, stride)| at * stride).sum();
            let start = (self.offset + position) * width;
            bytes.extend_from_slice(&storage[start..start + width]);
            advance(&mut index, &self.shape);
        }
        Ok(bytes)
    }
}

/// The strides of C order.
fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// The next index in C order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (at, &size) in index.iter_mut().zip(shape).rev() {
        *at += 1;
        if *at < size {
            return;
        }
        *at = 0;
    }
}

/// A tensor's numbers, in C order.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Parameters and statistics.
    Real(Vec<f32>),
    /// Counters.
    Whole(Vec<i64>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(shape: &[usize], strides: &[usize], offset: usize) -> Stored {
        let (shape, strides, storage) = (shape.to_vec(), strides.to_vec(), Storage::Span(0..12));
        Stored { dtype: Dtype::U8, shape, strides, offset, storage }
    }

    #[test]
    fn a_transposed_slice_is_gathered_in_c_order() {
        let storage: Vec<u8> = (0..12).collect();
        // Of a 3×4 matrix the last two columns, transposed.
        let gathered = stored(&[2, 3], &[1, 4], 2).gather("x", &storage).unwrap();
        assert_eq!(gathered, [2, 6, 10, 3, 7, 11]);
        assert_eq!(stored(&[], &[], 5).gather("x", &storage).unwrap(), [5]);
        assert_eq!(stored(&[3, 0], &[1 << 62, 1 << 62], 9).gather("x", &storage).unwrap(), [0u8; 0]);
        assert_eq!(stored(&[2, 2], &[0, 1], 0).gather("x", &storage).unwrap(), [0, 1, 0, 1]);
    }

    #[test]
    fn what_reaches_beyond_the_storage_is_refused() {
        let storage = [0; 12];
        for (shape, strides, offset) in [
            (&[2, 3][..], &[1, 4][..], 4),
            (&[13], &[1], 0),
            (&[1], &[1], 12),
            (&[2], &[usize::MAX], 0),
            (&[usize::MAX, usize::MAX], &[0, 0], 0),
        ] {
            let error = stored(shape, strides, offset).gather("x", &storage).unwrap_err().to_string();
            assert!(error.contains("the tensor `x`") && error.contains("beyond its storage"), "{error}");
        }
    }

    #[test]
    fn numbers_that_are_repeated_beyond_measure_are_refused_before_they_are_allocated() {
        let once_repeated = stored(&[1 << 20], &[0], 0).gather("x", &[7]).unwrap();
        assert!(once_repeated.len() == 1 << 20 && once_repeated.iter().all(|&number| number == 7));
        for shape in [&[1 << 16, 1 << 16][..], &[(1 << 20) + 1, 1], &[usize::MAX, 1]] {
            let error = stored(shape, &[0, 0], 0).gather("x", &[7]).unwrap_err().to_string();
            assert!(error.contains("repeats the numbers of a storage of 1 bytes"), "{error}");
        }
    }

    #[test]
    fn contiguous_strides_are_those_of_c() {
        let tensor = Stored::contiguous(Dtype::F32, vec![2, 3, 4], Storage::Span(0..96));
        assert_eq!(tensor.strides, [12, 4, 1]);
    }
}
