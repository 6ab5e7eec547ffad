//! `data_cifar.safetensors`: light augmentation with the choices given, and pixels as numbers.

use std::fs;

use anyhow::{Context, Result, ensure};
use rrm_data::{
    Shape, Split,
    augment::{Draws, Flip, light},
    open, test_batches,
};
use rrm_spec::{Dataset, DatasetName};

use crate::{
    compare::{Report, Tolerance},
    folder::{Folder, Tensors},
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    let picture = Picture::read(&tensors)?;
    for name in tensors.names() {
        if let Some(draws) = name.strip_prefix("crop.") {
            let mut out = vec![0; picture.planar.len()];
            light(&picture.planar, picture.shape, parse(draws)?, &mut out);
            report.same(&name, &picture.interleaved(&out), &tensors.bytes(&name)?);
        }
    }
    let numbers: Vec<f64> = picture.through_a_batch()?.into_iter().map(f64::from).collect();
    report.close("to_tensor", &numbers, &tensors.numbers("to_tensor")?, Tolerance::Exact);
    let others = ["brightness", "contrast", "saturation", "luma", "rotate", "heavy", "lighting"];
    let excused = |name: &str| others.iter().any(|other| name.starts_with(other));
    tensors.all_but("heavy augmentation is not implemented", &mut report, excused)?;
    Ok(report)
}

/// Choices named like `i3.j7.flip1`: first row and column of the crop in the padded image.
fn parse(name: &str) -> Result<Draws> {
    let part = |prefix: &str| -> Result<usize> {
        let part = name.split('.').find_map(|part| part.strip_prefix(prefix)?.parse().ok());
        part.with_context(|| format!("`{name}` has no {prefix}"))
    };
    let flip = if part("flip")? == 1 { Flip::Mirror } else { Flip::Keep };
    Ok(Draws { top: part("i")?, left: part("j")?, flip })
}

/// The golden image, colour plane after colour plane.
struct Picture {
    shape: Shape,
    planar: Vec<u8>,
}

impl Picture {
    fn read(tensors: &Tensors) -> Result<Self> {
        let (height, width, channels) = tensors.get("img")?.dims3()?;
        let shape = Shape { channels, height, width };
        let bytes = tensors.bytes("img")?;
        let plane = height * width;
        let planar = (0..channels * plane).map(|i| bytes[i % plane * channels + i / plane]).collect();
        Ok(Self { shape, planar })
    }

    fn interleaved(&self, planar: &[u8]) -> Vec<u8> {
        let (channels, plane) = (self.shape.channels, self.shape.height * self.shape.width);
        (0..planar.len()).map(|i| planar[i % channels * plane + i / channels]).collect()
    }

    /// The image as a network would get it, by way of a folder of pictures.
    fn through_a_batch(&self) -> Result<Vec<f32>> {
        let data = tempfile::tempdir()?;
        for split in Split::ALL {
            let folder = data.path().join(format!("one/{split}/class"));
            fs::create_dir_all(&folder)?;
            let (width, height) = (self.shape.width as u32, self.shape.height as u32);
            let bytes = self.interleaved(&self.planar);
            image::save_buffer(folder.join("0.png"), &bytes, width, height, image::ColorType::Rgb8)?;
        }
        let dataset = Dataset { name: DatasetName::Folder("one".to_owned()), train_images: None };
        let images = open(&dataset, Split::Test, data.path())?;
        let mut batches = test_batches(&images, None, 1);
        let batch = batches.next().context("no image")?;
        ensure!(batch.shape == self.shape, "the image comes as {}", batch.shape);
        Ok(batch.images)
    }
}
