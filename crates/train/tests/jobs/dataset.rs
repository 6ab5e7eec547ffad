//! Small image folders whose classes can be told apart in a way that the tests know.

use std::{fs, path::Path};

use image::{Rgb, RgbImage};
use rrm_data::{ImageRng, Stream};
use rrm_spec::{Dataset, DatasetName};

/// Pixels of an image's side.
const SIDE: u32 = 32;

/// Which half of an image is bright tells its class, except where the noise says otherwise: hard to change for an adversary.
const HALVES: f64 = 0.2;

/// A faint tint, more red and less blue or the reverse, tells the class without exception: easy to change for an adversary.
const TINT: f64 = 8.0 / 255.0;

/// Brightness of a pixel that means nothing.
const NOISE: f64 = 0.05;

/// How the classes of a folder are told apart.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    /// Images per class for training, and for testing.
    pub(crate) images: (u32, u32),
    /// Share of images whose bright half is the other class's.
    pub(crate) misleading: f64,
    /// Whether there is a tint.
    pub(crate) tint: Tint,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    Faint,
    None,
}

impl Recipe {
    /// Two classes that every method learns.
    pub(crate) const EASY: Self = Self { images: (12, 6), misleading: 0.0, tint: Tint::None };

    /// Two classes with a feature that is perfect but not robust, and one that is robust but not perfect.
    pub(crate) const TEMPTING: Self = Self { images: (100, 30), misleading: 0.2, tint: Tint::Faint };
}

/// Writes the folder `NAME/{train,test}/{lower,upper}/N.png` below `data_dir`.
pub(crate) fn write(data_dir: &Path, name: &str, recipe: Recipe) -> Dataset {
    for (split, count) in [("train", recipe.images.0), ("test", recipe.images.1)] {
        for (class, class_name) in ["lower", "upper"].into_iter().enumerate() {
            let folder = data_dir.join(name).join(split).join(class_name);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..count {
                let keys = [u64::from(split == "test"), class as u64, u64::from(i)];
                let image = draw(class, recipe, ImageRng::new(7, Stream::Augmentation, &keys));
                image.save(folder.join(format!("{i:04}.png"))).unwrap();
            }
        }
    }
    Dataset { name: DatasetName::Folder(name.to_owned()), train_images: None }
}

fn draw(class: usize, recipe: Recipe, mut rng: ImageRng) -> RgbImage {
    let sign = |class: usize| if class == 1 { 1.0 } else { -1.0 };
    let bright = if rng.uniform() < recipe.misleading { -sign(class) } else { sign(class) };
    let tint = if recipe.tint == Tint::Faint { TINT * sign(class) } else { 0.0 };
    RgbImage::from_fn(SIDE, SIDE, |_, y| {
        let half = if y < SIDE / 2 { bright } else { -bright };
        let grey = 0.5 + HALVES * half + NOISE * (2.0 * rng.uniform() - 1.0);
        Rgb([tint, 0.0, -tint].map(|tint| ((grey + tint).clamp(0.0, 1.0) * 255.0).round() as u8))
    })
}
