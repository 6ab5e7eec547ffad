//! `data.json`: pictures that Pillow decoded and resized.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rrm_data::{Picture, Rect};
use serde::Deserialize;

use crate::{compare::Report, folder::Folder};

/// Levels by which decoders of JPEG may differ, once a picture is resized: the standard leaves rounding of the cosine transform open.
const JPEG_LEVELS: u8 = 2;

/// The same before a resize; largest where colours are stored at half the resolution, which decoders interpolate each in their way.
const DECODED_LEVELS: u8 = 4;

/// Side of a cut-out, and the shorter side that is resized before it.
const SIDES: (usize, usize) = (256, 224);

#[derive(Deserialize)]
struct Pictures {
    syn: Synthetic,
    #[serde(default)]
    jpeg: Vec<Photograph>,
    #[serde(default)]
    decoded: Vec<Decoded>,
}

/// A picture without loss: everything is exact.
#[derive(Deserialize)]
struct Synthetic {
    file: String,
    boxes: Vec<Cut>,
}

/// `RandomResizedCrop` with the box given.
#[derive(Deserialize)]
struct Cut {
    file: String,
    i: usize,
    j: usize,
    h: usize,
    w: usize,
}

/// A picture of ImageNet, which golden folders do not hold themselves.
#[derive(Deserialize)]
struct Photograph {
    image: String,
    size_wh: (usize, usize),
    test: String,
    rrc: Option<Cut>,
}

/// A JPEG and what Pillow decodes it to.
#[derive(Deserialize)]
struct Decoded {
    file: String,
    png: String,
}

pub(crate) fn compare(folder: &Folder, file: &str) -> Result<Report> {
    let mut report = Report::default();
    let Pictures { syn, jpeg, decoded } = folder.json(file)?;
    let source = read(folder.path().join(&syn.file))?;
    near(&mut report, folder, "syn_resize256_center224.png", &source.middle(SIDES.0, SIDES.1), 0)?;
    for cut in &syn.boxes {
        near(&mut report, folder, &cut.file, &cut.of(&source), 0)?;
    }
    for Decoded { file, png } in &decoded {
        near(&mut report, folder, png, &whole(&read(folder.path().join(file))?), DECODED_LEVELS)?;
    }
    for photograph in &jpeg {
        photograph.compare(folder, &mut report)?;
    }
    Ok(report)
}

impl Photograph {
    /// The pictures are looked for beside the folder.
    fn compare(&self, folder: &Folder, report: &mut Report) -> Result<()> {
        let path = folder.path().join("../data").join(&self.image);
        if !path.is_file() {
            report.skip(format!("{}: the picture is not there", self.test));
            return Ok(());
        }
        let picture = read(path)?;
        report.same(&self.image, &(picture.width(), picture.height()), &self.size_wh);
        near(report, folder, &self.test, &picture.middle(SIDES.0, SIDES.1), JPEG_LEVELS)?;
        match &self.rrc {
            Some(cut) => near(report, folder, &cut.file, &cut.of(&picture), JPEG_LEVELS),
            None => Ok(()),
        }
    }
}

impl Cut {
    fn of(&self, picture: &Picture) -> Vec<u8> {
        let from = Rect { top: self.i, left: self.j, height: self.h, width: self.w };
        picture.resized(from, (SIDES.1, SIDES.1), Rect::whole(SIDES.1, SIDES.1))
    }
}

fn read(path: PathBuf) -> Result<Picture> {
    Picture::read(&path).with_context(|| path.display().to_string())
}

/// A picture's pixels, channel-major.
fn whole(picture: &Picture) -> Vec<u8> {
    let size = (picture.height(), picture.width());
    picture.resized(Rect::whole(size.0, size.1), size, Rect::whole(size.0, size.1))
}

/// Compares channel-major pixels with those of a PNG.
fn near(report: &mut Report, folder: &Folder, file: &str, found: &[u8], levels: u8) -> Result<()> {
    let expected = whole(&read(folder.path().join(file))?);
    ensure!(found.len() == expected.len(), "{file}: {} values instead of {}", found.len(), expected.len());
    let worst = found.iter().zip(&expected).map(|(found, expected)| found.abs_diff(*expected)).max().unwrap_or(0);
    if std::env::var_os("RRM_GOLDEN_MARGINS").is_some() {
        eprintln!("golden margin: {file}: {worst} of {levels} levels");
    }
    report.same(file, &(worst <= levels), &true);
    Ok(())
}
