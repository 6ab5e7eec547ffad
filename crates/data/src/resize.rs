//! Pillow's bilinear resize of 8-bit images, to the byte.

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Rect {
    /// All of an image.
    pub fn whole(height: usize, width: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }

    /// The middle of an image, as torchvision's `CenterCrop` rounds it: halves to even.
    ///
    /// # Panics
    /// Where the image is smaller.
    pub fn middle(side: usize, height: usize, width: usize) -> Self {
        assert!(side <= height && side <= width, "{side} is more than {height} by {width}");
        let margin = |length: usize| ((length - side) as f64 / 2.0).round_ties_even() as usize;
        Self { top: margin(height), left: margin(width), height: side, width: side }
    }
}

/// Weights are sums of so many binary places: what a byte leaves free of 32 bits, less two for the sum.
const PRECISION: u32 = 32 - 8 - 2;

/// Resizes the rectangle `from` of an image to `height` × `width` and gives the rectangle `window` of the result.
///
/// `pixels` are rows of `row` pixels of `C` bytes each. Pillow crops first: what lies outside of `from` has no
/// influence. It convolves with a triangle that is as wide as two pixels of the coarser image and rounds each of two
/// passes to bytes: along rows first, but since version 13 along columns first where the height shrinks by more than
/// twice what the width does. So has this; older versions differ by a level here and there in such cases.
///
/// # Panics
/// Where a rectangle is empty or leaves its image.
pub(crate) fn resize<const C: usize>(
    pixels: &[u8],
    row: usize,
    from: Rect,
    (height, width): (usize, usize),
    window: Rect,
) -> Vec<u8> {
    assert!(from.left + from.width <= row && (from.top + from.height) * row * C <= pixels.len(), "{from:?}");
    assert!(window.left + window.width <= width && window.top + window.height <= height, "{window:?}");
    let across = Weights::new(from.width, width, window.left, window.width);
    let down = Weights::new(from.height, height, window.top, window.height);
    let source = Rows { bytes: &pixels[(from.top * row + from.left) * C..], stride: row * C, len: from.width * C };
    let (narrow, mut resized) = (window.width * C, vec![0; window.height * window.width * C]);
    if shrinks_mostly_in_height(from, height, width) {
        let mut shortened = vec![0; window.height * source.len];
        down.across(source, &mut shortened);
        for (row, target) in shortened.chunks_exact(source.len).zip(resized.chunks_exact_mut(narrow)) {
            across.along::<C>(row, target);
        }
    } else {
        // Rows that no row of the window is made of stay unused.
        let (first, last) = down.reach();
        let mut narrowed = vec![0; from.height * narrow];
        for (y, target) in narrowed.chunks_exact_mut(narrow).enumerate().take(last).skip(first) {
            across.along::<C>(source.row(y), target);
        }
        down.across(Rows { bytes: &narrowed, stride: narrow, len: narrow }, &mut resized);
    }
    resized
}

fn shrinks_mostly_in_height(from: Rect, height: usize, width: usize) -> bool {
    let loss = |from: usize, to: usize| from as i64 - to as i64;
    let height_loss = loss(from.height, height);
    height_loss > 0 && height_loss > 2 * loss(from.width, width)
}

/// Rows of bytes of which each begins `stride` after the one before.
#[derive(Clone, Copy)]
struct Rows<'a> {
    bytes: &'a [u8],
    stride: usize,
    len: usize,
}

impl<'a> Rows<'a> {
    fn row(self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.len]
    }
}

/// How each place of a resized axis is made of the places of the axis.
struct Weights {
    /// Most places that one is made of.
    taps: usize,
    /// Of each new place, the first old one and how many.
    spans: Vec<(usize, usize)>,
    /// `taps` for each new place, in fixed point; zeros beyond its span.
    weights: Vec<i32>,
}

impl Weights {
    /// `precompute_coeffs` for `count` places from `first` on, of `new` that are made of `old`.
    fn new(old: usize, new: usize, first: usize, count: usize) -> Self {
        assert!(old > 0 && count > 0, "nothing can be made of nothing");
        let scale = old as f64 / new as f64;
        let support = scale.max(1.0);
        let taps = support.ceil() as usize * 2 + 1;
        let (mut spans, mut weights) = (Vec::with_capacity(count), vec![0; count * taps]);
        for (place, weights) in (first..).zip(weights.chunks_exact_mut(taps)) {
            let centre = (place as f64 + 0.5) * scale;
            // Casts cut off towards 0, negative numbers at 0.
            let from = (centre - support + 0.5) as usize;
            let to = ((centre + support + 0.5) as usize).min(old);
            let inverse = 1.0 / support;
            let heights = (0..to - from).map(|i| ((i + from) as f64 - centre + 0.5) * inverse).map(triangle);
            let heights: Vec<f64> = heights.collect();
            let sum: f64 = heights.iter().sum();
            for (height, weight) in heights.iter().zip(weights) {
                *weight = (0.5 + height / sum * f64::from(1 << PRECISION)) as i32;
            }
            spans.push((from, to - from));
        }
        Self { taps, spans, weights }
    }

    /// The old places that new ones are made of: the first, and the one behind the last.
    fn reach(&self) -> (usize, usize) {
        let first = self.spans.iter().map(|&(from, _)| from).min();
        let last = self.spans.iter().map(|&(from, count)| from + count).max();
        first.zip(last).expect("there is at least one place")
    }

    fn each(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let weights = self.weights.chunks_exact(self.taps);
        self.spans.iter().zip(weights).map(|(&(from, count), weights)| (from, &weights[..count]))
    }

    /// One row of pixels.
    fn along<const C: usize>(&self, row: &[u8], target: &mut [u8]) {
        for ((from, weights), target) in self.each().zip(target.chunks_exact_mut(C)) {
            let mut sums = [HALF; C];
            for (pixel, &weight) in row[from * C..].chunks_exact(C).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            target.iter_mut().zip(sums).for_each(|(target, sum)| *target = byte(sum));
        }
    }

    /// All rows, of which each is a place of the axis.
    fn across(&self, rows: Rows<'_>, target: &mut [u8]) {
        let mut sums = vec![0; rows.len];
        for ((from, weights), target) in self.each().zip(target.chunks_exact_mut(rows.len)) {
            sums.fill(HALF);
            for (y, &weight) in (from..).zip(weights) {
                sums.iter_mut().zip(rows.row(y)).for_each(|(sum, &value)| *sum += i32::from(value) * weight);
            }
            target.iter_mut().zip(&sums).for_each(|(target, &sum)| *target = byte(sum));
        }
    }
}

/// One half, by which sums are rounded.
const HALF: i32 = 1 << (PRECISION - 1);

fn byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(count: usize) -> Vec<u8> {
        let mut rng = crate::ImageRng::new(1, crate::Stream::Validation, &[]);
        (0..count).map(|_| rng.below(256) as u8).collect()
    }

    proptest! {
        #[test]
        fn the_same_size_is_the_same_image(height in 1usize..9, width in 1usize..9) {
            let (pixels, whole) = (noise(height * width * 3), Rect::whole(height, width));
            prop_assert_eq!(&resize::<3>(&pixels, width, whole, (height, width), whole), &pixels);
        }

        #[test]
        fn an_even_image_stays_even(value: u8, height in 1usize..40, width in 1usize..40, to in (1usize..40, 1usize..40)) {
            let pixels = vec![value; height * width];
            let resized = resize::<1>(&pixels, width, Rect::whole(height, width), to, Rect::whole(to.0, to.1));
            // Weights are rounded, so that their sum may miss 1 by a little.
            prop_assert!(resized.iter().all(|found| found.abs_diff(value) <= 1), "{:?}", resized);
        }

        #[test]
        fn a_window_is_that_part_of_the_whole(
            (height, width) in (3usize..30, 3usize..30), to in (3usize..30, 3usize..30), (top, left) in (0usize..3, 0usize..3),
        ) {
            let (pixels, from) = (noise(height * width * 3), Rect { top: 1, left: 2, height: height - 1, width: width - 2 });
            let window = Rect { top, left, height: to.0 - top, width: to.1 - left };
            let whole = resize::<3>(&pixels, width, from, to, Rect::whole(to.0, to.1));
            let part = resize::<3>(&pixels, width, from, to, window);
            for (y, row) in part.chunks_exact(window.width * 3).enumerate() {
                let start = ((top + y) * to.1 + left) * 3;
                prop_assert_eq!(row, &whole[start..start + row.len()]);
            }
        }
    }

    #[test]
    fn halves_of_the_margin_go_to_even_numbers() {
        let middle = |width| Rect::middle(224, 224, width).left;
        assert_eq!([middle(224), middle(225), middle(227), middle(350), middle(415)], [0, 0, 2, 63, 96]);
    }
}
