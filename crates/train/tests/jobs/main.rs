//! Whole jobs on small image folders.

mod adaptive;
mod dataset;
mod diagnostics;
mod divergence;
mod evaluation;
mod failures;
mod fine_tuning;
mod learning;
mod methods;
mod precision;
mod resume;
mod same_bits;
mod support;
mod synthesis;
