//! In which numbers, and by which convolutions, a comparison is made.

use crate::compare::is_another_folder;
use candle_core::DType;

/// A way to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// f64, which is held to everything.
    Double,
    /// f32 by direct convolutions, which round as finely as PyTorch's.
    Direct,
    /// f32 by the convolutions that are used otherwise. They round some times more coarsely, so that more ReLUs, pools and
    /// signs are decided the other way; a comparison bounds what comes of it.
    Winograd,
}

impl Arithmetic {
    /// Those in which comparisons are made: f64 and what is used otherwise, and direct f32 where another folder than the repository's is
    /// compared with. It tells what is Winograd's doing, and takes a third of the time.
    pub(crate) fn all() -> &'static [Self] {
        match is_another_folder() {
            true => &[Self::Double, Self::Direct, Self::Winograd],
            false => &[Self::Double, Self::Winograd],
        }
    }

    /// The ways to compute what numbers of this ending are compared with.
    pub(crate) fn of(suffix: &str) -> impl Iterator<Item = Self> {
        Self::all().iter().copied().filter(move |arithmetic| arithmetic.suffix() == suffix)
    }

    /// The type of weights and pixels.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Double => DType::F64,
            Self::Direct | Self::Winograd => DType::F32,
        }
    }

    /// What the names of golden numbers end with.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Double => "f64",
            Self::Direct | Self::Winograd => "f32",
        }
    }

    /// Computes in this way.
    pub(crate) fn during<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Self::Direct => rrm_kernels::with_direct_convolutions(work),
            Self::Double | Self::Winograd => work(),
        }
    }

    /// How often, against PyTorch's own f32 run, a path that rounding may change must go f64's way.
    pub(crate) fn as_often(self) -> f64 {
        match self {
            Self::Double => 1.0,
            Self::Direct => 0.75,
            Self::Winograd => 0.5,
        }
    }
}
