//! The transforms of Winograd's F(4×4, 3×3): a 4×4 tile of outputs from a 6×6 tile of inputs with 36 products instead of 144.
//!
//! With matrices A, B, G of the interpolation points 0, ±a, ±b and ∞ a one-dimensional convolution is Aᵀ[(G w) ⊙ (Bᵀ x)];
//! the two-dimensional one applies each matrix to rows and columns. The points 5/8 and 3/2 lose the least precision of those
//! tried (Lavin & Gray, 2016, used 1 and 2, which lose twice as much).

use crate::simd::Vector;

/// Numbers of a transformed tile.
pub(super) const POINTS: usize = 36;

const A: f32 = 0.625;
const B: f32 = 1.5;
const AA: f32 = A * A;
const BB: f32 = B * B;
const G0: f32 = 1.0 / (AA * BB);
const GA: f32 = 1.0 / (2.0 * AA * (AA - BB));
const GB: f32 = 1.0 / (2.0 * BB * (BB - AA));

/// Bᵀ x.
#[inline(always)]
pub(super) unsafe fn input<V: Vector>(x: [V; 6]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let even_a = x[4].minus_product(V::splat(BB), x[2]);
        let odd_a = V::splat(A).times(x[3].minus_product(V::splat(BB), x[1]));
        let even_b = x[4].minus_product(V::splat(AA), x[2]);
        let odd_b = V::splat(B).times(x[3].minus_product(V::splat(AA), x[1]));
        [
            x[4].minus_product(V::splat(AA + BB), x[2]).plus_product(V::splat(AA * BB), x[0]),
            even_a.plus(odd_a),
            even_a.minus(odd_a),
            even_b.plus(odd_b),
            even_b.minus(odd_b),
            x[5].minus_product(V::splat(AA + BB), x[3]).plus_product(V::splat(AA * BB), x[1]),
        ]
    }
}

/// Aᵀ m.
#[inline(always)]
pub(super) unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let (sum_a, difference_a) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (sum_b, difference_b) = (m[3].plus(m[4]), m[3].minus(m[4]));
        [
            m[0].plus(sum_a.plus(sum_b)),
            V::splat(B).times(difference_b).plus_product(V::splat(A), difference_a),
            V::splat(BB).times(sum_b).plus_product(V::splat(AA), sum_a),
            m[5].plus(V::splat(BB * B).times(difference_b).plus_product(V::splat(AA * A), difference_a)),
        ]
    }
}

/// A y.
#[inline(always)]
pub(super) unsafe fn gradient<V: Vector>(y: [V; 4]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let (even_a, odd_a) =
            (y[0].plus_product(V::splat(AA), y[2]), V::splat(A).times(y[1]).plus_product(V::splat(AA * A), y[3]));
        let (even_b, odd_b) =
            (y[0].plus_product(V::splat(BB), y[2]), V::splat(B).times(y[1]).plus_product(V::splat(BB * B), y[3]));
        [y[0], even_a.plus(odd_a), even_a.minus(odd_a), even_b.plus(odd_b), even_b.minus(odd_b), y[3]]
    }
}

/// G w.
#[inline(always)]
pub(super) unsafe fn weight<V: Vector>(w: [V; 3]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let (even_a, odd_a) = (V::splat(GA).times(w[0].plus_product(V::splat(AA), w[2])), V::splat(GA * A).times(w[1]));
        let (even_b, odd_b) = (V::splat(GB).times(w[0].plus_product(V::splat(BB), w[2])), V::splat(GB * B).times(w[1]));
        [
            V::splat(G0).times(w[0]),
            even_a.plus(odd_a),
            even_a.minus(odd_a),
            even_b.plus(odd_b),
            even_b.minus(odd_b),
            w[2],
        ]
    }
}

/// Gᵀ m.
#[inline(always)]
pub(super) unsafe fn weight_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let (sum_a, difference_a) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (sum_b, difference_b) = (m[3].plus(m[4]), m[3].minus(m[4]));
        let even = V::splat(GB).times(sum_b).plus_product(V::splat(GA), sum_a);
        [
            even.plus_product(V::splat(G0), m[0]),
            V::splat(GB * B).times(difference_b).plus_product(V::splat(GA * A), difference_a),
            m[5].plus(V::splat(GB * BB).times(sum_b).plus_product(V::splat(GA * AA), sum_a)),
        ]
    }
}

/// Applies the one-dimensional transform `$f` to the columns of a `$from`×`$from` matrix, whose number in row `$i` and column
/// `$j` is `$load`, then to the rows of the result; `$store` takes the vector `$v` in row `$r` and column `$c`.
///
/// A macro rather than a function of closures, which would not have the instruction set, and so call every instruction.
macro_rules! both_ways {
    ($f:ident, $from:literal => $to:literal, |$i:ident, $j:ident| $load:expr, |$r:ident, $c:ident, $v:ident| $store:expr) => {{
        let mut columns = [[V::splat(0.0); $to]; $from];
        for $j in 0..$from {
            let mut column = [V::splat(0.0); $from];
            for $i in 0..$from {
                column[$i] = $load;
            }
            columns[$j] = $crate::conv::winograd::transform::$f(column);
        }
        for $r in 0..$to {
            let mut row = [V::splat(0.0); $from];
            for column in 0..$from {
                row[column] = columns[column][$r];
            }
            let row = $crate::conv::winograd::transform::$f(row);
            for $c in 0..$to {
                let $v = row[$c];
                $store;
            }
        }
    }};
}
pub(super) use both_ways;
