use super::{Colour, Flip, adjust, heavy::jitter};
use crate::{ImageRng, Picture, Rect, Shape};

/// Share of the picture that a crop keeps.
const AREA: (f64, f64) = (0.08, 1.0);

/// Width by height of a crop.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Tries at a crop that fits, as many as torchvision's.
const TRIES: usize = 10;

/// Factors of colour are uniform in 1 ± this.
const JITTER: f64 = 0.1;

/// Deviation of the lighting's coefficients.
const LIGHTING: f64 = 0.05;

/// The random choices of ImageNet's augmentation (digest §4.2) for one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageNetDraws {
    /// What is cut out of the picture and resized.
    pub crop: Rect,
    /// Applied after the crop.
    pub flip: Flip,
    /// Changes of colour and their factors, in their order.
    pub colours: [(Colour, f32); 3],
    /// Coefficients of [`lighting`].
    pub lighting: [f32; 3],
}

impl ImageNetDraws {
    /// The next choices of a stream, for a picture of `height` × `width`.
    pub fn from_rng(rng: &mut ImageRng, height: usize, width: usize) -> Self {
        let crop = crop(rng, height, width);
        let flip = Flip::from_rng(rng);
        let colours = jitter(rng, JITTER);
        Self { crop, flip, colours, lighting: [0; 3].map(|_: u8| (LIGHTING * rng.normal()) as f32) }
    }
}

/// torchvision's `RandomResizedCrop.get_params`: area uniform, ratio uniform in its logarithm; where no try fits, the
/// largest crop in the middle whose ratio is allowed.
fn crop(rng: &mut ImageRng, height: usize, width: usize) -> Rect {
    let area = (height * width) as f64;
    for _ in 0..TRIES {
        let target = area * between(rng, AREA);
        let ratio = between(rng, (RATIO.0.ln(), RATIO.1.ln())).exp();
        let w = (target * ratio).sqrt().round_ties_even() as usize;
        let h = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let (top, left) = (rng.below((height - h + 1) as u64), rng.below((width - w + 1) as u64));
            return Rect { top: top as usize, left: left as usize, height: h, width: w };
        }
    }
    largest_middle(height, width)
}

fn largest_middle(height: usize, width: usize) -> Rect {
    let ratio = width as f64 / height as f64;
    let of = |side: usize, factor: f64| ((side as f64 * factor).round_ties_even() as usize).max(1);
    let (h, w) = match ratio {
        _ if ratio < RATIO.0 => (of(width, 1.0 / RATIO.0).min(height), width),
        _ if ratio > RATIO.1 => (height, of(height, RATIO.1).min(width)),
        _ => (height, width),
    };
    Rect { top: (height - h) / 2, left: (width - w) / 2, height: h, width: w }
}

fn between(rng: &mut ImageRng, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * rng.uniform()
}

/// Cuts out, resizes to `shape` (3 channels), flips and changes the colours: MadryLab's transforms of ImageNet's
/// training pictures with the choices made, up to the lighting.
///
/// # Panics
/// Where the crop leaves the picture or `shape` has other channels.
pub fn imagenet(picture: &Picture, shape: Shape, draws: &ImageNetDraws) -> Vec<u8> {
    let to = (shape.height, shape.width);
    finished(picture.resized(draws.crop, to, Rect::whole(shape.height, shape.width)), shape, draws)
}

/// Flip and colours of an image that is cut out and resized.
pub(crate) fn finished(mut pixels: Vec<u8>, shape: Shape, draws: &ImageNetDraws) -> Vec<u8> {
    if draws.flip == Flip::Mirror {
        pixels.chunks_exact_mut(shape.width).for_each(<[u8]>::reverse);
    }
    for (colour, factor) in draws.colours {
        adjust(&mut pixels, shape, colour, factor);
    }
    pixels
}

/// What the lighting (Krizhevsky et al. 2012, §4.1) adds to red, green and blue in [0, 1]: the principal components of
/// ImageNet's colours, by these coefficients. Sums may leave [0, 1]; networks clamp.
pub fn lighting(coefficients: [f32; 3]) -> [f32; 3] {
    const VALUES: [f32; 3] = [0.2175, 0.0188, 0.0045];
    const VECTORS: [[f32; 3]; 3] = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];
    VECTORS.map(|row| (0..3).map(|k| row[k] * coefficients[k] * VALUES[k]).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Stream;

    proptest! {
        #[test]
        fn crops_lie_in_their_picture_and_have_an_allowed_ratio(height in 1usize..700, width in 1usize..700, seed: u64) {
            let Rect { top, left, height: h, width: w } =
                crop(&mut ImageRng::new(seed, Stream::Augmentation, &[]), height, width);
            prop_assert!(h > 0 && w > 0 && top + h <= height && left + w <= width);
            let (h, w) = (h as f64, w as f64);
            // Sides are whole numbers: each may be off by one half, and no side is less than one.
            let narrow = (w + 0.5) / (h - 0.5) >= RATIO.0 && (w - 0.5) / (h + 0.5) <= RATIO.1;
            prop_assert!(narrow || h.min(w) <= 1.0, "{}×{}", w, h);
        }
    }

    #[test]
    fn crops_fill_their_areas_and_places_evenly() {
        let draw = |image| crop(&mut ImageRng::new(1, Stream::Augmentation, &[image]), 600, 600);
        let crops: Vec<Rect> = (0..4_000).map(draw).collect();
        let area = |crop: &Rect| (crop.height * crop.width) as f64 / 360_000.0;
        // Crops of nearly the whole picture fit in few ratios only, so their share is less than that of the rest.
        let quarters = [0.08, 0.2, 0.32, 0.44, 0.56]
            .map(|low| crops.iter().filter(|crop| (low..low + 0.12).contains(&area(crop))).count());
        assert!(quarters.iter().all(|count| count.abs_diff(quarters[0]) < 120), "{quarters:?}");
        let left = crops.iter().filter(|crop| crop.left * 2 < 600 - crop.width).count();
        assert!(left.abs_diff(2_000) < 150, "{left}");
    }

    #[test]
    fn a_strip_is_cropped_in_its_middle() {
        assert_eq!(largest_middle(100, 1_000), Rect { top: 0, left: 433, height: 100, width: 133 });
        assert_eq!(largest_middle(1_000, 99), Rect { top: 434, left: 0, height: 132, width: 99 });
        assert_eq!(largest_middle(1, 1), Rect::whole(1, 1));
    }
}
