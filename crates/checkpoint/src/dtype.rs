//! Types of numbers in files, and what becomes of them.

use std::fmt;

use half::{bf16, f16};

/// A type of number that a checkpoint may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// Half precision.
    F16,
    /// Brain float.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Truth values.
    Bool,
    /// Whole numbers of 8 bits without sign.
    U8,
    /// Whole numbers of 8 bits.
    I8,
    /// Whole numbers of 16 bits.
    I16,
    /// Whole numbers of 32 bits.
    I32,
    /// Whole numbers of 64 bits.
    I64,
}

impl Dtype {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Whether it has fractions.
    pub fn is_float(self) -> bool {
        match self {
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => true,
            Self::Bool | Self::U8 | Self::I8 | Self::I16 | Self::I32 | Self::I64 => false,
        }
    }

    /// The type of PyTorch's storage class of that name.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "FloatStorage" => Self::F32,
            "DoubleStorage" => Self::F64,
            "BoolStorage" => Self::Bool,
            "ByteStorage" => Self::U8,
            "CharStorage" => Self::I8,
            "ShortStorage" => Self::I16,
            "IntStorage" => Self::I32,
            "LongStorage" => Self::I64,
            _ => return None,
        })
    }

    /// The type of a safetensors file's entry.
    pub(crate) fn of_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::Bf16,
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F64 => Self::F64,
            safetensors::Dtype::BOOL => Self::Bool,
            safetensors::Dtype::U8 => Self::U8,
            safetensors::Dtype::I8 => Self::I8,
            safetensors::Dtype::I16 => Self::I16,
            safetensors::Dtype::I32 => Self::I32,
            safetensors::Dtype::I64 => Self::I64,
            // A foreign enumeration that grows.
            _ => return None,
        })
    }

    /// A number as f64, from its little-endian bytes; whole numbers beyond 2^53 are rounded.
    pub(crate) fn real(self, bytes: &[u8]) -> f64 {
        match self {
            Self::F16 => f16::from_le_bytes(array(bytes)).to_f64(),
            Self::Bf16 => bf16::from_le_bytes(array(bytes)).to_f64(),
            Self::F32 => f32::from_le_bytes(array(bytes)).into(),
            Self::F64 => f64::from_le_bytes(array(bytes)),
            Self::Bool | Self::U8 | Self::I8 | Self::I16 | Self::I32 | Self::I64 => self.whole(bytes) as f64,
        }
    }

    /// A whole number from its little-endian bytes; one with fractions is cut.
    pub(crate) fn whole(self, bytes: &[u8]) -> i64 {
        match self {
            Self::Bool | Self::U8 => u8::from_le_bytes(array(bytes)).into(),
            Self::I8 => i8::from_le_bytes(array(bytes)).into(),
            Self::I16 => i16::from_le_bytes(array(bytes)).into(),
            Self::I32 => i32::from_le_bytes(array(bytes)).into(),
            Self::I64 => i64::from_le_bytes(array(bytes)),
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => self.real(bytes) as i64,
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes as the type has")
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
        })
    }
}
