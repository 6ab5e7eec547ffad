#![doc = include_str!("../README.md")]

mod attempt;
mod bench;
mod cache;
mod child;
mod cli;
mod config;
mod deliver;
mod exec;
mod logs;
mod node;
mod outcome;
mod places;
mod recover;
mod roster;
mod serve;
mod session;
mod spool;
#[cfg(test)]
mod testing;
mod workshop;

pub use cli::run;
