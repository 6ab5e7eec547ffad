//! Matrix products of transformed tiles: the innermost loops of the Winograd convolution.
//!
//! Channels lie in lines of [`LINE`]; a line is one to four vectors. Where factors are bf16, every number is a pair of
//! neighbours along the sum: of reduced channels, or of tiles.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

#[cfg(target_arch = "x86_64")]
use crate::simd::Pairs;
use crate::simd::{Four, Isa, Sums};

/// Channels that lie next to each other in memory.
pub(in crate::conv) const LINE: usize = 16;

/// `m[tile][o] = Σ_c v[tile][c] * u[c][o]` for `TILES` tiles and `VECTORS` vectors of output channels.
///
/// `v` is lines of input channels, `TILES` tiles of the first line, then of the second …; `u` is one row of `VECTORS` vectors
/// per input channel (or pair of them); lines of output channels are `m_stride` apart in `m`. Sums run over the input channels in
/// order.
///
/// # Safety
/// The pointers must be valid for that, for `channels` input channels (or pairs of them).
#[inline(always)]
unsafe fn tiles_by_channels<V: Sums, const TILES: usize, const VECTORS: usize>(
    channels: usize,
    mut v: *const f32,
    mut u: *const f32,
    m: *mut f32,
    m_stride: usize,
) {
    // SAFETY: the caller guarantees the pointers.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; TILES];
        let mut left = channels;
        while left > 0 {
            let line = left.min(LINE / V::TERMS);
            for channel in 0..line {
                // A loop, not a closure: that would not have the instruction set, and so call every instruction.
                let mut weights = [V::splat(0.0); VECTORS];
                for (n, weights) in weights.iter_mut().enumerate() {
                    *weights = V::load(u.add(n * V::LANES));
                }
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let number = V::splat(*v.add(tile * (LINE / V::TERMS) + channel));
                    for (sum, &weights) in sums.iter_mut().zip(&weights) {
                        *sum = sum.plus_product(number, weights);
                    }
                }
                u = u.add(VECTORS * V::LANES);
            }
            v = v.add(TILES * (LINE / V::TERMS));
            left -= line;
        }
        for (tile, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                let (line, lane) = (n * V::LANES / LINE, n * V::LANES % LINE);
                sum.store(m.add(line * m_stride + tile * LINE + lane));
            }
        }
    }
}

/// `m[c][o] = Σ_tile v[tile][c] * z[tile][o]`, or `+=` where `onto` says so, for `CHANNELS` input channels and `VECTORS` vectors of output channels.
///
/// `v` and `z` are lines of one tile (or pair of tiles) after the other; lines of output channels are `z_stride` apart in `z`, rows
/// `m_stride` apart in `m`. Sums run over the tiles in order.
///
/// # Safety
/// The pointers must be valid for that, for `tiles` tiles (or pairs of them).
#[inline(always)]
unsafe fn channels_by_channels<V: Sums, const CHANNELS: usize, const VECTORS: usize>(
    tiles: usize,
    v: *const f32,
    z: *const f32,
    z_stride: usize,
    m: *mut f32,
    m_stride: usize,
    onto: bool,
) {
    // SAFETY: the caller guarantees the pointers.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; CHANNELS];
        for tile in 0..tiles {
            let mut gradients = [V::splat(0.0); VECTORS];
            for (n, gradients) in gradients.iter_mut().enumerate() {
                let (line, lane) = (n * V::LANES / LINE, n * V::LANES % LINE);
                *gradients = V::load(z.add(line * z_stride + tile * LINE + lane));
            }
            for (channel, sums) in sums.iter_mut().enumerate() {
                let number = V::splat(*v.add(tile * LINE + channel));
                for (sum, &gradient) in sums.iter_mut().zip(&gradients) {
                    *sum = sum.plus_product(number, gradient);
                }
            }
        }
        for (channel, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let to = m.add(channel * m_stride + n * V::LANES);
                let sum = if onto { V::load(to).plus(sum) } else { sum };
                sum.store(to);
            }
        }
    }
}

/// [`tiles_by_channels`] for a fixed number of tiles and output channels.
pub(in crate::conv) type TileProduct =
    unsafe fn(channels: usize, v: *const f32, u: *const f32, m: *mut f32, m_stride: usize);

/// [`channels_by_channels`] for a fixed number of input and output channels.
pub(in crate::conv) type ChannelProduct =
    unsafe fn(tiles: usize, v: *const f32, z: *const f32, z_stride: usize, m: *mut f32, m_stride: usize, onto: bool);

/// The products of one instruction set.
pub(in crate::conv) struct Products {
    /// Entry `i` is for `i + 1` lines of output channels.
    pub(in crate::conv) by_lines: &'static [ByLines],
    /// Neighbours along the sum that one number of a factor holds.
    pub(in crate::conv) terms: usize,
    /// Numbers along the sum that a product takes at once: both factors are filled up to a multiple with zeros.
    pub(in crate::conv) step: usize,
    /// Input channels that a gradient's product takes; divides a line.
    pub(in crate::conv) channel_step: usize,
    /// Makes what a gradient's product reads of a line of input channels; see [`Turn`].
    pub(in crate::conv) turn: Option<Turn>,
}

/// Turns `blocks` blocks of [`LINE`] lines, one behind the other, so that rows become columns.
pub(in crate::conv) type Turn = unsafe fn(blocks: usize, lines: *mut f32);

/// The products for a number of lines.
pub(in crate::conv) struct ByLines {
    /// Entry `i` is for `i + 1` tiles.
    pub(in crate::conv) tiles: &'static [TileProduct],
    pub(in crate::conv) gradient: ChannelProduct,
}

impl Products {
    /// The products for `isa`.
    pub(in crate::conv) fn of(isa: Isa) -> &'static Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => &AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Amx => &super::tiles::PRODUCTS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            Isa::Portable => &PORTABLE,
        }
    }

    /// Lines of output channels that are multiplied at once.
    pub(in crate::conv) fn lines(&self) -> usize {
        self.by_lines.len()
    }

    /// Most tiles that are multiplied at once.
    pub(in crate::conv) fn tiles(&self) -> usize {
        self.by_lines[0].tiles.len()
    }

    /// Whether they take whole tiles of a processor's: then their factors lie in blocks of 16 by 16 numbers.
    pub(in crate::conv) fn in_blocks(&self) -> bool {
        self.step > 1
    }
}

/// Writes the products once more for one instruction set.
macro_rules! products {
    (
        $table:ident, $module:ident, $vector:ty, $(#[$feature:meta])?
        tiles: [$($tiles:literal),*], vectors: [$($vectors:literal),*], channels: $channels:literal
    ) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            pub(super) unsafe fn tiles<const TILES: usize, const VECTORS: usize>(
                channels: usize,
                v: *const f32,
                u: *const f32,
                m: *mut f32,
                m_stride: usize,
            ) {
                // SAFETY: the same contract.
                unsafe { tiles_by_channels::<$vector, TILES, VECTORS>(channels, v, u, m, m_stride) }
            }

            $(#[$feature])?
            pub(super) unsafe fn channels<const VECTORS: usize>(
                tiles: usize,
                v: *const f32,
                z: *const f32,
                z_stride: usize,
                m: *mut f32,
                m_stride: usize,
                onto: bool,
            ) {
                // SAFETY: the same contract.
                unsafe { channels_by_channels::<$vector, $channels, VECTORS>(tiles, v, z, z_stride, m, m_stride, onto) }
            }
        }

        static $table: Products = Products {
            by_lines: products!(@ $module [$($vectors),*] [$($tiles),*]),
            terms: <$vector as Sums>::TERMS,
            step: 1,
            channel_step: $channels,
            turn: None,
        };
    };
    (@ $module:ident [$($vectors:literal),*] $tiles:tt) => {
        &[$(ByLines {
            tiles: products!(@ $module $vectors $tiles),
            gradient: $module::channels::<$vectors>,
        }),*]
    };
    (@ $module:ident $vectors:literal [$($tiles:literal),*]) => {
        &[$($module::tiles::<$tiles, $vectors>),*]
    };
}

// 32 registers: at most 28 sums, two vectors of weights, one number.
#[cfg(target_arch = "x86_64")]
products!(AVX512, avx512, __m512, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
    tiles: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], vectors: [1, 2], channels: 8);

// The same registers.
#[cfg(target_arch = "x86_64")]
products!(AVX512_BF16, avx512_bf16, Pairs, #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16")]
    tiles: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], vectors: [1, 2], channels: 8);

// 16 registers: at most 12 sums, two vectors of weights, one number.
#[cfg(target_arch = "x86_64")]
products!(AVX2, avx2, __m256, #[target_feature(enable = "avx2,fma")]
    tiles: [1, 2, 3, 4, 5, 6], vectors: [2], channels: 4);

products!(PORTABLE, portable, Four, tiles: [1, 2], vectors: [4], channels: 2);
