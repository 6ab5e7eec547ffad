//! SVHN's cropped digits: MATLAB files of a 32×32×3×N array `X` and N labels `y`, of which 10 is the digit 0.

use std::path::Path;

use crate::{
    DataError, Images, Shape, Split,
    mat5::{self, Matrix},
};

/// Where `rrm data fetch` puts the files.
pub(crate) const FOLDER: &str = "svhn";

/// More images than any of SVHN's files has; a header that claims more is foreign, and is not believed to the point of
/// asking for the memory.
const MOST_IMAGES: usize = 1_000_000;

const CLASSES: u8 = 10;

fn file(split: Split) -> &'static str {
    match split {
        Split::Train => "train_32x32.mat",
        Split::Test => "test_32x32.mat",
    }
}

/// Whether the folder looks like one of this layout.
pub(crate) fn recognizes(folder: &Path) -> bool {
    Split::ALL.iter().any(|&split| folder.join(file(split)).exists())
}

/// Reads a split.
pub(crate) fn read(folder: &Path, split: Split) -> Result<Images, DataError> {
    let path = folder.join(file(split));
    let shape = Shape::square(3);
    let mut matrices = mat5::read(&path, MOST_IMAGES * shape.image_len())?;
    let mut take = |name: &str| {
        let position = matrices.iter().position(|matrix| matrix.name == name);
        let found = || DataError::contents(&path, format!("an array {name}"), "none");
        position.map(|position| matrices.swap_remove(position)).ok_or_else(found)
    };
    let (x, y) = (take("X")?, take("y")?);
    let labels = labels(&path, &y)?;
    if x.dimensions[..] != [Shape::SIDE, Shape::SIDE, 3, labels.len()] {
        let expected = format!("32 x 32 x 3 x {} pixels, as there are {} labels", labels.len(), labels.len());
        return Err(DataError::malformed(path, x.offset, expected, format!("{:?}", x.dimensions)));
    }
    let names = (0..CLASSES).map(|digit| digit.to_string()).collect();
    Ok(Images::new(shape, by_rows(x.values), labels, names))
}

fn labels(path: &Path, y: &Matrix) -> Result<Vec<u32>, DataError> {
    let label = |&value: &u8| match value {
        1..=CLASSES => Ok(u32::from(value % CLASSES)),
        _ => Err(DataError::malformed(path, y.offset, "labels of 1 to 10", value)),
    };
    y.values.iter().map(label).collect()
}

/// MATLAB's first dimension, the row, runs fastest: every plane comes transposed.
fn by_rows(mut values: Vec<u8>) -> Vec<u8> {
    const SIDE: usize = Shape::SIDE;
    for plane in values.chunks_exact_mut(SIDE * SIDE) {
        for row in 0..SIDE {
            for column in 0..row {
                plane.swap(row * SIDE + column, column * SIDE + row);
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mat5::tests::{array, compressed, file as mat_file};

    fn folder(variables: &[Vec<u8>]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file(Split::Test)), mat_file(variables)).unwrap();
        folder
    }

    fn message(variables: &[Vec<u8>]) -> String {
        read(folder(variables).path(), Split::Test).unwrap_err().to_string()
    }

    #[test]
    fn columns_become_rows_and_ten_becomes_zero() {
        // Row r, column c, channel k of image n.
        let value = |r: usize, c: usize, k: usize, n: usize| (r * 5 + c * 3 + k * 7 + n * 11) as u8;
        let at = |i: usize| value(i % 32, i / 32 % 32, i / 1024 % 3, i / 3072);
        let pixels: Vec<u8> = (0..2 * 3072).map(at).collect();
        let variables = [compressed(&array("X", &[32, 32, 3, 2], &pixels)), compressed(&array("y", &[2, 1], &[10, 3]))];
        let folder = folder(&variables);
        assert!(recognizes(folder.path()));
        let images = read(folder.path(), Split::Test).unwrap();
        assert_eq!((images.len(), images.label(0), images.label(1), images.classes()), (2, 0, 3, 10));
        for (i, &found) in images.pixels(1).unwrap().iter().enumerate() {
            assert_eq!(found, value(i / 32 % 32, i % 32, i / 1024, 1), "{i}");
        }
    }

    #[test]
    fn contents_that_are_not_svhn_s_are_told() {
        let (x, y) = (array("X", &[32, 32, 3, 1], &[0; 3072]), array("y", &[1, 1], &[1]));
        assert!(message(std::slice::from_ref(&x)).contains("expected an array y, found none"));
        let label = message(&[x.clone(), array("y", &[1, 1], &[11])]);
        assert!(label.contains("expected labels of 1 to 10, found 11"), "{label}");
        let more = message(&[x, array("y", &[2, 1], &[1, 2])]);
        assert!(
            more.contains("byte 128: expected 32 x 32 x 3 x 2 pixels, as there are 2 labels, found [32, 32, 3, 1]"),
            "{more}"
        );
        assert!(message(&[array("X", &[3072, 1], &[0; 3072]), y]).contains("found [3072, 1]"));
    }
}
