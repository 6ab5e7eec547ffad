//! Between planes of pixels and lines of channels: a transposition, and the loading and storing of tiles.
//!
//! What becomes a factor of the products is written as they read it: see [`Factor`].

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

#[cfg(target_arch = "x86_64")]
use super::factor::{Along, First, Second};
use super::factor::{Factor, Whole};
use super::kernel::LINE;
use super::tiling::{TILE, WINDOW};
use super::transform::{POINTS, both_ways};
use crate::simd::{Four, Isa, Vector};

static ZEROS: [f32; LINE] = [0.0; LINE];

/// Pixels of some rows of an image, one line of channels each.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// First row, as counted in the image.
    pub(super) first: usize,
    /// Rows.
    pub(super) rows: usize,
    /// Pixels per row.
    pub(super) width: usize,
}

impl Strip {
    /// Numbers of the strip's lines.
    pub(super) fn len(&self) -> usize {
        self.rows * self.width * LINE
    }
}

/// Turns `channels` planes (at most a line of them, `plane` apart) of `pixels` numbers into lines.
///
/// # Safety
/// `from` can be read for that, `to` written for `pixels` lines.
#[inline(always)]
unsafe fn planes_to_lines<V: Vector>(from: *const f32, plane: usize, channels: usize, pixels: usize, to: *mut f32) {
    // SAFETY: the caller guarantees the pointers; blocks are whole, the last one starting early rather than ending late.
    unsafe {
        for first in (0..LINE).step_by(V::LANES) {
            let present = channels.saturating_sub(first).min(V::LANES);
            if present == V::LANES && pixels >= V::LANES {
                for block in (0..pixels).step_by(V::LANES) {
                    let pixel = block.min(pixels - V::LANES);
                    V::transpose(from.add(first * plane + pixel), plane, to.add(pixel * LINE + first), LINE);
                }
            } else {
                for pixel in 0..pixels {
                    for lane in first..first + V::LANES {
                        *to.add(pixel * LINE + lane) =
                            if lane < channels { *from.add(lane * plane + pixel) } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Turns `pixels` lines into `channels` planes, `plane` apart.
///
/// # Safety
/// `from` can be read for `pixels` lines, `to` written for that.
#[inline(always)]
unsafe fn lines_to_planes<V: Vector>(from: *const f32, pixels: usize, to: *mut f32, plane: usize, channels: usize) {
    // SAFETY: the caller guarantees the pointers; blocks are whole, the last one starting early rather than ending late.
    unsafe {
        for first in (0..channels).step_by(V::LANES) {
            let present = (channels - first).min(V::LANES);
            if present == V::LANES && pixels >= V::LANES {
                for block in (0..pixels).step_by(V::LANES) {
                    let pixel = block.min(pixels - V::LANES);
                    V::transpose(from.add(pixel * LINE + first), LINE, to.add(first * plane + pixel), plane);
                }
            } else {
                for lane in first..first + present {
                    for pixel in 0..pixels {
                        *to.add(lane * plane + pixel) = *from.add(pixel * LINE + lane);
                    }
                }
            }
        }
    }
}

/// Transforms the 6×6 window whose first pixel is (`row`, `column`) of the image, both counted from the padding's start,
/// and writes its points `stride` apart. Outside the strip and the image lie zeros.
///
/// # Safety
/// `from` is the strip's lines; `to` can be written for [`POINTS`] lines `stride` apart.
#[inline(always)]
unsafe fn window_to_points<V: Vector, F: Factor<V>>(
    from: *const f32,
    strip: Strip,
    (row, column): (isize, isize),
    to: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller guarantees the pointers; pixels outside the strip are never read.
    unsafe {
        let top = row - strip.first as isize;
        let inside = top >= 0
            && column >= 0
            && top + WINDOW as isize <= strip.rows as isize
            && column + WINDOW as isize <= strip.width as isize;
        if inside {
            let first = from.add((top as usize * strip.width + column as usize) * LINE);
            for half in (0..LINE).step_by(V::LANES) {
                both_ways!(
                    input, 6 => 6,
                    |i, j| V::load(first.add((i * strip.width + j) * LINE + half)),
                    |r, c, point| F::write(point, to.add((r * WINDOW + c) * stride), half)
                );
            }
            return;
        }
        // On the border some pixels are zeros.
        let mut pixels = [ZEROS.as_ptr(); WINDOW * WINDOW];
        for (i, pixels) in pixels.chunks_exact_mut(WINDOW).enumerate() {
            let y = top + i as isize;
            if y < 0 || y >= strip.rows as isize {
                continue;
            }
            for (j, pixel) in pixels.iter_mut().enumerate() {
                let x = column + j as isize;
                if x >= 0 && x < strip.width as isize {
                    *pixel = from.add((y as usize * strip.width + x as usize) * LINE);
                }
            }
        }
        for half in (0..LINE).step_by(V::LANES) {
            both_ways!(
                input, 6 => 6,
                |i, j| V::load(pixels[i * WINDOW + j].add(half)),
                |r, c, point| F::write(point, to.add((r * WINDOW + c) * stride), half)
            );
        }
    }
}

/// Transforms points `stride` apart to a 4×4 tile of outputs, of which those inside the strip are written.
///
/// # Safety
/// `from` can be read for [`POINTS`] lines; `to` is the strip's lines, and (`row`, `column`) is inside.
#[inline(always)]
unsafe fn points_to_tile<V: Vector>(
    from: *const f32,
    stride: usize,
    to: *mut f32,
    strip: Strip,
    (row, column): (usize, usize),
) {
    // SAFETY: the caller guarantees the pointers; pixels outside the strip are never written.
    unsafe {
        let top = row - strip.first;
        let (rows, columns) = ((strip.rows - top).min(TILE), (strip.width - column).min(TILE));
        let first = to.add((top * strip.width + column) * LINE);
        for half in (0..LINE).step_by(V::LANES) {
            if (rows, columns) == (TILE, TILE) {
                both_ways!(
                    output, 6 => 4,
                    |i, j| V::load(from.add((i * WINDOW + j) * stride + half)),
                    |r, c, y| y.store(first.add((r * strip.width + c) * LINE + half))
                );
            } else {
                both_ways!(
                    output, 6 => 4,
                    |i, j| V::load(from.add((i * WINDOW + j) * stride + half)),
                    |r, c, y| if r < rows && c < columns {
                        y.store(first.add((r * strip.width + c) * LINE + half));
                    }
                );
            }
        }
    }
}

/// Transforms a 4×4 tile of gradients to points `stride` apart; outside the strip lie zeros.
///
/// # Safety
/// `from` is the strip's lines, (`row`, `column`) is inside; `to` can be written for [`POINTS`] lines.
#[inline(always)]
unsafe fn tile_to_points<V: Vector, F: Factor<V>>(
    from: *const f32,
    strip: Strip,
    (row, column): (usize, usize),
    to: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller guarantees the pointers; pixels outside the strip are never read.
    unsafe {
        let top = row - strip.first;
        let (rows, columns) = ((strip.rows - top).min(TILE), (strip.width - column).min(TILE));
        let first = from.add((top * strip.width + column) * LINE);
        for half in (0..LINE).step_by(V::LANES) {
            if (rows, columns) == (TILE, TILE) {
                both_ways!(
                    gradient, 4 => 6,
                    |i, j| V::load(first.add((i * strip.width + j) * LINE + half)),
                    |r, c, point| F::write(point, to.add((r * WINDOW + c) * stride), half)
                );
            } else {
                both_ways!(
                    gradient, 4 => 6,
                    |i, j| V::load(match i < rows && j < columns {
                        true => first.add((i * strip.width + j) * LINE + half),
                        false => ZEROS.as_ptr(),
                    }),
                    |r, c, point| F::write(point, to.add((r * WINDOW + c) * stride), half)
                );
            }
        }
    }
}

/// Transforms a line's 3×3 kernels, nine lines of taps, to points `stride` apart.
///
/// # Safety
/// `from` can be read for nine lines; `to` can be written for [`POINTS`] lines.
#[inline(always)]
unsafe fn kernel_to_points<V: Vector, F: Factor<V>>(from: *const f32, to: *mut f32, stride: usize) {
    // SAFETY: the caller guarantees the pointers.
    unsafe {
        for half in (0..LINE).step_by(V::LANES) {
            both_ways!(
                weight, 3 => 6,
                |i, j| V::load(from.add((i * 3 + j) * LINE + half)),
                |r, c, point| F::write(point, to.add((r * WINDOW + c) * stride), half)
            );
        }
    }
}

/// Transforms points `stride` apart to a line's gradients of 3×3 kernels, nine lines of taps.
///
/// # Safety
/// `from` can be read for [`POINTS`] lines; `to` can be written for nine lines.
#[inline(always)]
unsafe fn points_to_kernel<V: Vector>(from: *const f32, stride: usize, to: *mut f32) {
    // SAFETY: the caller guarantees the pointers.
    unsafe {
        for half in (0..LINE).step_by(V::LANES) {
            both_ways!(
                weight_gradient, 6 => 3,
                |i, j| V::load(from.add((i * WINDOW + j) * stride + half)),
                |r, c, y| y.store(to.add((r * 3 + c) * LINE + half))
            );
        }
    }
}

type WindowToPoints = unsafe fn(*const f32, Strip, (isize, isize), *mut f32, usize);
type TileToPoints = unsafe fn(*const f32, Strip, (usize, usize), *mut f32, usize);
type KernelToPoints = unsafe fn(*const f32, *mut f32, usize);

/// The functions of this file for one instruction set; see them for their contracts.
///
/// Where a product sums over tiles, or over the channels of kernels, entry `i` of a table writes the `i`th of the neighbours that one
/// number holds.
pub(in crate::conv) struct Lines {
    pub(super) from_planes: unsafe fn(*const f32, usize, usize, usize, *mut f32),
    pub(super) to_planes: unsafe fn(*const f32, usize, *mut f32, usize, usize),
    /// For sums over the channels of a line.
    pub(super) window_to_points_along: WindowToPoints,
    pub(super) window_to_points: &'static [WindowToPoints],
    pub(super) points_to_tile: unsafe fn(*const f32, usize, *mut f32, Strip, (usize, usize)),
    pub(super) tile_to_points: &'static [TileToPoints],
    pub(super) kernel_to_points: &'static [KernelToPoints],
    pub(super) points_to_kernel: unsafe fn(*const f32, usize, *mut f32),
}

impl Lines {
    /// The functions for `isa`.
    pub(in crate::conv) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 | Isa::Avx512Amx => &AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            Isa::Portable => &PORTABLE,
        }
    }

    /// Neighbours along a sum that one number of a factor holds.
    pub(super) fn terms(&self) -> usize {
        self.kernel_to_points.len()
    }
}

/// Writes the functions once more for one instruction set, those that write factors for each way to write them.
macro_rules! lines {
    (
        $table:ident, $module:ident, $vector:ty, $(#[$feature:meta])?
        along: $along:ty, terms: [$($term:ty),*]
    ) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            pub(super) unsafe fn from_planes(from: *const f32, plane: usize, channels: usize, pixels: usize, to: *mut f32) {
                // SAFETY: the same contract.
                unsafe { planes_to_lines::<$vector>(from, plane, channels, pixels, to) }
            }

            $(#[$feature])?
            pub(super) unsafe fn to_planes(from: *const f32, pixels: usize, to: *mut f32, plane: usize, channels: usize) {
                // SAFETY: the same contract.
                unsafe { lines_to_planes::<$vector>(from, pixels, to, plane, channels) }
            }

            $(#[$feature])?
            pub(super) unsafe fn window_to_points<F: Factor<$vector>>(
                from: *const f32,
                strip: Strip,
                place: (isize, isize),
                to: *mut f32,
                stride: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { super::window_to_points::<$vector, F>(from, strip, place, to, stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn points_to_tile(
                from: *const f32,
                stride: usize,
                to: *mut f32,
                strip: Strip,
                place: (usize, usize),
            ) {
                // SAFETY: the same contract.
                unsafe { super::points_to_tile::<$vector>(from, stride, to, strip, place) }
            }

            $(#[$feature])?
            pub(super) unsafe fn tile_to_points<F: Factor<$vector>>(
                from: *const f32,
                strip: Strip,
                place: (usize, usize),
                to: *mut f32,
                stride: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { super::tile_to_points::<$vector, F>(from, strip, place, to, stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn kernel_to_points<F: Factor<$vector>>(from: *const f32, to: *mut f32, stride: usize) {
                // SAFETY: the same contract.
                unsafe { super::kernel_to_points::<$vector, F>(from, to, stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn points_to_kernel(from: *const f32, stride: usize, to: *mut f32) {
                // SAFETY: the same contract.
                unsafe { super::points_to_kernel::<$vector>(from, stride, to) }
            }
        }

        static $table: Lines = Lines {
            from_planes: $module::from_planes,
            to_planes: $module::to_planes,
            window_to_points_along: $module::window_to_points::<$along>,
            window_to_points: &[$($module::window_to_points::<$term>),*],
            points_to_tile: $module::points_to_tile,
            tile_to_points: &[$($module::tile_to_points::<$term>),*],
            kernel_to_points: &[$($module::kernel_to_points::<$term>),*],
            points_to_kernel: $module::points_to_kernel,
        };
    };
}

#[cfg(target_arch = "x86_64")]
lines!(AVX512, avx512, __m512, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    along: Whole, terms: [Whole]);
#[cfg(target_arch = "x86_64")]
lines!(AVX512_BF16, avx512_bf16, __m512, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    along: Along, terms: [First, Second]);
#[cfg(target_arch = "x86_64")]
lines!(AVX2, avx2, __m256, #[target_feature(enable = "avx2,fma")] along: Whole, terms: [Whole]);
lines!(PORTABLE, portable, Four, along: Whole, terms: [Whole]);

/// Numbers between two points whose own numbers are `numbers`. A line more than needed: 36 streams a power of two apart would share
/// their cache sets.
pub(super) fn point_stride(numbers: usize) -> usize {
    numbers + LINE
}

/// Numbers of all points.
pub(super) fn points_len(numbers: usize) -> usize {
    POINTS * point_stride(numbers)
}
