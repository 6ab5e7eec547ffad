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
unsafe fn input<V: Vector>(x: [V; 6]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let s = |number| V::splat(number);
        let even_a = x[4].minus_product(s(BB), x[2]);
        let odd_a = s(A).times(x[3].minus_product(s(BB), x[1]));
        let even_b = x[4].minus_product(s(AA), x[2]);
        let odd_b = s(B).times(x[3].minus_product(s(AA), x[1]));
        [
            x[4].minus_product(s(AA + BB), x[2]).plus_product(s(AA * BB), x[0]),
            even_a.plus(odd_a),
            even_a.minus(odd_a),
            even_b.plus(odd_b),
            even_b.minus(odd_b),
            x[5].minus_product(s(AA + BB), x[3]).plus_product(s(AA * BB), x[1]),
        ]
    }
}

/// Aᵀ m.
#[inline(always)]
unsafe fn output<V: Vector>(m: [V; 6]) -> [V; 4] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let s = |number| V::splat(number);
        let (sum_a, difference_a) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (sum_b, difference_b) = (m[3].plus(m[4]), m[3].minus(m[4]));
        [
            m[0].plus(sum_a.plus(sum_b)),
            s(B).times(difference_b).plus_product(s(A), difference_a),
            s(BB).times(sum_b).plus_product(s(AA), sum_a),
            m[5].plus(s(BB * B).times(difference_b).plus_product(s(AA * A), difference_a)),
        ]
    }
}

/// A y.
#[inline(always)]
unsafe fn gradient<V: Vector>(y: [V; 4]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let s = |number| V::splat(number);
        let (even_a, odd_a) = (y[0].plus_product(s(AA), y[2]), s(A).times(y[1]).plus_product(s(AA * A), y[3]));
        let (even_b, odd_b) = (y[0].plus_product(s(BB), y[2]), s(B).times(y[1]).plus_product(s(BB * B), y[3]));
        [y[0], even_a.plus(odd_a), even_a.minus(odd_a), even_b.plus(odd_b), even_b.minus(odd_b), y[3]]
    }
}

/// G w.
#[inline(always)]
unsafe fn weight<V: Vector>(w: [V; 3]) -> [V; 6] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let s = |number| V::splat(number);
        let (even_a, odd_a) = (s(GA).times(w[0].plus_product(s(AA), w[2])), s(GA * A).times(w[1]));
        let (even_b, odd_b) = (s(GB).times(w[0].plus_product(s(BB), w[2])), s(GB * B).times(w[1]));
        [s(G0).times(w[0]), even_a.plus(odd_a), even_a.minus(odd_a), even_b.plus(odd_b), even_b.minus(odd_b), w[2]]
    }
}

/// Gᵀ m.
#[inline(always)]
unsafe fn weight_gradient<V: Vector>(m: [V; 6]) -> [V; 3] {
    // SAFETY: the caller checked the instruction set.
    unsafe {
        let s = |number| V::splat(number);
        let (sum_a, difference_a) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (sum_b, difference_b) = (m[3].plus(m[4]), m[3].minus(m[4]));
        let even = s(GB).times(sum_b).plus_product(s(GA), sum_a);
        [
            even.plus_product(s(G0), m[0]),
            s(GB * B).times(difference_b).plus_product(s(GA * A), difference_a),
            m[5].plus(s(GB * BB).times(sum_b).plus_product(s(GA * AA), sum_a)),
        ]
    }
}

/// Applies `f` to the columns of a `ROWS`×`COLUMNS` matrix, then to the rows of the result; `at(row, column)` reads it.
macro_rules! both_ways {
    ($name:ident, $f:ident, $from:literal, $to:literal, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// The processor must have `V`'s instruction set.
        #[inline(always)]
        pub(super) unsafe fn $name<V: Vector>(at: impl Fn(usize, usize) -> V, mut put: impl FnMut(usize, usize, V)) {
            // SAFETY: the caller checked the instruction set.
            unsafe {
                let columns: [[V; $to]; $from] =
                    std::array::from_fn(|column| $f(std::array::from_fn(|row| at(row, column))));
                for row in 0..$to {
                    let transformed = $f(std::array::from_fn(|column: usize| columns[column][row]));
                    for column in 0..$to {
                        put(row, column, transformed[column]);
                    }
                }
            }
        }
    };
}

both_ways!(input_tile, input, 6, 6, "Bᵀ x B of a 6×6 tile.");
both_ways!(output_tile, output, 6, 4, "Aᵀ m A: a 4×4 tile.");
both_ways!(gradient_tile, gradient, 4, 6, "A y Aᵀ of a 4×4 tile.");
both_ways!(weight_tile, weight, 3, 6, "G w Gᵀ of a 3×3 kernel.");
both_ways!(weight_gradient_tile, weight_gradient, 6, 3, "Gᵀ m G: a 3×3 kernel.");
