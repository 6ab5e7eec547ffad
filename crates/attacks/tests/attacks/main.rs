//! Attacks on small victims whose landscapes are known.

mod apgd;
mod ball;
mod network;
mod pgd;
mod properties;
mod victims;
