//! Rotation as Pillow's `Image.rotate` does it.

use crate::Shape;

/// One in 16.16 fixed point.
const ONE: f64 = 65_536.0;

/// Turns `pixels` (C·H·W) counter-clockwise about the middle to the same size: the nearest pixel, zeros where there is
/// none. Agrees with Pillow to the byte for angles that are no multiple of 90 degrees, and for 0.
///
/// # Panics
/// Where `pixels` or `out` is not of `shape`, or a side exceeds Pillow's limit of 32 767 for this arithmetic.
pub fn rotate(pixels: &[u8], shape: Shape, degrees: f64, out: &mut [u8]) {
    assert_eq!((pixels.len(), out.len()), (shape.image_len(), shape.image_len()), "images of shape {shape}");
    assert!(shape.height.max(shape.width) < 1 << 15, "{shape} is too large");
    if degrees == 0.0 {
        out.copy_from_slice(pixels);
        return;
    }
    let map = Map::new(shape, degrees);
    let plane = shape.height * shape.width;
    for y in 0..shape.height {
        for x in 0..shape.width {
            let source = map.source(shape, x, y);
            for channel in (0..shape.image_len()).step_by(plane) {
                out[channel + y * shape.width + x] = source.map_or(0, |source| pixels[channel + source]);
            }
        }
    }
}

/// From places in the turned image to places in the image, in 16.16 fixed point: x' = a·x + b·y + c, y' = d·x + e·y +
/// f.
struct Map {
    a: i64,
    b: i64,
    c: i64,
    d: i64,
    e: i64,
    f: i64,
}

impl Map {
    fn new(shape: Shape, degrees: f64) -> Self {
        // Python's `%` and `math.radians`, in their order of operations: the last bit may decide about a pixel.
        let radians = -(degrees.rem_euclid(360.0) * (std::f64::consts::PI / 180.0));
        let (cosine, sine) = (rounded(radians.cos()), rounded(radians.sin()));
        let minus_sine = rounded(-radians.sin());
        let (x, y) = (shape.width as f64 / 2.0, shape.height as f64 / 2.0);
        let c = cosine * -x + sine * -y + x;
        let f = minus_sine * -x + cosine * -y + y;
        // Pixels are looked up at their middles.
        let (c, f) = (c + cosine * 0.5 + sine * 0.5, f + minus_sine * 0.5 + cosine * 0.5);
        let [a, b, c, d, e, f] = [cosine, sine, c, minus_sine, cosine, f].map(fixed);
        Self { a, b, c, d, e, f }
    }

    /// Where in a plane the pixel comes from; `None` where it lies outside.
    fn source(&self, shape: Shape, x: usize, y: usize) -> Option<usize> {
        let (x, y) = (x as i64, y as i64);
        let from_x = usize::try_from((self.a * x + self.b * y + self.c) >> 16).ok().filter(|&x| x < shape.width)?;
        let from_y = usize::try_from((self.d * x + self.e * y + self.f) >> 16).ok().filter(|&y| y < shape.height)?;
        Some(from_y * shape.width + from_x)
    }
}

fn fixed(value: f64) -> i64 {
    (value * ONE + 0.5).floor() as i64
}

/// Python's `round(value, 15)`: the decimal nearest to the number, halves to even digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.15}").parse().expect("a number that was just written")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_positive_angle_turns_counter_clockwise() {
        let shape = Shape { channels: 1, height: 5, width: 5 };
        let mut pixels = [0; 25];
        pixels[2 * 5 + 4] = 9; // The middle of the right edge.
        let mut out = [1; 25];
        rotate(&pixels, shape, 89.999, &mut out);
        assert_eq!(out.iter().position(|&value| value == 9), Some(2), "the middle of the upper edge: {out:?}");
    }

    proptest! {
        #[test]
        fn every_pixel_comes_from_a_place_within_one_and_a_half_of_its_own(degrees in -2f64..2.0) {
            // 2 degrees move the corners of 32×32 by 0.8.
            let shape = Shape { channels: 2, height: 32, width: 32 };
            let plane: Vec<u8> = (0..1024).map(|i| (i % 32 * 8 + i / 256) as u8 | 1).collect();
            let pixels = [plane.clone(), plane].concat();
            let mut out = vec![0; pixels.len()];
            rotate(&pixels, shape, degrees, &mut out);
            prop_assert_eq!(&out[..1024], &out[1024..]);
            for (i, &value) in out[..1024].iter().enumerate().filter(|(_, value)| **value != 0) {
                prop_assert!((i32::from(value) / 8 - (i % 32) as i32).abs() <= 1, "{}: {}", i, value);
            }
        }
    }
}
