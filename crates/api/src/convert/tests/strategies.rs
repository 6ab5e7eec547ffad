//! Values of every type, with all their variants.

mod attack;
mod control;
mod job;
mod placement;
mod plan;
mod record;
mod scalar;
mod view;
mod worker;

use std::num::NonZeroU32;

use proptest::{collection::vec, option::of, prelude::*, sample::select};
use rrm_spec::*;

use crate::{
    AttemptEnd, ImagesPage, JobFilter, LastPlan, LogChunk, Registered, Reuse, Source, Strict, Submitted, Upload,
    WatchItem, Wishes,
};

pub(super) use attack::*;
pub(super) use control::*;
pub(super) use job::*;
pub(super) use placement::*;
pub(super) use plan::*;
pub(super) use record::*;
pub(super) use scalar::*;
pub(super) use view::*;
pub(super) use worker::*;
