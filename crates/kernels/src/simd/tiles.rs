//! Products of bf16 by AMX: a tile register holds 16 rows of 64 bytes, and one instruction multiplies two of them.
//!
//! An `A` tile is 16 rows, each of 32 neighbouring terms of a sum; a `B` tile is 16 rows of pairs of terms, a pair for each of 16
//! columns; their product adds 16×16 sums of f32 to a third tile. The processor takes numbers below f32's normal range (1e-38) for zero.
//! Every row and every column is computed as if it were alone: what lies in rows that nobody asked for does not matter.
//!
//! Eight registers hold four tiles of sums, and so up to four of `A` and `B`: two by two, or one by four. As many sums must be in
//! work at once, because an addition to one of them takes as long as four products.

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile, and columns of its sums.
pub(crate) const ROWS: usize = 16;

/// Numbers (pairs of terms) in a row of a tile.
pub(crate) const PAIRS: usize = 16;

/// Numbers of a tile.
pub(crate) const TILE: usize = ROWS * PAIRS;

/// Whether this processor has tiles of bf16, and the kernel grants them to this process, for which the first call asks.
pub(crate) fn granted() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| exist() && ask())
}

/// Whether the processor has the instructions, and the kernel keeps the registers.
fn exist() -> bool {
    use std::arch::x86_64::{__cpuid_count, __get_cpuid_max, _xgetbv};
    /// `AMX-BF16` and `AMX-TILE` in EDX of leaf 7.
    const BF16_TILES: u32 = 1 << 22 | 1 << 24;
    /// `XTILECFG` and `XTILEDATA` in XCR0.
    const KEPT: u64 = 1 << 17 | 1 << 18;
    if __get_cpuid_max(0).0 < 7 || __cpuid_count(7, 0).edx & BF16_TILES != BF16_TILES {
        return false;
    }
    // SAFETY: the instruction is there if this is.
    is_x86_feature_detected!("xsave") && unsafe { _xgetbv(0) } & KEPT == KEPT
}

/// Asks for the registers' data, 8 kB per thread that Linux keeps for those processes alone that ask.
#[cfg(target_os = "linux")]
fn ask() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers; a kernel that does not know it refuses.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// A thread's tile registers, ready for [`product`]; let go of at the end, so that nobody keeps their 8 kB alive.
///
/// Not `Send`: they are that thread's. Work with them in hand must not wait for other tasks of its thread.
pub(crate) struct Ready(PhantomData<*const ()>);

#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static WHOLE_TILES: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (4 * PAIRS as u16, ROWS as u8);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

impl Ready {
    /// # Safety
    /// The tiles are [`granted`].
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: the instruction reads the 64 bytes, which are valid; the registers are nobody's: compiled code has no use for them.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &WHOLE_TILES, options(nostack, preserves_flags, readonly)) }
        Self(PhantomData)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // SAFETY: whoever made it had the instructions.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
    }
}

/// Where the tiles of a factor lie; distances in numbers.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    pub(crate) first: *const f32,
    /// From one row of a tile to the next.
    pub(crate) row: usize,
    /// From a tile to that of the next terms.
    pub(crate) step: usize,
    /// From a tile to that of the next rows (`A`) or columns (`B`).
    pub(crate) next: usize,
}

/// Where the sums go; distances in numbers.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) first: *mut f32,
    /// From one row of a tile to the next.
    pub(crate) row: usize,
    /// From the tile of one `A` to that of the next.
    pub(crate) down: usize,
    /// From the tile of one `B` to that of the next.
    pub(crate) right: usize,
}

/// What the loops read now and then, in bytes.
#[repr(C)]
struct Job {
    a_step: usize,
    b_step: usize,
    c: [*mut f32; 4],
}

/// One shape of the loop: so many tiles of `A` and of `B`, and the instructions of a step, which may read `{a0}`, `{a1}` and `{b0}` to `{b3}`.
macro_rules! shape {
    (
        $name:ident, sums: [$($sum:literal at $place:literal),*], a: [$($a:ident = $i:literal),*], b: [$($b:ident = $j:literal),*],
        $($step:literal),*
    ) => {
        /// # Safety
        /// As [`product`].
        unsafe fn $name(steps: usize, a: Factor, b: Factor, c: Target, onto: bool) {
            let (down, right) = (c.first.wrapping_add(c.down), c.first.wrapping_add(c.right));
            let places = if [$($i),*].len() == 1 {
                [c.first, right, right.wrapping_add(c.right), right.wrapping_add(2 * c.right)]
            } else {
                [c.first, right, down, down.wrapping_add(c.right)]
            };
            let job = Job { a_step: 4 * a.step, b_step: 4 * b.step, c: places };
            // SAFETY: the caller guarantees that the tiles are ready, and the reads and writes. The block alone touches the tile
            // registers, which it reads after it wrote them.
            unsafe {
                asm!(
                    "test {onto:l}, {onto:l}",
                    "jz 2f",
                    $(concat!("mov {to}, [{job} + ", $place, "]"), concat!("tileloadd ", $sum, ", [{to} + {c_row}]"),)*
                    "jmp 3f",
                    "2:",
                    $(concat!("tilezero ", $sum),)*
                    "3:",
                    $($step,)*
                    $(concat!("add {", stringify!($a), "}, [{job}]"),)*
                    $(concat!("add {", stringify!($b), "}, [{job} + 8]"),)*
                    "dec {steps}",
                    "jnz 3b",
                    $(concat!("mov {to}, [{job} + ", $place, "]"), concat!("tilestored [{to} + {c_row}], ", $sum),)*
                    $($a = inout(reg) a.first.wrapping_add($i * a.next) => _,)*
                    $($b = inout(reg) b.first.wrapping_add($j * b.next) => _,)*
                    a_row = in(reg) 4 * a.row,
                    b_row = in(reg) 4 * b.row,
                    c_row = in(reg) 4 * c.row,
                    job = in(reg) &raw const job,
                    onto = in(reg) usize::from(onto),
                    steps = inout(reg) steps => _,
                    to = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            }
        }
    };
}

shape!(one_by_one, sums: ["tmm0" at 16], a: [a0 = 0], b: [b0 = 0],
    "tileloadd tmm4, [{a0} + {a_row}]", "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6");

shape!(one_by_two, sums: ["tmm0" at 16, "tmm1" at 24], a: [a0 = 0], b: [b0 = 0, b1 = 1],
    "tileloadd tmm4, [{a0} + {a_row}]",
    "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{b1} + {b_row}]", "tdpbf16ps tmm1, tmm4, tmm7");

shape!(one_by_three, sums: ["tmm0" at 16, "tmm1" at 24, "tmm2" at 32], a: [a0 = 0], b: [b0 = 0, b1 = 1, b2 = 2],
    "tileloadd tmm4, [{a0} + {a_row}]",
    "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{b1} + {b_row}]", "tdpbf16ps tmm1, tmm4, tmm7",
    "tileloadd tmm5, [{b2} + {b_row}]", "tdpbf16ps tmm2, tmm4, tmm5");

shape!(one_by_four, sums: ["tmm0" at 16, "tmm1" at 24, "tmm2" at 32, "tmm3" at 40],
    a: [a0 = 0], b: [b0 = 0, b1 = 1, b2 = 2, b3 = 3],
    "tileloadd tmm4, [{a0} + {a_row}]",
    "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{b1} + {b_row}]", "tdpbf16ps tmm1, tmm4, tmm7",
    "tileloadd tmm5, [{b2} + {b_row}]", "tdpbf16ps tmm2, tmm4, tmm5",
    "tileloadd tmm6, [{b3} + {b_row}]", "tdpbf16ps tmm3, tmm4, tmm6");

shape!(two_by_one, sums: ["tmm0" at 16, "tmm2" at 32], a: [a0 = 0, a1 = 1], b: [b0 = 0],
    "tileloadd tmm4, [{a0} + {a_row}]", "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm5, [{a1} + {a_row}]", "tdpbf16ps tmm2, tmm5, tmm6");

shape!(two_by_two, sums: ["tmm0" at 16, "tmm1" at 24, "tmm2" at 32, "tmm3" at 40], a: [a0 = 0, a1 = 1], b: [b0 = 0, b1 = 1],
    "tileloadd tmm4, [{a0} + {a_row}]", "tileloadd tmm6, [{b0} + {b_row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "tileloadd tmm7, [{b1} + {b_row}]", "tdpbf16ps tmm1, tmm4, tmm7",
    "tileloadd tmm5, [{a1} + {a_row}]", "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7");

/// `c = a b` over `steps` times 32 terms, or `c += a b` where `onto` says so, for `A` tiles of `a` and `B` tiles of `b`: one by one to
/// four, or two by one or two. Terms are summed in order, two by two.
///
/// Tiles that start at multiples of 64 bytes, and so do their rows, are read six times as fast as others.
///
/// # Safety
/// This thread's tiles are [`Ready`]; `steps` is not 0; all tiles of the factors can be read, and those of the target written, and read
/// where `onto` says so.
#[inline(always)]
pub(crate) unsafe fn product<const A: usize, const B: usize>(
    steps: usize,
    a: Factor,
    b: Factor,
    c: Target,
    onto: bool,
) {
    debug_assert!(steps > 0);
    let shape = match (A, B) {
        (1, 1) => one_by_one,
        (1, 2) => one_by_two,
        (1, 3) => one_by_three,
        (1, 4) => one_by_four,
        (2, 1) => two_by_one,
        (2, 2) => two_by_two,
        _ => unreachable!("no kernel asks for this shape"),
    };
    // SAFETY: the same contract.
    unsafe { shape(steps, a, b, c, onto) }
}

/// One step of a sum: where its tiles lie, in bytes from the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Step {
    a: usize,
    b: usize,
}

impl Step {
    /// For distances in numbers.
    pub(crate) fn new(a: usize, b: usize) -> Self {
        Self { a: 4 * a, b: 4 * b }
    }
}

/// Tiles that follow each other without a gap between rows.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    pub(crate) first: *const f32,
    /// From a tile to that of the next rows (`A`) or columns (`B`), in numbers.
    pub(crate) next: usize,
}

/// One shape of the loop over listed steps.
macro_rules! listed_shape {
    ($name:ident, sums: [$($sum:literal at $place:literal),*], $($step:literal),*) => {
        /// # Safety
        /// As [`listed_product`].
        unsafe fn $name(steps: &[Step], a: Tiles, b: Tiles, c: Target, onto: bool) {
            let (down, right) = (c.first.wrapping_add(c.down), c.first.wrapping_add(c.right));
            let places = [c.first, right, down, down.wrapping_add(c.right)];
            // SAFETY: the caller guarantees that the tiles are ready, and the reads and writes. The block alone touches the tile
            // registers, which it reads after it wrote them.
            unsafe {
                asm!(
                    "test {onto:l}, {onto:l}",
                    "jz 2f",
                    $(concat!("mov {t}, [{places} + ", $place, "]"), concat!("tileloadd ", $sum, ", [{t} + {c_row}]"),)*
                    "jmp 3f",
                    "2:",
                    $(concat!("tilezero ", $sum),)*
                    "3:",
                    "test {left}, {left}",
                    "jz 5f",
                    "4:",
                    "mov {t}, [{steps}]",
                    "mov {u}, [{steps} + 8]",
                    "add {steps}, 16",
                    "add {t}, {a}",
                    "add {u}, {b}",
                    $($step,)*
                    "dec {left}",
                    "jnz 4b",
                    "5:",
                    $(concat!("mov {t}, [{places} + ", $place, "]"), concat!("tilestored [{t} + {c_row}], ", $sum),)*
                    onto = in(reg) usize::from(onto),
                    places = in(reg) places.as_ptr(),
                    c_row = in(reg) 4 * c.row,
                    steps = inout(reg) steps.as_ptr() => _,
                    left = inout(reg) steps.len() => _,
                    a = in(reg) a.first,
                    b = in(reg) b.first,
                    a_next = in(reg) 4 * a.next,
                    b_next = in(reg) 4 * b.next,
                    row = in(reg) 4 * PAIRS,
                    t = out(reg) _,
                    u = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            }
        }
    };
}

listed_shape!(listed_one_by_one, sums: ["tmm0" at 0],
    "tileloadd tmm4, [{t} + {row}]", "tileloadd tmm6, [{u} + {row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "/* {a_next} {b_next} */");

listed_shape!(listed_one_by_two, sums: ["tmm0" at 0, "tmm1" at 8],
    "tileloadd tmm4, [{t} + {row}]", "tileloadd tmm6, [{u} + {row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "add {u}, {b_next}", "tileloadd tmm7, [{u} + {row}]", "tdpbf16ps tmm1, tmm4, tmm7", "/* {a_next} */");

listed_shape!(listed_two_by_one, sums: ["tmm0" at 0, "tmm2" at 16],
    "tileloadd tmm4, [{t} + {row}]", "tileloadd tmm6, [{u} + {row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "add {t}, {a_next}", "tileloadd tmm5, [{t} + {row}]", "tdpbf16ps tmm2, tmm5, tmm6", "/* {b_next} */");

listed_shape!(listed_two_by_two, sums: ["tmm0" at 0, "tmm1" at 8, "tmm2" at 16, "tmm3" at 24],
    "tileloadd tmm4, [{t} + {row}]", "tileloadd tmm6, [{u} + {row}]", "tdpbf16ps tmm0, tmm4, tmm6",
    "add {u}, {b_next}", "tileloadd tmm7, [{u} + {row}]", "tdpbf16ps tmm1, tmm4, tmm7",
    "add {t}, {a_next}", "tileloadd tmm5, [{t} + {row}]", "tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7");

/// `c = Σ a b` over the steps, in order, or `c += Σ a b` where `onto` says so, for `shape.0` tiles of `A` and `shape.1` of `B`, one or two of
/// each. Without any step the sums are zero.
///
/// # Safety
/// This thread's tiles are [`Ready`]; all tiles of the factors can be read at every step, and those of the target written, and read where
/// `onto` says so.
#[inline(always)]
pub(crate) unsafe fn listed_product(shape: (usize, usize), steps: &[Step], a: Tiles, b: Tiles, c: Target, onto: bool) {
    let product = match shape {
        (1, 1) => listed_one_by_one,
        (1, 2) => listed_one_by_two,
        (2, 1) => listed_two_by_one,
        (2, 2) => listed_two_by_two,
        _ => unreachable!("no kernel asks for this shape"),
    };
    // SAFETY: the same contract.
    unsafe { product(steps, a, b, c, onto) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, whose products and sums are exact.
    fn number(seed: usize, i: usize) -> f32 {
        ((i * 7 + seed * 5) % 11) as f32 - 5.0
    }

    /// The bits of two terms in bf16, the earlier in the low half.
    fn pair(first: f32, second: f32) -> f32 {
        f32::from_bits(first.to_bits() >> 16 | second.to_bits() & 0xffff_0000)
    }

    fn check<const A: usize, const B: usize>(steps: usize, onto: bool) {
        let (terms, rows, columns) = (2 * PAIRS * steps, A * ROWS, B * ROWS);
        let a = |row: usize, term: usize| number(row, term);
        let b = |term: usize, column: usize| number(term, column + 3);
        let left: Vec<f32> = (0..rows * terms / 2)
            .map(|i| (i / (terms / 2), i % (terms / 2)))
            .map(|(row, k)| pair(a(row, 2 * k), a(row, 2 * k + 1)))
            .collect();
        let right: Vec<f32> = (0..terms / 2 * columns)
            .map(|i| (i / columns, i % columns))
            .map(|(k, column)| pair(b(2 * k, column), b(2 * k + 1, column)))
            .collect();
        let mut sums = vec![if onto { 1.0 } else { f32::NAN }; rows * columns];
        // SAFETY: the tiles are granted; the vectors hold all tiles.
        unsafe {
            let _ready = Ready::new();
            let left = Factor { first: left.as_ptr(), row: terms / 2, step: PAIRS, next: ROWS * terms / 2 };
            let right = Factor { first: right.as_ptr(), row: columns, step: ROWS * columns, next: ROWS };
            let to = Target { first: sums.as_mut_ptr(), row: columns, down: ROWS * columns, right: ROWS };
            product::<A, B>(steps, left, right, to, onto);
        }
        for (i, &sum) in sums.iter().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let expected: f32 = (0..terms).map(|term| a(row, term) * b(term, column)).sum();
            assert_eq!(sum, expected + f32::from(u8::from(onto)), "{A}x{B}, {steps} steps: {row}, {column}");
        }
    }

    fn check_listed(shape: (usize, usize), count: usize, onto: bool) {
        let (rows, columns) = (shape.0 * ROWS, shape.1 * ROWS);
        let tile = |seed: usize| (0..TILE).map(move |i| pair(number(seed, 2 * i), number(seed, 2 * i + 1)));
        let left: Vec<f32> = (0..2 * count).flat_map(tile).collect();
        let right: Vec<f32> = (0..2 * count).flat_map(|seed| tile(seed + 4)).collect();
        // Backwards through the first, so that places and order differ.
        let steps: Vec<Step> = (0..count).map(|i| Step::new(2 * (count - 1 - i) * TILE, 2 * i * TILE)).collect();
        let mut sums = vec![if onto { 1.0 } else { f32::NAN }; rows * columns];
        // SAFETY: the tiles are granted; the vectors hold all tiles.
        unsafe {
            let _ready = Ready::new();
            let tiles = |numbers: &[f32]| Tiles { first: numbers.as_ptr(), next: TILE };
            let to = Target { first: sums.as_mut_ptr(), row: columns, down: ROWS * columns, right: ROWS };
            listed_product(shape, &steps, tiles(&left), tiles(&right), to, onto);
        }
        for (i, &sum) in sums.iter().enumerate() {
            let (row, column) = (i / columns, i % columns);
            let term = |step: usize, k: usize| {
                let (a, b) = (2 * (count - 1 - step) + row / ROWS, 2 * step + column / ROWS + 4);
                let a = number(a, 2 * (row % ROWS * PAIRS + k / 2) + k % 2);
                a * number(b, 2 * (k / 2 * PAIRS + column % ROWS) + k % 2)
            };
            let expected: f32 =
                (0..count).flat_map(|step| (0..2 * PAIRS).map(move |k| (step, k))).map(|(step, k)| term(step, k)).sum();
            assert_eq!(sum, expected + f32::from(u8::from(onto)), "{shape:?}, {count} steps: {row}, {column}");
        }
    }

    #[test]
    fn every_shape_multiplies_listed_tiles() {
        if !granted() {
            return; // Not on this processor.
        }
        for shape in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            for (count, onto) in [(0, false), (0, true), (1, true), (3, false)] {
                check_listed(shape, count, onto);
            }
        }
    }

    #[test]
    fn every_shape_multiplies() {
        if !granted() {
            return; // Not on this processor.
        }
        for (steps, onto) in [(1, false), (1, true), (2, false), (5, true)] {
            check::<1, 1>(steps, onto);
            check::<1, 2>(steps, onto);
            check::<1, 3>(steps, onto);
            check::<1, 4>(steps, onto);
            check::<2, 1>(steps, onto);
            check::<2, 2>(steps, onto);
        }
    }
}
