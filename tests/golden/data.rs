//! `data_cifar.safetensors`: augmentation of a small image with the choices given (heavy ones in `data.json`), and
//! pixels as numbers.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, bail, ensure};
use rrm_data::{
    Shape, Split,
    augment::{Colour, Draws, Flip, HeavyDraws, adjust, heavy, light, lighting, luma, rotate},
    open, test_batches,
};
use rrm_spec::{Dataset, DatasetName};
use serde::Deserialize;

use crate::{
    compare::{Report, Tolerance},
    folder::{Folder, Tensors},
};

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let tensors = folder.tensors(file)?;
    let mut report = Report::default();
    let picture = Picture::read(&tensors)?;
    for name in tensors.names() {
        if let Some(changed) = picture.changed(&name)? {
            report.same(&name, &picture.interleaved(&changed), &tensors.bytes(&name)?);
        }
    }
    report.same("luma", &luma(&picture.planar, picture.shape), &tensors.bytes("luma")?);
    let numbers: Vec<f64> = picture.through_a_batch()?.into_iter().map(f64::from).collect();
    report.close("to_tensor", &numbers, &tensors.numbers("to_tensor")?, Tolerance::Exact);
    compare_heavy(folder, &picture, &tensors, &mut report)?;
    compare_lighting(&tensors, &mut report)?;
    tensors.all()?;
    Ok(report)
}

/// All of heavy augmentation, whose choices are in `data.json`.
fn compare_heavy(folder: &Folder, picture: &Picture, tensors: &Tensors, report: &mut Report) -> Result<()> {
    let Choices { heavy: cases } = folder.json("data.json")?;
    ensure!(!cases.is_empty(), "data.json has no choices");
    for (i, case) in cases.iter().enumerate() {
        let mut out = vec![0; picture.planar.len()];
        heavy(&picture.planar, picture.shape, &case.draws()?, &mut out);
        report.same(&format!("heavy{i}"), &picture.interleaved(&out), &tensors.bytes(&format!("heavy{i}"))?);
    }
    Ok(())
}

/// What lighting adds, by its coefficients.
fn compare_lighting(tensors: &Tensors, report: &mut Report) -> Result<()> {
    let image = tensors.numbers("to_tensor")?;
    for name in tensors.names().iter().filter_map(|name| name.strip_suffix(".alpha")) {
        let alpha: Vec<f32> = tensors.get(&format!("{name}.alpha"))?.to_vec1()?;
        let light = lighting(alpha.try_into().ok().context("three coefficients")?);
        let plane = image.len() / 3;
        let found: Vec<f64> = image.iter().enumerate().map(|(i, value)| value + f64::from(light[i / plane])).collect();
        let out = format!("{name}.out");
        report.close(&out, &found, &tensors.numbers(&out)?, Tolerance::Absolute(1e-6));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Choices {
    heavy: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    i: usize,
    j: usize,
    flip: u8,
    order: [String; 3],
    factors: BTreeMap<String, f32>,
    angle: f64,
}

impl Case {
    fn draws(&self) -> Result<HeavyDraws> {
        let light = Draws { top: self.i, left: self.j, flip: if self.flip == 1 { Flip::Mirror } else { Flip::Keep } };
        let mut colours = [(Colour::Brightness, 1.0); 3];
        for (name, to) in self.order.iter().zip(&mut colours) {
            *to = (colour(name)?, *self.factors.get(name).with_context(|| format!("no factor of {name}"))?);
        }
        Ok(HeavyDraws { light, colours, degrees: self.angle })
    }
}

fn colour(name: &str) -> Result<Colour> {
    Ok(match name {
        "brightness" => Colour::Brightness,
        "contrast" => Colour::Contrast,
        "saturation" => Colour::Saturation,
        _ => bail!("`{name}` is no change of colour"),
    })
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

    /// The picture after the one change that a tensor is named for, such as `crop.i3.j7.flip1` or `contrast.0.75`.
    fn changed(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((change, choices)) = name.split_once('.') else { return Ok(None) };
        let mut out = self.planar.clone();
        match change {
            "crop" => light(&self.planar, self.shape, parse(choices)?, &mut out),
            "rotate" => rotate(&self.planar, self.shape, choices.parse()?, &mut out),
            "brightness" | "contrast" | "saturation" => {
                adjust(&mut out, self.shape, colour(change)?, choices.parse()?);
            }
            _ => return Ok(None),
        }
        Ok(Some(out))
    }

    fn interleaved(&self, planar: &[u8]) -> Vec<u8> {
        let (channels, plane) = (self.shape.channels, self.shape.height * self.shape.width);
        (0..planar.len()).map(|i| planar[i % channels * plane + i / channels]).collect()
    }

    /// The image as a network would get it, by way of a folder of pictures.
    fn through_a_batch(&self) -> Result<Vec<f32>> {
        let data = tempfile::tempdir()?;
        let (width, height) = (self.shape.width as u32, self.shape.height as u32);
        let bytes = self.interleaved(&self.planar);
        // A classifier needs two classes; the first one's picture is the first of the batch.
        for (split, class) in Split::ALL.into_iter().flat_map(|split| ["class", "other"].map(|class| (split, class))) {
            let folder = data.path().join(format!("one/{split}/{class}"));
            fs::create_dir_all(&folder)?;
            image::save_buffer(folder.join("0.png"), &bytes, width, height, image::ColorType::Rgb8)?;
        }
        let dataset = Dataset { name: DatasetName::Folder("one".to_owned()), train_images: None };
        let images = open(&dataset, Split::Test, data.path())?;
        let mut batches = test_batches(&images, None, 1);
        let batch = batches.next().context("no image")??;
        ensure!(batch.shape == self.shape, "the image comes as {}", batch.shape);
        Ok(batch.images)
    }
}
