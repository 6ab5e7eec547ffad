#![doc = include_str!("../README.md")]

pub mod apgd;
mod attack;
pub mod ball;
mod ensemble;
mod fgsm;
pub mod pgd;
mod pixels;
mod region;
mod rivals;
mod seen;
mod start;
mod victim;

pub use apgd::{Apgd, ArtApgd};
pub use attack::{Attack, AttackRng, Attacked, build};
pub use ball::{Ball, Form};
pub use ensemble::Ensemble;
pub use fgsm::Fgsm;
pub use pgd::Pgd;
pub use seen::Seen;
pub use start::Randomness;
pub use victim::{Objective, Victim};
