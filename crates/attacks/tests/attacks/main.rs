//! Attacks on small victims whose landscapes are known.

mod adaptive;
mod apgd;
mod ball;
mod carlini_wagner;
mod ensemble;
mod fab;
mod fgsm;
mod network;
mod pgd;
mod properties;
mod square;
mod targets;
mod victims;
