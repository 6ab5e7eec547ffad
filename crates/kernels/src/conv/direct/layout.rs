//! How a batch lies in planes for each pass, and where the taps lie in them.

use super::axis::{Axis, Extent, Pixels};
use super::planes::Planes;
use crate::conv::shape::ConvShape;

/// Numbers of a group's planes that should stay in a core's second-level cache.
const GROUP_NUMBERS: usize = 64 * 1024;

/// Groups of a batch at least, so that there is parallel work.
pub(super) const MIN_GROUPS: usize = 16;

/// Pixels of a group at least: as many as make the packing of weights pay. This goes before parallel groups, since the rows
/// of one group can be shared out too.
const MIN_PIXELS: usize = 128;

/// Images per group, from the numbers of one image's planes and the pixels of one. Sizes alone decide, never the number of
/// threads.
pub(super) fn group_images(images: usize, numbers_per_image: usize, pixels: usize) -> usize {
    let fitting = (GROUP_NUMBERS / numbers_per_image.max(1)).max(1);
    let groups = images.div_ceil(fitting).max(MIN_GROUPS).min(images * pixels / MIN_PIXELS).max(1);
    images.div_ceil(groups).max(1)
}

/// Planes of the input in groups of `images(numbers of one image's planes, pixels of one plane)` images, and the offsets of
/// every channel's taps.
pub(super) fn input_planes(s: &ConvShape, images: impl Fn(usize, usize) -> usize) -> (Planes, Vec<Vec<u32>>) {
    let ((rows, row_taps), (columns, column_taps)) = (Extent::rows(s).of_input(), Extent::columns(s).of_input());
    let phases = rows.phases.len() * columns.phases.len();
    let pixels = rows.pitch * columns.pitch;
    let images = images(s.in_channels * phases * pixels, pixels);
    let reach = (furthest(&row_taps), furthest(&column_taps));
    let planes = Planes::new(rows, columns, images, reach);
    let taps_of = |channel: usize| {
        let taps = row_taps.iter().flat_map(|&row| column_taps.iter().map(move |&column| (row, column)));
        taps.map(|(row, column)| planes.offset(channel, row, column)).collect()
    };
    let taps = (0..s.in_channels).map(taps_of).collect();
    (planes, taps)
}

pub(super) fn furthest(taps: &[(usize, usize)]) -> usize {
    taps.iter().map(|&(_, shift)| shift).max().unwrap_or(0)
}

/// Planes of the output gradient as the weight gradient multiplies them: at the same places as the input's planes.
pub(super) fn aligned_gradient_planes(s: &ConvShape, input: &Planes) -> Planes {
    let axis =
        |pitch: usize, count: usize| Axis { front: 0, pitch, phases: vec![Pixels { first: 0, count }], stride: 1 };
    let rows = axis(input.rows.pitch, s.out_height());
    let columns = axis(input.columns.pitch, s.out_width());
    Planes::new(rows, columns, input.images, (0, 0))
}
