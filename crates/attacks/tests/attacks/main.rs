//! Attacks on small victims whose landscapes are known.

mod apgd;
mod ball;
mod carlini_wagner;
mod fab;
mod network;
mod pgd;
mod properties;
mod square;
mod victims;
