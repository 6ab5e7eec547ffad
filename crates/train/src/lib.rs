#![doc = include_str!("../README.md")]

pub mod bench;
pub mod checkpoint;
pub mod schedule;
pub mod step;
pub mod student;
pub mod synthesis;

mod device;
mod diagnose;
mod divergence;
mod error;
mod evaluate;
mod files;
mod interrupt;
mod lengths;
mod measure;
mod monitor;
mod run;
mod second_look;
mod source;
mod synthesize;
mod training;
mod work;

pub use device::open_device;
pub use divergence::NotFinite;
pub use error::TrainError;
pub use run::{CODE_VERSION, Completion, Environment, run};
pub use schedule::{Rate, Timetable};
pub use step::{Step, StepStats, TrainBatch};
pub use student::{Student, Update, UpdateError};
