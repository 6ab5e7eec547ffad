//! Numbers and texts with a meaning.

use std::num::NonZeroU32;

use rrm_spec::{
    ArtifactHash, ArtifactRef, AttemptId, Epsilon, JobId, Label, NetworkName, RequestId, SubmissionId, TimeLimit,
    TokenHash, UserName, WorkerId,
};

use super::{OnWire, Reader};
use crate::{Follow, Reuse, Strict};

macro_rules! id {
    ($($name:ident),+) => {$(
        impl OnWire for $name {
            type Wire = i64;

            fn to_wire(self) -> i64 {
                self.0
            }

            fn from_wire(wire: i64, reader: &mut Reader<'_>) -> Option<Self> {
                if wire > 0 { Some(Self(wire)) } else { reader.refuse(wire, "must be a positive id") }
            }
        }
    )+};
}

id!(JobId, AttemptId, WorkerId, SubmissionId);

macro_rules! text {
    ($($name:ident),+) => {$(
        impl OnWire for $name {
            type Wire = String;

            fn to_wire(self) -> String {
                self.into()
            }

            fn from_wire(wire: String, reader: &mut Reader<'_>) -> Option<Self> {
                reader.parse(&wire)
            }
        }
    )+};
}

text!(ArtifactHash, ArtifactRef, NetworkName, RequestId, Epsilon, Label, TokenHash, UserName);

/// Questions that have two answers, `Yes` and `No`: a flag on the wire, words everywhere else.
macro_rules! flag {
    ($($name:ident),+) => {$(
        impl OnWire for $name {
            type Wire = bool;

            fn to_wire(self) -> bool {
                match self {
                    Self::Yes => true,
                    Self::No => false,
                }
            }

            fn from_wire(wire: bool, _: &mut Reader<'_>) -> Option<Self> {
                Some(if wire { Self::Yes } else { Self::No })
            }
        }
    )+};
}

flag!(Follow, Reuse, Strict);

/// In seconds.
impl OnWire for TimeLimit {
    type Wire = u64;

    fn to_wire(self) -> u64 {
        self.seconds().into()
    }

    fn from_wire(wire: u64, reader: &mut Reader<'_>) -> Option<Self> {
        Self::from_seconds(wire).map_or_else(|_| reader.refuse(wire, "must be 1 to 31536000 seconds (365 days)"), Some)
    }
}

impl OnWire for NonZeroU32 {
    type Wire = u32;

    fn to_wire(self) -> u32 {
        self.get()
    }

    fn from_wire(wire: u32, reader: &mut Reader<'_>) -> Option<Self> {
        Self::new(wire).or_else(|| reader.refuse(wire, "must be 1 or more"))
    }
}
