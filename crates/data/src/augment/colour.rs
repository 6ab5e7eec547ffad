//! Brightness, contrast and saturation as Pillow's `ImageEnhance` changes them.

use crate::Shape;

/// What is changed. Each blends the image with a degenerate one: factor 0 gives that, 1 the image, more the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Blends with black.
    Brightness,
    /// Blends with the grey of the image's mean luma.
    Contrast,
    /// Blends with the image in grey; changes nothing in an image of one channel.
    Saturation,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Brightness, Self::Contrast, Self::Saturation];
}

/// Changes `pixels` (C·H·W, C = 1 or 3) by `factor`, to the byte as Pillow does.
///
/// # Panics
/// Where `pixels` is not of `shape` or the shape has other channels.
pub fn adjust(pixels: &mut [u8], shape: Shape, colour: Colour, factor: f32) {
    assert_eq!(pixels.len(), shape.image_len(), "an image of shape {shape}");
    match colour {
        Colour::Brightness => blend_with_grey(pixels, 0, factor),
        Colour::Contrast => blend_with_grey(pixels, mean_luma(pixels, shape), factor),
        Colour::Saturation => blend_with_luma(pixels, shape, factor),
    }
}

/// The grey image (H·W) that Pillow makes of `pixels`: ITU-R 601-2 in 16-bit fixed point, rounded.
///
/// # Panics
/// Where the shape has other channels than 1 or 3.
pub fn luma(pixels: &[u8], shape: Shape) -> Vec<u8> {
    match shape.channels {
        1 => pixels.to_vec(),
        3 => {
            let (red, green, blue) = planes(pixels);
            red.iter().zip(green).zip(blue).map(|((&r, &g), &b)| luma_of(r, g, b)).collect()
        }
        _ => panic!("images have 1 or 3 channels, not those of {shape}"),
    }
}

fn luma_of(red: u8, green: u8, blue: u8) -> u8 {
    ((19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + 0x8000) >> 16) as u8
}

fn planes(pixels: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let plane = pixels.len() / 3;
    let (red, rest) = pixels.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    (red, green, blue)
}

/// Rounded half up, as `ImageEnhance.Contrast` rounds it.
fn mean_luma(pixels: &[u8], shape: Shape) -> u8 {
    let luma = luma(pixels, shape);
    let sum: u64 = luma.iter().map(|&value| u64::from(value)).sum();
    (sum as f64 / luma.len() as f64 + 0.5) as u8
}

fn blend_with_grey(pixels: &mut [u8], grey: u8, factor: f32) {
    let mut blended = [0; 256];
    (0..=255u8).zip(&mut blended).for_each(|(value, to)| *to = blend(grey, value, factor));
    pixels.iter_mut().for_each(|value| *value = blended[usize::from(*value)]);
}

fn blend_with_luma(pixels: &mut [u8], shape: Shape, factor: f32) {
    if shape.channels == 1 {
        return;
    }
    let luma = luma(pixels, shape);
    for plane in pixels.chunks_exact_mut(luma.len()) {
        plane.iter_mut().zip(&luma).for_each(|(value, &grey)| *value = blend(grey, *value, factor));
    }
}

/// `ImagingBlend`: in f32, cut off at the ends and towards 0.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let difference = i32::from(to) - i32::from(from);
    // A cast saturates, as Pillow clips where it extrapolates; where it interpolates nothing is out of range.
    (f32::from(from) + factor * difference as f32) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { channels: 3, height: 3, width: 5 };

    fn image() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), SHAPE.image_len())
    }

    proptest! {
        #[test]
        fn a_factor_of_one_changes_nothing_and_zero_leaves_the_degenerate_image(pixels in image()) {
            for colour in Colour::ALL {
                let mut same = pixels.clone();
                adjust(&mut same, SHAPE, colour, 1.0);
                prop_assert_eq!(&same, &pixels, "{:?}", colour);
            }
            let degenerate = |colour| {
                let mut image = pixels.clone();
                adjust(&mut image, SHAPE, colour, 0.0);
                image
            };
            prop_assert!(degenerate(Colour::Brightness).iter().all(|&value| value == 0));
            let grey = degenerate(Colour::Contrast);
            prop_assert!(grey.iter().all(|value| *value == grey[0]));
            prop_assert_eq!(degenerate(Colour::Saturation), luma(&pixels, SHAPE).repeat(3));
        }

        #[test]
        fn grey_images_keep_their_saturation(pixels in image(), factor in 0f32..2.0) {
            let grey = Shape { channels: 1, height: 9, width: 5 };
            let mut changed = pixels.clone();
            adjust(&mut changed, grey, Colour::Saturation, factor);
            prop_assert_eq!(changed, pixels);
        }
    }

    #[test]
    fn luma_is_rounded_in_fixed_point() {
        // floor((299R + 587G + 114B) / 1000) would give 254 for white's neighbour and 28 for blue.
        assert_eq!([luma_of(255, 255, 255), luma_of(0, 0, 255), luma_of(1, 0, 0), luma_of(2, 0, 0)], [255, 29, 0, 1]);
    }
}
