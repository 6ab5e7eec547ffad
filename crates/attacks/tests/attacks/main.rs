//! Attacks on small victims whose landscapes are known.

mod apgd;
mod ball;
mod ensemble;
mod fgsm;
mod network;
mod pgd;
mod properties;
mod targets;
mod victims;
