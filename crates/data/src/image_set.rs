//! A set of images as one file, which jobs hand on to each other.
//!
//! A safetensors file with the tensors `pixels`, (N, C, H, W) of 8-bit numbers, and `labels`, (N) of 64-bit whole numbers, and with
//! one entry of metadata, `rrm.images`: the classes' names as JSON. `safetensors.torch.load_file` opens it as it is.

use std::{collections::HashMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{DataError, Images, Shape};

const DESCRIPTION: &str = "rrm.images";
const PIXELS: &str = "pixels";
const LABELS: &str = "labels";

/// Ten times ImageNet's validation images at 224×224; a larger file is read by mistake.
const LARGEST_FILE: u64 = 75 << 30;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    classes: Vec<String>,
}

/// The file of `images`. The same images always give the same bytes.
///
/// # Errors
/// Where a picture cannot be read.
pub fn set_bytes(images: &Images) -> Result<Vec<u8>, DataError> {
    let Shape { channels, height, width } = images.shape();
    let pixels = (0..images.len()).map(|i| images.pixels(i)).collect::<Result<Vec<_>, _>>()?.concat();
    let labels: Vec<u8> = (0..images.len()).flat_map(|i| i64::from(images.label(i)).to_le_bytes()).collect();
    let view = |dtype, shape, data| TensorView::new(dtype, shape, data).expect("as many bytes as the shape says");
    let tensors = [
        (PIXELS, view(Dtype::U8, vec![images.len(), channels, height, width], &pixels)),
        (LABELS, view(Dtype::I64, vec![images.len()], &labels)),
    ];
    let description = Description { classes: images.class_names().to_vec() };
    let description = serde_json::to_string(&description).expect("names are texts");
    // One entry alone: several would be written in no fixed order.
    let metadata = HashMap::from([(DESCRIPTION.to_owned(), description)]);
    Ok(safetensors::serialize(tensors, Some(metadata)).expect("two tensors of known types can be written"))
}

/// Reads a file that [`set_bytes`] wrote.
///
/// # Errors
/// Where the file cannot be read, is damaged or foreign, or has a label without a class.
pub fn read_set(path: &Path) -> Result<Images, DataError> {
    let size = fs::metadata(path).map_err(DataError::io(path))?.len();
    if size > LARGEST_FILE {
        return Err(DataError::contents(path, format!("at most {LARGEST_FILE} bytes"), format!("{size} bytes")));
    }
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    parse(&bytes).map_err(|found| DataError::contents(path, "a set of images that a synthesize job made", found))
}

/// The images, or what is there instead.
fn parse(bytes: &[u8]) -> Result<Images, String> {
    let damaged = |error: safetensors::SafeTensorError| format!("a damaged or foreign file ({error})");
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(DESCRIPTION));
    let json = json.ok_or_else(|| format!("a file without `{DESCRIPTION}`"))?;
    let Description { classes } = serde_json::from_str(json).map_err(|error| format!("a description: {error}"))?;
    let tensor = |name, dtype| match tensors.tensor(name) {
        Ok(view) if view.dtype() == dtype => Ok(view),
        Ok(view) => Err(format!("`{name}` of {:?}", view.dtype())),
        Err(_) => Err(format!("a file without `{name}`")),
    };
    let (pixels, labels) = (tensor(PIXELS, Dtype::U8)?, tensor(LABELS, Dtype::I64)?);
    let &[count, channels, height, width] = pixels.shape() else {
        return Err(format!("pixels of shape {:?}", pixels.shape()));
    };
    if labels.shape() != [count] || count == 0 || [channels, height, width].contains(&0) {
        return Err(format!("pixels {:?} with labels {:?}", pixels.shape(), labels.shape()));
    }
    let labels = labels.data().chunks_exact(8).map(|bytes| label(bytes, classes.len())).collect::<Result<_, _>>()?;
    Ok(Images::new(Shape { channels, height, width }, pixels.data().to_vec(), labels, classes))
}

fn label(bytes: &[u8], classes: usize) -> Result<u32, String> {
    let label = i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    match u32::try_from(label) {
        Ok(class) if (class as usize) < classes => Ok(class),
        Ok(_) | Err(_) => Err(format!("label {label} of {classes} classes")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images(count: usize) -> Images {
        let shape = Shape { channels: 2, height: 3, width: 4 };
        let pixels = (0..count * shape.image_len()).map(|i| (i * 7 % 256) as u8).collect();
        let labels = (0..count as u32).map(|i| i % 2).collect();
        Images::new(shape, pixels, labels, ["ä", "b"].map(str::to_owned).to_vec())
    }

    fn read(bytes: &[u8]) -> Result<Images, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.safetensors");
        fs::write(&path, bytes).unwrap();
        read_set(&path)
    }

    #[test]
    fn a_set_reads_back_as_it_was_written() {
        assert_eq!(read(&set_bytes(&images(5)).unwrap()).unwrap(), images(5));
        assert_eq!(set_bytes(&images(5)).unwrap(), set_bytes(&images(5)).unwrap());
    }

    #[test]
    fn a_label_without_a_class_is_refused() {
        let mut bytes = set_bytes(&images(5)).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let at = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let labels = if text.find(LABELS) < text.find(PIXELS) { at } else { bytes.len() - 5 * 8 };
        for wrong in [2i64, -1, i64::MAX] {
            bytes[labels..labels + 8].copy_from_slice(&wrong.to_le_bytes());
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("label {wrong} of 2 classes")), "{error}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(read(b"").is_err());
        assert!(read(&u64::MAX.to_le_bytes()).is_err());
        let foreign = safetensors::serialize([("x", TensorView::new(Dtype::U8, vec![1], &[1]).unwrap())], None);
        let error = read(&foreign.unwrap()).unwrap_err().to_string();
        assert!(error.contains("rrm.images"), "{error}");
        assert!(matches!(read_set(Path::new("/nowhere")), Err(DataError::Io { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_set_that_is_cut_is_refused(cut in 0usize..100) {
            let whole = set_bytes(&images(5)).unwrap();
            let cut = whole.len() * cut / 100;
            prop_assert!(read(&whole[..cut]).is_err());
        }
    }
}
