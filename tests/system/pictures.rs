//! A folder of small pictures that a tiny network can learn in seconds.

use std::{fs, path::Path};

use image::{Rgb, RgbImage};

const SIDE: u32 = 32;

/// Writes `NAME/{train,test}/CLASS/*.png` for three classes below `data_dir`: bars that differ in direction, with a
/// colour and a position that tell nothing.
pub(crate) fn write_bars(data_dir: &Path, name: &str, train: u32, test: u32) {
    for (split, count) in [("train", train), ("test", test)] {
        for (class, kind) in ["across", "down", "slanted"].into_iter().enumerate() {
            let folder = data_dir.join(name).join(split).join(kind);
            fs::create_dir_all(&folder).expect("the test's folder can be made");
            for index in 0..count {
                let seed = index * 7 + if split == "train" { 0 } else { 5003 };
                let path = folder.join(format!("{index:04}.png"));
                bar(class as u32, seed).save(path).expect("a picture can be written");
            }
        }
    }
}

fn bar(class: u32, seed: u32) -> RgbImage {
    let offset = 4 + seed.wrapping_mul(2_654_435_761) % 20;
    let colour = Rgb([120 + (seed * 37 % 120) as u8, 120 + (seed * 59 % 120) as u8, 120 + (seed * 83 % 120) as u8]);
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let position = match class {
            0 => y,
            1 => x,
            _ => (x + y) / 2,
        };
        if position.abs_diff(offset) <= 2 { colour } else { Rgb([16, 16, 16]) }
    })
}
