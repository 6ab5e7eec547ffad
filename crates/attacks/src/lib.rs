#![doc = include_str!("../README.md")]

pub mod apgd;
mod attack;
pub mod ball;
pub mod carlini_wagner;
pub mod fab;
mod l1;
mod logits;
mod minimum;
pub mod pgd;
mod pixels;
mod region;
pub mod square;
mod start;
mod survivors;
mod victim;

pub use apgd::Apgd;
pub use attack::{Attack, AttackRng, Attacked, build};
pub use ball::{Ball, Form};
pub use carlini_wagner::CarliniWagner;
pub use fab::Fab;
pub use minimum::Nearest;
pub use pgd::Pgd;
pub use square::Square;
pub use start::Randomness;
pub use victim::{Objective, Victim};
