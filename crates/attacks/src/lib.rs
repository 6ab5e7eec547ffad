#![doc = include_str!("../README.md")]

mod adaptive;
pub mod apgd;
mod attack;
pub mod ball;
pub mod carlini_wagner;
mod ensemble;
pub mod fab;
mod fgsm;
mod l1;
mod lead;
mod logits;
mod minimum;
pub mod pgd;
mod pixels;
mod region;
mod rivals;
mod seen;
pub mod square;
mod start;
mod survivors;
mod victim;

pub use apgd::{Apgd, ArtApgd};
pub use attack::{Attack, AttackRng, Attacked, build, build_knowing};
pub use ball::{Ball, Form};
pub use carlini_wagner::CarliniWagner;
pub use ensemble::Ensemble;
pub use fab::Fab;
pub use fgsm::Fgsm;
pub use minimum::Nearest;
pub use pgd::Pgd;
pub use seen::Seen;
pub use square::Square;
pub use start::Randomness;
pub use victim::{Objective, Victim};
