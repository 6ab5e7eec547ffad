#![doc = include_str!("../README.md")]

pub mod apgd;
mod attack;
pub mod ball;
pub mod pgd;
mod pixels;
mod region;
mod start;
mod victim;

pub use apgd::Apgd;
pub use attack::{Attack, AttackRng, Attacked, build};
pub use ball::{Ball, Form};
pub use pgd::Pgd;
pub use start::Randomness;
pub use victim::{Objective, Victim};
