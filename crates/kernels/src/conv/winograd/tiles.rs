//! The products of [`super::kernel`] by AMX's tiles of 16×16 sums.
//!
//! Forward, a tile's rows are 16 of Winograd's tiles, each with 32 channels next to each other: two lines, which [`Panels`](super::points)
//! lays side by side. Two blocks of 16 tiles are multiplied with two lines of computed channels at a time, so that four sums of 16×16 are
//! in work and each tile that is read serves two products. The transformed weights, rows of pairs of channels, are the other factor
//! as they lie. Panels are whole blocks: what the last one holds behind its tiles is multiplied too, and read by nobody.
//!
//! For the weight gradient a tile's rows are 16 input channels, each with 32 of Winograd's tiles in pairs; since transforms write a line of
//! channels at a time, they are turned first. They are multiplied with up to four lines of output channels, four sums again.

use std::arch::x86_64::__m512;

use super::kernel::{ByLines, LINE, Products, TileProduct};
use crate::simd::Vector;
use crate::simd::tiles::{Factor, PAIRS, ROWS, TILE, Target, product};

const _: () = assert!(LINE == ROWS && LINE == PAIRS);

/// [`super::kernel::tiles_by_channels`] for one or two blocks of 16 tiles.
///
/// # Safety
/// As there, for whole blocks, and for `channels` pairs, a multiple of 16; the thread is ready for the tiles.
unsafe fn tiles_by_channels<const BLOCKS: usize, const LINES: usize>(
    channels: usize,
    v: *const f32,
    u: *const f32,
    m: *mut f32,
    m_stride: usize,
) {
    let steps = channels / PAIRS;
    let v = Factor { first: v, row: PAIRS, step: TILE, next: steps * TILE };
    for line in (0..LINES).step_by(2) {
        let u =
            Factor { first: u.wrapping_add(line * LINE), row: LINES * LINE, step: PAIRS * LINES * LINE, next: LINE };
        let m = Target { first: m.wrapping_add(line * m_stride), row: LINE, down: TILE, right: m_stride };
        // SAFETY: the same contract.
        unsafe {
            match (BLOCKS, LINES - line) {
                (1, 1) => product::<1, 1>(steps, v, u, m, false),
                (1, _) => product::<1, 2>(steps, v, u, m, false),
                (_, 1) => product::<2, 1>(steps, v, u, m, false),
                (_, _) => product::<2, 2>(steps, v, u, m, false),
            }
        }
    }
}

/// [`super::kernel::channels_by_channels`] for a line of input channels, whose blocks are [turned](turn).
///
/// # Safety
/// As there, for `tiles` pairs, a multiple of 16; the thread is ready for the tiles.
unsafe fn channels_by_channels<const LINES: usize>(
    tiles: usize,
    v: *const f32,
    z: *const f32,
    z_stride: usize,
    m: *mut f32,
    m_stride: usize,
    onto: bool,
) {
    let v = Factor { first: v, row: PAIRS, step: TILE, next: 0 };
    let z = Factor { first: z, row: LINE, step: TILE, next: z_stride };
    let m = Target { first: m, row: m_stride, down: 0, right: LINE };
    // SAFETY: the same contract.
    unsafe { product::<1, LINES>(tiles / PAIRS, v, z, m, onto) }
}

/// Turns blocks of 16 lines of 16 numbers.
///
/// # Safety
/// The processor has AVX-512; `lines` can be read and written for `blocks` blocks.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
unsafe fn turn(blocks: usize, lines: *mut f32) {
    for block in 0..blocks {
        // SAFETY: the caller guarantees the block, which is read as a whole before it is written.
        unsafe {
            let block = lines.add(block * TILE);
            __m512::transpose(block, LINE, block, LINE);
        }
    }
}

/// Entry `i` is for `i + 1` tiles: whole blocks of them.
const fn by_tiles<const LINES: usize>() -> [TileProduct; 2 * ROWS] {
    let mut products: [TileProduct; 2 * ROWS] = [tiles_by_channels::<1, LINES>; 2 * ROWS];
    let mut tiles = ROWS;
    while tiles < products.len() {
        products[tiles] = tiles_by_channels::<2, LINES>;
        tiles += 1;
    }
    products
}

static TILES: [[TileProduct; 2 * ROWS]; 4] = [by_tiles::<1>(), by_tiles::<2>(), by_tiles::<3>(), by_tiles::<4>()];

/// The products of tiles.
pub(super) static PRODUCTS: Products = Products {
    by_lines: &[
        ByLines { tiles: &TILES[0], gradient: channels_by_channels::<1> },
        ByLines { tiles: &TILES[1], gradient: channels_by_channels::<2> },
        ByLines { tiles: &TILES[2], gradient: channels_by_channels::<3> },
        ByLines { tiles: &TILES[3], gradient: channels_by_channels::<4> },
    ],
    terms: 2,
    step: PAIRS,
    channel_step: LINE,
    turn: Some(turn),
};
