//! Whole jobs on small image folders.

mod dataset;
mod divergence;
mod evaluation;
mod failures;
mod learning;
mod methods;
mod precision;
mod resume;
mod same_bits;
mod support;
