//! Domain values to wire messages and back: the only translation there is.
//!
//! Both directions take their argument apart completely, so that a new field breaks the build here instead of being
//! lost. Writing cannot fail; reading checks everything and collects every fault.

mod access;
mod artifact;
mod assignment;
mod attack;
mod control;
mod dataset;
mod diagnostic;
mod job;
mod log;
mod method;
mod placement;
mod plan;
mod reader;
mod record;
mod scalar;
mod submission;
#[cfg(test)]
mod tests;
mod view;
mod worker;

use rrm_spec::Violations;

pub(crate) use reader::Reader;

/// A domain value that has a form on the wire.
pub(crate) trait OnWire: Sized {
    /// The form.
    type Wire;

    /// Writes the value.
    fn to_wire(self) -> Self::Wire;

    /// Reads a value. `None` only after a fault was reported to `reader`.
    fn from_wire(wire: Self::Wire, reader: &mut Reader<'_>) -> Option<Self>;
}

/// Reads a whole message.
pub(crate) fn read<T: OnWire>(wire: T::Wire) -> Result<T, Violations> {
    read_with(|reader| T::from_wire(wire, reader))
}

/// Reads by a function, for requests whose fields become a call's arguments.
pub(crate) fn read_with<T>(by: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> Result<T, Violations> {
    let mut found = Vec::new();
    let value = by(&mut Reader::new(&mut found));
    Violations::check(found)?;
    Ok(value.expect("a message that could not be read leaves a fault"))
}

/// Writes every item.
pub(crate) fn list<T: OnWire>(items: Vec<T>) -> Vec<T::Wire> {
    items.into_iter().map(T::to_wire).collect()
}

/// Both directions of an enum without contents: each variant with its name on the wire, which has one more,
/// unspecified.
macro_rules! wire_enum {
    ($domain:ident { $($variant:ident => $name:ident),+ $(,)? }) => {
        impl crate::convert::OnWire for rrm_spec::$domain {
            type Wire = i32;

            fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => crate::wire::$domain::$name,)+
                }
                .into()
            }

            fn from_wire(wire: i32, reader: &mut crate::convert::Reader<'_>) -> Option<Self> {
                use crate::wire::$domain as Wire;
                match Wire::try_from(wire) {
                    $(Ok(Wire::$name) => Some(Self::$variant),)+
                    Ok(Wire::Unspecified) | Err(_) => {
                        let allowed = concat!("must be one of", $(" ", stringify!($variant)),+);
                        reader.refuse(wire, allowed)
                    }
                }
            }
        }
    };
}
pub(crate) use wire_enum;
