//! Vectors of f32 in the widths that processors have, and which of them this processor has.

#[cfg(target_arch = "x86_64")]
pub(crate) mod pairs;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tiles;
mod vector;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
pub(crate) use pairs::Pairs;
pub(crate) use vector::{Four, Sums, Vector};

use crate::precision::Precision;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Isa {
    /// 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same, with products of bf16: never the best, but what [`Precision::Bf16`] asks for.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// The same again, with products of whole tiles of bf16 (see [`tiles`]), where the processor has those.
    #[cfg(target_arch = "x86_64")]
    Avx512Amx,
    /// 8 lanes, 16 registers, fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler makes of arrays of 4.
    Portable,
}

/// [`pairs::join`]`(first, second, len, to)`.
pub(crate) type Join = unsafe fn(*const f32, *const f32, usize, *mut f32);

/// What a thread holds while it works with an instruction set's products.
#[cfg(target_arch = "x86_64")]
pub(crate) type Ready = Option<tiles::Ready>;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Ready = Option<NoTiles>;

/// Other processors have nothing to make ready.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) struct NoTiles;

/// Names the instruction set to use instead of the best; read once per process.
const FORCED: &str = "RRM_KERNELS_ISA";

/// What a processor can be asked to use, by name: a set for products of each precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Choice {
    /// What `RRM_KERNELS_ISA` calls it.
    name: &'static str,
    f32: Isa,
    /// The same where there are no products of bf16.
    bf16: Isa,
}

impl Choice {
    /// The best of this processor, or the one that `RRM_KERNELS_ISA` names.
    ///
    /// # Panics
    /// When that names none that this processor has: to go on with another would make a test of it worthless.
    fn made() -> Self {
        static MADE: OnceLock<Choice> = OnceLock::new();
        *MADE.get_or_init(|| {
            let forced = std::env::var_os(FORCED).map(|name| name.to_string_lossy().into_owned());
            Self::of(forced.as_deref(), &Self::available()).unwrap_or_else(|refusal| panic!("{refusal}"))
        })
    }

    /// The one of `available`, the best first, that is to be used where `forced` may name one.
    fn of(forced: Option<&str>, available: &[Self]) -> Result<Self, String> {
        match forced {
            None => Ok(available[0]),
            Some(forced) => available.iter().copied().find(|choice| choice.name == forced).ok_or_else(|| {
                let names: Vec<&str> = available.iter().map(|choice| choice.name).collect();
                format!("{FORCED}={forced}: this processor's kernels are {}", names.join(", "))
            }),
        }
    }

    /// All of this processor; the first is taken where none is named.
    fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            // Every processor with AVX-512 since 2017 has the last three.
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            let has_bf16 = has_avx512 && is_x86_feature_detected!("avx512bf16");
            if has_avx512 {
                let bf16 = if has_bf16 { Isa::Avx512Bf16 } else { Isa::Avx512 };
                available.push(Self { name: "avx512", f32: Isa::Avx512, bf16 });
            }
            // Not before the others: in a short training with it one seed of three did not learn.
            if has_bf16 && tiles::granted() {
                available.push(Self { name: "amx", f32: Isa::Avx512, bf16: Isa::Avx512Amx });
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(Self { name: "avx2", f32: Isa::Avx2, bf16: Isa::Avx2 });
            }
        }
        available.push(Self { name: "portable", f32: Isa::Portable, bf16: Isa::Portable });
        available
    }
}

impl Isa {
    /// The best instruction set of this processor for f32, or that of the choice which `RRM_KERNELS_ISA` names.
    ///
    /// # Panics
    /// When that names none that this processor has.
    pub(crate) fn best() -> Self {
        Choice::made().f32
    }

    /// The instruction set for products of `precision`: the best, with products of bf16 where they are asked for and there.
    pub(crate) fn of(precision: Precision) -> Self {
        let Choice { f32, bf16, .. } = Choice::made();
        match precision {
            Precision::F32 => f32,
            Precision::Bf16 => bf16,
        }
    }

    /// What joins two rows of terms to one of pairs, where a factor's numbers are pairs of bf16; see [`pairs::join`].
    pub(crate) fn join(self) -> Option<Join> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 | Self::Avx512Amx => Some(pairs::join),
            _ => None,
        }
    }

    /// Makes this thread ready for the set's products, for as long as the value lives.
    pub(crate) fn ready(self) -> Ready {
        match self {
            // SAFETY: the set is chosen where the tiles are granted.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Amx => Some(unsafe { tiles::Ready::new() }),
            _ => None,
        }
    }

    /// Every instruction set of this processor for f32, the best first.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut sets: Vec<Self> = Choice::available().into_iter().map(|choice| choice.f32).collect();
        sets.dedup();
        sets
    }

    /// Every instruction set of this processor for products of bf16, the best first.
    #[cfg(test)]
    pub(crate) fn available_for_bf16() -> Vec<Self> {
        Choice::available().into_iter().filter(|choice| choice.bf16 != choice.f32).map(|choice| choice.bf16).collect()
    }
}

/// The instruction sets that the CPU kernels can use on this processor, the best first: what `RRM_KERNELS_ISA` may name.
pub fn instruction_sets() -> Vec<&'static str> {
    Choice::available().into_iter().map(|choice| choice.name).collect()
}

/// The instruction set that the CPU kernels use in this process.
///
/// # Panics
/// When `RRM_KERNELS_ISA` names none of [`instruction_sets`].
pub fn instruction_set() -> &'static str {
    Choice::made().name
}

/// Compiles a function over slices once per instruction set, so that its loops use that set's vectors, and calls the one
/// for this processor. The arithmetic stays the same: the compiler neither reorders nor fuses it, so all give the same bits.
macro_rules! vectorized {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$T:ident: $bound:path>($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name<$T: $bound>($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$T: $bound>($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
                fn avx512<$T: $bound>($($arg: $type),*) $(-> $ret)? {
                    body($($arg),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn avx2<$T: $bound>($($arg: $type),*) $(-> $ret)? {
                    body($($arg),*)
                }

                match $crate::simd::Isa::best() {
                    // SAFETY: the processor has the instruction set.
                    $crate::simd::Isa::Avx512 | $crate::simd::Isa::Avx512Bf16 | $crate::simd::Isa::Avx512Amx => return unsafe { avx512($($arg),*) },
                    // SAFETY: the processor has the instruction set.
                    $crate::simd::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::Isa::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use vectorized;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_set_is_the_best_or_the_named_one_and_never_another() {
        let available = Choice::available();
        assert_eq!(Choice::of(None, &available), Ok(available[0]));
        for choice in &available {
            assert_eq!(Choice::of(Some(choice.name), &available), Ok(*choice));
        }
        for unknown in ["sse9", "", "AVX2"] {
            let refusal = Choice::of(Some(unknown), &available).unwrap_err();
            let rest =
                refusal.strip_prefix(&format!("RRM_KERNELS_ISA={unknown}: ")).expect("it names what was asked for");
            assert!(available.iter().all(|choice| rest.contains(choice.name)), "{refusal}");
        }
    }
}
