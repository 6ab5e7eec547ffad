//! Crop of the padded image, and flip.

use crate::{ImageRng, Shape};

/// Rows and columns of zeros that [`light`] adds on every side before it crops.
pub const PADDING: usize = 4;

/// Whether an image is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// Left stays left.
    Keep,
    /// Left becomes right.
    Mirror,
}

impl Flip {
    /// Either, equally often.
    pub(super) fn from_rng(rng: &mut ImageRng) -> Self {
        if rng.below(2) == 0 { Self::Keep } else { Self::Mirror }
    }
}

/// The random choices of light augmentation (digest §4.1) for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// The first row of the crop in the padded image, 0 to 2·[`PADDING`].
    pub top: usize,
    /// The first column of the crop in the padded image, 0 to 2·[`PADDING`].
    pub left: usize,
    /// Applied after the crop.
    pub flip: Flip,
}

impl Draws {
    /// The next choices of a stream.
    pub fn from_rng(rng: &mut ImageRng) -> Self {
        let offsets = 2 * PADDING as u64 + 1;
        let (top, left) = (rng.below(offsets) as usize, rng.below(offsets) as usize);
        Self { top, left, flip: Flip::from_rng(rng) }
    }
}

/// Pads `pixels` (C·H·W) with zeros, crops to the same size and flips: torchvision's `RandomCrop(32, padding=4)` and
/// `RandomHorizontalFlip` with the choices made.
///
/// # Panics
/// Where `pixels` or `out` is not of `shape`, or an offset exceeds 2·[`PADDING`].
pub fn light(pixels: &[u8], shape: Shape, draws: Draws, out: &mut [u8]) {
    assert!(draws.top <= 2 * PADDING && draws.left <= 2 * PADDING, "{draws:?} leaves the padded image");
    assert_eq!((pixels.len(), out.len()), (shape.image_len(), shape.image_len()), "images of shape {shape}");
    out.fill(0);
    let rows = Overlap::new(draws.top, shape.height);
    let columns = Overlap::new(draws.left, shape.width);
    for channel in 0..shape.channels {
        for row in 0..rows.len {
            let to = (channel * shape.height + rows.to + row) * shape.width;
            let from = (channel * shape.height + rows.from + row) * shape.width + columns.from;
            let target = &mut out[to..to + shape.width];
            target[columns.to..columns.to + columns.len].copy_from_slice(&pixels[from..from + columns.len]);
            if draws.flip == Flip::Mirror {
                target.reverse();
            }
        }
    }
}

/// Along one axis, the part of the crop that lies on the image and not on its padding.
struct Overlap {
    from: usize,
    to: usize,
    len: usize,
}

impl Overlap {
    fn new(offset: usize, size: usize) -> Self {
        // An image smaller than its padding may lie wholly outside of the crop.
        let from = offset.saturating_sub(PADDING).min(size);
        let to = PADDING.saturating_sub(offset).min(size);
        Self { from, to, len: size - from.max(to) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    /// The definition, pixel by pixel.
    fn expected(pixels: &[u8], shape: Shape, draws: Draws, c: usize, y: usize, x: usize) -> u8 {
        let x = if draws.flip == Flip::Mirror { shape.width - 1 - x } else { x };
        let (y, x) = ((y + draws.top).checked_sub(PADDING), (x + draws.left).checked_sub(PADDING));
        match (y, x) {
            (Some(y), Some(x)) if y < shape.height && x < shape.width => {
                pixels[(c * shape.height + y) * shape.width + x]
            }
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn light_is_a_crop_of_the_padded_image_then_a_flip(
            channels in 1usize..4, height in 1usize..12, width in 1usize..12,
            top in 0usize..9, left in 0usize..9, mirror: bool, seed: u64,
        ) {
            let shape = Shape { channels, height, width };
            let mut rng = ImageRng::new(seed, Stream::Augmentation, &[]);
            let pixels: Vec<u8> = (0..shape.image_len()).map(|_| rng.below(256) as u8).collect();
            let draws = Draws { top, left, flip: if mirror { Flip::Mirror } else { Flip::Keep } };
            let mut out = vec![99; shape.image_len()];
            light(&pixels, shape, draws, &mut out);
            for (i, &value) in out.iter().enumerate() {
                let (c, y, x) = (i / (height * width), i / width % height, i % width);
                prop_assert_eq!(value, expected(&pixels, shape, draws, c, y, x));
            }
        }
    }

    #[test]
    fn draws_take_every_offset_and_both_flips_equally_often() {
        let (mut tops, mut lefts, mut mirrored) = ([0u32; 9], [0u32; 9], 0u32);
        for image in 0..9_000 {
            let draws = Draws::from_rng(&mut ImageRng::new(3, Stream::Augmentation, &[1, image]));
            tops[draws.top] += 1;
            lefts[draws.left] += 1;
            mirrored += u32::from(draws.flip == Flip::Mirror);
        }
        // Four standard deviations: 119 of 1000, 190 of 4500.
        assert!(tops.iter().chain(&lefts).all(|count| count.abs_diff(1_000) < 119), "{tops:?} {lefts:?}");
        assert!(mirrored.abs_diff(4_500) < 190, "{mirrored}");
    }
}
